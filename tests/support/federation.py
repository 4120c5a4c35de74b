"""A federation of real processes: each started through the command line, each ended by its pid."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

import fedmq
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.credentials import Credentials, read_credentials, write_credentials
from fedmq.hub.local import enrol_here
from fedmq.hub.ports import LOOPBACK
from fedmq.transport import topology
from fedmq.types import NodeId, ResearcherId, Role
from tests.support import held_plan
from tests.support.broker import TestBroker, federation_rights
from tests.support.forked import run_alone, run_forked
from tests.support.hosts import Hosts
from tests.support.keys import Keys, move_in

PATIENCE_S: Final = 90.0
"""For whatever is waited for: two busy cores may be slow, a hang is caught all the same."""
CENTRE: Final = "centre"
RESEARCHER: Final = "r-one"
LYON: Final = "chu-lyon"
PARIS: Final = "ghu-paris"
LILLE: Final = "chu-lille"
"""A third node, in the federations that ask for one."""
CASES: Final[Mapping[str, int]] = {LYON: 7, PARIS: 4, LILLE: 5}
POLICY: Final = """\
min_cases = 1
min_nodes = 1
require_study = false
max_approval_days = 36500
"""
"""Few cases, and clocks that are wrong by years."""
DATASET: Final = "tables"
PLAN: Final = "held-numpy"
FEDMQ: Final = (sys.executable, "-m", "fedmq")
PLAN_FILE: Final = Path(held_plan.__file__)

T = TypeVar("T")

Command = Callable[[str], Sequence[str]]
"""How the command line of a program of this name begins; empty: as in its home."""


def until(claim: Callable[[], T], what: str = "it") -> T:
    """Return what `claim` gives once that is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := claim()):
        assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE_S:.0f} s"
        time.sleep(0.05)
    return found


