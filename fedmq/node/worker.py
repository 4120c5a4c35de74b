"""The worker: one job at a time in a trainer process, which may die without harm to the node.

It knows jobs and answers, no message and no broker.
"""

import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.errors import StorageError, TrainingError
from fedmq.learning.trainer_protocol import Answer, Broken, Job, Progress, job_line, parse_answer
from fedmq.messages.replies import FailureCode
from fedmq.node.capped_log import CappedLog
from fedmq.node.trainer_process import SCRATCH_PREFIX, TrainerProcess, trainer_command
from fedmq.types import Digest, ExperimentId

LOG_NAME: Final = "trainer.log"

WorkerEvent = Answer
"""Progress of a job; or its end, once: Done or Broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerKey:
    """What two jobs must have in common to run in one process."""

    experiment: ExperimentId
    plan_digest: Digest
    dataset: str


class Worker:
    """Runs jobs in a trainer that is kept warm for jobs of one key, and replaced for another's.

    `sink` is called from threads of the worker. It may be called with an event of a job that was
    cancelled a moment before: events name their job.
    """

    def __init__(
        self,
        folder: Path,
        sink: Callable[[WorkerEvent], None],
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        """Make `folder` ready; `command` stands in for the trainer's own, in tests."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                "the folder of the worker cannot be made",
                why=error.strerror or "",
                fix="give the program the right to its folder",
            ) from error
        for remains in folder.glob(f"{SCRATCH_PREFIX}*"):  # of a node that was killed
            shutil.rmtree(remains, ignore_errors=True)
        self._folder = folder
        self._sink = sink
        self._command = tuple(command or trainer_command())
        self._log = CappedLog(folder / LOG_NAME)
        self._lock = threading.Lock()
        self._trainer: TrainerProcess | None = None
        self._trains_for: tuple[TrainerKey, int] | None = None
        self._job_id: str | None = None
        self._is_closed = False

    @property
    def job_id(self) -> str | None:
        """The job that is running, if one is."""
        return self._job_id

    @property
    def pid(self) -> int | None:
        """The process id of the trainer, where there is one, busy or waiting."""
        trainer = self._trainer
        return trainer.pid if trainer else None

    def begin(self, key: TrainerKey, job: Job, num_threads: int) -> None:
        """Hand `job` to the trainer of `key`; its Done or Broken comes later, once.

        Raises:
            TrainingError: a job is running, the worker is closed, or the job is no line.
        """
        line = job_line(job)
        with self._lock:
            if self._job_id is not None or self._is_closed:
                raise TrainingError(
                    f"job {job.job_id} cannot begin",
                    why="the worker is closed" if self._is_closed else "another one is running",
                    fix="begin it when the other has ended, or cancel that",
                )
            self._log.write(f"-- job {job.job_id}, round {job.round}\n".encode())
            trainer = self._trainer_for((key, num_threads))
            self._job_id = job.job_id
        trainer.send(line)

    def cancel(self) -> None:
        """Kill the trainer with all that it started, busy or waiting; no event tells of its job."""
        with self._lock:
            trainer, self._trainer = self._trainer, None
            self._job_id = None
        if trainer is not None:
            trainer.kill()

    def close(self) -> None:
        """Kill the trainer and begin no job any more."""
        with self._lock:
            self._is_closed = True
        self.cancel()

    def _trainer_for(self, wanted: tuple[TrainerKey, int]) -> TrainerProcess:
        """Return the warm trainer if it is one for `wanted`, else a new one in its place."""
        trainer = self._trainer
        if trainer is not None and not trainer.has_ended:
            if self._trains_for == wanted:
                return trainer
            trainer.kill()
        # The lock is held until the new one is in place: its end cannot be told before.
        self._trainer = TrainerProcess(
            self._command,
            folder=self._folder,
            num_threads=wanted[1],
            log=self._log,
            on_line=self._take_line,
            on_end=self._take_end,
        )
        self._trains_for = wanted
        return self._trainer

    def _take_line(self, trainer: TrainerProcess, line: bytes) -> None:
        answer = parse_answer(line)
        if answer is None:
            self._log.write(b"-- the trainer wrote something that is no answer, and was killed\n")
            trainer.kill()
            self._take_end(trainer)
            return
        with self._lock:
            if trainer is not self._trainer or answer.job_id != self._job_id:
                return  # of a job that is over
            if not isinstance(answer, Progress):
                self._job_id = None
        self._sink(answer)

    def _take_end(self, trainer: TrainerProcess) -> None:
        with self._lock:
            if trainer is not self._trainer:
                return  # replaced, cancelled, or told already
            self._trainer = None
            job_id, self._job_id = self._job_id, None
        if job_id is not None:
            self._sink(
                Broken(
                    job_id=job_id,
                    code=FailureCode.WORKER_DIED,
                    what=f"the process ended in the middle of the job; see {LOG_NAME}",
                )
            )
