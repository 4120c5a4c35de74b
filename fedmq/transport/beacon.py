"""The beacon: signs of life of a service that can do nothing else, since its disk is full.

It reads no queue and keeps nothing, so it needs no disk.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from fedmq.clocks import Clock
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.registry import Body
from fedmq.transport import topology
from fedmq.transport.outbox import properties_of
from fedmq.transport.ports import (
    Connected,
    Disconnected,
    Publication,
    Sink,
    Transport,
    TransportEvent,
)
from fedmq.transport.routes import event_key
from fedmq.transport.wires import Wire
from fedmq.types import NOWHERE

TELL_S: Final = 5.0


class Beacon:
    """Tells the same signs again and again while there is a connection."""

    def __init__(  # noqa: PLR0913 - everything that the outside gives a service
        self,
        *,
        me: str,
        make_transport: Callable[[Sink], Transport],
        sink: Sink,
        clock: Clock,
        signs: Sequence[Body],
        wire: Wire,
        numbers: Iterator[int],
    ) -> None:
        self._me = me
        self._wire = wire
        self._numbers = numbers
        self._clock = clock
        self._signs = signs
        self._tickets = itertools.count(1)
        self._is_connected = False
        self._tell_at = clock.steady()
        self._transport = make_transport(sink)
        self._transport.start()

    def close(self) -> None:
        """Let go of the broker."""
        self._transport.close()

    def handle(self, event: TransportEvent) -> None:
        """Take an event of the transport."""
        match event:
            case Connected():
                self._is_connected, self._tell_at = True, self._clock.steady()
            case Disconnected():
                self._is_connected = False
            case _:
                return
        self.tick()

    def tick(self) -> None:
        """Tell what is due."""
        if self._is_connected and self._clock.steady() >= self._tell_at:
            self._tell_at = self._clock.steady() + TELL_S
            for body in self._signs:
                self._tell(body)

    def _tell(self, body: Body) -> None:
        kind = body.TYPE
        now = self._clock.now()
        envelope = Envelope(
            type=kind,
            message_id=f"{kind}.{int(now * 1000)}",
            sender=self._me,
            recipient=NOWHERE,
            sent_at=now,
            roster=self._wire.version,
            counter=next(self._numbers),
        )
        message = Message(envelope=envelope, body=body)
        self._transport.publish(
            Publication(
                exchange=topology.EVENTS,
                routing_key=event_key(NOWHERE, self._me, kind),
                body=self._wire.seal(message),
                properties=properties_of(envelope),
                mandatory=False,
            ),
            next(self._tickets),
        )
