"""A broker and connections to it on which everything goes wrong that may go wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from fedmq.simulation.faults import Fault, Misfortune
from fedmq.transport.declarations import Queue, Topology
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.memory_queue import MemoryQueue, Stored
from fedmq.transport.ports import Confirmed, Delivery, Publication
from fedmq.transport.topology import EVENTS, Lane

LOST_EVENTS: Final = 0.75
"""Of the events, which may be lost: so they are, and cost less."""


class FaultyBroker(MemoryBroker):
    """Takes what waits in any order that RabbitMQ may take, and lets messages overtake others."""

    def __init__(self, topology: Topology, misfortune: Misfortune, random: Random) -> None:
        self._misfortune = misfortune
        self.buried: list[bytes] = []
        """Messages that became dead letters."""
        super().__init__(topology, choose=random.randrange)

    def hand_over(self, queue: MemoryQueue) -> None:
        """Give waiting messages to consumers, now and then one from the middle first."""
        if len(queue.ready) > 1 and self._misfortune.happens(Fault.OVERTAKE):
            index = self._misfortune.random.randrange(len(queue.ready))
            stored = queue.ready[index]
            del queue.ready[index]
            queue.ready.appendleft(stored)
        super().hand_over(queue)

    def bury(self, queue: MemoryQueue, stored: Stored) -> None:
        """Keep a message that was turned away, or that came too often."""
        if queue.has_dead_letters:
            self.buried.append(stored.publication.body)
        super().bury(queue, stored)


@dataclass(eq=False, kw_only=True)
class FaultyTransport(MemoryTransport):
    """Keeps the promises of a transport, and no more than these."""

    misfortune: Misfortune
    step: Callable[[str], None]
    """Is called before each thing that is sent or acknowledged, with a word for it."""
    broke: Callable[["FaultyTransport"], None]
    """Is called with a connection that broke, and is to be opened again in a while."""

    def publish(self, publication: Publication, ticket: int) -> None:
        """Hand over one publication, unless the program is killed before."""
        self.step("publish")
        super().publish(publication, ticket)

    def acknowledge(self, delivery: Delivery) -> None:
        """Take a delivery off its queue, unless the program is killed before."""
        self.step("acknowledge")
        super().acknowledge(delivery)

    def reject(self, delivery: Delivery) -> None:
        """Take a delivery off its queue, unless the program is killed before."""
        self.step("reject")
        super().reject(delivery)

    def declare(self, queues: Sequence[Queue]) -> None:
        """Make queues, unless the program is killed before."""
        self.step("declare")
        super().declare(queues)

    def delete(self, queues: Sequence[str]) -> None:
        """Delete queues, unless the program is killed before."""
        self.step("delete")
        super().delete(queues)

    def publish_now(self, signed: Publication, ticket: int, connection: int) -> None:
        """Let the broker take a publication, or something happen to it on its way."""
        if not self._is_connected or connection != self._connection:
            return
        if self.misfortune.happens(Fault.CUT):
            if self.misfortune.random.random() < 0.5:  # noqa: PLR2004 - a coin
                self.broker.accept(signed)  # its confirm is lost
            self.disconnect()
            self.broke(self)
            return
        if signed.exchange == EVENTS and self.misfortune.random.random() < LOST_EVENTS:
            self.sink(Confirmed(ticket=ticket))
            return
        # A control message that is altered and still a message would be believed: chunks are
        # hashed, and nobody signs here (tests/unit/security/test_wire.py has what signatures find).
        if signed.routing_key.endswith(Lane.BULK):
            if self.misfortune.happens(Fault.LOSE_CHUNK):
                self.sink(Confirmed(ticket=ticket))
                return
            if self.misfortune.happens(Fault.DAMAGE_CHUNK):
                signed = replace(signed, body=self._damaged(signed.body))
        super().publish_now(signed, ticket, connection)
        if self.misfortune.happens(Fault.REPEAT):
            self.broker.accept(signed)
            if connection == self._connection and self._is_connected:
                self.sink(Confirmed(ticket=ticket))

    def _damaged(self, body: bytes) -> bytes:
        altered = bytearray(body)
        bit = self.misfortune.random.randrange(8 * len(altered))
        altered[bit // 8] ^= 1 << (bit % 8)
        return bytes(altered)
