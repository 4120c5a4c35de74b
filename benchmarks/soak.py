"""Many rounds through real processes: does anything grow, and does everything come back to rest?

Each second the memory, file descriptors and threads of every program are noted, the depths of the
queues and the bytes of each home, beside the number of rounds that were closed by then. A slope is
that of the least squares over the rounds after the warm-up.
"""

import random
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from benchmarks import federation
from benchmarks.progress import say
from benchmarks.training import NULL
from fedmq.demo.programs import Programs
from fedmq.hub.credentials import read_credentials
from fedmq.hub.management import Management
from fedmq.hub.processes import find_process, wait_for_end
from fedmq.hub.register import VHOST
from fedmq.researcher.client import Client
from fedmq.researcher.experiment import Experiment
from fedmq.transport.home import JOURNAL_NAME

SAMPLE_S: Final = 1.0
WARM_UP: Final = 0.2
"""Of all rounds: what is loaded, cached and sized in these is no growth."""
REST_S: Final = 60.0
"""So long the federation has to come back to rest after the last round."""
SEED: Final = 20261125
ORCHESTRATOR: Final = "orchestrator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one program takes, after so many rounds."""

    rounds: int
    rss_kb: int
    fds: int
    threads: int
    disk_kb: int
    journal_bytes: int
    """The journal and its log."""


@dataclass(slots=True)
class Watch:
    """Looks at a federation in a folder, each second, from a thread of its own."""

    folder: Path
    programs: Programs
    rounds: int = 0
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    deepest: int = 0
    """The most messages that lay in all queues together."""

    def take(self) -> None:
        """Note one sample of each program that runs."""
        for name, pid in self.programs.pids().items():
            sample = read_sample(pid, self.home(name), self.rounds)
            if sample is not None:
                self.samples.setdefault(name, []).append(sample)
        self.deepest = max(self.deepest, self.depth())

    def home(self, name: str) -> Path:
        """Return the folder of what a program keeps."""
        return self.folder / name if name == ORCHESTRATOR else self.folder / name / "node"

    def depth(self) -> int:
        """Return how many messages lie in the queues of programs and in that of dead letters."""
        return sum(
            _count(queue, "messages")
            for queue in self._queues()
            if not str(queue["name"]).startswith("monitor.")
        )

    def is_read(self) -> bool:
        """Return whether every program reads its queues."""
        readers = {str(queue["name"]): _count(queue, "consumers") for queue in self._queues()}
        own = [name for name in readers if name.startswith(("node.", "orchestrator."))]
        return all(readers[name] for name in own)

    def _queues(self) -> list[dict[str, object]]:
        login = read_credentials(self.folder / "hub" / "credentials" / "monitor.toml")
        management = Management(url=login.admin_url, user=login.user, password=login.password)
        return cast("list[dict[str, object]]", management.get("queues", VHOST))

    def run(self, ended: threading.Event) -> None:
        """Take samples until told."""
        while not ended.wait(SAMPLE_S):
            self.take()


def measure(
    *, minutes: float, num_rounds: int, num_nodes: int, mb: int, kill_every_s: float
) -> dict[str, object]:
    """Return slopes and end values over experiments of `num_rounds` rounds, for so many minutes."""
    with tempfile.TemporaryDirectory(prefix="fedmq-soak-") as name:
        folder = Path(name)
        with federation.running(folder, NULL, num_nodes):
            watch = Watch(folder, Programs(folder))
            wait_until(watch.is_read, "every program reads its queues")
            watch.take()
            began = {program: samples[-1] for program, samples in watch.samples.items()}
            watch.samples.clear()
            started = time.perf_counter()
            kills, num_experiments = _run(watch, minutes, num_rounds, mb, kill_every_s)
            seconds = time.perf_counter() - started
            at_rest = _wait_for_rest(watch, began)
            return {
                "nodes": num_nodes,
                "mb": mb,
                "minutes": round(seconds / 60, 1),
                "rounds": watch.rounds,
                "experiments": num_experiments,
                "kills": kills,
                "round_s": round(seconds / watch.rounds, 3),
                **_figures(watch, began),
                "queued_most": watch.deepest,
                "queued_end": watch.depth(),
                "at_rest": at_rest,
            }


def _run(
    watch: Watch, minutes: float, num_rounds: int, mb: int, kill_every_s: float
) -> tuple[int, int]:
    """Run experiments for so long, at least one; return how many kills there were, and of those."""
    ended = threading.Event()
    killer = Killer(watch, kill_every_s)
    threads = [threading.Thread(target=watch.run, args=(ended,))]
    if kill_every_s:
        threads.append(threading.Thread(target=killer.run, args=(ended,)))
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60 * minutes
    number = 0
    try:
        with Client.from_credentials(watch.folder / "credentials.toml") as client:
            while number == 0 or time.monotonic() < deadline:
                number += 1
                _run_one(client, watch, number, num_rounds, mb)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    killer.mend()
    return killer.kills, number


def _run_one(client: Client, watch: Watch, number: int, num_rounds: int, mb: int) -> None:
    before = watch.rounds
    experiment = Experiment(
        name=f"soak-{number}",
        plan=str(NULL.source),
        dataset=federation.DATASET,
        rounds=num_rounds,
        quorum=len(watch.programs.pids()) - 1,
        nodes=[name for name in watch.programs.pids() if name != ORCHESTRATOR],
        config={"mb": mb},
        evaluate=False,
        validation_share=0.0,
    )
    report = None
    for report in client.submit(experiment).follow(poll_s=SAMPLE_S):
        watch.rounds = before + (report.records[-1].round if report.records else 0)
    if report is None or report.state != "finished":
        raise SystemExit(f"the experiment ended: {report and (report.state, report.reason)}")
    say(f"experiment {number}: {watch.rounds} rounds in all")