def environment(home: Path) -> dict[str, str]:
    """Return what a program of the federation sees: this tree's fedmq, and its own home."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(fedmq.__file__).parent.parent),
        "FEDMQ_HOME": str(home),
        # Who lost a broker on purpose need not wait for it as if it were a hospital's.
        "FEDMQ_RECONNECT_S": "2",
        # Its nodes share the machine, with each other and with other tests.
        "FEDMQ_TASK_THREADS": "1",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    data: str
    """On stdout."""
    talk: str
    """On stderr."""

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the command prints
        """What the data say."""
        return json.loads(self.data)


class Program:
    """A command that keeps running; what it says goes to a file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        home: Path,
        log: Path,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self._log = log
        self._begin = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the product's own command line
                command,
                cwd=home,
                env=environment(home) | dict(settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def log(self) -> str:
        """Return what it said in this life."""
        return self._log.read_bytes()[self._begin :].decode(errors="replace")

    def expect(self, text: str) -> None:
        """Return once it has said `text`."""

        def has_said() -> bool:
            assert self.is_running or text in self.log(), f"{self.name} ended:\n{self.log()}"
            return text in self.log()

        until(has_said, f"{text!r} of {self.name}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Return the exit code after a signal."""
        self.send(number)
        return self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.is_running:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it without a word (-9)."""
        self.end(signal.SIGKILL)

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Return the exit code once it has ended."""
        try:
            return self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self.name} did not end:\n{self.log()}") from None


class Federation:
    """Homes of a hub, nodes and a researcher in one folder, and the programs that run in them."""

    def __init__(self, folder: Path, command: Command | None = None) -> None:
        self.folder = folder
        self._command = command or (lambda _name: ())
        self.programs: dict[str, Program] = {}
        self.commands: dict[str, Sequence[str]] = {}
        """What stands for `fedmq` in a home, or under a name, where that is something else."""
        self.node_folders: dict[str, Path] = {}
        """Where this process finds the folders of nodes that are on disks of their own."""
        self.settings: dict[str, str] = {}
        """What every program finds in its environment besides."""
        self._logs = folder / "logs"
        self.holds = folder / "holds"
        for place in (self._logs, self.holds, self.home(CENTRE), self.home(RESEARCHER)):
            place.mkdir(parents=True, exist_ok=True)

    # Commands.

    def home(self, name: str) -> Path:
        """Return the FEDMQ_HOME of a member."""
        return self.folder / name

    def fedmq(self, home: str, *arguments: str) -> Outcome:
        """Return how `fedmq ARGUMENTS` ends in the home of a member."""
        place = self.home(home)
        place.mkdir(exist_ok=True)
        seen = environment(place) | self.settings
        if home in self.commands:
            command = [*self.commands[home], *arguments]
            ended = run_alone(command, folder=place, environment=seen, patience_s=PATIENCE_S)
        else:
            ended = run_forked(arguments, folder=place, environment=seen, patience_s=PATIENCE_S)
        return Outcome(code=ended.returncode, data=ended.stdout, talk=ended.stderr)

    def do(self, home: str, *arguments: str) -> Outcome:
        """Return how a command ends that has to go well."""
        outcome = self.fedmq(home, *arguments)
        assert outcome.code == 0, f"fedmq {' '.join(arguments)}: {outcome}"
        return outcome

    def start(self, name: str, home: str, *arguments: str) -> Program:
        """Return a program that runs `fedmq ARGUMENTS`; under its name it may be started again."""
        begin = self._command(name) or self.commands.get(name) or self.commands.get(home, FEDMQ)
        program = Program(
            name,
            [*begin, *arguments],
            self.home(home),
            self._logs / f"{name.replace(' ', '-')}.log",
            self.settings,
        )
        self.programs[name] = program
        return program

    def start_orchestrator(self) -> Program:
        """Return the orchestrator once it runs."""
        program = self.start("orchestrator", CENTRE, "orchestrator", "start")
        program.expect("orchestrator_started")
        return program

    def start_node(self, name: str) -> Program:
        """Return a node once it runs."""
        program = self.start(name, name, "node", "start")
        program.expect("node_started")
        return program

    def close(self) -> None:
        """Kill whatever still runs."""
        for program in self.programs.values():
            program.kill()

    def logs(self) -> str:
        """Return what all programs said, and the trainers of nodes."""
        trainers = self.folder.glob("*/node/scratch/trainer.log")
        return "\n".join(
            f"== {path.relative_to(self.folder)}\n{path.read_text(errors='replace')}"
            for path in (*sorted(self._logs.glob("*.log")), *sorted(trainers))
        )

    # Members.

    def credentials(self, name: str) -> Path:
        """Return the file of a member's credentials at the hub."""
        return self.home(CENTRE) / "hub" / "credentials" / f"{name}.toml"

    def node_credentials(self, name: str) -> Path:
        """Return the file of a node's credentials in its own home."""
        return self.node_folders.get(name, self.home(name) / "node") / "credentials.toml"

    @property
    def researcher_credentials(self) -> Path:
        """The file of the researcher's credentials in their own home."""
        return self.home(RESEARCHER) / "credentials.toml"

    def join_broker(self, broker: TestBroker, nodes: Sequence[str]) -> None:
        """Give the members credentials for a vhost of their own on the run's broker."""
        rights = federation_rights(list(nodes), [RESEARCHER])
        layout = topology.federation(
            nodes=[NodeId(node) for node in nodes],
            researchers=[ResearcherId(RESEARCHER)],
            profile=broker.profile,
        )
        vhost = broker.make_vhost(layout, rights)
        folder = self.credentials("any").parent
        folder.mkdir(parents=True)
        known = {
            RESEARCHER: Role.RESEARCHER,
            "monitor": Role.MONITOR,
            "orchestrator": Role.ORCHESTRATOR,
        }
        roles = {name: known.get(name, Role.NODE) for name in rights}
        keys = Keys({name: role for name, role in roles.items() if not role.sees_management})
        for name, role in roles.items():
            keys.write_keyring(folder / f"{name}.keys", keys.identities.get(name))
            login = Credentials(
                url=broker.url(vhost),
                user=name,
                password=broker.password,
                role=role,
                admin_url=broker.management.url if role.sees_management else "",
                identity=f"{name}.keys",
            )
            write_credentials(self.credentials(name), login)
        for node in nodes:
            move_in(self.credentials(node), self.node_credentials(node))
        move_in(self.credentials(RESEARCHER), self.researcher_credentials)

    def join_hub(
        self, nodes: Sequence[str], addresses: Sequence[str] = (), port: int | None = None
    ) -> None:
        """Let the members join a private hub, which is started then.

        It has addresses beside this machine's own where some are given.
        """
        named = [option for host in (LOOPBACK, *addresses) for option in ("--host", host)]
        every = "::" if any(":" in one for one in addresses) else "0.0.0.0"  # noqa: S104 - a test's
        listen = ["--listen", every] if addresses else []
        listen += [] if port is None else ["--port", str(port)]
        self.do(CENTRE, "hub", "init", "trial", *named, *listen)
        hub = self.home(CENTRE) / "hub"
        # Before the broker runs: it may be out of this process's sight, on another host.
        for node in nodes:
            enrol_here(hub, node, Role.NODE, self.node_credentials(node))
        enrol_here(hub, RESEARCHER, Role.RESEARCHER, self.researcher_credentials)
        self.do(CENTRE, "hub", "up")

    def join_lines(self, addresses: Mapping[str, str]) -> None:
        """Let members with a host of their own find the hub at its address on their line."""
        for name, address in addresses.items():
            path = self.own_credentials(name)
            known = read_credentials(path)
            url = known.url.replace(LOOPBACK, f"[{address}]" if ":" in address else address)
            write_credentials(path, replace(known, url=url))

    def own_credentials(self, name: str) -> Path:
        """Return the file from which a member's program reads its credentials."""
        if name == RESEARCHER:
            return self.researcher_credentials
        return self.credentials(name) if name == "orchestrator" else self.node_credentials(name)

    @property
    def broker(self) -> PrivateBroker:
        """The broker of the private hub."""
        return PrivateBroker(self.home(CENTRE) / "hub" / "broker")

    def add_node(self, name: str) -> None:
        """Register a dataset at a node that has joined."""
        self.write_policy(name, POLICY)
        self.do(name, "node", "data", "add", DATASET, str(self.write_tables(name)))

    def write_policy(self, name: str, text: str) -> None:
        """Let a node allow what the text says; one that runs reads it within a second."""
        folder = self.node_folders.get(name, self.home(name) / "node")
        (folder / "policy.toml").write_text(text)

    def write_tables(self, name: str) -> Path:
        """Return a node's dataset: cases with a row each and no images, the same every time."""
        folder = self.home(name) / "cases"
        folder.mkdir()
        rows = ["case_id,site,x"]
        for number in range(1, CASES.get(name, 6) + 1):
            (folder / f"case-{number}").mkdir()
            rows.append(f"case-{number},{name},{number * len(name) / 7:.6f}")
        (folder / "clinical.csv").write_text("\n".join(rows) + "\n")
        (folder / ".holds").symlink_to(self.holds)  # a plan reads its dataset, and where links lead
        return folder

    def approve(self, *nodes: str, plan: str = PLAN) -> None:
        """Wait until a plan was asked for on the nodes' dataset, and approve it."""

        def question_to(node: str) -> list[dict[str, Any]]:
            # Approved is what was asked last: perhaps by another test, for another dataset.
            return [
                one
                for one in self.plans(node)
                if one["decision"] == "approved" or one["asked"]["dataset"] == DATASET
            ]

        for node in nodes:
            (asked,) = until(lambda node=node: question_to(node), f"the question to {node}")  # type: ignore[misc]
            if asked["decision"] != "approved":
                self.do(node, "node", "plans", "approve", plan)

    def plans(self, node: str) -> list[dict[str, Any]]:
        """Return what `fedmq node plans list` shows."""
        shown = self.do(node, "node", "plans", "list", "--json").json
        return cast("list[dict[str, Any]]", shown["plans"])

    # Experiments.

    def write_experiment(self, *, rounds: int = 3, config: str = "", **settings: object) -> Path:
        """Return an experiment.toml with the shipped plan beside it; settings are added to it."""
        folder = self.home(RESEARCHER)
        (folder / "plan.py").write_bytes(PLAN_FILE.read_bytes())
        values: dict[str, object] = {
            "name": "tables",
            "plan": "plan.py",
            "dataset": DATASET,
            "purpose": "a test of the whole",
            "rounds": rounds,
            "quorum": 2,
            "seed": 5,
            "nodes": [LYON, PARIS],
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in (values | settings).items()]
        path = folder / "experiment.toml"
        path.write_text("\n".join(["[experiment]", *lines, "[config]", config, ""]))
        return path

    def submit(self, experiment: Path) -> str:
        """Return the id of an experiment that the orchestrator has taken."""
        return self.do(RESEARCHER, "run", str(experiment), "--detach").data.strip()

    def report(self, identifier: str) -> dict[str, Any]:
        """Return what `fedmq experiments show` shows."""
        shown = self.do(RESEARCHER, "experiments", "show", identifier, "--json").json
        return cast("dict[str, Any]", shown)

    def follow(self, identifier: str) -> str:
        """Return what a researcher is shown of an experiment, once it is finished."""
        return self.do(RESEARCHER, "experiments", "follow", identifier).data

    def digests(self, identifier: str) -> list[str]:
        """Return the digest of each round's model, once the experiment is finished."""
        self.follow(identifier)
        report = self.report(identifier)
        assert report["state"] == "finished", report
        return [record["model"] for record in report["records"]]

    def status(self, node: str) -> dict[str, Any]:
        """Return what `fedmq node status` shows."""
        return cast("dict[str, Any]", self.do(node, "node", "status", "--json").json)

    def handed_over(self, node: str, identifier: str, number: int, *, kind: str = "train") -> None:
        """Return once the orchestrator has a node's answer of a round."""
        words = f"experiment={identifier} kind={kind}.request round={number}"
        answered = re.compile(rf"task_answered +{re.escape(words)}\b")
        until(lambda: answered.search(self.programs[node].log()), f"the answer of {node}")
        until(lambda: self.status(node)["unsent"] == 0, f"the receipt of {node}")

    # Training that waits.

    def hold(self, node: str, number: int) -> None:
        """Let a node's training of a round wait; the plan's config has to name `holds`.

        The mark is a pipe: plans can read and not write, and whether one reads it can be told.
        """
        mark = self.holds / f"hold.{node}.{number}"
        if not mark.exists():
            os.mkfifo(mark)

    def reached(self, node: str, number: int) -> None:
        """Return once the training that is held has begun, and has not ended."""
        mark = self.holds / f"hold.{node}.{number}"

        def is_read() -> bool:
            try:
                os.close(os.open(mark, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                return False
            return True

        until(is_read, f"round {number} of {node}")

    def release(self) -> None:
        """Let every training go on, and forget which began."""
        for mark in self.holds.iterdir():
            mark.unlink()

    @property
    def hold_config(self) -> str:
        """The line of [config] that lets training be held."""
        return f"holds = {json.dumps(str(self.holds))}"


@contextmanager
def running_federation(  # noqa: PLR0913 - what a test may want otherwise
    folder: Path,
    broker: TestBroker | None,
    command: Command | None = None,
    *,
    hosts: Hosts | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
    way: Callable[[str], Sequence[str]] | None = None,
    nodes: Sequence[str] = (LYON, PARIS),
    node_folders: Mapping[str, Path] = MappingProxyType({}),
    address: str = "",
    port: int | None = None,
    before: Callable[[Federation], None] = lambda _federation: None,
) -> Iterator[Federation]:
    """Yield a federation of nodes that run, on the run's broker or on a private hub's.

    With hosts, the hub's is a private one, and members who have a host of their own run there; a
    way is what stands before the commands of a member, that to its host unless told; with an
    address the hub listens there too, and nodes find it there, at a port if one is said. `before`
    comes before programs.
    """
    federation = Federation(folder, command)
    federation.settings.update(settings)
    federation.node_folders.update(node_folders)
    way = hosts.way if way is None and hosts is not None else way
    if way is not None:
        for name in (CENTRE, RESEARCHER, *nodes, "orchestrator"):
            federation.commands[name] = [*way(name), *FEDMQ]
    try:
        if broker is None:
            lines = dict.fromkeys(nodes, address) if address else {}
            lines |= {} if hosts is None else hosts.addresses
            federation.join_hub(nodes, tuple(dict.fromkeys(lines.values())), port)
            federation.join_lines(lines)
        else:
            federation.join_broker(broker, nodes)
        before(federation)
        federation.start_orchestrator()
        for node in nodes:
            federation.add_node(node)
            federation.start_node(node)
        yield federation
    finally:
        federation.close()
        if broker is None:
            federation.broker.kill()  # quicker than asking it, and nobody needs what it knows
            federation.fedmq(CENTRE, "hub", "down")
