"""The orchestrator as a program on RabbitMQ, with the rights of the hub, killed at every stage."""

import json
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from fedmq.messages.envelope import Place
from fedmq.messages.submissions import ExperimentReport, Query, QueryKind
from fedmq.parameters import parameters_bytes
from fedmq.transport import topology
from fedmq.transport.ports import Connected, Sink, TransportEvent
from fedmq.transport.rabbitmq import RabbitTransport
from tests.support.broker import TestBroker, federation_rights
from tests.unit.orchestrator.arithmetic import (
    ADA,
    LUNG,
    NODES,
    ORCHESTRATOR,
    make_spec,
    models_by_hand,
)
from tests.unit.orchestrator.members import Node, Researcher

pytestmark = pytest.mark.rabbitmq

PATIENCE_S = 60.0
PROGRAM = """
import json, sys
from pathlib import Path
from fedmq.clocks import SystemClock
from fedmq.orchestrator.service import OrchestratorService
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport.home import LocalHome
from fedmq.transport.rabbitmq import Login, RabbitTransport

home, login = json.loads(sys.stdin.read())
OrchestratorService(
    name=login["user"],
    home=LocalHome(Path(home)),
    make_transport=lambda sink: RabbitTransport(Login(**login), sink),
    wire=PlainWire(),
    clock=SystemClock(),
    version="1",
).run()
"""


class Federation:
    """Scripted members in this process, the orchestrator in one of its own."""

    def __init__(self, folder: Path, broker: TestBroker) -> None:
        self.folder = folder
        self._broker = broker
        self._vhost = broker.make_vhost(
            topology.federation(nodes=NODES, researchers=[ADA], profile=broker.profile),
            federation_rights(list(NODES), [ADA]),
        )
        self._events: queue.SimpleQueue[tuple[Sink, TransportEvent]] = queue.SimpleQueue()
        self._connected: set[str] = set()
        self._orchestrator: subprocess.Popen[bytes] | None = None
        self.nodes = {name: Node(self, name) for name in NODES}
        self.ada = Researcher(self, ADA)
        self.until(lambda: self._connected == {*NODES, ADA})

    @property
    def now(self) -> float:
        """The time."""
        return time.time()

    def join(self, name: str, take: Sink) -> RabbitTransport:
        """Return a member's way to the broker; its events wait for this thread."""

        def note(event: TransportEvent) -> None:
            if isinstance(event, Connected):
                self._connected.add(name)
            take(event)

        login = self._broker.login(self._vhost, name)
        return RabbitTransport(login, lambda event: self._events.put((note, event)))

    def start(self) -> None:
        """Begin a life of the orchestrator."""
        login = asdict(self._broker.login(self._vhost, ORCHESTRATOR))
        self._orchestrator = subprocess.Popen(  # noqa: S603 - the program above
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert self._orchestrator.stdin is not None
        with self._orchestrator.stdin as stdin:
            stdin.write(json.dumps([str(self.folder / ORCHESTRATOR), login]).encode())

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._orchestrator is not None
        assert self._orchestrator.poll() is None, "the orchestrator ended by itself"
        self._orchestrator.kill()
        self._orchestrator.wait()

    def until(self, is_so: Callable[[], bool]) -> None:
        """Let members act until something is so."""
        deadline = time.monotonic() + PATIENCE_S
        next_tick = 0.0
        while not is_so():
            assert time.monotonic() < deadline, "it took too long"
            try:
                take, event = self._events.get(timeout=0.1)
                take(event)
            except queue.Empty:
                pass
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + 0.25
                for member in (*self.nodes.values(), self.ada):
                    member.courier.tick()

    def experiment_queues(self) -> set[str]:
        """Return the names of the queues of experiments on the broker."""
        names = self._broker.management.names("queues", self._vhost)
        return {name for name in names if name.startswith("experiment.")}

    def close(self) -> None:
        """End everything."""
        if self._orchestrator is not None and self._orchestrator.poll() is None:
            self._orchestrator.terminate()
            self._orchestrator.wait()
        for member in (*self.nodes.values(), self.ada):
            member.transport.close()
            member.journal.close()
        self._broker.remove_vhost(self._vhost)


@pytest.fixture
def federation(tmp_path: Path, broker: TestBroker) -> Iterator[Federation]:
    """Return three nodes and a researcher on a broker of their own."""
    made = Federation(tmp_path, broker)
    yield made
    made.close()


def test_killed_at_every_stage_it_makes_the_models_that_it_makes_undisturbed(
    federation: Federation,
) -> None:
    """The rights of the hub are enough; each node trains once for each round; nothing is left."""
    nodes = federation.nodes.values()
    federation.start()
    federation.ada.submit(make_spec())
    stages: list[Callable[[], bool]] = [
        lambda: any(node.asked_to_prepare for node in nodes),
        lambda: any(node.trainings[LUNG, 1] for node in nodes),
        lambda: any(node.evaluations[LUNG, 1] for node in nodes),
        lambda: all(node.trainings[LUNG, 2] for node in nodes),
        lambda: any(node.over[LUNG] for node in nodes),
    ]
    for is_reached in stages:
        federation.until(is_reached)
        federation.kill()
        federation.start()
    federation.until(lambda: all(node.over[LUNG] for node in nodes))
    federation.ada.post(Query(kind=QueryKind.SHOW, experiment=LUNG), "show", Place())
    federation.until(lambda: "show" in federation.ada.answers)
    report = federation.ada.answers["show"]
    assert isinstance(report, ExperimentReport)
    assert (report.state, len(report.records)) == ("finished", 2)
    folder = federation.folder / ORCHESTRATOR / "experiments" / LUNG
    for number, model in enumerate(models_by_hand(2)):
        kept = folder / f"round-{number:04d}.safetensors"
        assert kept.read_bytes() == parameters_bytes(model)
    assert len((folder / "rounds.jsonl").read_text().splitlines()) == 2
    for node in nodes:
        assert node.trainings == {(LUNG, 1): 1, (LUNG, 2): 1}
        assert node.over == {LUNG: 1}
    federation.until(lambda: all(not node.courier.num_unsent for node in nodes))
    federation.until(lambda: not federation.experiment_queues())
