"""Inspection: what is found in a dataset when every file of it is read."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.contents import Contents, read_contents, rest_of
from fedmq.imaging.dictionary.applying import Applied, apply_dictionary
from fedmq.imaging.dictionary.columns import Matching
from fedmq.imaging.dictionary.model import Meaning
from fedmq.imaging.feature_table import require_no_clash
from fedmq.imaging.findings import Finding
from fedmq.imaging.layouts.data_map import DataMap
from fedmq.imaging.layouts.listing import is_there
from fedmq.imaging.stamps import file_mark
from fedmq.node.meanings import read_by
from fedmq.node.summaries import Findings

if TYPE_CHECKING:
    from fedmq.imaging.volumes import Volume

Spacing = tuple[float, float, float]
Seen = Mapping[str, Mapping[str, tuple[int, int]]]
"""Case -> modality -> size and time of the file that was looked at; none of one not there."""
Tell = Callable[[int, int], None]
"""Takes how many cases were read, of how many."""

See = Callable[[Case, Mapping[str, "Volume"], Sequence[Finding]], None]
"""Takes a case with the row that is used, its volumes that could be read, what is wrong with it."""


def tell_nobody(_done: int, _all: int) -> None:
    """Say nothing."""


def show_nobody(_case: Case, _volumes: Mapping[str, "Volume"], _found: Sequence[Finding]) -> None:
    """Draw nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found in a dataset: its cases, and what is wrong with them."""

    contents: Contents
    findings: tuple[Finding, ...]
    spacings_mm: Mapping[str, Mapping[str, Spacing]]
    """Case -> modality -> voxel spacing, of the volumes that can be read."""
    seen: Seen
    """The volumes that were looked at."""
    matching: Matching | None = None
    """Which columns the dictionary was found in; None where there is no dictionary."""
    refused_rows: tuple[str, ...] = ()
    """The cases whose row has a cell that is not what the dictionary says: none of it is used."""

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases that are not withdrawn, by name."""
        return self.contents.cases

    @property
    def spacing_mm(self) -> Mapping[str, tuple[Spacing, Spacing]]:
        """Modality -> least and largest voxel spacing by axis, of the volumes fit for use."""
        by_modality: dict[str, list[Spacing]] = {}
        spoiled = self.spoiled
        for case_id, of_case in self.spacings_mm.items():
            for modality, spacing in of_case.items():
                if (case_id, modality) not in spoiled:
                    by_modality.setdefault(modality, []).append(spacing)
        return {
            modality: (_by_axis(min, some), _by_axis(max, some))
            for modality, some in sorted(by_modality.items())
        }

    def without(self, names: Collection[str]) -> "Inspection":
        """Return what is found where these cases are not: withdrawn while the others were read."""
        return replace(
            self,
            contents=self.contents.without(names),
            findings=tuple(one for one in self.findings if one.case_id not in names),
            spacings_mm=rest_of(self.spacings_mm, names),
            seen=rest_of(self.seen, names),
            refused_rows=tuple(one for one in self.refused_rows if one not in names),
        )

    @property
    def num_sound(self) -> int:
        """How many cases nothing was found against."""
        return len(self.cases) - len({finding.case_id for finding in self.faults})

    @property
    def has_use(self) -> bool:
        """Whether a case can be learnt from: a volume fit for use; of one without any, a row."""
        spoiled, refused = self.spoiled, set(self.refused_rows)
        return any(
            any((case.case_id, one) not in spoiled for one in case.volumes)
            if case.volumes
            else case.clinical and case.case_id not in refused
            for case in self.cases
        )

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that are more than a doubt."""
        return tuple(finding for finding in self.findings if not finding.is_doubt)

    @property
    def counted(self) -> Findings:
        """How many cases have what, and between which spacings; spoiled volumes do not count."""
        spoiled = self.spoiled
        num_with = Counter(
            modality
            for case in self.cases
            for modality in case.volumes
            if (case.case_id, modality) not in spoiled
        )
        ranges = dict(self.spacing_mm)
        return Findings(
            num_cases=len(self.cases),
            num_with={one: number for one, number in num_with.items() if one in ranges},
            spacing_mm=ranges,
        )

    @property
    def spoiled(self) -> frozenset[tuple[str, str]]:
        """The volumes that are not to be used, each by case and modality."""
        return frozenset(
            (finding.case_id, modality) for finding in self.findings for modality in finding.spoils
        )


def inspect(  # noqa: PLR0913 - what is read, by what, and who hears of it
    folder: Path,
    clinical: Path | None,
    data_map: DataMap,
    progress: Tell = tell_nobody,
    see: See = show_nobody,
    *,
    without: Collection[str] = (),
    meaning: Meaning | None = None,
) -> Inspection:
    """Return the cases of a folder but for some, and what is wrong with them, each file read.

    Raises:
        DatasetError: the folder or its clinical table cannot be read, or not by its dictionary, or
            has a column of the features.
    """
    # With it come nibabel and scipy: half the start of a node's commands, few of which read files.
    from fedmq.imaging.checks import check_volumes, read_volumes

    require_folder(folder)
    contents = read_contents(
        folder, clinical, read_by(data_map, meaning), without=without, is_thorough=True
    )
    cases = contents.cases
    applied = None if meaning is None else apply_dictionary(meaning, cases)
    read = cases if applied is None else applied.cases
    require_no_clash(read)
    misread = {} if applied is None else _misread(applied)
    findings: list[Finding] = []
    spacings: dict[str, dict[str, Spacing]] = {}
    seen = {}
    for number, (case, used) in enumerate(zip(cases, read, strict=True), start=1):
        seen[case.case_id] = marks_of(case)
        # Which modalities are needed is the plan's to say.
        volumes, found = read_volumes(case)
        found = (*misread.get(case.case_id, ()), *check_volumes(case, volumes, found))
        spacings[case.case_id] = {one: volume.spacing_mm for one, volume in volumes.items()}
        if not case.volumes and not case.clinical:
            found = (*found, _empty(case.case_id, contents.without_baseline))
        findings.extend(found)
        see(used, volumes, found)
        del volumes  # before the next are read: of whole bodies, two are a GB more
        progress(number, len(cases))
    kept = replace(contents.data_map, baseline=data_map.baseline)  # the site's own word
    return Inspection(
        contents=replace(contents, data_map=kept),
        findings=tuple(findings),
        spacings_mm=spacings,
        seen=seen,
        matching=None if applied is None else applied.matching,
        refused_rows=tuple(misread),
    )


def marks_of(case: Case) -> dict[str, tuple[int, int]]:
    """Return by modality what tells that a volume of a case is another file (`file_mark`)."""
    marks = {modality: file_mark(path) for modality, path in case.volumes.items()}
    return {modality: mark for modality, mark in marks.items() if mark is not None}


def require_folder(folder: Path) -> None:
    """Return if there is a folder.

    Raises:
        DatasetError: there is none, or it cannot be read.
    """
    if not is_there(folder.is_dir, what="the folder of the dataset"):
        raise DatasetError(
            f"there is no folder {folder}",
            code="missing_folder",
            fix="name the folder that holds one folder for each case",
        )


def _empty(case_id: str, without_baseline: Mapping[str, str]) -> Finding:
    why = without_baseline.get(case_id)
    if why is None:
        text = "it has neither a volume nor a row of the clinical table"
        return Finding(case_id=case_id, code="empty_case", text=text)
    text = f"it has no row of the clinical table, and no baseline scan: {why}"
    return Finding(case_id=case_id, code="no_baseline", text=text)


def _by_axis(pick: Callable[[Iterable[float]], float], spacings: list[Spacing]) -> Spacing:
    x, y, z = (pick(one[axis] for one in spacings) for axis in range(3))
    return x, y, z


def _misread(applied: Applied) -> dict[str, list[Finding]]:
    """Return by case the cells that are not what the dictionary says; it goes without its row."""
    found: dict[str, list[Finding]] = {}
    for fault in applied.faults:
        finding = Finding(case_id=fault.case_id, code=fault.code, text=fault.text)
        found.setdefault(fault.case_id, []).append(finding)
    return found
