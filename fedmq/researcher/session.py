"""The session: a researcher's courier on a thread of its own, asked from other threads.

Several programs of one researcher may share a home: what one of them is given, all of them find in
the journal and among the payloads.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeVar

from fedmq.disk import LocalDisk
from fedmq.errors import BrokerRefused, BrokerUnavailable, ConfigurationError
from fedmq.messages.codec import Message, decode, encode
from fedmq.messages.envelope import Place
from fedmq.messages.fields import Manifest
from fedmq.messages.registry import Body
from fedmq.messages.submissions import Rejection
from fedmq.transport import courier as couriers
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.journal import Journal
from fedmq.transport.loop import Loop
from fedmq.transport.ports import Connected, Disconnected, Sink, Transport, TransportEvent
from fedmq.transport.routes import from_researcher
from fedmq.transport.spool import Spool
from fedmq.types import Digest, ResearcherId

SCHEMA: Final = (
    couriers.SCHEMA
    + """
CREATE TABLE IF NOT EXISTS answers (
    correlation_id TEXT PRIMARY KEY,
    encoded BLOB NOT NULL
);
"""
)
LOOK_S: Final = 0.1
"""How often it is looked whether another program of this researcher was given an answer."""

T = TypeVar("T")


class Session:
    """A researcher at a broker."""

    def __init__(
        self,
        *,
        researcher: ResearcherId,
        home: Path,
        make_transport: Callable[[Sink], Transport],
        clock: Callable[[], float] = time.time,
        orchestrator: str = "orchestrator",
    ) -> None:
        self.researcher = researcher
        self._home = home
        self._clock = clock
        self._orchestrator = orchestrator
        self._loop: Loop[TransportEvent | Callable[[], None]] = Loop()
        self._transport = make_transport(self._loop.put)
        self._disk = LocalDisk(home / "payloads")
        self._spool = Spool(self._disk)
        self._journal: Journal
        self._courier: Courier
        self._news = threading.Event()
        self._is_connected = False
        self._refusal = ""
        self._thread = threading.Thread(target=self._run, name="fedmq-researcher", daemon=True)

    def open(self) -> None:
        """Begin to connect."""
        ready: Future[None] = Future()
        self._loop.put(lambda: ready.set_result(None))
        self._thread.start()
        while not ready.done() and self._thread.is_alive():
            time.sleep(0.001)

    def close(self) -> None:
        """End the thread; what is not sent stays in the outbox for the next session."""
        if self._thread.is_alive():
            self._loop.stop()
            self._thread.join()

    # From other threads.

    def ask(self, body: Body, message_id: str, experiment: str, timeout_s: float) -> Body:
        """Return the answer to a message.

        Raises:
            ConfigurationError: the orchestrator says no, and why.
            BrokerRefused: the broker refuses the login.
            BrokerUnavailable: no broker, or no orchestrator, answers within `timeout_s`; the
                message stays in the outbox or in its queue.
        """
        self._call(lambda: self._send(body, message_id, experiment))
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self._call(lambda: self._answer(message_id))
            if answer is not None:
                if isinstance(answer, Rejection):
                    raise ConfigurationError("the orchestrator does not take it", why=answer.reason)
                return answer
            self._require_hope(deadline)
            self._news.wait(LOOK_S)
            self._news.clear()

    def adopt(self, name: str) -> Manifest:
        """Return the manifest of a file in `payloads`, which becomes a payload."""
        return self._call(lambda: self._spool.adopt(name))

    def payload_path(self, name: str) -> Path:
        """Return where a file for `adopt` goes."""
        return self._disk.path(name)

    def fetch(self, manifest: Manifest, experiment: str, timeout_s: float) -> Path:
        """Return where a payload is, once it is here, whole.

        Raises:
            BrokerRefused, BrokerUnavailable: as `ask`.
        """
        route = from_researcher(self.researcher)
        deadline = time.monotonic() + timeout_s
        if not self._spool.has(manifest.digest):
            self._call(lambda: self._courier.fetch(manifest, route, experiment))
        while not self._spool.has(manifest.digest):
            self._require_hope(deadline)
            self._news.wait(LOOK_S)
            self._news.clear()
        return self._spool.path(manifest.digest)

    def _call(self, act: Callable[[], T]) -> T:
        """Return what `act` returns on the session's thread."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(act())
            except Exception as error:  # noqa: BLE001 - handed on to who asked
                future.set_exception(error)

        self._loop.put(run)
        return future.result(timeout=60.0)

    def _require_hope(self, deadline: float) -> None:
        if self._refusal:
            raise BrokerRefused(
                f"the broker refuses {self.researcher}",
                why=self._refusal,
                fix="use the credentials that the hub wrote for you",
            )
        if time.monotonic() < deadline:
            return
        if not self._is_connected:
            raise BrokerUnavailable(
                "no broker answers",
                why=self._courier.trouble,
                fix="look whether the hub is up: fedmq hub status",
            )
        raise BrokerUnavailable(
            "the orchestrator does not answer",
            why="the message waits in its queue, and is answered when it runs",
            fix="ask the hub's operator for: fedmq orchestrator start",
        )

    # On the session's thread.

    def _run(self) -> None:
        self._journal = Journal(self._home / "journal.sqlite", SCHEMA)
        self._courier = Courier(
            me=self.researcher,
            transport=self._transport,
            journal=self._journal,
            spool=self._spool,
            clock=self._clock,
            only_from=self._orchestrator,
        )
        self._courier.attach(self)
        self._transport.consume(topology.researcher_inbox(self.researcher), prefetch=16)
        self._transport.consume(topology.researcher_payloads(self.researcher), prefetch=8)
        self._transport.start()
        try:
            self._loop.run(self._take, self._courier.tick)
        finally:
            self._transport.close()
            self._journal.close()

    def _take(self, event: TransportEvent | Callable[[], None]) -> None:
        if callable(event):
            event()
            return
        match event:
            case Connected():
                self._is_connected = True
                self._refusal = ""
            case Disconnected(why=why, refused=refused):
                self._is_connected = False
                self._refusal = why if refused else ""
            case _:
                pass
        self._courier.handle(event)
        self._news.set()

    def _send(self, body: Body, message_id: str, experiment: str) -> None:
        message = self._courier.write(body, message_id, "-", Place(experiment=experiment))
        with self._courier.transaction():
            self._courier.post(message, from_researcher(self.researcher))

    def _answer(self, message_id: str) -> Body | None:
        encoded = self._journal.cell(
            "SELECT encoded FROM answers WHERE correlation_id = ?", (message_id,)
        )
        return decode(encoded).body if isinstance(encoded, bytes) else None

    # What the courier asks (`fedmq.transport.courier.Receiver`).

    def accept(self, message: Message) -> None:
        """Keep an answer for whoever asked."""
        correlation = message.envelope.correlation_id or ""
        self._journal.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?)", (correlation, encode(message))
        )

    def expect(self, _message: Message) -> bool:
        """No answer announces a payload."""
        return False

    def hear(self, _message: Message) -> None:
        """Researchers read no events."""

    def fetched(self, digest: Digest) -> None:
        """A model is here: who waits for it looks."""

    def may_fetch(self, sender: str, digest: Digest) -> bool:
        """The orchestrator may have what a submission announced."""
        return sender == self._orchestrator and self._spool.has(digest)
