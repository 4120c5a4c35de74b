"""Jobs: requests as the worker takes them, and what becomes of its output."""

from pathlib import Path

from fedmq.errors import ParametersError
from fedmq.learning.trainer_protocol import Job, JobKind
from fedmq.messages.codec import Message
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.node.datasets import Dataset
from fedmq.node.plans import Plans
from fedmq.parameters import first_nonfinite, load_parameters, save_parameters, subtract
from fedmq.transport.spool import Spool


def make_job(message: Message, dataset: Dataset, plans: Plans, spool: Spool, output: Path) -> Job:
    """Return the job that a request asks for."""
    body = message.body
    match body:
        case PrepareRequest():
            kind, parameters, seed, split_seed, share = JobKind.PREPARE, None, 0, 0, 0.0
        case TrainRequest() | EvaluateRequest():
            is_training = isinstance(body, TrainRequest)
            kind = JobKind.TRAIN if is_training else JobKind.EVALUATE
            parameters = str(spool.path(body.parameters.digest))
            seed, split_seed, share = body.seed, body.split_seed, body.validation_share
        case _:
            raise TypeError(f"{message.envelope.type} asks for no work")
    return Job(
        job_id=message.envelope.message_id,
        kind=kind,
        plan_name=body.plan.name,
        plan_digest=body.plan.digest,
        source_path=str(plans.source_path(body.plan.digest)) if body.plan.is_shipped else None,
        config=body.config,
        dataset_folder=str(dataset.folder),
        clinical=None if dataset.clinical is None else str(dataset.clinical),
        parameters_path=parameters,
        output_path=str(output) if kind is JobKind.TRAIN else None,
        seed=seed,
        round=message.envelope.round,
        split_seed=split_seed,
        validation_share=share,
    )


def make_update(output: Path, reference: Path) -> None:
    """Turn trained parameters into the update, local minus global, in the same file.

    The trainer checked its own output; this checks it again, outside the plan's process.

    Raises:
        ParametersError: the output does not fit the reference, or holds no numbers.
    """
    update = subtract(load_parameters(output), load_parameters(reference))
    name = first_nonfinite(update)
    if name is not None:
        raise ParametersError(f"array {name!r} of the update is not finite")
    save_parameters(update, output)
