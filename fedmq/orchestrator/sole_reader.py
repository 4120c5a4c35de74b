"""The sole reader: what is for an orchestrator is read by one program of its name at a time.

Two programs of one name, with stores of their own, would share submissions, receipts and signs of
life between them, each message going to one of the two, and most to the wrong one. So a program
begins to read once nobody else does. A program that died without a word is counted by the broker
for two heartbeats more; who is still there after that has a store of its own.
"""

from typing import Final

import structlog

from fedmq.clocks import Clock
from fedmq.errors import SecondStore
from fedmq.transport import topology
from fedmq.transport.ports import Connected, Disconnected, ReadersCounted, Transport, TransportEvent

INBOX_PREFETCH: Final = 1
EVENTS_PREFETCH: Final = 256
LOOK_S: Final = 1.0
WATCH_S: Final = 30.0
PATIENCE_S: Final = 200.0

log = structlog.get_logger()


class SoleReader:
    """The reading of one orchestrator's common queues."""

    def __init__(self, orchestrator: str, transport: Transport, clock: Clock) -> None:
        self._inbox = topology.orchestrator_inbox(orchestrator)
        self._events = topology.orchestrator_events(orchestrator)
        self._transport = transport
        self._clock = clock
        self._is_reading = False
        self._is_connected = False
        self._look_at = clock.steady()
        self._others_since: float | None = None

    def handle(self, event: TransportEvent) -> None:
        """Take an event of the transport.

        Raises:
            SecondStore: another program reads, and is no dead one.
        """
        match event:
            case Connected():
                self._is_connected, self._others_since = True, None
                self._look()
            case Disconnected():
                self._is_connected = False
            case ReadersCounted(queue=queue, num_readers=number) if queue == self._inbox:
                self._take(number)
            case _:
                pass

    def tick(self) -> None:
        """Look again who reads, now and then."""
        if self._is_connected and self._clock.steady() >= self._look_at:
            self._look()

    def _look(self) -> None:
        self._look_at = self._clock.steady() + (WATCH_S if self._is_reading else LOOK_S)
        self._transport.count_readers([self._inbox])

    def _take(self, number: int | None) -> None:
        # A broker that does not say is believed to have nobody else.
        others = 0 if number is None else number - self._is_reading
        if others <= 0:
            self._others_since = None
            self._read()
            return
        now = self._clock.steady()
        if self._others_since is None:
            self._others_since = now
            if not self._is_reading:
                log.warning("inbox_taken", reason=str(_error()))
        elif now >= self._others_since + PATIENCE_S:
            raise _error()

    def _read(self) -> None:
        if self._is_reading:
            return
        self._is_reading = True
        self._transport.consume(self._inbox, prefetch=INBOX_PREFETCH)
        self._transport.consume(self._events, prefetch=EVENTS_PREFETCH)


def _error() -> SecondStore:
    return SecondStore(
        "another program serves under this orchestrator's name",
        why="it reads the queue of its submissions, and its store is not the folder of this one;"
        " or it died a moment ago, and the broker has not noticed yet",
        fix="end one of the two; or let both see one folder, and start one of them as it was"
        " started, with --stand-by added; or give this one a name of its own, with: fedmq hub"
        " add-orchestrator NAME",
    )
