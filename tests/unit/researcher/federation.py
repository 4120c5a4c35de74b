"""A federation in the process whose members have threads of their own, as programs have."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from fedmq.clocks import SystemClock
from fedmq.messages.codec import Message
from fedmq.messages.registry import Body
from fedmq.orchestrator.service import OrchestratorService
from fedmq.researcher.client import Client
from fedmq.researcher.experiment import Experiment
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport import topology
from fedmq.transport.declarations import Queue
from fedmq.transport.home import LocalHome
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import Delivery, Publication, Sink, Transport
from fedmq.types import ORCHESTRATOR, NodeId, ResearcherId

ANNA = "anna"
LYON = "chu-lyon"
SETTLES_S = 20.0


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return once a condition holds; fail when it does not in good time."""
    deadline = time.monotonic() + SETTLES_S
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        pause.wait(0.01)


def experiment(**changes: object) -> Experiment:
    """Return a small experiment of the catalogue that needs numpy alone."""
    values: dict[str, object] = {
        "name": "lung",
        "plan": "clinical-logistic",
        "dataset": "lung-petct",
        "rounds": 2,
        "quorum": 1,
    }
    return Experiment(**(values | changes))  # type: ignore[arg-type]


class SharedTransport:
    """A memory transport that may be used from any thread: one at a time is in the broker."""

    def __init__(self, inner: MemoryTransport, turn: threading.Condition) -> None:
        self.inner = inner
        self.counted: list[str] = []
        """The queues whose readers were asked for."""
        self._turn = turn

    def start(self) -> None:
        """As the port says."""
        self._take(self.inner.start)

    def publish(self, publication: Publication, ticket: int) -> None:
        """As the port says."""
        self._take(lambda: self.inner.publish(publication, ticket))

    def consume(self, queue: str, *, prefetch: int) -> None:
        """As the port says."""
        self._take(lambda: self.inner.consume(queue, prefetch=prefetch))

    def stop_consuming(self, queue: str) -> None:
        """As the port says."""
        self._take(lambda: self.inner.stop_consuming(queue))

    def count_readers(self, queues: Sequence[str]) -> None:
        """As the port says."""
        self.counted.extend(queues)
        self._take(lambda: self.inner.count_readers(queues))

    def declare(self, queues: Sequence[Queue]) -> None:
        """As the port says."""
        self._take(lambda: self.inner.declare(queues))

    def delete(self, queues: Sequence[str]) -> None:
        """As the port says."""
        self._take(lambda: self.inner.delete(queues))

    def acknowledge(self, delivery: Delivery) -> None:
        """As the port says."""
        self._take(lambda: self.inner.acknowledge(delivery))

    def reject(self, delivery: Delivery) -> None:
        """As the port says."""
        self._take(lambda: self.inner.reject(delivery))

    def close(self) -> None:
        """As the port says."""
        self._take(self.inner.close)

    def _take(self, act: Callable[[], None]) -> None:
        with self._turn:
            act()
            self._turn.notify_all()


class Federation:
    """A broker with a thread, a researcher anna, a node that never answers."""

    def __init__(self, folder: Path, orchestrators: Sequence[str] = (ORCHESTRATOR,)) -> None:
        self.folder = folder
        self.orchestrators = orchestrators
        self.broker = MemoryBroker(
            topology.federation(
                nodes=[NodeId(LYON)],
                researchers=[ResearcherId(ANNA)],
                orchestrators=orchestrators,
            )
        )
        self._turn = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._drive, daemon=True)
        self._serving: dict[str, tuple[OrchestratorService, threading.Thread]] = {}
        self._clients: list[Client] = []
        self._transports: dict[str, list[SharedTransport]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        for name in list(self._serving):
            self.stop_orchestrator(name)
        with self._turn:
            self._is_over = True
            self._turn.notify_all()
        self._thread.join()

    def transport(self, user: str) -> Callable[[Sink], Transport]:
        """Return what makes the transport of a user."""

        def make(sink: Sink) -> Transport:
            made = SharedTransport(MemoryTransport(self.broker, user, sink), self._turn)
            self._transports.setdefault(user, []).append(made)
            return made

        return make

    def counted(self, user: str) -> list[str]:
        """Return the queues of whose readers the programs of a user asked."""
        return [queue for one in self._transports.get(user, []) for queue in one.counted]

    def client(self, home: str = "home", timeout_s: float = SETTLES_S) -> Client:
        """Return a client of anna's."""
        made = Client(
            researcher=ANNA,
            home=LocalHome(self.folder / home),
            make_transport=self.transport(ANNA),
            wire=PlainWire(self.orchestrators),
            timeout_s=timeout_s,
        )
        self._clients.append(made)
        return made

    def start_orchestrator(self, name: str = ORCHESTRATOR) -> None:
        """Return once an orchestrator serves."""
        ready = threading.Event()
        services = []

        def serve() -> None:
            service = OrchestratorService(
                name=name,
                home=LocalHome(self.folder / name),
                make_transport=self.transport(name),
                wire=PlainWire(self.orchestrators),
                clock=SystemClock(),
                version="0",
            )
            services.append(service)
            ready.set()
            service.run()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert ready.wait(SETTLES_S)
        self._serving[name] = services[0], thread

    def stop_orchestrator(self, name: str = ORCHESTRATOR) -> None:
        """Return once the orchestrator is gone, if it was there."""
        if name in self._serving:
            service, thread = self._serving.pop(name)
            service.loop.stop()
            thread.join()

    def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        with self._turn:
            return self.broker.depth(queue)

    def _drive(self) -> None:
        with self._turn:
            while not self._is_over:
                if not self.broker.step():
                    self._turn.wait()


def bodies(messages: Sequence[Message]) -> list[Body]:
    """Return what messages say."""
    return [message.body for message in messages]
