"""Planning: which files make which case, under which name, and what is no case at all. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from fedmq.imaging.dicom.files import LARGE_IMAGE, LARGE_REGIONS, Entry, Foreign
from fedmq.imaging.dicom.sidecars import ScanDay
from fedmq.imaging.dicom.table_ids import match_ids

VERSION: Final = "1"
"""Of what is written; another one makes every case anew."""
_IMAGES: Final = ("CT", "PT")
_DRAWN: Final = ("RTSTRUCT", "SEG")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the operator chose."""

    regions: tuple[str, ...] = ()
    """Patterns of the names of regions of interest; none: the usual ones of tumours."""
    pet_series: str = ""
    """Pattern of Series Description, where a study has several."""
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
    refusal: Refusal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All cases, and what belongs to none."""

    studies: tuple[Study, ...]
    left_out: Mapping[str, int]
    """Kind of file -> count, of files in no case."""


Sign = Callable[[str, str], str]
"""Purpose and text to a keyed hash."""


def plan_studies(
    entries: Sequence[Entry],
    foreign: Sequence[Foreign],
    choices: Choices,
    *,
    name: Callable[[str], str],
    sign: Sign,
) -> Plan:
    """Return the cases of an archive: one for each study with PET or CT, by patient and day.

    A file that cannot be read may be a slice of any series beside it: studies with files in the
    same folder are refused, for a volume that lacks its last slice looks whole.
    """
    by_study: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    owners = {
        (one.patient_id, one.series_uid): one.study_uid for one in entries if one.kind in _IMAGES
    }
    for one in entries:
        by_study[_owner_of(one, owners)].append(one)
    damaged = {_folder(one.path) for one in foreign if one.why == "damaged"}
    left_out = Counter(one.why for one in foreign)
    by_patient: dict[str, list[tuple[str, list[Entry]]]] = defaultdict(list)
    for (patient_id, study_uid), members in by_study.items():
        if any(one.kind in {*_IMAGES, LARGE_IMAGE} for one in members):
            by_patient[patient_id].append((study_uid, members))
        else:
            left_out.update(one.kind for one in members)
    meant = match_ids(choices.time_zero, by_patient).patients
    zeros = {patient_id: choices.time_zero[one] for one, patient_id in meant.items()}
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
                refusal=_refusal(patient_id, scans, members, damaged),
                when=_when(members, scans, zeros.get(patient_id)),
            )
            for number, (study_uid, members) in enumerate(scans, start=1)
        ]
        studies += [_study(draft, choices, sign) for draft in drafts]
    return Plan(
        studies=tuple(sorted(studies, key=lambda study: study.case_id)),
        left_out=dict(left_out),
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
    content = sorted(f"{one.kind} {one.digest}" for one in (*images, *drawn))
    chosen = (
        *choices.regions,
        choices.pet_series,
        choices.ct_series,
        choices.tracer,
        str(draft.when),
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
        refusal=draft.refusal,
    )


def _owner_of(one: Entry, owners: Mapping[tuple[str, str], str]) -> tuple[str, str]:
    """Return patient and study of a file; what was drawn goes with the images it was drawn on."""
    drawn_on = [owners.get((one.patient_id, series)) for series in sorted(one.references)]
    return one.patient_id, next((study for study in drawn_on if study is not None), one.study_uid)


def _refusal(
    patient_id: str,
    scans: Sequence[tuple[str, Sequence[Entry]]],
    members: Sequence[Entry],
    damaged: set[str],
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
    elif any(_folder(one.path) in damaged for one in members):
        found = Refusal(
            code="damaged_file",
            why="a file in its folder cannot be read, and may be one of its slices",
            fix="export the folder again; or, if it is none of them, put that file elsewhere",
        )
    elif any(one.kind in {LARGE_IMAGE, LARGE_REGIONS} for one in members):
        found = Refusal(
            code="too_large",
            why="one of its files is larger than what is read, or has more outlines or items",
            fix="export regions in several files, and volumes as one file for each slice",
        )
    elif len(scans) > 1 and _day_of(members) is None:
        found = Refusal(
            code="no_date",
            why="its patient has several scans, and this one has no date",
            fix="export it with its study date, which is not written anywhere",
        )
    return found


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


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)
