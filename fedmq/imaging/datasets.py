"""Datasets: the cases of a folder, and which of them validate."""

import hashlib
import math
from collections.abc import Collection, Sequence
from pathlib import Path

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.contents import read_arrangement, read_contents
from fedmq.imaging.layouts.data_map import DataMap


def find_cases(
    folder: Path,
    clinical: Path | None = None,
    *,
    data_map: DataMap | None = None,
    without: Collection[str] = (),
) -> tuple[Case, ...]:
    """Return the cases in `folder`, by case id; what a case lacks is left out of it.

    They are found by `data_map`; unless it is given, there is a folder for each. The clinical table
    is `clinical`, or the map's in the folder, where there is one. Nothing is looked for in the
    files of the cases `without`.

    Raises:
        DatasetError: code missing_file or empty (no folder, no case in it), ambiguous_file (two
            files of a case answer to one modality), ambiguous_name (a pattern reads one in two
            ways), several_scans (and no rule in the map which to take), or the table cannot be
            read.
    """
    return read_contents(folder, clinical, data_map or DataMap(), without=without).cases


def case_names(folder: Path, data_map: DataMap | None = None) -> tuple[str, ...]:
    """Return the names of the cases that have files in `folder`, sorted; of no folder none."""
    try:
        return read_arrangement(folder, data_map or DataMap()).cases
    except DatasetError:
        return ()


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
