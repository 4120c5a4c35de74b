"""Declaring and deleting queues on the connection that reads.

It has a channel of its own, which the broker closes where it refuses a declaration: the queues that
are read have theirs, and go on. Not thread-safe: everything happens on the loop's thread.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from pika import spec
from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker
from pika.frame import Method

from fedmq.transport.declarations import Queue
from fedmq.transport.ports import ConsumerLost, ReadersCounted
from fedmq.transport.rabbitmq_faults import is_transient, reason_of
from fedmq.transport.rabbitmq_life import Life

TRANSIENT_RETRY_S: Final = 0.25


class Declarer:
    """The queues that one link has made; `on_made` hears each time that all of them stand."""

    def __init__(
        self,
        loop: IOLoop,
        life: Life,
        on_made: Callable[[], None],
        declared: Sequence[Queue],
    ) -> None:
        self._loop = loop
        self._life = life
        self._on_made = on_made
        self._declared = {queue.name: queue for queue in declared}
        self._connection: SelectConnection | None = None
        self._channel: Channel | None = None
        self._num_declaring = 0

    @property
    def is_busy(self) -> bool:
        """Whether the broker has not yet answered a declaration."""
        return self._num_declaring > 0

    def begin(self, connection: SelectConnection) -> None:
        """Make what was declared so far, on a connection that stands."""
        self._connection = connection
        self._make(tuple(self._declared.values()))

    def declare(self, queues: Sequence[Queue]) -> None:
        """Make queues and their bindings; a refusal is told for the queue it concerns."""
        self._declared.update({queue.name: queue for queue in queues})
        if self._connection is not None:  # what is declared before is made when it begins
            self._make(queues)

    def delete(self, queues: Sequence[str]) -> None:
        """Delete queues."""
        for name in queues:
            self._declared.pop(name, None)
            self._on_channel(partial(_delete_queue, name=name))

    def count_readers(self, queues: Sequence[str]) -> None:
        """Ask who reads queues, by a declaration that makes nothing and needs no right.

        Each has a channel of its own, which the broker closes where there is no such queue.
        """
        for name in queues:
            if self._connection is not None and self._connection.is_open:
                self._connection.channel(on_open_callback=partial(self._count, name))

    def _count(self, queue: str, channel: Channel) -> None:
        def tell(num_readers: int | None) -> None:
            self._life.tell(ReadersCounted(queue=queue, num_readers=num_readers))

        def answered(frame: "Method[spec.Queue.DeclareOk]") -> None:
            tell(frame.method.consumer_count)
            channel.close()

        def closed(_channel: Channel, reason: Exception) -> None:
            if isinstance(reason, ChannelClosedByBroker):
                tell(None)

        channel.add_on_close_callback(closed)
        channel.queue_declare(queue, passive=True, callback=answered)

    def _make(self, queues: Sequence[Queue]) -> None:
        """Declare queues; no consumer is opened before the broker has answered."""
        self._num_declaring += 1

        def act(channel: Channel) -> None:
            for queue in queues:
                _declare_queue(channel, queue=queue)
            # A channel answers in order: this one is answered after every declaration.
            channel.basic_qos(prefetch_count=1, callback=lambda _frame: self._made())

        self._on_channel(act)

    def _made(self) -> None:
        self._num_declaring -= 1
        if self._num_declaring == 0:
            self._on_made()

    def _on_channel(self, act: Callable[[Channel], object]) -> None:
        connection = self._connection
        if self._channel is not None and self._channel.is_open:
            act(self._channel)
        elif connection is not None and connection.is_open:

            def begin(channel: Channel) -> None:
                self._channel = channel
                channel.add_on_close_callback(self._on_closed)
                act(channel)

            connection.channel(on_open_callback=begin)

    def _on_closed(self, channel: Channel, reason: Exception) -> None:
        if self._channel is channel:
            self._channel = None
            self._num_declaring = 0
        if self._life.is_dead or self._connection is None or not self._connection.is_open:
            return
        if is_transient(reason):
            self._loop.call_later(TRANSIENT_RETRY_S, self._declare_again)
            return
        self._life.tell(
            ConsumerLost(queue="", why=f"a declaration was refused: {reason_of(reason)}")
        )
        self._on_made()

    def _declare_again(self) -> None:
        if not self._life.is_dead:
            self._make(tuple(self._declared.values()))


def _declare_queue(channel: Channel, *, queue: Queue) -> None:
    channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    for binding in queue.bindings:
        channel.queue_bind(queue.name, binding.exchange, routing_key=binding.key)


def _delete_queue(channel: Channel, *, name: str) -> None:
    channel.queue_delete(name)
