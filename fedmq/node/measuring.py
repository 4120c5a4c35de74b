"""Measuring: the features of a dataset's cases, of those whose files are not the ones before."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Final

from fedmq.errors import DatasetError
from fedmq.imaging.body_checks import tell_lost
from fedmq.imaging.cases import Case
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.dictionary.applying import apply_dictionary
from fedmq.imaging.feature_table import (
    MEASURED,
    NO_FEATURES,
    FeatureRow,
    cells_of,
    files_sha256,
    files_stamp,
    require_no_clash,
)
from fedmq.imaging.features import measure
from fedmq.node.datasets import unknown_dataset
from fedmq.node.inspection import Tell
from fedmq.node.meanings import read_by
from fedmq.node.records import Records

_SAVED_EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The rows of a dataset, and why some of them are empty."""

    rows: tuple[FeatureRow, ...]
    """By case."""
    lacking: Mapping[str, str]
    """Case -> why it has no features: a file that it lacks, one that is unfit or unreadable."""
    doubts: Mapping[str, str]
    """Case -> why its numbers may be too low; of those that were measured now."""
    num_broken: int
    """How many of them have files that are unfit or cannot be read."""
    num_measured: int
    """How many cases were measured now; the others' files are those of before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    row: FeatureRow
    why: str = ""
    doubt: str = ""
    is_broken: bool = False
    is_new: bool = False


def measure_dataset(
    records: Records,
    name: str,
    *,
    num_threads: int,
    progress: Tell,
    steady: Callable[[], float],
) -> Measurement:
    """Return the features of a dataset's cases; they stand in its table then.

    What was measured stands there also where this is ended in between: the next time goes on.

    Raises:
        ConfigurationError: there is no dataset of that name.
        DatasetError: its folder or clinical table cannot be read, or has a column of the features.
        StorageError: the disk refuses.
    """
    dataset = records.datasets.find(name)
    if dataset is None:
        raise unknown_dataset(name)
    meaning = records.datasets.meanings.of(name)
    cases = find_cases(
        dataset.folder,
        dataset.clinical,
        data_map=read_by(dataset.data_map, meaning),
        without=records.withdrawals.names(name),
    )
    require_no_clash(cases if meaning is None else apply_dictionary(meaning, cases).cases)
    spoiled = records.datasets.spoiled(name)
    known = {row.case_id: row for row in records.features.rows(name)}
    done: dict[str, _Outcome] = {}

    def save() -> None:
        here = {case.case_id: known[case.case_id] for case in cases if case.case_id in known}
        new = {case_id: outcome.row for case_id, outcome in done.items()}
        records.features.save(name, (here | new).values())

    pool, saved_at = ThreadPoolExecutor(num_threads, thread_name_prefix="measuring"), steady()
    try:
        futures = [
            pool.submit(_outcome_of, case, known.get(case.case_id), spoiled) for case in cases
        ]
        for number, future in enumerate(as_completed(futures), start=1):
            outcome = future.result()
            done[outcome.row.case_id] = outcome
            progress(number, len(cases))
            if steady() - saved_at >= _SAVED_EVERY_S:
                save()
                saved_at = steady()
    finally:
        pool.shutdown(cancel_futures=True)
        save()
    # A case that was withdrawn meanwhile is in no answer either.
    gone = records.withdrawals.names(name)
    outcomes = [done[case.case_id] for case in cases if case.case_id not in gone]
    return Measurement(
        rows=tuple(one.row for one in outcomes),
        lacking={one.row.case_id: one.why for one in outcomes if one.why},
        doubts={one.row.case_id: one.doubt for one in outcomes if one.doubt},
        num_broken=sum(one.is_broken for one in outcomes),
        num_measured=sum(one.is_new for one in outcomes),
    )


def _outcome_of(
    case: Case, known: FeatureRow | None, spoiled: frozenset[tuple[str, str]]
) -> _Outcome:
    # Before reading: of a file that is changed meanwhile, the row is stale at once.
    stamp = files_stamp(case)
    empty = FeatureRow(case_id=case.case_id, sha256="", stamp=stamp, cells=NO_FEATURES)
    lacks = [modality for modality in MEASURED if modality not in case.volumes]
    if lacks:
        return _Outcome(row=empty, why=f"it has no {' and no '.join(lacks)}")
    unfit = [modality for modality in MEASURED if (case.case_id, modality) in spoiled]
    if unfit:
        why = f"its {' and '.join(unfit)} was found unfit by fedmq node data check"
        return _Outcome(row=empty, why=why, is_broken=True)
    try:
        if known is not None and known.sha256:
            if known.stamp == stamp:
                return _Outcome(row=known)
            if known.sha256 == files_sha256(case):
                return _Outcome(row=replace(known, stamp=stamp))
        row, doubt = _measured(case, stamp)
    except (DatasetError, OSError) as error:
        why = str(error) if isinstance(error, DatasetError) else "a file cannot be read"
        return _Outcome(row=empty, why=why, is_broken=True)
    return _Outcome(row=row, doubt=doubt, is_new=True)


def _measured(case: Case, stamp: str) -> tuple[FeatureRow, str]:
    """Return the row of a case, and why its numbers may be too low.

    Raises:
        DatasetError: a file is unfit, or is not the one of the stamp any more, or the mask lies
            beside the PET.
        OSError: a file cannot be read.
    """
    pet, mask = case.volume("PET"), case.volume("MASK")
    found = measure(pet, mask)
    row = FeatureRow(
        case_id=case.case_id, sha256=files_sha256(case), stamp=stamp, cells=cells_of(found)
    )
    if files_stamp(case) != stamp:
        raise DatasetError(
            "its files were changed while they were measured",
            code="files_changed",
            why="the numbers may be of one file and the hash of another",
            fix="fedmq node data features",
        )
    return row, tell_lost(mask, found.mask_ml, pet)
