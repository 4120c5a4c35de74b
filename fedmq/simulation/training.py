"""Training without learning: a numpy plan whose result every bit of model, node and round decides.

The worker that runs it stands in for a trainer process; `models_by_hand` says what a federation has
to make of it, by plain arithmetic that shares no code with the orchestrator's.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.encodings.narrow import widen_parameters
from fedmq.learning.trainer_protocol import Done, Job, JobKind
from fedmq.node.warm_trainers import TrainerKey
from fedmq.node.worker import WorkerEvent
from fedmq.parameters import Array, Parameters, parameters_bytes, read_parameters
from fedmq.simulation.encodings_by_hand import (
    AS_IT_IS,
    Residual,
    Travel,
    round_by_hand,
    send_by_hand,
)
from fedmq.transport.home import Home
from fedmq.types import ExperimentId, NodeId

VALIDATION_CASES: Final = 3
_READ_ALL: Final = 2**31

After = Callable[[Callable[[], None]], None]
"""Does something after a while, in the life of a program that asked for it."""


def initial_model(seed: int) -> dict[str, Array]:
    """Return small parameters of three types."""
    generator = np.random.default_rng(seed)
    return {
        "bias": generator.normal(size=4),
        "half": generator.normal(size=7).astype("<f2"),
        "weight": generator.normal(size=(5, 3)).astype("<f4"),
    }


def num_cases(node: str) -> int:
    """Return how many training cases a node has."""
    return 3 + zlib.crc32(node.encode()) % 40


def train(node: str, model: Parameters, number: int) -> dict[str, Array]:
    """Return what a node makes of a model in a round."""
    factor = 1.0 + zlib.crc32(f"{node} {number}".encode()) % 1000 / 100
    return {
        name: (_wide(array) + np.sin(_wide(array) * factor) / 10).astype(array.dtype)
        for name, array in model.items()
    }


def average(
    model: Parameters,
    number: int,
    nodes: Iterable[str],
    travel: Travel = AS_IT_IS,
    residuals: MutableMapping[str, Residual] | None = None,
) -> dict[str, Array]:
    """Return the model of a round: the mean of what these nodes change, weighted by cases.

    `residuals`, by node, are what stayed unsent before; what does now takes their place.
    """
    names = sorted(nodes)
    unsent: MutableMapping[str, Residual] = {} if residuals is None else residuals
    total = float(sum(num_cases(node) for node in names))
    # The researcher's own model, that of round 0, is never rounded.
    begun = model if number == 1 else round_by_hand(model, travel.models)
    arrived = {}
    for node in names:
        trained = train(node, begun, number)
        update = {key: np.subtract(trained[key], before) for key, before in begun.items()}
        arrived[node], unsent[node] = send_by_hand(update, travel.updates, unsent.get(node, {}))
    result = {}
    for key, before in model.items():
        summed = np.zeros(before.shape)
        for node in names:
            summed = summed + arrived[node][key] * float(num_cases(node))
        result[key] = (summed / total + _wide(before)).astype(before.dtype)
    return result


def _wide(array: Array) -> NDArray[np.float64]:
    return array.astype(np.float64)


def models_by_hand(
    seed: int, participants: Sequence[Iterable[str]], travel: Travel = AS_IT_IS
) -> list[bytes]:
    """Return the file of each round's model, round 0 first, from who took part in each round."""
    models = [initial_model(seed)]
    residuals: dict[str, Residual] = {}
    for number, nodes in enumerate(participants, start=1):
        models.append(average(models[-1], number, nodes, travel, residuals))
    return [parameters_bytes(model) for model in models]


class SimulatedWorker:
    """Does each job after a while, in the node's own process and on its disk."""

    def __init__(
        self,
        node: NodeId,
        home: Home,
        sink: Callable[[WorkerEvent], None],
        after: After,
        note: Callable[[ExperimentId, Job], None],
    ) -> None:
        self._node = node
        self._home = home
        self._sink = sink
        self._after = after
        self._note = note
        self._job: Job | None = None

    def begin(self, key: TrainerKey, job: Job) -> None:
        """Begin a job; its end comes to the sink."""
        self._note(key.experiment, job)
        self._job = job
        self._after(lambda: self._finish(job))

    def cancel(self) -> None:
        """Drop the job in hand."""
        self._job = None

    def close(self) -> None:
        """Drop the job in hand."""
        self._job = None

    def end_experiment(self, experiment: ExperimentId) -> None:
        """Keep nothing of an experiment: nothing is kept warm."""

    def end_dataset(self, dataset: str) -> None:
        """Keep nothing of a dataset: nothing is kept warm."""

    def end_unused(self, now: float) -> None:
        """Keep nothing that is not used: nothing is kept warm."""

    def _finish(self, job: Job) -> None:
        if job is not self._job:
            return
        self._job = None
        spoke = 0 if job.kind is JobKind.PREPARE else num_cases(self._node)
        metrics: Mapping[str, tuple[float, float]] = {}
        if job.parameters_path is not None:
            model: Parameters = read_parameters(self._read("payloads", job.parameters_path))
            if job.is_narrow:
                model = widen_parameters(model)
            metrics = {"size": (float(sum(array.size for array in model.values())), 1.0)}
            if job.output_path is not None:
                output = self._home.disk("scratch")
                name = PurePath(job.output_path).name
                output.remove(name)
                trained = train(self._node, model, job.round)
                output.write(name, 0, parameters_bytes(trained))
        self._sink(
            Done(
                job_id=job.job_id,
                num_cases=spoke,
                metrics=metrics,
                num_training_cases=num_cases(self._node),
                num_validation_cases=VALIDATION_CASES,
                num_cases_left_out=0,
            )
        )

    def _read(self, folder: str, path: str) -> bytes:
        return self._home.disk(folder).read(PurePath(path).name, 0, _READ_ALL)
