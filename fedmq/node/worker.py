"""The worker: one job at a time in a trainer process, which may die without harm to the node.

It knows jobs and answers, no message and no broker. Which trainers it keeps warm, `warm_trainers`
decides.
"""

import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fedmq.errors import StorageError, TrainingError
from fedmq.learning.trainer_protocol import Answer, Broken, Job, Progress, job_line, parse_answer
from fedmq.messages.replies import FailureCode
from fedmq.node.capped_log import CappedLog
from fedmq.node.trainer_process import SCRATCH_PREFIX, TrainerProcess, trainer_command
from fedmq.node.warm_trainers import TrainerKey, WarmTrainers
from fedmq.types import ExperimentId

LOG_NAME: Final = "trainer.log"

WorkerEvent = Answer
"""Progress of a job; or its end, once: Done or Broken."""


class Worker:
    """Runs jobs one by one, each in the trainer of its key, which stays warm for the next.

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
        self._trainers: WarmTrainers[TrainerProcess] = WarmTrainers()
        self._busy: TrainerProcess | None = None
        """The trainer of the job that is running."""
        self._job_id: str | None = None
        self._is_closed = False

    @property
    def job_id(self) -> str | None:
        """The job that is running, if one is."""
        return self._job_id

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the trainers, busy or waiting; the least recently used first."""
        with self._lock:
            trainers = self._trainers.all
        return tuple(trainer.pid for trainer in trainers if trainer.pid is not None)

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
            # The lock is held until a new one is in place: its end cannot be told before.
            trainer = self._trainers.take(key, num_threads, lambda: self._start(num_threads))
            self._busy, self._job_id = trainer, job.job_id
        trainer.send(line)

    def cancel(self) -> None:
        """Kill the trainer of the job in hand with all that it started; no event tells of it."""
        with self._lock:
            trainer, self._busy = self._busy, None
            self._job_id = None
            if trainer is not None:
                self._trainers.put_out(trainer)
        if trainer is not None:
            trainer.kill()

    def end_experiment(self, experiment: ExperimentId) -> None:
        """Kill the trainers that wait for jobs of an experiment; one that is busy stays."""
        with self._lock:
            leaving = self._trainers.put_out_experiment(experiment, self._busy)
        _kill(leaving)

    def end_dataset(self, dataset: str) -> None:
        """Kill the trainers that wait for jobs on a dataset; one that is busy stays."""
        with self._lock:
            leaving = self._trainers.put_out_dataset(dataset, self._busy)
        _kill(leaving)

    def end_unused(self, now: float) -> None:
        """Kill the trainers that had no job for long; called often, with what has gone by."""
        with self._lock:
            leaving = self._trainers.put_out_unused(self._busy, now=now)
        _kill(leaving)

    def close(self) -> None:
        """Kill all trainers and begin no job any more."""
        with self._lock:
            self._is_closed = True
            self._busy = self._job_id = None
            leaving = self._trainers.put_out_all()
        _kill(leaving)

    def _start(self, num_threads: int) -> TrainerProcess:
        return TrainerProcess(
            self._command,
            folder=self._folder,
            num_threads=num_threads,
            log=self._log,
            on_line=self._take_line,
            on_end=self._take_end,
        )

    def _take_line(self, trainer: TrainerProcess, line: bytes) -> None:
        answer = parse_answer(line)
        if answer is None:
            self._log.write(b"-- the trainer wrote something that is no answer, and was killed\n")
            trainer.kill()
            self._take_end(trainer)
            return
        leaving: tuple[TrainerProcess, ...] = ()
        with self._lock:
            if trainer is not self._busy or answer.job_id != self._job_id:
                return  # of a job that is over, or is not this trainer's
            if not isinstance(answer, Progress):
                self._busy = self._job_id = None
            if isinstance(answer, Broken) and answer.code is FailureCode.OUT_OF_MEMORY:
                leaving = self._trainers.put_out_all()
        self._free(leaving)
        self._sink(answer)

    def _take_end(self, trainer: TrainerProcess) -> None:
        leaving: tuple[TrainerProcess, ...] = ()
        with self._lock:
            if not self._trainers.put_out(trainer):
                return  # replaced, cancelled, or told already
            if trainer is not self._busy:
                return  # it waited; the next job of its key has a new one
            job_id, self._busy, self._job_id = self._job_id, None, None
            if trainer.was_killed_from_outside:
                leaving = self._trainers.put_out_all()
        self._free(leaving)
        if job_id is not None:
            self._sink(
                Broken(
                    job_id=job_id,
                    code=FailureCode.WORKER_DIED,
                    what=f"the process ended in the middle of the job; see {LOG_NAME}",
                )
            )

    def _free(self, leaving: tuple[TrainerProcess, ...]) -> None:
        """Give back what warm trainers hold: memory is short, and the job will come again."""
        if leaving:
            self._log.write(b"-- memory is short, it seems; the trainers that waited were ended\n")
        _kill(leaving)


def _kill(trainers: tuple[TrainerProcess, ...]) -> None:
    for trainer in trainers:
        trainer.kill()
