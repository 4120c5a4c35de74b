"""Plans that do harm, in real trainers: nothing gets out, the node goes on, an incident is told."""

import contextlib
import os
import queue
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fedmq
from fedmq.containment.cell import Limits, Means
from fedmq.imaging.layouts.data_map import DataMap, Layout
from fedmq.learning.catalogue import plan_digest
from fedmq.learning.trainer_protocol import Broken, Done, Job, Progress
from fedmq.messages.replies import FailureCode
from fedmq.node.containment import Containment
from fedmq.node.pace import BURST
from fedmq.node.warm_trainers import TrainerKey
from fedmq.node.worker import LOG_NAME, Flooded, Worker, WorkerEvent
from fedmq.parameters import load_parameters, save_parameters
from fedmq.types import Digest, ExperimentId
from tests.support.hostile_plan import SOURCE
from tests.support.insiders import described, processes_about
from tests.support.tiny_plan import write_cases, write_job

pytestmark = [pytest.mark.row(13), pytest.mark.xdist_group("hostile")]
"""One after the other: what bounds the processes of a node's plans counts those of other nodes."""

DEADLINE_S = 60.0
TIMEOUT_S = 1.0
"""Of a task, where one never ends."""
MB = 2**20
LIMITS = Limits(scratch_bytes=16 * MB, file_bytes=256 * MB, num_processes=64)
VARIANTS = {
    "full": frozenset(Means),
    "without_namespaces": frozenset({Means.LANDLOCK, Means.SECCOMP}),
    "without_landlock": frozenset({Means.NAMESPACES, Means.SECCOMP}),
}


