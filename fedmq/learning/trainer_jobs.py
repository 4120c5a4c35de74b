"""One job of a trainer, from the plan's source to checked parameters on the disk.

Plan code is somebody else's: whatever it raises or returns becomes an answer, and its traceback
goes to stderr, which is the site's own log.
"""

import errno
import operator
import random
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from fedmq.disk import begin_sync
from fedmq.encodings.narrow import widen_parameters
from fedmq.errors import DatasetError, FedmqError, PlanError, TrainingError
from fedmq.imaging.cases import Case
from fedmq.imaging.dictionary.model import Meaning
from fedmq.learning.catalogue import (
    load_plan,
    load_source,
    plan_digest,
    plan_source,
)
from fedmq.learning.column_units import require_units
from fedmq.learning.configs import make_config
from fedmq.learning.plan import Assessment, Fit, Metrics, Task, TrainingPlan
from fedmq.learning.trainer_cases import (
    Found,
    Unreadable,
    find_unreadable,
    find_usable,
    first_unreadable,
)
from fedmq.learning.trainer_protocol import (
    MAX_WHAT,
    Broken,
    Done,
    Job,
    JobKind,
    fitting_text,
)
from fedmq.learning.trainer_results import (
    fitted_parameters,
    plain_metrics,
    require_assessment,
    require_count,
    require_finite,
    require_fit,
)
from fedmq.messages.fields import MAX_METRICS
from fedmq.messages.replies import FailureCode
from fedmq.parameters import (
    Parameters,
    load_parameters,
    write_parameters,
)

Report = Callable[[float, str], None]
T = TypeVar("T")

_NUMPY_SEEDS: Final = 2**32
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class _StopError(TrainingError):
    """A job cannot go on, for the reason `code`; the cause is what was raised."""

    def __init__(self, code: FailureCode) -> None:
        super().__init__(f"the job stopped: {code}")
        self.code = code


def perform(job: Job, report: Report) -> Done | Broken:
    """Return the answer to `job`; training that is done has its parameters at the output path."""
    try:
        return _perform(job, report)
    except _StopError as stop:
        cause = stop.__cause__ or stop
        traceback.print_exception(cause)
        what = str(cause) if isinstance(cause, FedmqError) else type(cause).__name__
        return Broken(job_id=job.job_id, code=stop.code, what=fitting_text(what, MAX_WHAT))


def _perform(job: Job, report: Report) -> Done:
    """Return the answer; where volumes cannot be read, as if their cases lacked them.

    The plan begins anew then: it never sees what is left of a case in the middle of its work.
    """
    unreadable: Unreadable = {}
    while True:
        outcome = _attempt(job, report, unreadable)
        if isinstance(outcome, Done):
            return replace(outcome, unreadable=first_unreadable(unreadable))
        unreadable = {**unreadable, **outcome}


def _attempt(job: Job, report: Report, unreadable: Unreadable) -> Done | Unreadable:
    """Return the answer, or what else cannot be read."""
    plan = _guarded(FailureCode.PLAN_ERROR, lambda: _load_plan(job))
    _guarded(FailureCode.DATASET_ERROR, lambda: _require_units(job, plan))
    found = _guarded(
        FailureCode.DATASET_ERROR, lambda: find_usable(job, plan.modalities, unreadable.keys())
    )
    try:
        return _answer(job, plan, found, report)
    except _StopError as stop:
        cases = [*found.training, *found.validation]
        # After a second one all are looked at: one by one, each would cost a beginning.
        error, is_first = stop.__cause__, not unreadable
        new = _guarded(
            FailureCode.INTERNAL, lambda: find_unreadable(error, cases, is_first=is_first)
        )
        if not new:
            raise
        return new


def _answer(job: Job, plan: TrainingPlan, found: Found, report: Report) -> Done:
    if plan.modalities or plan.optional_modalities:
        _keep_cases(job)
    task = Task(seed=job.seed, round=job.round, report=report, num_threads=job.num_threads)
    match job.kind:
        case JobKind.PREPARE:
            return _done(job, found, num_cases=len(found.training), metrics={})
        case JobKind.TRAIN if not found.training:  # all were withdrawn
            return _done(job, found, num_cases=0, metrics={})
        case JobKind.TRAIN:
            fit = _train(job, plan, found, task)
            done = _done(job, found, num_cases=fit.num_cases, metrics=fit.metrics)
            return _with_left_out(done) if plan.modalities else done
        case JobKind.EVALUATE:
            assessment = _evaluate(job, plan, found, task)
            return _done(job, found, num_cases=assessment.num_cases, metrics=assessment.metrics)


def _keep_cases(job: Job) -> None:
    # What reads images comes with an extra: who trains on tables does without.
    from fedmq.imaging.cache import CaseCache
    from fedmq.learning.case_arrays import MEMORY

    kept = None if job.kept_cases is None else Path(job.kept_cases)
    MEMORY.keep_in(None if kept is None else CaseCache(kept, limit_bytes=job.kept_bytes))


def _load_plan(job: Job) -> TrainingPlan:
    """Return the plan with its config, from exactly the bytes that the job's digest names."""
    is_shipped = job.source_path is not None
    source = Path(job.source_path).read_bytes() if job.source_path else plan_source(job.plan_name)
    if plan_digest(source) != job.plan_digest:
        raise PlanError(
            f"the plan {job.plan_name} is not the one that was approved",
            why="its source has another digest",
            fix="" if is_shipped else "install the version of fedmq that the federation uses",
        )
    plan_class = load_source(source) if is_shipped else load_plan(job.plan_name)
    config = make_config(plan_class, job.config)
    _seed_generators(job.seed)
    return plan_class(config)


