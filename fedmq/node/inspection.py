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
from fedmq.node.meanings import read_by
from fedmq.node.summaries import Findings

if TYPE_CHECKING:
    from fedmq.imaging.volumes import Volume

Spacing = tuple[float, float, float]
Tell = Callable[[int, int], None]
"""Takes how many cases were read, of how many."""

See = Callable[[Case, Mapping[str, "Volume"], Sequence[Finding]], None]
"""Takes a case, its volumes that could be read, and what is wrong with it."""


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
    matching: Matching | None = None
    """Which columns the dictionary was found in; None where there is no dictionary."""

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases that are not withdrawn, by name."""
        return self.contents.cases

    @property
    def spacing_mm(self) -> Mapping[str, tuple[Spacing, Spacing]]:
        """Modality -> least and largest voxel spacing by axis, of the volumes that can be read."""
        by_modality: dict[str, list[Spacing]] = {}
        for of_case in self.spacings_mm.values():
            for modality, spacing in of_case.items():
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
        )

    @property
    def num_sound(self) -> int:
        """How many cases nothing was found against."""
        return len(self.cases) - len({finding.case_id for finding in self.faults})

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
    require_no_clash(cases if applied is None else applied.cases)
    findings = [] if applied is None else _misread(applied)
    spacings: dict[str, dict[str, Spacing]] = {}
    for number, case in enumerate(cases, start=1):
        # Which modalities are needed is the plan's to say.
        volumes, found = read_volumes(case)
        found = check_volumes(case, volumes, found)
        spacings[case.case_id] = {one: volume.spacing_mm for one, volume in volumes.items()}
        if not case.volumes and not case.clinical:
            text = "it has neither a volume nor a row of the clinical table"
            found = (*found, Finding(case_id=case.case_id, code="empty_case", text=text))
        findings.extend(found)
        see(case, volumes, found)
        del volumes  # before the next are read: of whole bodies, two are a GB more
        progress(number, len(cases))
    kept = replace(contents.data_map, baseline=data_map.baseline)  # the site's own word
    return Inspection(
        contents=replace(contents, data_map=kept),
        findings=tuple(findings),
        spacings_mm=spacings,
        matching=None if applied is None else applied.matching,
    )


def require_folder(folder: Path) -> None:
    """Return if there is a folder.

    Raises:
        DatasetError: there is none.
    """
    if not folder.is_dir():
        raise DatasetError(
            f"there is no folder {folder}",
            code="missing_folder",
            fix="name the folder that holds one folder for each case",
        )


def _by_axis(pick: Callable[[Iterable[float]], float], spacings: list[Spacing]) -> Spacing:
    x, y, z = (pick(one[axis] for one in spacings) for axis in range(3))
    return x, y, z


def _misread(applied: Applied) -> list[Finding]:
    """Return the cells that are not what the dictionary says; their cases go without a row."""
    return [
        Finding(case_id=fault.case_id, code=fault.code, text=fault.text) for fault in applied.faults
    ]
