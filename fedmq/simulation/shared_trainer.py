"""One trainer process for all nodes of a rehearsal, and each node's turn at it.

The process is a node's own kind: the plan runs as it would at a hospital, and may die. A turn takes
as much virtual time as the job really took, so that nodes work side by side as they would.
"""

import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Protocol

from fedmq.learning.trainer_protocol import Broken, Done, Job
from fedmq.node.containment import UNCONTAINED
from fedmq.node.warm_trainers import TrainerKey
from fedmq.node.worker import LOG_NAME, Worker, WorkerEvent
from fedmq.types import ExperimentId

_JOB_LINE: Final = b"-- job "

Ended = Done | Broken
After = Callable[[float, Callable[[], None]], None]
"""Does something once so many seconds of virtual time have gone by."""


class TrainerPort(Protocol):
    """What does the jobs of all nodes."""

    def perform(self, key: TrainerKey, job: Job) -> tuple[Ended, float]:
        """Return how a job ended, and after how many seconds."""


class SharedTrainer:
    """Does jobs one after the other, in the order in which they are handed over."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / LOG_NAME
        self._answers: SimpleQueue[WorkerEvent] = SimpleQueue()
        # One process reads the cases of all nodes, on the machine of who wrote the plan.
        self._worker = Worker(folder, self._answers.put, containment=UNCONTAINED)

    def perform(self, key: TrainerKey, job: Job) -> tuple[Ended, float]:
        """Return how a job ended, and after how many seconds."""
        began = time.monotonic()
        self._worker.begin(key, job)
        while True:
            answer = self._answers.get()
            if isinstance(answer, Done | Broken) and answer.job_id == job.job_id:
                return answer, time.monotonic() - began

    def read_log(self) -> bytes:
        """Return what the plan printed, and the tracebacks of what it raised."""
        if not self._log.exists():
            return b""
        lines = self._log.read_bytes().splitlines(keepends=True)
        return b"".join(line for line in lines if not line.startswith(_JOB_LINE))

    def close(self) -> None:
        """End the process."""
        self._worker.close()


class Turn:
    """A node's worker: hands its job to the shared trainer, and the answer in when it is due."""

    def __init__(
        self,
        trainer: TrainerPort,
        after: After,
        sink: Callable[[Ended], None],
        tell_broken: Callable[[Broken], None],
    ) -> None:
        self._trainer = trainer
        self._after = after
        self._sink = sink
        self._tell_broken = tell_broken
        self._job: Job | None = None

    def begin(self, key: TrainerKey, job: Job) -> None:
        """Have a job done; its end comes to the sink."""
        self._job = job
        self._after(0.0, lambda: self._perform(key, job))

    def cancel(self) -> None:
        """Drop the job in hand."""
        self._job = None

    def close(self) -> None:
        """Drop the job in hand."""
        self._job = None

    def end_experiment(self, experiment: ExperimentId) -> None:
        """Keep the trainer, which is everybody's."""

    def end_dataset(self, dataset: str) -> None:
        """Keep the trainer, which is everybody's."""

    def end_unused(self, now: float) -> None:
        """Keep the trainer, which is everybody's."""

    def _perform(self, key: TrainerKey, job: Job) -> None:
        if job is not self._job:
            return
        answer, seconds = self._trainer.perform(key, job)
        if isinstance(answer, Broken):
            self._tell_broken(answer)
        self._after(seconds, lambda: self._hand_in(job, answer))

    def _hand_in(self, job: Job, answer: Ended) -> None:
        if job is self._job:
            self._job = None
            self._sink(answer)