def _require_units(job: Job, plan: TrainingPlan) -> None:
    if job.meaning is not None:
        dictionary = Meaning.model_validate_json(job.meaning).dictionary
        require_units(plan, plan.config, dictionary)


def _seed_generators(seed: int) -> None:
    """Put the global generators where the job begins, so that a warm child equals a new one."""
    random.seed(seed)
    np.random.seed(seed % _NUMPY_SEEDS)  # noqa: NPY002 - the global one is what a plan may draw from
    torch = sys.modules.get("torch")  # seeded where the plan has imported it, never imported here
    if torch is not None:
        torch.manual_seed(seed)


def _train(job: Job, plan: TrainingPlan, found: Found, task: Task) -> Fit:
    """Return what training gave, once its parameters stand at the output path."""
    given = _guarded(FailureCode.INTERNAL, lambda: _load_parameters(job))
    fit = _guarded(FailureCode.TRAINING_ERROR, lambda: plan.train(given, found.training, task))
    _guarded(FailureCode.PLAN_ERROR, lambda: require_fit(fit))
    parameters = _guarded(
        FailureCode.UPDATE_MISSHAPEN, lambda: fitted_parameters(fit.parameters, given)
    )
    _guarded(FailureCode.UPDATE_NOT_FINITE, lambda: require_finite(parameters))
    _guarded(FailureCode.PLAN_ERROR, lambda: require_count(fit.num_cases, len(found.training)))
    if not fit.num_cases:
        raise _StopError(FailureCode.DATASET_ERROR) from DatasetError(
            "no training case could be used",
            code="empty",
            why="the plan found none with all that it needs",
            fix="compare the clinical table with the columns that the plan reads",
        )
    _guarded(FailureCode.INTERNAL, lambda: _write(parameters, _path(job.output_path)))
    return fit


def _load_parameters(job: Job) -> Parameters:
    """Return the parameters to begin with, in the types that the plan gave them."""
    parameters = load_parameters(_path(job.parameters_path))
    return widen_parameters(parameters) if job.is_narrow else parameters


def _write(parameters: Parameters, path: Path) -> None:
    """Fill the output's file, which the node makes: it is whole once the job is done."""
    with path.open("wb", buffering=0) as file:
        write_parameters(parameters, _Output(file))


class _Output:
    """A file that the node will sync as soon as it is whole."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it behind what is there."""
        begin, view = self._file.tell(), memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        begin_sync(self._file.fileno(), begin, self._file.tell() - begin)


def _evaluate(job: Job, plan: TrainingPlan, found: Found, task: Task) -> Assessment:
    if not found.validation:
        return Assessment(num_cases=0, metrics={})
    given = _guarded(FailureCode.INTERNAL, lambda: _load_parameters(job))
    assessment = _guarded(
        FailureCode.TRAINING_ERROR, lambda: plan.evaluate(given, found.validation, task)
    )
    _guarded(FailureCode.PLAN_ERROR, lambda: require_assessment(assessment))
    _guarded(
        FailureCode.PLAN_ERROR, lambda: require_count(assessment.num_cases, len(found.validation))
    )
    return assessment


def _done(job: Job, found: Found, *, num_cases: int, metrics: Metrics) -> Done:
    return Done(
        job_id=job.job_id,
        num_cases=operator.index(num_cases),
        metrics=_guarded(FailureCode.PLAN_ERROR, lambda: plain_metrics(metrics)),
        num_training_cases=len(found.training),
        num_validation_cases=len(found.validation),
        num_cases_left_out=found.num_left_out,
        cases=tuple(case.case_id for case in _given(job.kind, found)),
    )


def _with_left_out(done: Done) -> Done:
    """Return training that says with its metrics how many cases of the site the plan never saw."""
    if len(done.metrics) >= MAX_METRICS:
        return done
    left_out = done.num_cases_left_out
    total = done.num_training_cases + done.num_validation_cases + left_out
    counts = {"left_out_missing_modality": (float(left_out), float(total))}
    return replace(done, metrics={**done.metrics, **counts})


def _given(kind: JobKind, found: Found) -> tuple[Case, ...]:
    """Return the cases that the plan was given."""
    match kind:
        case JobKind.PREPARE:
            return ()
        case JobKind.TRAIN:
            return found.training
        case JobKind.EVALUATE:
            return found.validation


def _path(path: str | None) -> Path:
    if path is None:
        raise TrainingError("the job lacks the path of its parameters")
    return Path(path)


def _guarded(code: FailureCode, act: Callable[[], T]) -> T:
    """Return what `act` returns; what it raises stops the job with its own code, or else `code`."""
    try:
        return act()
    except BaseException as error:  # plan code may raise anything, sys.exit() too
        raise _StopError(_code_of(error) or code) from error


def _code_of(error: BaseException) -> FailureCode | None:
    match error:
        case DatasetError():
            return FailureCode.DATASET_ERROR
        case PlanError():
            return FailureCode.PLAN_ERROR
        case OSError() if error.errno in _DISK_FULL:
            return FailureCode.DISK_FULL
        case MemoryError():
            return FailureCode.OUT_OF_MEMORY
        # torch's own, told by their words: nothing here may import torch.
        case RuntimeError() if type(error).__name__ == "OutOfMemoryError" or any(
            isinstance(part, str) and "DefaultCPUAllocator" in part for part in error.args
        ):
            return FailureCode.OUT_OF_MEMORY
        case _:
            return None
