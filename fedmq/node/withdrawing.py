"""Withdrawing: no later round has the case; the models that it had entered are told."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from fedmq.audit.log import AuditLog
from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.datasets import case_names, find_cases
from fedmq.imaging.layouts.words import MODALITIES, plain_name
from fedmq.messages.requests import EvaluateRequest, TrainRequest
from fedmq.node.audit_facts import CaseWithdrawn, Entered, RequestReceived, TrainingDone
from fedmq.node.datasets import Dataset, unknown_dataset
from fedmq.node.meanings import read_by
from fedmq.node.records import Records
from fedmq.node.withdrawals import Withdrawal
from fedmq.types import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """What a withdrawal did."""

    case_hash: Digest
    models: tuple[Entered, ...]
    """The models that the case had entered before; all later ones of their experiments go on
    from them."""
    num_cases: int | None
    """How many cases the dataset has now; None where it is not registered."""
    is_new: bool
    """Whether the case was not withdrawn before."""
    also_in: tuple[str, ...]
    """The other datasets that have a case of that name, not withdrawn: perhaps the same patient."""
    pages: tuple[Path, ...]
    """Of the dataset, outside the node's folder: they may show the case."""


def withdraw_case(
    records: Records, dataset: str, case_id: str, *, reason: str, now: float
) -> Withdrawn:
    """Let no later round have a case; return what it had entered. A second time changes nothing.

    Raises:
        ConfigurationError: the dataset, or a case of that name in it, was never here.
        StorageError: the case is withdrawn, but its features or the page could not be removed.
    """
    case_id = plain_name(case_id)
    found = records.datasets.find(dataset)
    case = records.case_lists.hash_of(dataset, case_id)
    if case_id not in records.withdrawals.names(dataset) and not _is_known(
        records, found, case_id, case
    ):
        if found is None:
            raise unknown_dataset(dataset)
        raise _unknown_case(dataset, case_id)
    withdrawal = Withdrawal(
        dataset=dataset,
        case_id=case_id,
        case_hash=case,
        modalities=_fit_modalities(records, found, case_id),
        reason=reason,
        at=now,
    )
    with records.journal.transaction():
        is_new = records.withdrawals.add(withdrawal)
        models = models_with(records.audit, records.case_lists.lists_with(case))
        if is_new:
            records.datasets.recount(dataset)
            records.datasets.found.withdraw(dataset, withdrawal.modalities)
            by = records.audit.by
            fact = CaseWithdrawn(dataset=dataset, case=case, models=models, by=by)
            records.audit.note(fact)
        rest = records.datasets.find(dataset)
    # Behind the commit, and a second time too: a file that cannot be removed keeps no case in.
    records.features.forget(dataset, case_id)
    records.check_pages.remove(dataset)
    num_cases = None if rest is None else rest.num_cases
    return Withdrawn(
        case_hash=case,
        models=models,
        num_cases=num_cases,
        is_new=is_new,
        also_in=_datasets_with(records, case_id),
        pages=records.check_pages.elsewhere(dataset),
    )


def models_with(audit: AuditLog, lists: Collection[str]) -> tuple[Entered, ...]:
    """Return the models that were trained with any of these lists of cases, the oldest first.

    The model of a round is the one that is then evaluated, and that the next round begins with.
    """
    models: dict[tuple[str, int], str] = {}
    for request in audit.facts(RequestReceived):
        if request.type == EvaluateRequest.TYPE:
            models[request.experiment, request.round] = request.model
        elif request.type == TrainRequest.TYPE:
            models.setdefault((request.experiment, request.round - 1), request.model)
    return tuple(
        Entered(
            experiment=one.experiment,
            round=one.round,
            update=one.update,
            model=models.get((one.experiment, one.round), ""),
        )
        for one in audit.facts(TrainingDone)
        if one.cases in lists
    )


def _datasets_with(records: Records, case_id: str) -> tuple[str, ...]:
    gone = records.withdrawals.datasets_with(case_id)
    return tuple(
        one.name
        for one in records.datasets.all()
        if one.name not in gone and case_id in case_names(one.folder, one.data_map)
    )


def _is_known(records: Records, dataset: Dataset | None, case_id: str, case: Digest) -> bool:
    """Return whether a case is among the files, or was when somebody read them."""
    return (
        dataset is not None and case_id in case_names(dataset.folder, dataset.data_map)
    ) or bool(records.case_lists.lists_with(case))


def _fit_modalities(records: Records, dataset: Dataset | None, case_id: str) -> tuple[str, ...]:
    """Return what volumes a case has fit for use; of files that are gone, all that there are."""
    if dataset is None:
        return MODALITIES
    others = set(case_names(dataset.folder, dataset.data_map)) - {case_id}
    try:
        data_map = read_by(dataset.data_map, records.datasets.meanings.of(dataset.name))
        cases = find_cases(dataset.folder, dataset.clinical, data_map=data_map, without=others)
    except DatasetError:  # gone, or two files for one modality: no plan had the dataset as it is
        return MODALITIES
    spoiled = records.datasets.spoiled(dataset.name)
    return tuple(
        modality
        for case in cases
        for modality in sorted(case.volumes)
        if (case_id, modality) not in spoiled
    )


def _unknown_case(dataset: str, case_id: str) -> ConfigurationError:
    return ConfigurationError(
        f"the dataset {dataset} has no case {case_id}",
        why="no files are of a case of that name, and none by that name was here before",
        fix="name the case as its folder or its files are; fedmq node data check has the names",
    )
