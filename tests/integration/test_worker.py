"""The worker with real trainer processes: they train, they break in every way, they are gone."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fedmq
from fedmq.errors import TrainingError
from fedmq.hub.processes import Process, find_process
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.learning.catalogue import load_plan, plan_digest, plan_source
from fedmq.learning.configs import make_config
from fedmq.learning.trainer_protocol import Broken, Done, Job, JobKind, Progress, job_line
from fedmq.messages.replies import FailureCode
from fedmq.node.warm_trainers import MAX_WARM, UNUSED_S, TrainerKey
from fedmq.node.worker import Flooded, Worker, WorkerEvent
from fedmq.parameters import load_parameters, save_parameters
from fedmq.types import Digest, ExperimentId
from tests.support.insiders import children, descendants, find_insider, processes_about
from tests.support.tiny_plan import write_job

DEADLINE_S = 60.0


class Site:
    """A worker, the events that came out of it, and jobs to give it."""

    def __init__(self, folder: Path, script: str | None = None) -> None:
        self.folder = folder
        self.events: list[WorkerEvent] = []
        self._changed = threading.Condition()
        command = None if script is None else (sys.executable, "-c", script)
        self.worker = Worker(folder / "worker", self._take, command=command)

    def _take(self, event: WorkerEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def begin(self, job: Job, *, experiment: str = "exp-1") -> Job:
        """Begin `job` for an experiment."""
        key = TrainerKey(
            experiment=ExperimentId(experiment),
            plan_digest=Digest(job.plan_digest),
            dataset="cases",
        )
        self.worker.begin(key, job)
        return job

    def wait(self, is_wanted: Callable[[WorkerEvent], bool]) -> WorkerEvent:
        """Return the first event that is wanted."""

        def find() -> WorkerEvent | None:
            return next(filter(is_wanted, self.events), None)

        with self._changed:
            found = self._changed.wait_for(find, DEADLINE_S)
        assert found is not None, f"it did not come; there are {self.events}"
        return found

    def end_of(self, job: Job) -> WorkerEvent:
        """Return the event with which `job` ends."""
        return self.wait(lambda event: event.job_id == job.job_id and is_end(event))

    def run(self, mood: str = "learn", *, experiment: str = "exp-1") -> WorkerEvent:
        """Return how a job of this mood ends."""
        return self.end_of(self.begin(write_job(self.folder, mood), experiment=experiment))

    def run_pid(self, experiment: str = "exp-1") -> int:
        """Return the pid of the trainer that has done a job."""
        job = self.begin(write_job(self.folder), experiment=experiment)
        assert isinstance(self.end_of(job), Done)
        return self.worker.pids[-1]

    def insiders(self) -> list[Process]:
        """Return the running processes whose pids the last report of progress names."""
        event = self.wait(says_pids)
        assert isinstance(event, Progress)
        trainer = self.worker.pids[-1]
        found = [find_insider(trainer, int(pid)) for pid in event.text.split()]
        return [process for process in found if process is not None]

    def scratch_folders(self) -> list[Path]:
        """Return the folders of trainers that are there."""
        return list((self.folder / "worker").glob("scratch-*"))

    def log(self) -> bytes:
        """Return all that the trainer's log holds."""
        folder = self.folder / "worker"
        paths = [folder / "trainer.log.1", folder / "trainer.log"]
        return b"".join(path.read_bytes() for path in paths if path.exists())


def is_end(event: WorkerEvent) -> bool:
    """Whether the event ends its job."""
    return isinstance(event, Done | Broken)


def wait_until(claim: Callable[[], bool]) -> None:
    """Return once `claim` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not claim():
        assert time.monotonic() < deadline, "it did not become true"
        threading.Event().wait(0.01)


def says_pids(event: WorkerEvent) -> bool:
    """Whether the event is the report that names pids."""
    return isinstance(event, Progress) and event.share == 0.6


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a site whose worker is closed in the end, and has left no scratch folder."""
    site = Site(tmp_path)
    yield site
    site.worker.close()
    wait_until(lambda: not site.scratch_folders())


