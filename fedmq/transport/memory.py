"""A broker in the process: the semantics of RabbitMQ that fedmq relies on, without a network.

Deterministic and single-threaded: nothing happens before its driver calls `step` or
`run_until_idle`, and then in the order in which it was asked for; or, where the driver chooses, in
any order that RabbitMQ may take: what is of one connection's publishing, of its consuming, or of
one queue stays in order. Product code: simulations and tests of services run on it;
`tests/contract/` holds it to the same suite as RabbitMQ.

Modelled: exchanges, bindings, BCC, mandatory returns, single active consumers, prefetch,
redelivery and its limit, dead letters, length limits with both overflow behaviours. Not modelled:
rights, time-to-live, alarms, and streams, which are for watchers alone and are left out.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

from fedmq.transport.declarations import Policy, Queue, Topology
from fedmq.transport.memory_queue import Consumer, MemoryQueue, Stored, key_matches
from fedmq.transport.ports import (
    Confirmed,
    Connected,
    ConsumerBack,
    ConsumerLost,
    Delivered,
    Delivery,
    Disconnected,
    Nacked,
    Publication,
    ReadersCounted,
    Returned,
    Sink,
)
from fedmq.transport.topology import DEAD, EXCHANGES

_TOPIC: Final = "topic"

T = TypeVar("T")


Choose = Callable[[int], int]
"""Takes how many ways are open, returns the number of the one to take."""


class MemoryBroker:
    """Exchanges and queues, and the steps that are waiting to be taken."""

    def __init__(self, topology: Topology, choose: Choose | None = None) -> None:
        self._topology = topology
        self._policies: tuple[Policy, ...] = topology.policies
        self._kinds = {exchange.name: exchange.type for exchange in EXCHANGES}
        self._queues: dict[str, MemoryQueue] = {}
        self._bound: dict[str, dict[str, set[str]]] = {}
        """By exchange and key of binding: the names of the queues."""
        self._choose = choose
        self._steps: dict[Hashable, deque[Callable[[], None]]] = {}
        """By lane. Without a chooser there is one lane: all in the order in which it came."""
        self._routes: dict[tuple[str, str, tuple[str, ...]], list[MemoryQueue]] = {}
        """Where publications of an exchange with these keys go, as long as the queues are these."""
        self.wipe()

    def wipe(self) -> None:
        """Lose every message and every queue but those that stand before the first experiment."""
        for name in list(self._queues):
            self.delete(name)
        for queue in self._topology.queues:
            self.declare(queue)

    @property
    def num_waiting(self) -> int:
        """How many steps wait to be taken."""
        return sum(map(len, self._steps.values()))

    def step(self) -> bool:
        """Take one waiting step; return whether there was one."""
        if not self._steps:
            return False
        lanes = list(self._steps)
        lane = lanes[0 if self._choose is None else self._choose(len(lanes))]
        steps = self._steps[lane]
        act = steps.popleft()
        if not steps:
            del self._steps[lane]
        act()
        return True

    def run_until_idle(self) -> None:
        """Take steps until none is waiting."""
        while self.step():
            pass

    def depth(self, queue: str) -> int:
        """Return how many messages of `queue` wait to be handed over."""
        return len(self._queues[queue].ready)

    def later(self, action: Callable[[], None], lane: Hashable = None) -> None:
        """Put `action` at the end of the waiting steps of its lane."""
        lane = None if self._choose is None else lane
        self._steps.setdefault(lane, deque()).append(action)

    def declare(self, queue: Queue) -> None:
        """Make `queue` unless it is there, or is a stream."""
        if queue.name not in self._queues and not queue.is_stream:
            self._queues[queue.name] = MemoryQueue(queue, self._policies)
            for binding in queue.bindings:
                bound = self._bound.setdefault(binding.exchange, {})
                bound.setdefault(binding.key, set()).add(queue.name)
            self._routes.clear()

    def delete(self, name: str) -> None:
        """Delete a queue with what is in it; its consumers are told."""
        queue = self._queues.pop(name, None)
        if queue is not None:
            for binding in queue.declared.bindings:
                self._bound[binding.exchange][binding.key].discard(name)
            self._routes.clear()
            for consumer in queue.consumers:
                consumer.lost("the queue was deleted")

    def route(self, publication: Publication) -> list[MemoryQueue]:
        """Return the queues that `publication` goes to, each once, in the order of their names."""
        way = (publication.exchange, publication.routing_key, publication.also_to)
        queues = self._routes.get(way)
        if queues is None:
            queues = self._routes[way] = self._find_queues(*way)
        return queues

    def _find_queues(
        self, exchange: str, routing_key: str, also_to: tuple[str, ...]
    ) -> list[MemoryQueue]:
        bound = self._bound.get(exchange, {})
        names: set[str] = set()
        for key in (routing_key, *also_to):
            if self._kinds.get(exchange) != _TOPIC:
                names |= bound.get(key, set())
                continue
            for pattern, queues in bound.items():
                if key_matches(pattern, key):
                    names |= queues
        return [self._queues[name] for name in sorted(names)]

    def accept(self, publication: Publication) -> str:
        """Store `publication`; return `confirmed`, `nacked` or `returned`."""
        queues = self.route(publication)
        if not queues:
            return "returned" if publication.mandatory else "confirmed"
        if any(queue.is_full for queue in queues):
            return "nacked"
        for queue in queues:
            queue.store(Stored(publication=publication))
            self.later(partial(self.hand_over, queue), queue.declared.name)
        return "confirmed"

    def hand_over(self, queue: MemoryQueue) -> None:
        """Give waiting messages to consumers that have room; dead-letter the poisonous ones."""
        for stored in queue.take_poisonous():
            self.bury(queue, stored)
        while (consumer := queue.next_consumer()) is not None:
            consumer.deliver(queue.take())

    def bury(self, queue: MemoryQueue, stored: Stored) -> None:
        """Move a rejected or poisonous message to the dead letters, where the queue has them."""
        if not queue.has_dead_letters:
            return
        publication = replace(stored.publication, exchange=DEAD, also_to=(), mandatory=False)
        self.accept(publication)

    def queue(self, name: str) -> MemoryQueue | None:
        """Return a queue, None where there is none."""
        return self._queues.get(name)


@dataclass(slots=True)
class _Unacknowledged:
    queue: str
    stored: Stored
    consumer: Consumer


@dataclass(slots=True, eq=False)
class MemoryTransport:
    """A connection to a `MemoryBroker`; the port's promises hold while its driver takes steps."""

    broker: MemoryBroker
    user: str
    sink: Sink
    _connection: int = 0
    _is_connected: bool = False
    _is_closed: bool = False
    _next_tag: int = 1
    _declared: dict[str, Queue] = field(default_factory=dict)
    _prefetch: dict[str, int] = field(default_factory=dict)
    _lost: set[str] = field(default_factory=set)
    _unacknowledged: dict[int, _Unacknowledged] = field(default_factory=dict)

    def start(self) -> None:
        """Begin connecting."""
        self.broker.later(self.connect, (self, "in"))

    def connect(self) -> None:
        """Connect now: queues are declared, consumers registered, then `Connected` is told."""
        if self._is_connected or self._is_closed:
            return
        self._is_connected = True
        self._connection += 1
        self._next_tag = 1  # as AMQP counts: anew on every connection
        for queue in self._declared.values():
            self.broker.declare(queue)
        for name in self._prefetch:
            self._register(name)
        self.sink(Connected())

    def disconnect(self, why: str = "the connection was cut") -> None:
        """Cut the connection now: open tickets are void, what is in hand goes back to its queue."""
        if not self._is_connected:
            return
        self._drop_connection()
        self.sink(Disconnected(why=why, refused=False, retry_in_s=0.0))

    def publish(self, publication: Publication, ticket: int) -> None:
        """Hand over one publication, under the login of this connection."""
        signed = publication
        if publication.properties.user_id != self.user:
            properties = replace(publication.properties, user_id=self.user)
            signed = replace(publication, properties=properties)
        act = partial(self.publish_now, signed, ticket, self._connection)
        self.broker.later(act, (self, "out"))

    def publish_now(self, signed: Publication, ticket: int, connection: int) -> None:
        """Let the broker take a publication, and tell what became of it."""
        # What was under way when the connection broke is lost with it.
        if not self._is_connected or connection != self._connection:
            return
        match self.broker.accept(signed):
            case "returned":
                self.sink(Returned(ticket=ticket, routing_key=signed.routing_key))
            case "nacked":
                self.sink(Nacked(ticket=ticket))
            case _:
                self.sink(Confirmed(ticket=ticket))

    def consume(self, queue: str, *, prefetch: int) -> None:
        """Read `queue`, now and after every reconnect."""
        self._prefetch[queue] = prefetch
        self.broker.later(lambda: self._register(queue), (self, "in"))

    def stop_consuming(self, queue: str) -> None:
        """Read `queue` no more; what is in hand stays in hand."""
        self._prefetch.pop(queue, None)
        self.broker.later(lambda: self._unregister(queue), (self, "in"))

    def count_readers(self, queues: Sequence[str]) -> None:
        """Ask who reads queues."""
        self._when_connected(queues, self._count_readers)

    def declare(self, queues: Sequence[Queue]) -> None:
        """Make queues, now and after every reconnect."""
        self._declared.update({queue.name: queue for queue in queues})
        self._when_connected(queues, self.broker.declare)

    def delete(self, queues: Sequence[str]) -> None:
        """Delete queues and forget their declaration."""
        for name in queues:
            self._declared.pop(name, None)
        self._when_connected(queues, self.broker.delete)

    def acknowledge(self, delivery: Delivery) -> None:
        """Take a delivery off its queue."""
        self.broker.later(lambda: self._settle(delivery, bury=False), (self, "in"))

    def reject(self, delivery: Delivery) -> None:
        """Take a delivery off its queue, to the dead letters where it has them."""
        self.broker.later(lambda: self._settle(delivery, bury=True), (self, "in"))

    def close(self) -> None:
        """Close for good; what is in hand goes back to its queue."""
        self._is_closed = True
        if self._is_connected:
            self._drop_connection()

    def _drop_connection(self) -> None:
        self._is_connected = False
        for name in self._prefetch:
            self._unregister(name)
        in_hand = sorted(self._unacknowledged.items(), reverse=True)
        self._unacknowledged.clear()
        for _, held in in_hand:
            queue = self.broker.queue(held.queue)
            if queue is not None:
                queue.put_back(held.stored)
                self.broker.later(partial(self.broker.hand_over, queue), held.queue)

    def _when_connected(self, items: Iterable[T], act: Callable[[T], None]) -> None:
        def each() -> None:
            if self._is_connected:
                for item in items:
                    act(item)

        self.broker.later(each, (self, "in"))

    def _count_readers(self, name: str) -> None:
        queue = self.broker.queue(name)
        count = None if queue is None else len(queue.consumers)
        self.sink(ReadersCounted(queue=name, num_readers=count))

    def _register(self, name: str) -> None:
        queue = self.broker.queue(name)
        if not self._is_connected or name not in self._prefetch:
            return
        if queue is None:
            self._lose(name, "there is no such queue")
            return
        if name in self._lost:
            self._lost.discard(name)
            self.sink(ConsumerBack(queue=name))
        if not any(consumer.owner is self for consumer in queue.consumers):
            consumer = Consumer(
                owner=self,
                prefetch=self._prefetch[name],
                deliver_to=lambda consumer, stored: self._deliver(name, consumer, stored),
                tell_lost=lambda why: self._lose(name, why),
            )
            queue.consumers.append(consumer)
        self.broker.later(lambda: self.broker.hand_over(queue), name)

    def _lose(self, name: str, why: str) -> None:
        self._lost.add(name)
        self.sink(ConsumerLost(queue=name, why=why))

    def _unregister(self, name: str) -> None:
        queue = self.broker.queue(name)
        if queue is not None:
            queue.consumers = [one for one in queue.consumers if one.owner is not self]
            self.broker.later(lambda: self.broker.hand_over(queue), name)

    def _deliver(self, name: str, consumer: Consumer, stored: Stored) -> None:
        tag = self._next_tag
        self._next_tag += 1
        self._unacknowledged[tag] = _Unacknowledged(name, stored, consumer)
        self.sink(
            Delivered(
                delivery=Delivery(
                    queue=name,
                    exchange=stored.publication.exchange,
                    routing_key=stored.publication.routing_key,
                    body=stored.publication.body,
                    properties=stored.publication.properties,
                    redelivered=stored.num_deliveries > 0,
                    tag=tag,
                    connection=self._connection,
                )
            )
        )

    def _settle(self, delivery: Delivery, *, bury: bool) -> None:
        if delivery.connection != self._connection:
            return
        held = self._unacknowledged.pop(delivery.tag, None)
        if held is None:
            return
        held.consumer.in_hand -= 1
        queue = self.broker.queue(held.queue)
        if queue is not None:
            if bury:
                self.broker.bury(queue, held.stored)
            self.broker.hand_over(queue)
