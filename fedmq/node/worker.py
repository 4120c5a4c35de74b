"""The worker: one job at a time in a trainer process, which may die without harm to the node.

It knows jobs and answers, no message and no broker. Which trainers it keeps warm, `warm_trainers`
decides.
"""

import math
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fedmq.containment.cell import Limits
from fedmq.errors import StorageError, TrainingError
from fedmq.learning.trainer_protocol import (
    Answer,
    Broken,
    Done,
    Job,
    Progress,
    job_line,
    parse_answer,
)
from fedmq.messages.replies import FailureCode
from fedmq.node.capped_log import CappedLog
from fedmq.node.cells import (
    answer_fault,
    hand_in,
    output_bytes,
    remove_folder,
    take_out,
)
from fedmq.node.containment import SCRATCH_PREFIX, Containment, find_containment
from fedmq.node.kept_cases import KeptCases, Place
from fedmq.node.pace import Pace
from fedmq.node.shown_cases import readable_paths, shown_names
from fedmq.node.trainer_process import Fault, Needs, TrainerProcess
from fedmq.node.warm_trainers import TrainerKey, WarmTrainers
from fedmq.types import ExperimentId

LOG_NAME: Final = "trainer.log"
TASK_TIMEOUT_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flooded:
    """A job prints more than the trainer's log keeps; told once, and the job goes on."""

    job_id: str


WorkerEvent = Answer | Flooded
"""Progress of a job, a flood of its words; or its end, once: Done or Broken."""