def test_training_gives_progress_and_then_parameters(site: Site) -> None:
    """The output is on the disk when Done comes; progress came before it."""
    job = site.begin(write_job(site.folder))
    assert site.worker.job_id == job.job_id
    done = site.end_of(job)
    assert isinstance(done, Done)
    assert (
        load_parameters(Path(job.output_path or ""))["w"].tolist() == [done.metrics["total"][0]] * 3
    )
    assert site.events == [Progress(job_id=job.job_id, share=0.5, text="learn"), done]
    assert site.worker.job_id is None


def test_preparing_and_evaluating_go_the_same_way(site: Site) -> None:
    """All three kinds of job are answered."""
    for kind in (JobKind.PREPARE, JobKind.EVALUATE):
        assert isinstance(site.end_of(site.begin(write_job(site.folder, kind=kind))), Done)


def test_after_a_plan_that_raised_the_next_job_has_a_process_of_its_own(site: Site) -> None:
    """The code leaves, the traceback stays in the site's log; threads and patches go with it."""
    before = site.run_pid()
    broken = site.run("fails")
    assert isinstance(broken, Broken)
    assert broken.code is FailureCode.TRAINING_ERROR
    wait_until(lambda: b"patient Doe is 99 years old" in site.log())
    assert site.run_pid() != before
    assert len(site.worker.pids) == 1


def test_a_trainer_that_dies_is_told_once_and_replaced(site: Site) -> None:
    """One worker_died; the next job works."""
    died = site.run("dies")
    assert isinstance(died, Broken)
    assert died.code is FailureCode.WORKER_DIED
    assert isinstance(site.run(), Done)
    assert [event.job_id for event in site.events if is_end(event)].count(died.job_id) == 1


def test_a_trainer_killed_while_it_waits_is_replaced_without_a_word(site: Site) -> None:
    """As the kernel does when memory is short; no job was hurt."""
    pid = site.run_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not site.worker.pids)
    assert site.run_pid() != pid
    assert not [event for event in site.events if isinstance(event, Broken)]


def test_prints_reach_the_log_alone_and_the_log_stays_small(site: Site) -> None:
    """Megabytes on stdout and stderr, of Python, of the system and of other programs."""
    assert isinstance(site.run("prints"), Done)
    wait_until(lambda: b"the last words" in site.log())
    assert b"raw\nraw\n" in site.log()
    assert b"of a program" in site.log()
    assert len(site.log()) <= 2**20
    assert [event for event in site.events if isinstance(event, Flooded)] == [
        Flooded(job_id=site.events[-1].job_id)
    ]
    assert (site.folder / "worker" / "trainer.log").stat().st_mode & 0o077 == 0
    assert isinstance(site.run(), Done)
    assert len([event for event in site.events if isinstance(event, Flooded)]) == 1


def test_cancel_ends_a_trainer_and_what_it_started_at_once(site: Site) -> None:
    """When cancel returns the trainer is gone; its own child follows; no event tells of the job."""
    job = site.begin(write_job(site.folder, "sleeps"))
    trainer, other = site.insiders()
    assert site.worker.pids == (trainer.pid,)
    begun = time.monotonic()
    site.worker.cancel()
    assert not trainer.is_running()
    assert time.monotonic() - begun < 5
    wait_until(lambda: not other.is_running())
    assert isinstance(site.run(), Done)
    assert not [event for event in site.events if event.job_id == job.job_id and is_end(event)]


def test_cancel_with_nothing_to_cancel_is_no_error(site: Site) -> None:
    """Twice, before anything; and a trainer that waits is not in hand: it stays warm."""
    site.worker.cancel()
    site.worker.cancel()
    pid = site.run_pid()
    site.worker.cancel()
    assert site.run_pid() == pid