class Killer:
    """Ends a program without a word, now and then, and starts it again."""

    def __init__(self, watch: Watch, every_s: float) -> None:
        self.kills = 0
        self._watch = watch
        self._every_s = every_s
        self._random = random.Random(SEED)

    def run(self, ended: threading.Event) -> None:
        """Kill one program after another until told."""
        while not ended.wait(self._random.uniform(0.5, 1.5) * self._every_s):
            name, pid = self._random.choice(sorted(self._watch.programs.pids().items()))
            process = find_process(pid)
            if process is not None:
                process.send(signal.SIGKILL)
                wait_for_end(process)
                self.kills += 1
                self._start(name)

    def mend(self) -> None:
        """Return once every program runs."""
        for name in self._watch.programs.pids():
            self._start(name)

    def _start(self, name: str) -> None:
        home = self._watch.folder if name == ORCHESTRATOR else self._watch.folder / name
        kind = ORCHESTRATOR if name == ORCHESTRATOR else "node"
        self._watch.programs.start(name, [kind, "start"], home)


def _count(queue: Mapping[str, object], what: str) -> int:
    return int(str(queue.get(what, 0)))


def _figures(watch: Watch, began: Mapping[str, Sample]) -> dict[str, object]:
    """Return the worst of all nodes, and the orchestrator's."""
    figures: dict[str, object] = {}
    nodes = [name for name in watch.samples if name != ORCHESTRATOR]
    for title, names in ((ORCHESTRATOR, [ORCHESTRATOR]), ("node", nodes)):
        series = [watch.samples[name] for name in names]
        figures |= {
            f"{title}_rss_kb_per_round": worst(series, lambda one: one.rss_kb),
            f"{title}_disk_kb_per_round": worst(series, lambda one: one.disk_kb),
            f"{title}_rss_mb_end": round(max(one[-1].rss_kb for one in series) / 1000, 1),
            f"{title}_rss_mb_most": round(max(s.rss_kb for one in series for s in one) / 1000, 1),
            f"{title}_disk_mb_most": round(max(s.disk_kb for one in series for s in one) / 1000, 1),
            f"{title}_disk_mb_end": round(max(one[-1].disk_kb for one in series) / 1000, 1),
            f"{title}_journal_bytes_end": max(one[-1].journal_bytes for one in series),
            f"{title}_journal_bytes_per_round": worst(series, lambda one: one.journal_bytes),
            f"{title}_fds_begin": max(began[name].fds for name in names),
            f"{title}_fds_end": max(one[-1].fds for one in series),
            f"{title}_threads_begin": max(began[name].threads for name in names),
            f"{title}_threads_end": max(one[-1].threads for one in series),
        }
    return figures


def worst(series: Sequence[Sequence[Sample]], value: Callable[[Sample], int]) -> float:
    """Return the steepest slope of all programs after the warm-up, in units per round."""
    slopes = []
    for samples in series:
        begin = WARM_UP * samples[-1].rounds
        late = [one for one in samples if one.rounds >= begin]
        if len({one.rounds for one in late}) > 1:
            points = [one.rounds for one in late], [value(one) for one in late]
            slopes.append(statistics.linear_regression(*points).slope)
    return round(max(slopes), 2) if slopes else 0.0


def _wait_for_rest(watch: Watch, began: Mapping[str, Sample]) -> bool:
    """Return whether queues and descriptors came back to what they were."""

    def is_at_rest() -> bool:
        watch.take()
        now = {name: samples[-1] for name, samples in watch.samples.items()}
        has_fds = all(now[name].fds <= began[name].fds for name in began)
        return has_fds and watch.depth() == 0

    return wait_until(is_at_rest, "everything is back at rest")


def wait_until(claim: Callable[[], bool], what: str) -> bool:
    """Return whether something became true in time."""
    deadline = time.monotonic() + REST_S
    while not claim():
        if time.monotonic() > deadline:
            say(f"not within {REST_S:.0f} s: {what}")
            return False
        time.sleep(SAMPLE_S)
    return True


def read_sample(pid: int, home: Path, rounds: int) -> Sample | None:
    """Return what a process takes, None where it is gone."""
    process = Path(f"/proc/{pid}")
    try:
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return Sample(
            rounds=rounds,
            rss_kb=int(status["VmRSS"].split()[0]),
            fds=len(list((process / "fd").iterdir())),
            threads=int(status["Threads"]),
            disk_kb=disk_kb(home),
            journal_bytes=journal_bytes(home),
        )
    except (OSError, KeyError, ValueError):
        return None


def journal_bytes(home: Path) -> int:
    """Return how long a program's journal is, with its log and without its index."""
    return sum((home / f"{JOURNAL_NAME}{end}").stat().st_size for end in ("", "-wal"))


def disk_kb(folder: Path) -> int:
    """Return what a folder takes on the disk; a file of several names is counted once."""
    blocks = {}
    for path in folder.rglob("*"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        blocks[found.st_ino] = found.st_blocks
    return sum(blocks.values()) // 2