class Worker:
    """Runs jobs one by one, each in the trainer of its key, which stays warm for the next.

    `sink` is called from threads of the worker. It may be called with an event of a job that was
    cancelled a moment before: events name their job.
    """

    def __init__(  # noqa: PLR0913 - what trainers are started with, and whom it tells
        self,
        folder: Path,
        sink: Callable[[WorkerEvent], None],
        *,
        containment: Containment | None = None,
        limits: Limits | None = None,
        timeout_s: float = TASK_TIMEOUT_S,
        kept_cases: KeptCases | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """Make `folder` ready; `command` stands in for the trainer's own, in tests.

        Without `kept_cases` each trainer prepares its cases anew.

        Without a `containment` it finds out what the machine has, and uses that.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                "the folder of the worker cannot be made",
                why=error.strerror or "",
                fix="give the program the right to its folder",
            ) from error
        for remains in folder.glob(f"{SCRATCH_PREFIX}*"):  # of a node that was killed
            remove_folder(remains)
        self._folder = folder
        self._sink = sink
        self._means = (containment or find_containment(folder)).means
        self._limits = limits or Limits()
        self._timeout_s = timeout_s
        self._kept_cases = kept_cases
        self._command = command
        self._log = CappedLog(folder / LOG_NAME)
        self._lock = threading.Lock()
        self._trainers: WarmTrainers[TrainerProcess] = WarmTrainers()
        self._busy: TrainerProcess | None = None
        """The trainer of the job that is running."""
        self._job: Job | None = None
        """The job that is running, with the node's own paths."""
        self._num_printed = 0
        """Bytes, by that job."""
        self._pace = Pace()
        """Of its reports."""
        self._shown: frozenset[str] = frozenset()
        """The cases that its plan could read when it began."""
        self._is_closed = False

    @property
    def job_id(self) -> str | None:
        """The job that is running, if one is."""
        job = self._job
        return None if job is None else job.job_id

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the trainers, busy or waiting; the least recently used first."""
        with self._lock:
            trainers = self._trainers.all
        return tuple(trainer.pid for trainer in trainers if trainer.pid is not None)

    def begin(self, key: TrainerKey, job: Job) -> None:
        """Hand `job` to the trainer of `key`; its Done or Broken comes later, once.

        Raises:
            TrainingError: a job is running, the worker is closed, the job is no line, or its data
                cannot be shown to a plan.
            StorageError: the disk refuses.
        """
        place = self._place(key, job)
        if place is not None:
            job = replace(job, kept_cases=str(place.folder), kept_bytes=place.limit_bytes)
        job_line(job)
        needs = Needs(
            num_threads=job.num_threads,
            # Who is kept from nothing needs no list, and can serve jobs of any dataset.
            readable=readable_paths(job, self._folder.parent) if self._means else (),
            means=self._means,
            limits=self._limits,
            kept=None if place is None else place.folder,
        )
        with self._lock:
            if self._job is not None or self._is_closed:
                raise TrainingError(
                    f"job {job.job_id} cannot begin",
                    why="the worker is closed" if self._is_closed else "another one is running",
                    fix="begin it when the other has ended, or cancel that",
                )
            self._log.write(f"-- job {job.job_id}, round {job.round}\n".encode())
            # The lock is held until a new one is in place: its end cannot be told before.
            while True:
                trainer = self._trainers.take(key, needs, lambda: self._start(needs))
                line = job_line(_handed_in(job, trainer))
                if trainer.allow(
                    seconds=self._timeout_s,
                    output_bytes=output_bytes(job),
                    kept_bytes=job.kept_bytes,
                ):
                    break
                self._trainers.put_out(trainer)
            self._busy, self._job, self._shown = trainer, job, shown_names(job)
            self._num_printed, self._pace = 0, Pace()
        trainer.send(line)

    def cancel(self) -> None:
        """Kill the trainer of the job in hand with all that it started; no event tells of it."""
        with self._lock:
            trainer, self._busy = self._busy, None
            self._job = None
            if trainer is not None:
                self._trainers.put_out(trainer)
        if trainer is not None:
            trainer.kill()

    def end_experiment(self, experiment: ExperimentId) -> None:
        """Kill the trainers that wait for jobs of an experiment; one that is busy stays.

        What they have kept of cases goes.
        """
        with self._lock:
            leaving = self._trainers.put_out_experiment(experiment, self._busy)
        _kill(leaving)
        if self._kept_cases is not None:
            self._kept_cases.end_experiment(experiment)

    def end_dataset(self, dataset: str) -> None:
        """Kill the trainers that wait for jobs on a dataset; one that is busy stays.

        What they have kept of cases goes.
        """
        with self._lock:
            leaving = self._trainers.put_out_dataset(dataset, self._busy)
        _kill(leaving)
        if self._kept_cases is not None:
            self._kept_cases.end_dataset(dataset)

    def end_unused(self, now: float) -> None:
        """Kill the trainers that had no job for long; called often, with what has gone by."""
        with self._lock:
            leaving = self._trainers.put_out_unused(self._busy, now=now)
        _kill(leaving)

    def close(self) -> None:
        """Kill all trainers and begin no job any more."""
        with self._lock:
            self._is_closed = True
            self._busy = self._job = None
            leaving = self._trainers.put_out_all()
        _kill(leaving)

    def _place(self, key: TrainerKey, job: Job) -> Place | None:
        if self._kept_cases is None:
            return None
        return self._kept_cases.place(
            key.experiment,
            plan_digest=key.plan_digest,
            dataset=key.dataset,
            withdrawn=dict(job.withdrawn),
        )

    def _start(self, needs: Needs) -> TrainerProcess:
        return TrainerProcess(
            needs,
            folder=self._folder,
            command=self._command,
            log=self._log,
            on_words=self._take_words,
            on_line=self._take_line,
            on_end=self._take_end,
        )

    def _take_words(self, trainer: TrainerProcess, words: bytes) -> None:
        """Keep what a trainer prints; say once of a job that it is more than stays."""
        self._log.write(words)
        with self._lock:
            job, before = self._job, self._num_printed
            if trainer is not self._busy or job is None:
                return
            self._num_printed += len(words)
            is_first = before <= self._log.max_bytes < self._num_printed
        if is_first:
            self._sink(Flooded(job_id=job.job_id))

    def _take_line(self, trainer: TrainerProcess, line: bytes) -> None:
        answer = parse_answer(line)
        if answer is None:
            self._log.write(b"-- the trainer wrote something that is no answer, and was killed\n")
            trainer.kill()
            self._take_end(trainer)
            return
        leaving: tuple[TrainerProcess, ...] = ()
        with self._lock:
            if trainer is not self._busy or self._job is None or answer.job_id != self.job_id:
                return  # of a job that is over, or is not this trainer's
            if isinstance(answer, Progress) and not self._pace.admits(time.monotonic()):
                return
            if isinstance(answer, Done):
                answer = _checked(answer, self._job, trainer, self._shown)
            # What broke one job, or changed its answer, is in the process still: threads, patches.
            is_spoiled = isinstance(answer, Broken)
            if not isinstance(answer, Progress):
                trainer.allow(seconds=math.inf)
                self._busy = self._job = None
                is_spoiled = is_spoiled or not trainer.is_clean()
            if isinstance(answer, Broken) and answer.code is FailureCode.OUT_OF_MEMORY:
                leaving = self._trainers.put_out_all()
            if is_spoiled:
                self._trainers.put_out(trainer)
        self._free(leaving)
        if is_spoiled:
            trainer.kill()
        self._sink(answer)

    def _take_end(self, trainer: TrainerProcess) -> None:
        leaving: tuple[TrainerProcess, ...] = ()
        with self._lock:
            if not self._trainers.put_out(trainer):
                return  # replaced, cancelled, or told already
            if trainer is not self._busy:
                return  # it waited; the next job of its key has a new one
            job_id, self._busy, self._job = self.job_id, None, None
            if trainer.was_killed_from_outside:
                leaving = self._trainers.put_out_all()
        self._free(leaving)
        if job_id is not None:
            # What the plan's own doing ended would end in the same way when asked for again.
            fault = trainer.fault or Fault(
                code=FailureCode.WORKER_DIED,
                what=f"the process ended in the middle of the job; see {LOG_NAME}",
            )
            self._sink(Broken(job_id=job_id, code=fault.code, what=fault.what))

    def _free(self, leaving: tuple[TrainerProcess, ...]) -> None:
        """Give back what warm trainers hold: memory is short, and the job will come again."""
        if leaving:
            self._log.write(b"-- memory is short, it seems; the trainers that waited were ended\n")
        _kill(leaving)


def _checked(
    done: Done, job: Job, trainer: TrainerProcess, shown: Collection[str]
) -> Done | Broken:
    """Return an answer once its output is in its place, or what is wrong with it.

    It names all cases that the plan could read: which of them it used, only the plan knows.
    """
    shown = {*shown, *shown_names(job)}  # one may have come, or gone, while it ran
    if fault := answer_fault(job, done, shown):
        return Broken(job_id=job.job_id, code=FailureCode.PLAN_ERROR, what=fault)
    if trainer.folder is not None and (fault := take_out(job, trainer.folder)):
        return Broken(job_id=job.job_id, code=FailureCode.UPDATE_MISSHAPEN, what=fault)
    return replace(done, cases=tuple(sorted(shown)))


def _handed_in(job: Job, trainer: TrainerProcess) -> Job:
    """Return the job with its paths in the trainer's cell; of one that died at once there is none.

    Raises:
        StorageError: the disk refuses.
    """
    if trainer.folder is None:
        return job
    try:
        return hand_in(job, trainer.folder)
    except StorageError:
        if not trainer.has_ended:
            raise
        return job  # its folder went with it, and its end is about to be told


def _kill(trainers: tuple[TrainerProcess, ...]) -> None:
    for trainer in trainers:
        trainer.kill()