def test_a_sink_may_cancel_and_begin(tmp_path: Path) -> None:
    """From the thread that brings an event: nobody waits for himself."""
    ends = threading.Semaphore(0)
    jobs = [write_job(tmp_path, mood) for mood in ("sleeps", "fails", "dies", "learn")]
    key = TrainerKey(experiment=ExperimentId("e"), plan_digest=Digest("0"), dataset="cases")
    waiting = iter(jobs[1:])
    events: list[WorkerEvent] = []

    def take(event: WorkerEvent) -> None:
        events.append(event)
        if event.job_id == jobs[0].job_id and says_pids(event):
            worker.cancel()
            worker.begin(key, next(waiting))
        elif is_end(event):
            job = next(waiting, None)
            if job is not None:
                worker.begin(key, job)
            ends.release()

    worker = Worker(tmp_path / "worker", take)
    worker.begin(key, jobs[0])
    for _ in range(3):
        assert ends.acquire(timeout=DEADLINE_S)
    worker.close()
    assert [event.job_id for event in events if is_end(event)] == [job.job_id for job in jobs[1:]]


def test_a_plan_of_the_catalogue_is_trained_as_it_is_installed(site: Site) -> None:
    """By name and digest, without a source; with another digest it is not run."""
    changes: dict[str, object] = {
        "source_path": None,
        "plan_name": "clinical-logistic",
        "plan_digest": plan_digest(plan_source("clinical-logistic")),
        "parameters_path": str(site.folder / "even"),
        "config": {"features": ["age"], "centres": [60], "scales": [10.0], "learning_rate": 0.5},
    }
    save_parameters({"weight": np.zeros(1), "bias": np.zeros(1)}, site.folder / "even")
    job = write_job(site.folder, **changes)
    (site.folder / "cases" / "clinical.csv").write_text(
        "case_id,age,pfs_months,progressed\n"
        + "".join(f"case-{n},{50 + 5 * n},{20 - 3 * n},1\n" for n in range(1, 6))
    )
    done = site.end_of(site.begin(job))
    assert isinstance(done, Done)
    assert done.num_cases == 4
    assert load_parameters(Path(job.output_path or ""))["weight"][0] > 0
    other = site.end_of(site.begin(write_job(site.folder, **changes | {"plan_digest": "0" * 64})))
    assert isinstance(other, Broken)
    assert other.code is FailureCode.PLAN_ERROR


def test_a_trainer_is_kept_for_its_key(site: Site) -> None:
    """Experiments that alternate start one each; another number of threads takes its place."""
    names = ("exp-1", "exp-2", "exp-3")
    pids = [site.run_pid(name) for name in names]
    assert len(set(pids)) == 3
    assert [site.run_pid(name) for name in names] == pids
    assert site.worker.pids == tuple(pids)
    job = site.begin(write_job(site.folder, num_threads=2), experiment="exp-2")
    assert isinstance(site.end_of(job), Done)
    assert find_process(pids[1]) is None
    assert site.worker.pids[:2] == (pids[0], pids[2])
    assert len(site.worker.pids) == 3


def test_a_fourth_key_ends_the_oldest_trainer(site: Site) -> None:
    """The least recently used; its process and its folder are gone, the others stay warm."""
    pids = {name: site.run_pid(name) for name in ("exp-1", "exp-2", "exp-3")}
    site.run_pid("exp-1")
    job = site.begin(write_job(site.folder, "sleeps"), experiment="exp-4")
    assert find_process(pids["exp-2"]) is None
    site.wait(says_pids)
    assert len(site.worker.pids) == MAX_WARM
    assert set(site.worker.pids[:2]) == {pids["exp-3"], pids["exp-1"]}
    wait_until(lambda: len(site.scratch_folders()) == MAX_WARM)
    site.worker.cancel()
    assert site.run_pid("exp-3") == pids["exp-3"]
    assert site.run_pid("exp-1") == pids["exp-1"]
    assert site.worker.job_id != job.job_id


def test_cancel_leaves_the_trainers_of_others_alone(site: Site) -> None:
    """Only the job in hand is cancelled; the experiment beside it goes on where it was."""
    other = site.run_pid("exp-2")
    site.begin(write_job(site.folder, "sleeps"))
    busy, _ = site.insiders()
    site.worker.cancel()
    assert not busy.is_running()
    assert site.run_pid("exp-2") == other


