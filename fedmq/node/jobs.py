"""Jobs: requests as the worker takes them, and what becomes of its output."""

from pathlib import Path
from typing import assert_never

import numpy as np

from fedmq.errors import ParametersError, StorageError, TrainingError
from fedmq.learning.trainer_protocol import Job, JobKind
from fedmq.messages.fields import Manifest
from fedmq.messages.replies import FailureCode
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.node.datasets import Dataset
from fedmq.node.storage import Storage
from fedmq.node.tasks import Task
from fedmq.parameters import (
    first_nonfinite,
    load_parameters,
    read_layout,
    require_same_shapes,
    save_parameters,
    subtract,
)
from fedmq.types import Digest


class JobError(TrainingError):
    """A job gave nothing that can be sent, for the reason `code`; the rest is for the site."""

    def __init__(self, code: FailureCode, what: str) -> None:
        super().__init__(what)
        self.code = code


def make_job(task: Task, dataset: Dataset, source: Path | None, storage: Storage) -> Job:
    """Return the job that a task's request asks for; `source` is the file of a shipped plan.

    All paths are absolute: the trainer works in a folder of its own.
    """
    match task.request:
        case PrepareRequest():
            kind, model, seed = JobKind.PREPARE, None, 0
        case TrainRequest() | EvaluateRequest() as work:
            kind = JobKind.TRAIN if isinstance(work, TrainRequest) else JobKind.EVALUATE
            model, seed = storage.spool.path(work.parameters.digest), work.seed
        case _:
            assert_never(task.request)
    return Job(
        job_id=task.task_id,
        kind=kind,
        plan_name=task.request.plan.name,
        plan_digest=task.request.plan.digest,
        source_path=_absolute(source),
        config=task.request.config,
        dataset_folder=str(dataset.folder),
        clinical=_absolute(dataset.clinical),
        parameters_path=_absolute(model),
        output_path=_absolute(storage.output_path(task.name)) if kind is JobKind.TRAIN else None,
        seed=seed,
        round=task.envelope.round,
        split_seed=task.request.split_seed,
        validation_share=task.request.validation_share,
    )


def make_update(name: str, reference: Digest, storage: Storage) -> Manifest:
    """Return the manifest of a task's update in the spool: trained parameters minus the reference.

    The trainer checked its own output; this checks it again, outside the plan's process.

    Raises:
        JobError: the output does not fit, is not finite, or cannot be read or written.
    """
    output, target = storage.output_path(name), storage.update_path(f"{name}.update")
    try:
        _write_update(output, storage.spool.path(reference), target)
        return storage.spool.adopt(target.name)
    except ParametersError as error:
        raise JobError(FailureCode.UPDATE_MISSHAPEN, str(error)) from error
    except FileNotFoundError as error:
        raise JobError(FailureCode.INTERNAL, "the trained parameters are not there") from error
    except StorageError as error:
        raise JobError(FailureCode.DISK_FULL, str(error)) from error
    except OSError as error:
        raise JobError(FailureCode.DISK_FULL, error.strerror or "the disk refused") from error


def _write_update(output: Path, reference: Path, target: Path) -> None:
    _require_subtractable(reference)
    local, before = load_parameters(output), load_parameters(reference)
    require_same_shapes(local, before)
    with np.errstate(over="ignore", invalid="ignore"):  # found by the next line
        update = subtract(local, before)
    name = first_nonfinite(local) or first_nonfinite(update)
    if name is not None:
        raise JobError(FailureCode.UPDATE_NOT_FINITE, f"array {name!r} holds NaN or infinity")
    save_parameters(update, target)


def _require_subtractable(reference: Path) -> None:
    data = np.memmap(reference, dtype=np.uint8, mode="r").data
    if any(tensor.dtype == "BF16" for tensor in read_layout(data, len(data)).tensors):
        raise JobError(FailureCode.PLAN_ERROR, "bfloat16 arrays cannot be subtracted by numpy")


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())
