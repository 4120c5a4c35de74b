"""Intakes: the volumes with which an experiment began at a site.

A round that had fewer would learn from less without a word, and one that had others would let
validation cases train: which cases validate goes by all their names.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.stamps import file_mark

Settled = tuple[str, int, int]
"""A volume: path in the dataset's folder; size, and time of the content in nanoseconds."""
Intake = Mapping[str, Mapping[str, Settled]]
"""Case -> modality -> volume; also of cases without one.

Cases that were withdrawn before are in it too, with no path: a place in the split each.
"""

_MAX_NAMED: Final = 3
_NONE: Final[Settled] = ("", 0, 0)
_NOBODY: Final[Mapping[str, Collection[str]]] = {}


def intake_of(
    cases: Sequence[Case],
    folder: Path,
    unfit: Collection[tuple[str, str]] = (),
    withdrawn: Mapping[str, Collection[str]] = _NOBODY,
) -> Intake:
    """Return the intake of a dataset's cases, without its unfit volumes (case and modality).

    `withdrawn`: case -> the modalities that it had; none of them is among `cases`.
    """
    places = {name: dict.fromkeys(had, _NONE) for name, had in withdrawn.items()}
    return places | {
        case.case_id: {
            modality: _settled(folder, path)
            for modality, path in sorted(case.volumes.items())
            if (case.case_id, modality) not in unfit
        }
        for case in cases
    }


def select_intake(
    cases: Sequence[Case], folder: Path, intake: Intake, *, without: Collection[str] = ()
) -> tuple[Case, ...]:
    """Return those of `cases` that the intake has, with the volumes that it has of them.

    Nothing is asked of the cases `without`: they are withdrawn.

    Raises:
        DatasetError: code dataset_changed: a case or a volume of the intake is not there, or the
            case has another one.
    """
    found = {case.case_id: case for case in cases}
    changes = [
        text
        for name, volumes in sorted(intake.items())
        if name not in without
        for text in _changes(name, volumes, found.get(name), folder)
    ]
    if changes:
        named = "; ".join(changes[:_MAX_NAMED])
        more = len(changes) - _MAX_NAMED
        raise DatasetError(
            "the dataset is not the one with which the experiment began",
            code="dataset_changed",
            why=f"{named}{f'; and {more} more' if more > 0 else ''}",
            fix="put the files back, have the scan taken that it was (--baseline), or withdraw the "
            "case (fedmq node data withdraw)",
        )
    return tuple(
        replace(
            case,
            volumes={
                modality: path
                for modality, path in case.volumes.items()
                if modality in intake[case.case_id]
            },
        )
        for case in cases
        if case.case_id in intake and case.case_id not in without
    )


def _changes(
    name: str, volumes: Mapping[str, Settled], case: Case | None, folder: Path
) -> list[str]:
    if case is None:
        return [f"{name} is gone"]
    texts = []
    for modality, before in volumes.items():
        path = case.volumes.get(modality)
        if path is None:
            texts.append(f"the {modality} of {name} is gone")
        elif not _is_same(_settled(folder, path), before):
            texts.append(f"the {modality} of {name} is another file now")
    return texts


def _is_same(now: Settled, before: Settled) -> bool:
    """Whether it is called as it was, or was only renamed: a second scan of a patient does that."""
    return now[0] == before[0] or (now[1:] == before[1:] != _NONE[1:])


def _settled(folder: Path, path: Path) -> Settled:
    return path.relative_to(folder).as_posix(), *(file_mark(path) or (0, 0))