def test_a_trainer_that_nobody_uses_ends_after_a_while(site: Site) -> None:
    """Its memory comes back, its folder goes, no event tells of it; who is busy is left alone."""
    unused = find_process(site.run_pid("exp-2"))
    assert unused is not None
    site.begin(write_job(site.folder, "sleeps"))
    busy, _ = site.insiders()
    for now in (100.0, 99.0 + UNUSED_S):
        site.worker.end_unused(now)
        assert unused.is_running()
    num_events = len(site.events)
    site.worker.end_unused(100.0 + UNUSED_S)
    assert not unused.is_running()
    site.worker.end_unused(100.0 + 10 * UNUSED_S)
    assert site.worker.pids == (busy.pid,)
    wait_until(lambda: len(site.scratch_folders()) == 1)
    assert len(site.events) == num_events


def test_an_experiment_that_is_over_takes_its_trainer_along(site: Site) -> None:
    """At once; another's stays, and so does one that has a job in hand, which is cancelled."""
    first, second = site.run_pid("exp-1"), site.run_pid("exp-2")
    site.worker.end_experiment(ExperimentId("exp-1"))
    assert find_process(first) is None
    job = site.begin(write_job(site.folder, "sleeps"), experiment="exp-2")
    site.worker.end_experiment(ExperimentId("exp-2"))
    assert site.worker.pids == (second,)
    assert site.worker.job_id == job.job_id


def test_a_withdrawn_case_takes_the_trainers_of_its_dataset_along(site: Site) -> None:
    """Those that wait: what they hold in memory is gone; one that is busy goes on."""
    first, second = site.run_pid("exp-1"), site.run_pid("exp-2")
    site.worker.end_dataset("other")
    assert set(site.worker.pids) == {first, second}
    site.worker.end_dataset("cases")
    assert site.worker.pids == ()
    for pid in (first, second):
        assert find_process(pid) is None
    busy = site.begin(write_job(site.folder, "sleeps"))
    site.wait(says_pids)
    site.worker.end_dataset("cases")
    assert site.worker.job_id == busy.job_id
    assert len(site.worker.pids) == 1


def test_close_kills_all_trainers(site: Site) -> None:
    """Those that wait and the busy one; none may stay behind with a patient's data."""
    warm = [find_process(site.run_pid(name)) for name in ("exp-1", "exp-2")]
    site.begin(write_job(site.folder, "sleeps"), experiment="exp-3")
    busy, _ = site.insiders()
    site.worker.close()
    assert not [one for one in (*warm, busy) if one is None or one.is_running()]
    assert site.worker.pids == ()


def test_a_trainer_that_dies_while_it_waits_does_not_hurt_the_job_of_another(site: Site) -> None:
    """No event; the others are as warm as before."""
    pids = {name: site.run_pid(name) for name in ("exp-1", "exp-2")}
    job = site.begin(write_job(site.folder, "sleeps"), experiment="exp-3")
    site.wait(says_pids)
    os.kill(pids["exp-1"], signal.SIGKILL)
    wait_until(lambda: len(site.worker.pids) == 2)
    assert site.worker.job_id == job.job_id
    site.worker.cancel()
    assert site.run_pid("exp-2") == pids["exp-2"]
    assert not [event for event in site.events if isinstance(event, Broken)]


def test_a_plan_that_dies_leaves_the_trainers_of_others_warm(site: Site) -> None:
    """It ended itself: memory is not what it lacked."""
    other = site.run_pid("exp-2")
    assert isinstance(site.run("dies"), Broken)
    assert site.run_pid("exp-2") == other


def test_a_busy_trainer_that_is_killed_frees_the_memory_of_those_that_wait(site: Site) -> None:
    """The kernel kills where memory is short; the job comes again, and has all of it then."""
    other = find_process(site.run_pid("exp-2"))
    job = site.begin(write_job(site.folder, "sleeps"))
    busy, _ = site.insiders()
    busy.send(signal.SIGKILL)
    died = site.end_of(job)
    assert isinstance(died, Broken)
    assert died.code is FailureCode.WORKER_DIED
    assert other is not None
    assert not other.is_running()
    assert site.worker.pids == ()
    assert isinstance(site.run(), Done)


