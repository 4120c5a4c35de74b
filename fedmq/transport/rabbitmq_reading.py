"""Reading queues on one connection to RabbitMQ, each on a channel of its own.

RabbitMQ answers a fault by closing the channel; so only that queue is lost, told once, and tried
again. Not thread-safe: everything happens on the loop's thread.
"""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from fedmq.transport.ports import ConsumerBack, ConsumerLost, Delivered, Delivery
from fedmq.transport.rabbitmq_declaring import TRANSIENT_RETRY_S
from fedmq.transport.rabbitmq_faults import is_transient, reason_of
from fedmq.transport.rabbitmq_life import Life
from fedmq.transport.rabbitmq_properties import from_pika

CONSUMER_RETRY_S: Final = 5.0
_EPOCHS: Final = itertools.count(1)
"""Numbers channels over all lives, so that a delivery's tag is used on its own channel only."""


class Reader:
    """The reading half of a link."""

    def __init__(
        self,
        *,
        loop: IOLoop,
        life: Life,
        consumer_tag: str,
        prefetch: Mapping[str, int],
        may_open: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._life = life
        self._consumer_tag = consumer_tag
        self._prefetch = dict(prefetch)
        self._may_open = may_open
        self._connection: SelectConnection | None = None
        self._consumers: dict[str, Channel] = {}
        self._channels: dict[int, Channel] = {}
        self._lost: set[str] = set()

    def begin(self, connection: SelectConnection) -> None:
        """Note the connection, which stands; `read_all` follows when the queues do."""
        self._connection = connection

    def read_all(self) -> None:
        """Read every queue that is wanted and not read."""
        for queue in list(self._prefetch):
            if queue not in self._consumers:
                self._open_consumer(queue)

    def consume(self, queue: str, prefetch: int) -> None:
        """Read a queue; if it is read already, the reader is told nothing new."""
        self._prefetch[queue] = prefetch
        self._lost.discard(queue)
        if queue not in self._consumers:
            self._open_consumer(queue)

    def stop_consuming(self, queue: str) -> None:
        """Read a queue no more."""
        self._prefetch.pop(queue, None)
        channel = self._consumers.pop(queue, None)
        if channel is not None and channel.is_open:
            channel.close()

    def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge on the channel that delivered; on another life's, nothing."""
        channel = self._channels.get(delivery.connection)
        if channel is not None and channel.is_open:
            channel.basic_ack(delivery.tag)

    def reject(self, delivery: Delivery) -> None:
        """Reject without a second try."""
        channel = self._channels.get(delivery.connection)
        if channel is not None and channel.is_open:
            channel.basic_reject(delivery.tag, requeue=False)

    def _open_consumer(self, queue: str) -> None:
        connection = self._connection
        if connection is None or not connection.is_open or not self._may_open():
            return  # it is opened once the declarations are done

        def begin(channel: Channel) -> None:
            epoch = next(_EPOCHS)
            self._channels[epoch] = channel
            channel.add_on_close_callback(partial(self._on_consumer_closed, queue, epoch))
            channel.add_on_cancel_callback(partial(self._on_cancel, queue, channel))
            channel.basic_qos(prefetch_count=self._prefetch.get(queue, 1))
            channel.basic_consume(
                queue,
                partial(self._on_delivery, queue, epoch),
                consumer_tag=self._consumer_tag,
                callback=lambda _frame: self._on_registered(queue),
            )

        # Noted before it is open, so that a second call does not open a second one.
        opened = connection.channel(on_open_callback=begin)
        self._consumers[queue] = opened

    def _on_registered(self, queue: str) -> None:
        if queue in self._lost:
            self._lost.discard(queue)
            self._life.tell(ConsumerBack(queue=queue))
        self._life.done(queue)

    def _on_cancel(self, queue: str, channel: Channel, _frame: object) -> None:
        self._lose(queue, "the queue was deleted or its broker went down")
        if channel.is_open:
            channel.close()

    def _on_consumer_closed(
        self, queue: str, epoch: int, channel: Channel, reason: Exception
    ) -> None:
        self._channels.pop(epoch, None)
        is_current = self._consumers.get(queue) is channel
        if is_current:
            del self._consumers[queue]
        if is_current and is_transient(reason):
            self._loop.call_later(TRANSIENT_RETRY_S, partial(self._retry_consumer, queue))
            return
        if is_current:
            self._lose(queue, reason_of(reason))
        self._life.done(queue)

    def _lose(self, queue: str, why: str) -> None:
        if self._life.is_dead or queue not in self._prefetch:
            return
        if self._connection is None or not self._connection.is_open:
            return  # the whole link is breaking, which is told once
        if queue not in self._lost:
            self._lost.add(queue)
            self._life.tell(ConsumerLost(queue=queue, why=why))
        self._loop.call_later(CONSUMER_RETRY_S, partial(self._retry_consumer, queue))

    def _retry_consumer(self, queue: str) -> None:
        if not self._life.is_dead and queue in self._prefetch and queue not in self._consumers:
            self._open_consumer(queue)

    def _on_delivery(
        self,
        queue: str,
        epoch: int,
        _channel: Channel,
        method: Basic.Deliver,
        properties: BasicProperties,
        body: bytes,
    ) -> None:
        delivery = Delivery(
            queue=queue,
            exchange=method.exchange or "",
            routing_key=method.routing_key or "",
            body=body,
            properties=from_pika(properties),
            redelivered=bool(method.redelivered),
            tag=method.delivery_tag or 0,
            connection=epoch,
        )
        self._life.tell(Delivered(delivery=delivery))