class Hospital:
    """A node's folder with secrets, two datasets, a worker, and who listens for what gets out."""

    def __init__(self, folder: Path, means: frozenset[Means]) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.withdrawn: tuple[tuple[str, tuple[str, ...]], ...] = ()
        self.data_map = DataMap()
        self.heard: list[str] = []
        self._events: queue.Queue[WorkerEvent] = queue.Queue()
        for name in ("payloads", "scratch"):
            (self.home / name).mkdir(parents=True)
        for name in ("journal.sqlite", "identity.key", "credentials.toml", "payloads/another"):
            (self.home / name).write_bytes(b"secret")
        self.model = self.home / "payloads" / "model"
        save_parameters({"w": np.zeros(3, np.float32)}, self.model)
        self.plan = self.home / "plan.py"
        self.plan.write_text(SOURCE)
        self.cases = write_cases(folder / "cases", 5)
        for case in self.cases.glob("case-*"):
            (case / "notes.txt").write_text(case.name)
        self.others = write_cases(folder / "others", 5)
        self.worker = Worker(
            self.home / "scratch",
            self._events.put,
            containment=Containment(means=means),
            limits=LIMITS,
        )
        self._listeners = [
            socket.create_server(("127.0.0.1", 0)),
            socket.socket(type=socket.SOCK_DGRAM),
            socket.socket(socket.AF_UNIX),
            socket.socket(socket.AF_UNIX),
        ]
        self.port = self._listeners[0].getsockname()[1]
        self._listeners[1].bind(("127.0.0.1", self.port))
        self._listeners[2].bind(f"\0{folder.name}-{self.port}")
        # The name of such a socket is short.
        with contextlib.chdir(self.home):
            self._listeners[3].bind("listener")
        for one in self._listeners[2:]:
            one.listen()

    def close(self) -> None:
        """End everything."""
        self.worker.close()
        for listener in self._listeners:
            listener.close()

    def job(self, mood: str, size_mb: int = 0) -> Job:
        """Return a job of this mood."""
        jobs = self.folder / "jobs"
        jobs.mkdir(exist_ok=True)
        config = {
            "mood": mood,
            "home": str(self.home),
            "own_cases": str(self.cases),
            "other_cases": str(self.others),
            "checkout": str(Path(fedmq.__file__).parent),
            "port": self.port,
            "name": f"{self.folder.name}-{self.port}",
            "node": os.getpid(),
            "size_mb": size_mb,
        }
        return write_job(
            jobs,
            plan_name="hostile",
            plan_digest=plan_digest(SOURCE.encode()),
            source_path=str(self.plan),
            dataset_folder=str(self.cases),
            withdrawn=self.withdrawn,
            data_map=self.data_map,
            parameters_path=str(self.model),
            config=config,
        )

    def run(self, mood: str, *, timeout_s: float = DEADLINE_S, size_mb: int = 0) -> Done | Broken:
        """Return how a job of this mood ends."""
        job = self.job(mood, size_mb)
        key = TrainerKey(
            experiment=ExperimentId("e"), plan_digest=Digest(job.plan_digest), dataset="cases"
        )
        self.worker._timeout_s = timeout_s
        self.has_flooded = False
        self.num_reports = 0
        self.worker.begin(key, job)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            event = self._events.get(timeout=max(0.1, deadline - time.monotonic()))
            self.has_flooded |= isinstance(event, Flooded) and event.job_id == job.job_id
            self.num_reports += isinstance(event, Progress)
            if isinstance(event, Done | Broken) and event.job_id == job.job_id:
                self.output = Path(job.output_path or "")
                return event

    def require_well(self, before: dict[str, bytes]) -> None:
        """Assert that an honest job is done, nothing was changed, and nobody got in touch."""
        assert isinstance(self.run("honest"), Done)
        assert load_parameters(self.output)["w"].tolist() == [1.0] * 3
        assert self.files() == before
        for listener in self._listeners:
            listener.settimeout(0)
            with pytest.raises(BlockingIOError):
                listener.recvfrom(1) if listener.type == socket.SOCK_DGRAM else listener.accept()

    def files(self) -> dict[str, bytes]:
        """Return all that a plan might change or add to outside of its scratch."""
        package = Path(fedmq.__file__).parent
        found = [one for place in (self.cases, self.others) for one in place.rglob("*")]
        found += [*self.home.iterdir(), *(self.home / "payloads").iterdir(), *package.iterdir()]
        found += [Path("/var/tmp/evil"), Path("/dev/shm/evil"), Path("/tmp/evil")]  # noqa: S108 - where a plan would write
        return {
            str(one): one.read_bytes() if one.is_file() else b"" for one in found if one.exists()
        }


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[getattr(pytest.mark, f"contained_by_{one}") for one in means])
        for name, means in VARIANTS.items()
    ],
)
def hospital(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hospital]:
    """Return a hospital whose containment has these means, where the machine has them."""
    means = VARIANTS[request.param]
    place = Hospital(tmp_path_factory.mktemp("hospital"), means)
    yield place
    place.close()
    deadline = time.monotonic() + DEADLINE_S
    while left := processes_about(place.folder):
        assert time.monotonic() < deadline, described(left)
        threading.Event().wait(0.05)
    shutil.rmtree(place.folder)


@pytest.mark.parametrize(
    "mood", ["tries_network", "tries_reading", "tries_writing", "tries_processes"]
)
def test_what_a_plan_tries_it_cannot_do(hospital: Hospital, mood: str) -> None:
    """Each way is refused, and the plan's own training is not hurt by that."""
    before = hospital.files()
    done = hospital.run(mood)
    assert isinstance(done, Done)
    assert not done.metrics
    hospital.require_well(before)


def test_a_plan_cannot_read_a_withdrawn_case(hospital: Hospital) -> None:
    """Neither its files nor its row, by any name; it reads both while it is not withdrawn."""
    before = hospital.files()
    done = hospital.run("tries_withdrawn")
    assert isinstance(done, Done)
    assert done.metrics.keys() >= {
        "did_read",
        "did_list",
        "did_row",
        "did_other",
        "did_other_row",
    }
    hospital.withdrawn = (("case-2", ()),)
    try:
        done = hospital.run("tries_withdrawn")
        assert isinstance(done, Done)
        assert set(done.metrics) == {"did_other", "did_other_row"}
        hospital.require_well(before)
    finally:
        hospital.withdrawn = ()


