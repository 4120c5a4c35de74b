"""The stage: a federation under chaos, the models that it must come to, and what remains of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.chaos import remains
from benchmarks.chaos.broker import Broker
from benchmarks.chaos.ground import SERVICES, Ground, made_ground
from benchmarks.chaos.members import ORCHESTRATOR, Member, Researcher, Service
from benchmarks.chaos.program import command
from benchmarks.chaos.recovery import Lost
from tests.support.federation import CENTRE, LYON, PARIS, RESEARCHER, Federation, running_federation

CONFIG: Final = "size = 1_200_000\ntrain_s = 0.3"
"""A model of five megabytes in three chunks; training that takes a while."""
PATIENCE_S: Final = 240.0
"""Whatever makes no progress for so long is lost."""
_TREE: Final = Path(__file__).parents[2]
_HEARTBEAT: Final = {"FEDMQ_HEARTBEAT_S": "2"}
"""So that a line without a word is found out within seconds."""
_OVER: Final = frozenset({"finished", "finished_short", "failed", "stopped"})

Say = Callable[[str], None]


@dataclass(kw_only=True)
class Stage:
    """Everything that plays, and what was seen of it."""

    federation: Federation
    services: tuple[Service, ...]
    researcher: Researcher
    broker: Broker
    ground: Ground
    say: Say
    models: list[str] = field(default_factory=list)
    """The digest of each round's model where nothing happens."""
    fds: dict[str, int] = field(default_factory=dict)
    """Of each service, at rest, after the undisturbed experiment."""
    checked: set[str] = field(default_factory=set)
    """Experiments whose models were compared."""

    @property
    def members(self) -> tuple[Member, ...]:
        """The programs that note their steps."""
        return (*self.services, self.researcher)

    def look(self) -> None:
        """Read what all of them noted."""
        for member in self.members:
            member.look()
        self.broker.look()

    def run_undisturbed(self) -> None:
        """Start every service again in order, run one experiment, and let nothing happen to it.

        The steps that are counted from here on are all that a life has, from its beginning.
        """
        for service in self.services:
            service.send(signal.SIGTERM)
        for member in self.members:
            member.steps.clear()
        for service in self.services:
            service.start()
        self.begin_experiment()
        self.until(lambda: not self.researcher.is_running, "the undisturbed experiment")
        if not self.researcher.end_life():
            raise Lost(f"the undisturbed experiment failed: {self.researcher.program.log()}")
        (name,) = self.researcher.finished[-1:]
        self.models = self.models or self._models(name)
        self.check()
        self.rest()
        self.fds = {
            service.name: remains.count_fds(service.program.pid) for service in self.services
        }
        self.say(f"undisturbed: {[one[:12] for one in self.models]}, open files {self.fds}")

    def begin_experiment(self) -> None:
        """Let the researcher run the next experiment; its model is not here yet."""
        files = self.federation.home(RESEARCHER) / f"{RESEARCHER}-files" / "payloads"
        for digest in self.models[-1:]:
            (files / digest).unlink(missing_ok=True)
        self.researcher.start()

    def check(self) -> None:
        """Compare the models of the experiments that were followed to their end.

        Raises:
            Lost: they are others, or one is missing.
        """
        for name in self.researcher.finished:
            if name not in self.checked:
                self._check(name)
                fetched = (self.federation.home(RESEARCHER) / f"{name}.safetensors").read_bytes()
                if fetched != self._file(name, f"round-{len(self.models):04d}.safetensors"):
                    raise Lost(f"{name}: the fetched model is another")

    def check_all(self) -> None:
        """Compare the models of all experiments, those too that nobody followed.

        Raises:
            Lost: they are others, or one is missing.
        """
        for name in self._names():
            if name not in self.checked:
                self._check(name)

    def rest(self) -> None:
        """Return once all is over: every experiment, every message that waits, every upload."""
        self.until(lambda: all(self._state(name) in _OVER for name in self._names()), "all ends")
        for service in self.services:
            self.until(lambda one=service: self._ask_service(one, "num_unsent") == 0, "receipts")  # type: ignore[misc]
        away = remains.turned_away(self.federation.home(RESEARCHER) / f"{RESEARCHER}-files")
        for service in self.services:
            away += self._ask_service(service, "turned_away")
        if away:
            raise Lost(f"honest messages were turned away: {away}")
        self.until(lambda: not self.waiting(), "queues without messages")
        self.look()

    def waiting(self) -> dict[str, int]:
        """Return the queues that hold messages, and those of experiments that should be gone."""
        hub = self.federation.home(CENTRE) / "hub"
        waiting: dict[str, int] = self._ask(CENTRE, "waiting_messages", hub)
        return waiting

    def finish_uploads(self) -> None:
        """Send what clients kept that were killed: what the next client of that home does."""
        home = self.federation.home(RESEARCHER) / f"{RESEARCHER}-files"
        deadline = time.monotonic() + PATIENCE_S
        while remains.num_unsent(home):
            if time.monotonic() > deadline:
                raise Lost("a submission that a client kept is not taken")
            self.federation.fedmq(RESEARCHER, "experiments", "list")

    def until(self, claim: Callable[[], bool], what: str) -> None:
        """Return once it is so.

        Raises:
            Lost: it does not come.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not claim():
            if time.monotonic() > deadline:
                raise Lost(f"{what}: not within {PATIENCE_S:.0f} s; waiting {self.waiting()}")
            time.sleep(0.05)

    def _ask_service(self, service: Service, question: str) -> Any:  # noqa: ANN401
        name = CENTRE if service.name == ORCHESTRATOR else service.name
        return self._ask(service.name, question, self.federation.home(name) / service.kind)

    def _ask(self, name: str, question: str, folder: Path) -> Any:  # noqa: ANN401
        """Return what `remains` answers on the host and the disk of a member."""
        program = [sys.executable, "-m", "benchmarks.chaos.remains", question, str(folder)]
        command = [*self.ground.way(name), *program]
        surroundings = {**os.environ, "PYTHONPATH": str(_TREE)}
        said = subprocess.run(command, env=surroundings, stdout=subprocess.PIPE, check=True)
        return json.loads(said.stdout)

    def _experiments(self) -> Path:
        home = self.federation.home(CENTRE) / ORCHESTRATOR
        return self.ground.home(ORCHESTRATOR, home) / "experiments"

    def _names(self) -> list[str]:
        folder = self._experiments()
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def _file(self, name: str, file: str) -> bytes:
        return (self._experiments() / name / file).read_bytes()

    def _state(self, name: str) -> str:
        try:
            return str(json.loads(self._file(name, "experiment.json"))["state"])
        except FileNotFoundError:
            return ""

    def _models(self, name: str) -> list[str]:
        return [json.loads(line)["model"] for line in self._file(name, "rounds.jsonl").splitlines()]

    def _check(self, name: str) -> None:
        state, models = self._state(name), self._models(name)
        if state != "finished" or models != self.models:
            raise Lost(f"{name}: {state}, models {[one[:12] for one in models]}")
        self.checked.add(name)


@contextmanager
def running_stage(
    folder: Path, *, rounds: int, say: Say, lines: bool = False, disks: bool = False
) -> Iterator[Stage]:
    """Yield a federation of two nodes whose programs note their steps; the plan is approved.

    Each service has a line of its own to the hub, and a disk of its own, where that is wanted.
    """
    notes, place = folder / "notes", folder / "federation"
    notes.mkdir(parents=True)
    with (
        made_ground(place, lines=lines, disks=disks) as ground,
        running_federation(
            place,
            None,
            lambda name: (*ground.way(name), *command(notes, name)),
            hosts=ground.hosts,
            settings=_HEARTBEAT if lines else {},
            way=ground.way,
            node_folders={name: disk.outside for name, disk in ground.disks.items()},
        ) as one,
    ):
        experiment = one.write_experiment(rounds=rounds, config=CONFIG)
        services = tuple(Service(one, notes, name) for name in SERVICES)
        stage = Stage(
            federation=one,
            services=services,
            researcher=Researcher(one, notes, experiment),
            broker=Broker(one, services),
            ground=ground,
            say=say,
        )
        say("the federation runs")
        stage.begin_experiment()
        one.approve(LYON, PARIS)
        stage.until(lambda: not stage.researcher.is_running, "the first experiment")
        stage.researcher.end_life()
        yield stage
