"""Datasets: the cases of a folder, whether they can be used, and which of them validate.

A folder per case; its NIfTI files are told apart by the words of their names. autoPET's
`SUV.nii.gz`, HECKTOR's `CHUP-001__CT.nii.gz` and PET-BIDS's `..._pet.nii.gz` are all understood.
"""

import hashlib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.clinical import Rows, read_clinical

CLINICAL_FILE: Final = "clinical.csv"
MODALITIES: Final = ("CT", "MASK", "PET")
_PET_WORDS: Final = frozenset({"PET", "PT", "SUV"})
_CT_WORDS: Final = frozenset({"CT"})
_MASK_WORDS: Final = frozenset({"MASK", "SEG"})
_SUFFIXES: Final = (".nii", ".nii.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchReport:
    """Which cases have a folder only, and which a row only."""

    rows_without_folder: tuple[str, ...]
    folders_without_row: tuple[str, ...]


def find_cases(
    folder: Path, clinical: Path | None = None, *, without: Collection[str] = ()
) -> tuple[Case, ...]:
    """Return a case for each folder in `folder`, by case id; what a case lacks is left out of it.

    The clinical table is `clinical`, or `clinical.csv` in the folder, where there is one. Nothing
    is looked for in the folders of the cases `without`.

    Raises:
        DatasetError: code missing_file or empty (no folder, no case in it), ambiguous_file (two
            files of a case answer to one modality), or the table cannot be read.
    """
    if not folder.is_dir():
        raise DatasetError(
            "the folder of the dataset is missing", code="missing_file", fix="give its right path"
        )
    table = clinical or folder / CLINICAL_FILE
    rows = read_clinical(table) if clinical or table.is_file() else {}
    cases = tuple(
        Case(case_id=name, volumes=find_volumes(folder / name), clinical=rows.get(name, {}))
        for name in case_names(folder)
        if name not in without
    )
    if not cases:
        raise DatasetError(
            "the dataset has no case",
            code="empty",
            why="its folder has no folder in it",
            fix="put each case's volumes in a folder of its own, named after the case",
        )
    return cases


def case_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the cases that have a folder in `folder`, sorted; of no folder none."""
    places = folder.iterdir() if folder.is_dir() else ()
    return tuple(
        sorted(place.name for place in places if place.is_dir() and not place.name.startswith("."))
    )


def match_report(cases: Sequence[Case], rows: Rows) -> MatchReport:
    """Return the names on which the folders and the rows of the clinical table disagree."""
    names = {case.case_id for case in cases}
    return MatchReport(
        rows_without_folder=tuple(sorted(set(rows) - names)),
        folders_without_row=tuple(sorted(names - set(rows))),
    )


def split_cases(
    cases: Sequence[Case],
    *,
    seed: int,
    validation_share: float = 0.2,
    withdrawn: Collection[str] = (),
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Return training and validation cases, each by case id; same seed and names, same split.

    Cases are ordered by SHA-256 of `seed:case_id` and the first of them validate: as many as the
    share says, at least one and not all where there are two cases; none where the share is 0.
    Ids of `withdrawn` cases keep their places, empty: nobody else moves because one went.

    Raises:
        ConfigurationError: the share is not in [0, 1).
    """
    if not 0.0 <= validation_share < 1.0:
        raise ConfigurationError(
            "validation_share is out of range", why="it is a share: 0 or more, below 1"
        )
    ranked = sorted(
        {*withdrawn, *(case.case_id for case in cases)}, key=lambda name: (_rank(seed, name), name)
    )
    count = math.floor(validation_share * len(ranked) + 0.5)
    count = min(max(count, 1), len(ranked) - 1) if validation_share and len(ranked) > 1 else 0
    validating = {*ranked[:count]}
    here = sorted(
        (case for case in cases if case.case_id not in withdrawn), key=lambda case: case.case_id
    )
    training = tuple(case for case in here if case.case_id not in validating)
    validation = tuple(case for case in here if case.case_id in validating)
    return training, validation


def _rank(seed: int, case_id: str) -> str:
    return hashlib.sha256(f"{seed}:{case_id}".encode()).hexdigest()


def find_volumes(folder: Path) -> Mapping[str, Path]:
    """Return the best file of each modality: SUV before PET, a PET mask before a CT mask.

    Raises:
        DatasetError: code ambiguous_file: two files of the case answer to one modality.
    """
    found: dict[str, dict[int, list[Path]]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.lower().endswith(_SUFFIXES) and not path.name.startswith("."):
            answer = _modality_and_preference(path.name, folder.name)
            if answer is not None:
                modality, preference = answer
                found.setdefault(modality, {}).setdefault(preference, []).append(path)
    volumes: dict[str, Path] = {}
    for modality, by_preference in sorted(found.items()):
        best = by_preference[min(by_preference)]
        if len(best) > 1:
            raise DatasetError(
                f"case {folder.name} has {len(best)} files that could be its {modality}",
                code="ambiguous_file",
                case=folder.name,
                why=f"these names say so: {', '.join(path.name for path in best)}",
                fix="keep one of them in the folder",
            )
        volumes[modality] = best[0]
    return volumes


def _modality_and_preference(name: str, case_id: str) -> tuple[str, int] | None:
    """Return modality and preference (0 is best) by the words of the name, the case's left out."""
    stem = name.upper().removeprefix(case_id.upper())
    words = set(re.split(r"[^A-Z0-9]+", stem))
    if words & _MASK_WORDS:
        if words & _PET_WORDS:
            return "MASK", 0
        return "MASK", 2 if words & _CT_WORDS else 1
    if words & _PET_WORDS:
        return "PET", 0 if "SUV" in words else 1
    return ("CT", 0) if words & _CT_WORDS else None