def test_a_job_without_memory_frees_that_of_all_trainers(site: Site) -> None:
    """Its own too: a process seldom gives back what it once had."""
    site.run_pid("exp-2")
    broken = site.run("memory")
    assert isinstance(broken, Broken)
    assert broken.code is FailureCode.OUT_OF_MEMORY
    assert site.worker.pids == ()
    assert isinstance(site.run(), Done)


def test_a_new_trainer_gives_the_bytes_of_a_warm_one(site: Site) -> None:
    """So a crash within an experiment changes nothing: seeds and hashes are the task's."""
    outputs = []
    for _ in range(2):
        job = site.begin(write_job(site.folder, "random"))
        assert isinstance(site.end_of(job), Done)
        outputs.append(Path(job.output_path or "").read_bytes())
    site.worker.end_experiment(ExperimentId("exp-1"))
    job = site.begin(write_job(site.folder, "random"))
    assert isinstance(site.end_of(job), Done)
    assert outputs == [Path(job.output_path or "").read_bytes()] * 2


def test_a_trainer_knows_nothing_of_the_nodes_settings(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No setting, no password; the threads of the task, a folder of its own; no torch unasked."""
    monkeypatch.setenv("FEDMQ_BROKER_PASSWORD", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    job = site.begin(write_job(site.folder, "surroundings", num_threads=3))
    done = site.end_of(job)
    assert isinstance(done, Done)
    assert not [name for name in done.metrics if name.startswith(("env_fedmq_", "env_aws_"))]
    assert {"env_path", "env_home", "env_omp_num_threads"} <= done.metrics.keys()
    assert {"env_omp_wait_policy", "env_omp_dynamic", "env_mkl_dynamic"} <= done.metrics.keys()
    assert done.metrics["num_threads"] == (3.0, 1.0)
    assert done.metrics["torch"] == (0.0, 1.0)
    wait_until(lambda: b"cwd /" in site.log())
    [cwd] = re.findall(r"^cwd (/.+)$", site.log().decode(), re.MULTILINE)
    assert Path(cwd).parents[1] == site.folder / "worker"


def test_one_job_at_a_time_and_none_after_the_end(site: Site) -> None:
    """What cannot begin is said at once, and hurts nothing that runs."""
    job = site.begin(write_job(site.folder, "sleeps"))
    with pytest.raises(TrainingError, match="another one is running"):
        site.begin(write_job(site.folder))
    with pytest.raises(TrainingError, match="cannot be written"):
        site.begin(replace(job, dataset_folder="\udcff"))
    site.wait(says_pids)
    assert site.worker.job_id == job.job_id
    site.worker.close()
    with pytest.raises(TrainingError, match="closed"):
        site.begin(write_job(site.folder))


def test_a_process_that_leaves_the_group_ends_with_its_trainer(site: Site) -> None:
    """In a session of its own, with the pipes of the trainer open; worker_died comes at once."""
    job = site.begin(write_job(site.folder, "escapes"))
    died = site.end_of(job)
    assert isinstance(died, Broken)
    assert died.code is FailureCode.WORKER_DIED
    assert site.wait(says_pids)
    wait_until(lambda: not processes_about(site.folder))


def test_a_trainer_that_left_a_process_behind_is_not_kept(site: Site) -> None:
    """That would go on computing when nobody waits for it; the answer counts."""
    assert isinstance(site.run("leaves_another"), Done)
    assert not site.worker.pids
    wait_until(lambda: not processes_about(site.folder))
    assert isinstance(site.run(), Done)
    assert len(site.worker.pids) == 1


def test_a_job_is_not_given_to_a_trainer_that_has_ended(site: Site) -> None:
    """It has a new one."""
    assert isinstance(site.run(), Done)
    [pid] = site.worker.pids
    [ended] = site.worker._trainers.all
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: ended.has_ended)
    assert isinstance(site.run(), Done)
    assert pid not in site.worker.pids


def test_a_trainer_of_another_version_than_the_node_says_so(site: Site) -> None:
    """After an upgrade under a running node: each job says what to do; none is run."""
    for _ in range(2):
        job = site.begin(write_job(site.folder, version="0.0.9"))
        broken = site.end_of(job)
        assert isinstance(broken, Broken)
        assert broken.code is FailureCode.WORKER_DIED
        versions = f"the node runs fedmq 0.0.9, its trainer {fedmq.__version__}"
        assert broken.what == f"{versions}: start the node again"
        assert not Path(job.output_path or "").exists()


READ_JOB = "import os, signal, sys; line = sys.stdin.buffer.readline(); "
FORGE = "import json; job = json.loads(line)['job_id']; "
FORGE += "done = dict(job_id=job, num_cases=1, metrics={}, num_training_cases=1,"
FORGE += " num_validation_cases=0, num_cases_left_out=0, cases=['case-1']); "
SAY_DONE = "print(json.dumps(done), flush=True); "


@pytest.mark.parametrize(
    "script",
    [
        READ_JOB
        + FORGE
        + "print('hello', json.dumps(done), sep='\\n', flush=True); signal.pause()",
        READ_JOB + "os.write(1, bytes(9 * 2**20)); signal.pause()",
        READ_JOB + "os.write(1, b'{' * 2**23 + b'}'); signal.pause()",
        READ_JOB + FORGE + "os.write(1, json.dumps(done).encode()); os._exit(0)",
        READ_JOB
        + FORGE
        + "done['metrics'] = {'case-0042': (1.0, 1.0)}; "
        + SAY_DONE
        + "signal.pause()",
        "raise SystemExit(0)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    ],
    ids=["garbage", "zeros", "too_long", "cut_off", "case_in_a_metric", "ends_at_once", "segfault"],
)
def test_a_process_that_is_no_trainer_is_killed_and_told_once(tmp_path: Path, script: str) -> None:
    """Whatever it writes, or without a word; even what looks like an answer comes too late."""
    site = Site(tmp_path, script)
    died = site.end_of(site.begin(write_job(tmp_path)))
    assert isinstance(died, Broken)
    assert died.code is FailureCode.WORKER_DIED
    wait_until(lambda: not site.scratch_folders())
    site.worker.close()
    assert site.events == [died]


def test_a_trainer_that_cannot_be_started_is_a_worker_that_died(tmp_path: Path) -> None:
    """The machine refuses a process: the job breaks, the node goes on."""
    site = Site(tmp_path)
    site.worker = Worker(tmp_path / "worker", site._take, command=["/no/such/program"])
    died = site.end_of(site.begin(write_job(tmp_path)))
    assert isinstance(died, Broken)
    assert b"could not be started" in site.log()
    site.worker.close()


def test_an_answer_to_another_job_is_ignored(tmp_path: Path) -> None:
    """Only the job that runs can be done."""
    other = "done['job_id'] = 'other'; " + SAY_DONE + "done['job_id'] = job; "
    script = READ_JOB + FORGE + other + SAY_DONE + "signal.pause()"
    site = Site(tmp_path, script)
    job = site.begin(write_job(tmp_path))
    assert isinstance(site.end_of(job), Done)
    site.worker.close()
    assert [event.job_id for event in site.events] == [job.job_id]


FORGE_FOR_ALL = """
import json, os, signal, sys, time

job = json.loads(sys.stdin.buffer.readline())["job_id"]
done = dict(job_id=job, num_cases=1, metrics={}, num_training_cases=1, num_validation_cases=0,
            num_cases_left_out=0, cases=["case-1"])
if FIRST.exists():  # another one waits already: it sends its forgery, and this one tells so
    os.kill(int(FIRST.read_text()), signal.SIGUSR1)
    signal.pause()

def forge(*_):
    print(json.dumps(done | dict(job_id="victim")), flush=True)
    print("and now something that is no answer", flush=True)

signal.signal(signal.SIGUSR1, forge)
FIRST.write_text(str(os.getpid()))
print(json.dumps(done), flush=True)
while True:
    signal.pause()
"""


def test_a_trainer_that_waits_cannot_answer_for_the_job_of_another(tmp_path: Path) -> None:
    """A plan may guess names of jobs; only the trainer in hand is believed."""
    first = f"from pathlib import Path; FIRST = Path({str(tmp_path / 'first')!r})"
    site = Site(tmp_path, first + FORGE_FOR_ALL)
    assert isinstance(site.end_of(site.begin(write_job(tmp_path))), Done)
    site.begin(replace(write_job(tmp_path), job_id="victim"), experiment="exp-2")
    wait_until(lambda: b"no answer, and was killed" in site.log())
    assert site.worker.job_id == "victim"
    assert len(site.events) == 1
    site.worker.close()


def test_a_trainer_outlives_the_thread_that_began_its_job(site: Site) -> None:
    """Linux ties a child to the thread that started it; that is not the caller's."""
    pids: list[int] = []
    thread = threading.Thread(target=lambda: pids.append(site.run_pid()))
    thread.start()
    thread.join()
    # The kernel would have killed it by now, and the worker seen it; a job shows that it did not.
    pids.extend(site.run_pid() for _ in range(3))
    assert len(pids) == 4
    assert len(set(pids)) == 1


NODE = """
import sys
from pathlib import Path

from fedmq.node.warm_trainers import TrainerKey
from fedmq.node.worker import Worker
from fedmq.learning.trainer_protocol import parse_job

job = parse_job(sys.stdin.buffer.readline())
worker = Worker(Path(sys.argv[1]), lambda event: print(event.text, flush=True))
worker.begin(TrainerKey(experiment="e", plan_digest=job.plan_digest, dataset="d"), job)
sys.stdin.read()
"""


def test_a_trainer_ends_with_a_node_that_is_killed(tmp_path: Path) -> None:
    """No orphan trains on with a patient's data, not even one that does not read its stdin."""
    folder = tmp_path / "worker"
    with subprocess.Popen(  # noqa: S603 - the program is ours
        [sys.executable, "-c", NODE, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(fedmq.__file__).parent.parent)},
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        node.stdin.write(job_line(write_job(tmp_path, "sleeps")))
        node.stdin.flush()
        assert node.stdout.readline() == b"sleeps\n"
        assert node.stdout.readline().split()
        [trainer] = children(node.pid)
        everybody = [find_process(pid) for pid in descendants(trainer)]
        assert len(everybody) == 3, "its keeper, the trainer, what the plan has started"
        node.kill()
        wait_until(lambda: not [one for one in everybody if one and one.is_running()])
    assert list(folder.glob("scratch-*"))
    Worker(folder, print).close()
    assert not list(folder.glob("scratch-*")), "the next node clears up"


@pytest.mark.training
@pytest.mark.timeout(300)
def test_a_network_that_is_killed_at_its_work_ends_with_the_same_bits(site: Site) -> None:
    """Done again in another process; two threads compute in it, and others read ahead."""
    cohort, start = site.folder / "cohort", site.folder / "start"
    write_cohort(SITES["umc-basel"], cohort, num_cases=4, seed=1)
    config = {"spacing_mm": 8.0, "shape": [16, 16, 16], "width": 4, "batch_size": 1, "epochs": 60}
    plan_class = load_plan("petct-survival")
    plan = plan_class(make_config(plan_class, config))
    save_parameters(plan.initial_parameters(1), start)
    job = write_job(
        site.folder,
        plan_name="petct-survival",
        plan_digest=plan_digest(plan_source("petct-survival")),
        source_path=None,
        config=config,
        dataset_folder=str(cohort),
        parameters_path=str(start),
        num_threads=2,
    )
    site.begin(job)
    site.wait(lambda event: isinstance(event, Progress) and event.share < 1.0)
    site.worker.cancel()
    assert not [event for event in site.events if is_end(event)]
    outputs = []
    for number in (1, 2):
        again = replace(job, job_id=f"again-{number}")
        site.begin(again)
        assert isinstance(site.end_of(again), Done)
        outputs.append(Path(again.output_path or "").read_bytes())
        site.worker.end_experiment(ExperimentId("exp-1"))
    assert outputs[0] == outputs[1] != start.read_bytes()
    wait_until(lambda: b"% waiting for data" in site.log())
