"""Planning: which files make which case, under which name, and what is no case at all. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from fedmq.imaging.dicom.files import LARGE_IMAGE, UNREAD_REGIONS, Entry, Foreign
from fedmq.imaging.dicom.sidecars import ScanDay
from fedmq.imaging.dicom.table_ids import TableIds, match_ids

VERSION: Final = "3"
"""Of what is written; another one makes every case anew."""
_IMAGES: Final = ("CT", "PT")
_DRAWN: Final = ("RTSTRUCT", "SEG")
_NOBODY: Final = re.compile(r"(anon[a-z]*|noname|deidentified|unknown|none|null|patient|x+|0+)?")
"""What stands in the place of an id, or of a name, of somebody who shall not be known."""
_BY_ID_ALONE: Final = (
    "that its patient's scans are of one person is told by the PatientID alone: its files have"
    " neither name nor date of birth"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the operator chose."""

    regions: tuple[str, ...] = ()
    """Patterns of the names of regions of interest; none: the usual ones of tumours."""
    pet_series: str = ""
    """Pattern of Series Description, or Series Number, where a study has several."""
    ct_series: str = ""
    tracer: str = ""
    """What was given, of PET series that name no tracer."""
    time_zero: Mapping[str, int] = field(default_factory=dict)
    """PatientID, as a table of the site writes it -> day, where treatment began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a case is not written; fit to be shown and written."""

    code: str
    why: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One case to be."""

    case_id: str
    patient_id: str
    pseudonym: str
    token: str
    """Tells this study from the patient's others."""
    key: str
    """Tells content and choices: what was written with the same key is not written again."""
    site: str
    """Tells the secret from another site's."""
    images: tuple[Entry, ...]
    drawn: tuple[Entry, ...]
    """RTSTRUCT and SEG."""
    left_out: Mapping[str, int]
    """What else the study holds, and how many files of it."""
    when: ScanDay
    notes: tuple[str, ...]
    """What a person should know of how it was planned."""
    refusal: Refusal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All cases, and what belongs to none."""

    studies: tuple[Study, ...]
    left_out: Mapping[str, int]
    """Kind of file -> count, of files in no case."""
    num_astray: int
    """Damaged files of which nothing tells whose they are: cases may be missing."""
    zero_ids: TableIds
    """Whose the rows of the table of time zero are; some of patients of earlier imports."""


_StudyKey = tuple[str, str]
"""PatientID and Study Instance UID."""
_Below = Mapping[PurePosixPath, Mapping[_StudyKey, set[PurePosixPath]]]
Sign = Callable[[str, str], str]
"""Purpose and text to a keyed hash."""


def plan_studies(
    entries: Sequence[Entry],
    foreign: Sequence[Foreign],
    choices: Choices,
    *,
    known: Collection[str],
    name: Callable[[str], str],
    sign: Sign,
) -> Plan:
    """Return the cases of an archive: one for each study with PET or CT, by patient and day.

    A file that cannot be read may be a slice: the studies that it may belong to are refused, for
    a volume that lacks its last slice looks whole. `known` are PatientIDs of earlier imports: a row
    that is one of theirs is of nobody else, in whatever table it stands.
    """
    by_study: dict[_StudyKey, list[Entry]] = defaultdict(list)
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in entries:
        if one.kind in _IMAGES:
            for uid in (one.series_uid, one.frame_of_reference):
                owners[one.patient_id, uid].add(one.study_uid)
    for one in entries:
        by_study[_owner_of(one, owners)].append(one)
    lacking = _lacking(by_study, [one for one in foreign if one.why == "damaged"])
    incomplete = set[_StudyKey]().union(*lacking)
    _spread_unread(by_study)
    left_out = Counter(one.why for one in foreign)
    by_patient: dict[str, list[tuple[str, list[Entry]]]] = defaultdict(list)
    for (patient_id, study_uid), members in by_study.items():
        if _has_images(members):
            by_patient[patient_id].append((study_uid, members))
        else:
            left_out.update(one.kind for one in members)
    ids = match_ids(choices.time_zero, {*by_patient, *known})
    zeros = {patient_id: choices.time_zero[one] for one, patient_id in ids.patients.items()}
    studies: list[Study] = []
    for patient_id, scans in by_patient.items():
        scans.sort(key=lambda scan: (_day_of(scan[1]) or 0, scan[0]))
        drafts = [
            _Draft(
                patient_id=patient_id,
                pseudonym=name(patient_id),
                study_uid=study_uid,
                number=number if len(scans) > 1 else None,
                members=members,
                refusal=_refusal(
                    patient_id,
                    scans,
                    members,
                    is_incomplete=(patient_id, study_uid) in incomplete,
                ),
                when=_when(members, scans, zeros.get(patient_id)),
            )
            for number, (study_uid, members) in enumerate(scans, start=1)
        ]
        studies += [_study(draft, choices, sign) for draft in drafts]
    return Plan(
        studies=tuple(sorted(studies, key=lambda study: study.case_id)),
        left_out=dict(left_out),
        zero_ids=ids,
        num_astray=sum(not studies for studies in lacking),
    )


def mark_site(sign: Sign) -> str:
    """Return what tells a site's secret from another one's, and says nothing of it."""
    return sign("site", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    patient_id: str
    pseudonym: str
    study_uid: str
    number: int | None
    members: Sequence[Entry]
    refusal: Refusal | None
    when: ScanDay


def _study(draft: _Draft, choices: Choices, sign: Sign) -> Study:
    images = tuple(one for one in draft.members if one.kind in _IMAGES)
    drawn = tuple(one for one in draft.members if one.kind in _DRAWN)
    unread = [one for one in draft.members if one.kind in UNREAD_REGIONS]
    content = sorted(f"{one.kind} {one.digest}" for one in (*images, *drawn, *unread))
    notes = (_BY_ID_ALONE,) if draft.number is not None and not _is_known(images) else ()
    chosen = (
        *choices.regions,
        choices.pet_series,
        choices.ct_series,
        choices.tracer,
        str(draft.when),
        *notes,
    )
    suffix = "" if draft.number is None else f"_scan-{draft.number}"
    case_id = draft.pseudonym + suffix
    return Study(
        case_id=case_id,
        patient_id=draft.patient_id,
        pseudonym=draft.pseudonym,
        token=sign("study", draft.study_uid),
        site=mark_site(sign),
        key=sign("case", "\n".join([VERSION, case_id, *chosen, *content])),
        images=images,
        drawn=drawn,
        left_out=dict(
            Counter(one.kind for one in draft.members if one.kind not in {*_IMAGES, *_DRAWN})
        ),
        when=draft.when,
        notes=notes,
        refusal=draft.refusal,
    )


def _owner_of(one: Entry, owners: Mapping[tuple[str, str], set[str]]) -> tuple[str, str]:
    """Return patient and study of a file; what was drawn goes with the images it was drawn on."""
    studies = {study for uid in one.references for study in owners.get((one.patient_id, uid), ())}
    return one.patient_id, studies.pop() if len(studies) == 1 else one.study_uid


def _spread_unread(by_study: Mapping[_StudyKey, list[Entry]]) -> None:
    """Regions that were not read count for every study of their patient, if theirs has no images.

    What they refer to stands behind what was read of them.
    """
    cases: dict[str, list[list[Entry]]] = defaultdict(list)
    for (patient_id, _), members in by_study.items():
        if _has_images(members):
            cases[patient_id].append(members)
    for (patient_id, _), members in by_study.items():
        unread = [one for one in members if one.kind in UNREAD_REGIONS]
        if cases[patient_id] and not _has_images(members):
            members[:] = [one for one in members if one not in unread]
            for others in cases[patient_id]:
                others.extend(unread)


def _has_images(members: Sequence[Entry]) -> bool:
    return any(one.kind in {*_IMAGES, LARGE_IMAGE} for one in members)


def _lacking(
    by_study: Mapping[_StudyKey, Sequence[Entry]], damaged: Sequence[Foreign]
) -> list[set[_StudyKey]]:
    """Return of each of these files the studies that may lack it.

    Those that it names, by a UID of their own; if it names none, those with files in its folder, or
    else those nearest. Where patients share their UIDs, for somebody took their names away, the
    folder decides too.
    """
    by_uid: dict[str, set[_StudyKey]] = defaultdict(set)
    within: dict[PurePosixPath, set[_StudyKey]] = defaultdict(set)
    for study, members in by_study.items():
        for one in members:
            by_uid[one.study_uid].add(study)
            by_uid[one.series_uid].add(study)
            within[PurePosixPath(one.path).parent].add(study)
    below = _below(within)
    found: list[set[_StudyKey]] = []
    for file in damaged:
        named = {study for uid in file.uids & by_uid.keys() for study in by_uid[uid]}
        folder = PurePosixPath(file.path).parent
        beside = within.get(folder) or _nearest(folder, below)
        if len({patient_id for patient_id, _ in named}) > 1:
            named &= beside
        found.append(named or beside)
    return found


def _below(within: Mapping[PurePosixPath, set[_StudyKey]]) -> _Below:
    """Return folder -> study -> which folders next below it, or itself, have files of the study."""
    below: dict[PurePosixPath, dict[_StudyKey, set[PurePosixPath]]] = {}
    for folder, studies in within.items():
        path = (folder, *folder.parents)
        for child, above in zip((folder, *path), path, strict=False):
            for study in studies:
                below.setdefault(above, {}).setdefault(study, set()).add(child)
    return below


def _nearest(folder: PurePosixPath, below: _Below) -> set[_StudyKey]:
    """Return the studies that a file alone in its folder may be of: each file may have one.

    They lie below the nearest folder above. Of several patients there, each whole in a folder of
    their own, none lacks it: it has one too.
    """
    above = next((one for one in (folder, *folder.parents) if one in below), None)
    if above is None:
        return set()
    is_one = len({patient_id for patient_id, _ in below[above]}) == 1
    return {
        study
        for study, places in below[above].items()
        if is_one or above in places or len(places) > 1
    }


def _refusal(
    patient_id: str,
    scans: Sequence[tuple[str, Sequence[Entry]]],
    members: Sequence[Entry],
    *,
    is_incomplete: bool,
) -> Refusal | None:
    births = {one.birth_date for _, entries in scans for one in entries if one.birth_date}
    images = [one for _, entries in scans for one in entries if one.kind in _IMAGES]
    differing = [
        what
        for what, told in (
            ("dates of birth", births),
            ("names", {one.name for one in images if one.name}),
            ("sexes", {one.sex for one in images if one.sex}),
        )
        if len(told) > 1
    ]
    found = None
    if not patient_id:
        found = Refusal(
            code="no_patient_id",
            why="its files do not say whose they are",
            fix="export them with their PatientID",
        )
    elif differing:
        found = Refusal(
            code="patients_mixed",
            why=f"files with one PatientID tell different {' and '.join(differing)}",
            fix="find out in the archive whose they are, and export each with its own PatientID",
        )
    elif len(scans) > 1 and _names_nobody(patient_id) and not _is_known(images):
        found = Refusal(
            code="no_patient_id",
            why="its PatientID is a word for nobody, several studies have it, and no name or date"
            " of birth tells whether they are one person's",
            fix="export each patient with a PatientID of their own",
        )
    elif is_incomplete:
        found = Refusal(
            code="damaged_file",
            why="a file that cannot be read may be one of its slices",
            fix="export that file again (not deflated), or put it elsewhere if it is none of them:"
            " left-out.csv in the node's folder `imports` names it, as damaged",
        )
    elif any(one.kind == LARGE_IMAGE for one in members):
        found = Refusal(
            code="too_large",
            why="an image of it is larger than what is read, or has more items",
            fix="export it as one file for each slice",
        )
    elif len(scans) > 1 and _day_of(members) is None:
        found = Refusal(
            code="no_date",
            why="its patient has several scans, and this one has no date",
            fix="export it with its study date, which is not written anywhere",
        )
    return found


def _is_known(images: Sequence[Entry]) -> bool:
    """Return whether anything but the PatientID tells whose images they are."""
    return any(one.birth_date or not _names_nobody(one.name) for one in images)


def _names_nobody(name: str) -> bool:
    return _NOBODY.fullmatch(re.sub(r"[\W_]", "", name).casefold()) is not None


def _when(
    members: Sequence[Entry], scans: Sequence[tuple[str, Sequence[Entry]]], zero: int | None
) -> ScanDay:
    day = _day_of(members)
    days = [known for _, entries in scans if (known := _day_of(entries)) is not None]
    time_zero = "first scan" if zero is None else "treatment"
    begin = zero if zero is not None else min(days, default=None)
    if day is None or begin is None:
        return ScanDay(days=None, time_zero=time_zero)
    return ScanDay(days=day - begin, time_zero=time_zero)


def _day_of(members: Sequence[Entry]) -> int | None:
    return min(
        (one.day for one in members if one.kind in _IMAGES and one.day is not None), default=None
    )
