"""The cases of one job: those that its plan is given, and those that cannot be read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedmq.errors import DatasetError
from fedmq.imaging.cases import FILE_FAULTS, Case
from fedmq.imaging.datasets import find_cases, split_cases
from fedmq.imaging.dictionary.applying import apply_dictionary
from fedmq.imaging.dictionary.model import Meaning
from fedmq.imaging.feature_table import read_table, with_features
from fedmq.imaging.intake import select_intake
from fedmq.learning.modalities import Modalities, describe_modalities, has_modalities
from fedmq.learning.trainer_protocol import MAX_UNREADABLE, MAX_WHAT, Job, fitting_text

Unreadable = Mapping[tuple[str, str], str]
"""Case and modality of volumes that cannot be read -> why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The cases of a dataset, as one plan sees them."""

    training: tuple[Case, ...]
    validation: tuple[Case, ...]
    num_left_out: int


def find_usable(
    job: Job, modalities: Modalities, unreadable: Collection[tuple[str, str]] = ()
) -> Found:
    """Return the cases that the plan can use; those that the unreadable take keep their places.

    Raises:
        DatasetError: the dataset cannot be read, is not what the experiment began with, or has no
            case that trains.
    """
    withdrawn = dict(job.withdrawn)
    found = find_cases(
        Path(job.dataset_folder),
        Path(job.clinical) if job.clinical else None,
        data_map=job.data_map,
        without=withdrawn,
    )
    if job.meaning is not None:
        # What the operator was told of at the last check is as the table is now: read it again.
        found = apply_dictionary(Meaning.model_validate_json(job.meaning), found).cases
    if job.features is not None:
        found = with_features(found, read_table(Path(job.features)))
    spoiled = frozenset(job.spoiled)
    if job.intake is not None:
        folder = Path(job.dataset_folder)
        found = select_intake(found, folder, job.intake, without=withdrawn)
    cases = [_without(spoiled, case) for case in found]
    fit = [case for case in cases if has_modalities(case.volumes, modalities)]
    rest = [_without(frozenset(unreadable), case) for case in fit]
    usable = [case for case in rest if has_modalities(case.volumes, modalities)]
    here = {case.case_id for case in usable}
    # Places were settled with the intake; who is withdrawn, or found unfit, since leaves his empty.
    had_by = withdrawn if job.intake is None else job.intake
    gone = {name for name, had in had_by.items() if has_modalities(had, modalities)} - here
    lost = {case.case_id for case in fit} - here
    training, validation = split_cases(
        usable,
        seed=job.split_seed,
        validation_share=job.validation_share,
        withdrawn=(*gone, *lost),
    )
    if not training and not gone & withdrawn.keys():
        raise DatasetError(
            "no case of the dataset can train",
            code="missing_modality",
            why=f"{len(cases)} cases, none with {describe_modalities(modalities)} fit for use",
            fix="add the missing volumes, or use a plan that learns without them",
        )
    return Found(training=training, validation=validation, num_left_out=len(cases) - len(usable))


def _without(spoiled: frozenset[tuple[str, str]], case: Case) -> Case:
    """Return a case without those of its volumes that were found unfit."""
    fit = {
        modality: path
        for modality, path in case.volumes.items()
        if (case.case_id, modality) not in spoiled
    }
    return replace(case, volumes=fit)


def find_unreadable(
    error: BaseException | None, cases: Sequence[Case], *, is_first: bool
) -> Unreadable:
    """Return the volumes that cannot be read, where an error says of a case that it has one.

    They are read here: what a plan raises is its own word. Of the first error its case alone.
    """
    if not isinstance(error, DatasetError) or error.code not in FILE_FAULTS:
        return {}
    # What reads images comes with an extra: who trains on tables does without.
    from fedmq.imaging.checks import read_volumes

    return {
        (finding.case_id, modality): finding.text
        for case in cases
        if case.case_id == error.case or not is_first
        for finding in read_volumes(case)[1]
        for modality in finding.spoils
    }


def first_unreadable(unreadable: Unreadable) -> tuple[str, ...]:
    """Return why volumes cannot be read, of as many as an answer holds."""
    told = [fitting_text(why, MAX_WHAT) for why in unreadable.values()]
    if (more := len(told) - MAX_UNREADABLE + 1) > 1:
        told = [*told[: MAX_UNREADABLE - 1], f"and {more} more: fedmq node data check names all"]
    return tuple(told)
