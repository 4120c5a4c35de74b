"""Asking RabbitMQ whether a login gets in and sees its queues; no message is taken or moved."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedmq.transport.rabbitmq import Login
from fedmq.transport.rabbitmq_dialogue import talking


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A queue as it is now."""

    queue: str
    waiting: int
    readers: int


def see_queues(login: Login, queues: Sequence[str]) -> tuple[Queued, ...]:
    """Return how queues are, once the login is in.

    A passive declaration asks for a queue and makes none; who reads it goes on undisturbed.

    Raises:
        BrokerUnavailable: nobody answers, or something stands between.
        BrokerRefused: the login is refused, or a queue is not there.
    """
    found = []
    with talking(login) as connection:
        channel = connection.channel()
        for queue in queues:
            method = channel.queue_declare(queue, passive=True).method
            found.append(
                Queued(queue=queue, waiting=method.message_count, readers=method.consumer_count)
            )
    return tuple(found)
