"""Jobs: requests as the worker takes them."""

import os
from pathlib import Path
from typing import assert_never

import structlog

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.dictionary.model import Meaning
from fedmq.imaging.intake import intake_of
from fedmq.learning.trainer_protocol import Job, JobKind
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.node.datasets import Dataset
from fedmq.node.meanings import read_by
from fedmq.node.records import Records
from fedmq.node.storage import Storage
from fedmq.node.tasks import Task
from fedmq.node.withdrawals import Withdrawal

log = structlog.get_logger()


class Jobs:
    """Makes jobs of one node's tasks, from what its records hold."""

    def __init__(self, records: Records, storage: Storage) -> None:
        self._records = records
        self._storage = storage
        self._unseen: dict[str, frozenset[tuple[str, str]]] = {}
        """By dataset, as it was told last."""

    def make(
        self,
        task: Task,
        dataset: Dataset,
        meaning: Meaning | None,
        withdrawn: tuple[Withdrawal, ...],
        *,
        num_threads: int,
    ) -> Job:
        """Return the job that a task's request asks for.

        All paths are absolute: the trainer works in a folder of its own.
        """
        records, storage = self._records, self._storage
        spec, is_narrow = task.request.spec, False
        match task.request:
            case PrepareRequest():
                kind, model, seed = JobKind.PREPARE, None, 0
            case TrainRequest() | EvaluateRequest() as work:
                kind = JobKind.TRAIN if isinstance(work, TrainRequest) else JobKind.EVALUATE
                is_narrow = work.is_narrow
                model, seed = storage.spool.path(work.parameters.digest), work.spec.seed
            case _:
                assert_never(task.request)
        cases = _find(dataset, meaning, withdrawn)
        unfit = records.datasets.spoiled(dataset.name) | self._find_unseen(dataset.name, cases)
        had = {one.case_id: one.modalities for one in withdrawn}
        shipped = records.plans.source_path(spec.plan.digest) if spec.plan.is_shipped else None
        return Job(
            job_id=task.task_id,
            kind=kind,
            plan_name=spec.plan.name,
            plan_digest=spec.plan.digest,
            source_path=_absolute(shipped),
            config=spec.config,
            dataset_folder=str(dataset.folder),
            clinical=_absolute(dataset.clinical),
            data_map=read_by(dataset.data_map, meaning),
            meaning=None if meaning is None else meaning.model_dump_json(),
            features=_absolute(records.features.path(dataset.name)),
            intake=None
            if cases is None
            else records.intakes.settle(
                task.envelope.experiment, lambda: intake_of(cases, dataset.folder, unfit, had)
            ),
            spoiled=tuple(sorted(unfit)),
            withdrawn=tuple((one.case_id, one.modalities) for one in withdrawn),
            parameters_path=_absolute(model),
            output_path=_absolute(storage.output_path(task.name))
            if kind is JobKind.TRAIN
            else None,
            seed=seed,
            round=task.envelope.round,
            split_seed=spec.seed,
            validation_share=spec.validation_share,
            is_narrow=is_narrow,
            num_threads=num_threads,
        )

    def _find_unseen(
        self, dataset: str, cases: tuple[Case, ...] | None
    ) -> frozenset[tuple[str, str]]:
        """Return the volumes that no check has looked at; the log has it when they are others."""
        unseen = self._records.datasets.seen.unseen(dataset, cases or ())
        if unseen and unseen != self._unseen.get(dataset):
            fix = f"fedmq node data check {dataset}"
            log.warning("volumes_unchecked", dataset=dataset, volumes=len(unseen), fix=fix)
        self._unseen[dataset] = unseen
        return unseen


def _find(
    dataset: Dataset, meaning: Meaning | None, withdrawn: tuple[Withdrawal, ...]
) -> tuple[Case, ...] | None:
    """Return the cases of a dataset now; None: it cannot be read, and the trainer says why."""
    try:
        return find_cases(
            dataset.folder,
            dataset.clinical,
            data_map=read_by(dataset.data_map, meaning),
            without={one.case_id for one in withdrawn},
        )
    except (DatasetError, OSError):
        return None


def _absolute(path: Path | None) -> str | None:
    # Not resolve(): it raises where a link has come to lead in a circle.
    return None if path is None else os.path.realpath(path)
