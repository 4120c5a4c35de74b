"""Pushes payloads: chunk by chunk, a window of them unconfirmed, several payloads in turn.

A push is not remembered: what a broken connection or a full queue loses, its receiver asks for.
A chunk is sealed for so many readers at most as one message has room for: more of them are groups,
each with a push of its own.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fedmq.clocks import Clock
from fedmq.errors import ProtocolError
from fedmq.messages.codec import MAX_READERS, Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import Manifest
from fedmq.messages.payloads import Chunk
from fedmq.transport.outbox import properties_of
from fedmq.transport.ports import Publication, Transport
from fedmq.transport.routes import Route
from fedmq.transport.spool import Spool
from fedmq.transport.topology import Lane
from fedmq.transport.wires import Wire
from fedmq.types import Digest

WINDOW: Final = 8
"""Chunks on their way to the broker at once; memory is so many chunks, whatever the payload."""


@dataclass(frozen=True, slots=True)
class _OnItsWay:
    """A chunk without the broker's word."""

    digest: Digest
    index: int
    routes: frozenset[Route]


@dataclass(frozen=True, slots=True)
class _Push:
    manifest: Manifest
    experiment: str
    routes: tuple[Route, ...]
    left: deque[int]
    answers: str | None


class Pusher:
    """The payloads that one service is sending."""

    def __init__(
        self,
        me: str,
        spool: Spool,
        transport: Transport,
        wire: Wire,
        tickets: Iterator[int],
        clock: Clock,
    ) -> None:
        self._me = me
        self._spool = spool
        self._transport = transport
        self._wire = wire
        self._tickets = tickets
        self._clock = clock
        self._pushes: deque[_Push] = deque()
        self._open: dict[int, _OnItsWay] = {}
        self._is_connected = False
        self.bytes_of: dict[tuple[str, str], int] = {}
        """By exchange and experiment: bytes of chunks for the broker, each fan-out once."""

    @property
    def is_busy(self) -> bool:
        """Whether chunks are waiting or on their way."""
        return bool(self._pushes or self._open)

    def push(
        self,
        manifest: Manifest,
        routes: Sequence[Route],
        experiment: str,
        chunks: Sequence[int] | None = None,
        answers: str | None = None,
    ) -> None:
        """Send a whole payload of the spool, or the `chunks` of it, once to each group of `routes`.

        What is being pushed to the same place already, or is on a slow line to the broker, is not
        pushed a second time beside it. Chunks say which question they answer.
        """
        if not routes or not self._is_connected or not self._spool.has(manifest.digest):
            return
        for first in range(0, len(routes), MAX_READERS):
            group = tuple(routes[first : first + MAX_READERS])
            self._add(manifest, group, experiment, chunks, answers)
        self.pump()

    def _add(
        self,
        manifest: Manifest,
        wanted: tuple[Route, ...],
        experiment: str,
        chunks: Sequence[int] | None,
        answers: str | None,
    ) -> None:
        for push in self._pushes:
            if push.manifest.digest == manifest.digest and set(wanted) <= set(push.routes):
                return
        indices = range(manifest.num_chunks) if chunks is None else chunks
        under_way = {
            chunk.index
            for chunk in self._open.values()
            if chunk.digest == manifest.digest and chunk.routes.issuperset(wanted)
        }
        left = deque(
            index for index in indices if index < manifest.num_chunks and index not in under_way
        )
        self._pushes.append(_Push(manifest, experiment, wanted, left, answers))

    def connected(self) -> None:
        """Begin to send."""
        self._is_connected = True

    def disconnected(self) -> None:
        """Forget what was under way; receivers ask for what they miss."""
        self._is_connected = False
        self._pushes.clear()
        self._open.clear()

    def ended(self, ticket: int) -> None:
        """The broker gave its word on a chunk: the next one may go."""
        if self._open.pop(ticket, None) is not None:
            self.pump()

    def pump(self) -> None:
        """Publish chunks while the window has room, of each payload in turn."""
        while len(self._open) < WINDOW and self._pushes:
            push = self._pushes.popleft()
            if not push.left or not self._spool.has(push.manifest.digest):
                continue
            self._publish(push, push.left.popleft())
            self._pushes.append(push)

    def _publish(self, push: _Push, index: int) -> None:
        chunk, data = self._spool.chunk(push.manifest, index)
        message = Message(
            envelope=Envelope(
                type=Chunk.TYPE,
                message_id=f"{push.manifest.digest[:16]}.{index}",
                correlation_id=push.answers,
                sender=self._me,
                recipient="-",
                experiment=push.experiment,
                sent_at=self._clock.now(),
                roster=self._wire.version,
            ),
            body=chunk,
            data=data,
        )
        first, *others = (route.key(Lane.BULK) for route in push.routes)
        try:
            body = self._wire.seal(message, [route.reader for route in push.routes])
        except ProtocolError:
            # Nobody knows a reader's keys: who has none yet asks again once the roster has them.
            push.left.clear()
            return
        ticket = next(self._tickets)
        self._open[ticket] = _OnItsWay(push.manifest.digest, index, frozenset(push.routes))
        way = (push.routes[0].exchange, push.experiment)
        self.bytes_of[way] = self.bytes_of.get(way, 0) + len(body)
        self._transport.publish(
            Publication(
                exchange=push.routes[0].exchange,
                routing_key=first,
                also_to=tuple(others),
                body=body,
                properties=properties_of(message.envelope),
            ),
            ticket,
        )