def test_a_plan_cannot_read_a_withdrawn_file_among_those_of_others(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Where the files of all cases lie in one folder: file by file."""
    cases, flat = hospital.cases, tmp_path / "flat"
    (flat / "images").mkdir(parents=True)
    for number in range(1, 6):
        (flat / "images" / f"case-{number}_pet.nii.gz").write_text("uptake")
    shutil.copy(cases / "clinical.csv", flat)
    hospital.cases = flat
    hospital.data_map = DataMap(
        layout=Layout.PATTERNS, volumes={"PET": ("images/{case}_pet.nii*",)}
    )
    try:
        done = hospital.run("tries_withdrawn_file")
        assert isinstance(done, Done)
        assert set(done.metrics) == {
            "did_read",
            "did_list",
            "did_row",
            "did_other",
            "did_other_row",
        }
        hospital.withdrawn = (("case-2", ("PET",)),)
        done = hospital.run("tries_withdrawn_file")
        assert isinstance(done, Done)
        assert set(done.metrics) == {"did_other", "did_other_row"}
        assert done.cases == tuple(f"case-{number}" for number in (1, 3, 4, 5))
    finally:
        hospital.withdrawn, hospital.data_map, hospital.cases = (), DataMap(), cases


def test_who_says_which_cases_it_used_is_not_believed(hospital: Hospital) -> None:
    """The node names all that the plan could read, so no case that is withdrawn."""
    done = hospital.run("trains_on_all")
    assert isinstance(done, Done)
    assert (done.num_training_cases, done.num_validation_cases) == (1, 1)
    assert done.cases == tuple(f"case-{number}" for number in range(1, 6))
    hospital.worker.end_experiment(ExperimentId("e"))
    hospital.withdrawn = (("case-2", ()),)
    try:
        done = hospital.run("honest")
        assert isinstance(done, Done)
        assert done.cases == tuple(f"case-{number}" for number in (1, 3, 4, 5))
    finally:
        hospital.withdrawn = ()


DIED = FailureCode.WORKER_DIED
BROKE = FailureCode.TRAINING_ERROR
FULL = FailureCode.DISK_FULL


@pytest.mark.parametrize(
    ("mood", "codes"),
    [
        ("fork_bomb", {BROKE}),
        ("thread_bomb", {BROKE, FailureCode.OUT_OF_MEMORY, DIED}),
        ("takes_memory", {FailureCode.OUT_OF_MEMORY}),
        ("fills_scratch", {BROKE, FULL}),
        ("fills_scratch_with_many", {BROKE, FULL}),
        ("fills_scratch_with_nothing", {BROKE, FULL}),
        ("fills_scratch_unseen", {BROKE, FULL}),
        ("fills_output", {BROKE, FULL}),
        ("fills_output_unseen", {BROKE, FULL}),
        ("segfaults", {DIED}),
        ("exits", {DIED}),
        ("kills_itself", {DIED}),
        ("exits_politely", {BROKE}),
        ("interrupts", {BROKE}),
        ("recurses", {BROKE}),
        ("nan", {FailureCode.UPDATE_NOT_FINITE}),
        ("huge", {FailureCode.UPDATE_MISSHAPEN}),
        ("overcounts", {FailureCode.PLAN_ERROR}),
        ("lies_about_cases", {FailureCode.PLAN_ERROR}),
    ],
)
def test_a_plan_that_does_harm_ends_with_a_code(
    hospital: Hospital, mood: str, codes: set[FailureCode]
) -> None:
    """The machine stays well, and the next job is done."""
    before = hospital.files()
    broken = hospital.run(mood)
    assert isinstance(broken, Broken)
    assert broken.code in codes
    hospital.require_well(before)


def test_a_task_that_never_ends_is_ended(hospital: Hospital) -> None:
    """After the time that a task may take; it is not asked for again."""
    before = hospital.files()
    broken = hospital.run("never_ends", timeout_s=TIMEOUT_S)
    assert isinstance(broken, Broken)
    assert broken.code is BROKE
    assert "FEDMQ_TASK_TIMEOUT_S" in broken.what
    hospital.require_well(before)


def test_memory_of_all_processes_together_is_bounded(hospital: Hospital) -> None:
    """Each of four keeps to the bound; what they share counts once."""
    before = hospital.files()
    worker = hospital.worker
    worker._limits = replace(LIMITS, memory_bytes=1024 * MB)
    try:
        broken = hospital.run("shares_memory", size_mb=400)
        assert isinstance(broken, Broken)
        assert broken.code is FailureCode.OUT_OF_MEMORY
        assert "FEDMQ_TASK_MEMORY_MB" in broken.what
        assert isinstance(hospital.run("shares_pages", size_mb=400), Done)
    finally:
        worker._limits = LIMITS
    hospital.require_well(before)


@pytest.mark.parametrize("mood", ["lies_about_its_output", "pipes_its_output"])
def test_an_output_that_is_no_file_is_not_opened(hospital: Hospital, mood: str) -> None:
    """A link would have the node read for the plan, a pipe would hold it up for ever."""
    before = hospital.files()
    ended = hospital.run(mood)
    if isinstance(ended, Done):  # it could not put anything else in the file's place
        assert not hospital.output.is_symlink()
        assert hospital.output.stat().st_size == 0
    hospital.worker.end_experiment(ExperimentId("e"))
    hospital.require_well(before)


def test_what_a_plan_has_started_ends_with_its_task(hospital: Hospital) -> None:
    """It has left its parents and their session, or may not; its trainer is not kept warm."""
    before = hospital.files()
    for mood in (
        "leaves_a_daemon",
        "leaves_a_child",
        "leaves_a_child_of_an_odd_name",
        "leaves_the_dead",
    ):
        ended = hospital.run(mood)
        deadline = time.monotonic() + DEADLINE_S
        # It is put out when it has ended, where it was found a moment after its answer.
        while (left := processes_about(hospital.folder)) or hospital.worker.pids:
            assert time.monotonic() < deadline, f"{ended}\n{described(left)}{said_by(hospital)}"
            threading.Event().wait(0.02)
    hospital.require_well(before)
    assert hospital.worker.pids, "one that left nothing behind is kept"


def test_a_trainer_that_cannot_be_watched_is_ended(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it shows that nobody has thought of: its job is answered, and it is not kept."""
    before = hospital.files()
    with monkeypatch.context() as patch:
        patch.setattr("fedmq.node.trainer_process.members", lambda _pid: 1 // 0)
        hospital.run("honest")
        deadline = time.monotonic() + DEADLINE_S
        while (left := processes_about(hospital.folder)) or hospital.worker.pids:
            assert time.monotonic() < deadline, described(left)
            threading.Event().wait(0.02)
    assert "ZeroDivisionError" in said_by(hospital)
    hospital.require_well(before)


def test_reports_without_end_are_thinned_out(hospital: Hospital) -> None:
    """The node's events wait in a queue without a bound; and plans come after the node."""
    done = hospital.run("reports")
    assert isinstance(done, Done)
    assert BURST <= hospital.num_reports < 1000
    assert done.metrics["niceness"][0] >= 10
    assert "priority" not in done.metrics


def said_by(hospital: Hospital) -> str:
    """Return what its trainers printed."""
    return (hospital.home / "scratch" / LOG_NAME).read_text(errors="replace")


def size_of(path: Path) -> int:
    """Return the size of a file, 0 where it has gone this moment."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def test_prints_without_end_fill_no_disk(hospital: Hospital) -> None:
    """A gigabyte, of which the last megabyte stays; the node is told, for its audit log."""
    before = hospital.files()
    size_mb = 1024 if Means.NAMESPACES in hospital.worker._means else 16
    assert isinstance(hospital.run("prints", size_mb=size_mb), Done)
    assert hospital.has_flooded
    # Its last words are still being written, and one file takes the other's place now and then.
    sizes = [size_of(path) for path in (hospital.home / "scratch").glob("trainer.log*")]
    assert 0 < sum(sizes) <= MB
    hospital.require_well(before)


def test_without_containment_the_same_plan_gets_out(tmp_path: Path) -> None:
    """So that the tests above can fail: it reads what it should not, and reaches who listens."""
    place = Hospital(tmp_path, frozenset())
    try:
        for mood, way in (
            ("tries_network", "did_tcp"),
            ("tries_network", "did_abstract"),
            ("tries_reading", "_identity_key"),
        ):
            done = place.run(mood)
            assert isinstance(done, Done)
            assert any(name.endswith(way) for name in done.metrics)
        place._listeners[0].settimeout(1)
        place._listeners[0].accept()[0].close()
    finally:
        place.close()
