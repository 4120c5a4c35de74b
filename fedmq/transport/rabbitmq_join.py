"""Asking a hub to be admitted, or for new keys, through its broker: a question, and a wait."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pika import BasicProperties
from pika.adapters.blocking_connection import BlockingChannel

from fedmq.transport import asking
from fedmq.transport.rabbitmq import Login
from fedmq.transport.rabbitmq_dialogue import talking

_POLL_S: Final = 1.0


def ask_to_join(
    login: Login,
    name: str,
    request: bytes,
    *,
    take: Callable[[bytes], bool],
    wait_s: float,
) -> bool:
    """Return whether the hub's answer to `request` came within `wait_s` seconds, and was taken.

    It stays with the broker until `take` has returned. One that is not taken, since it is not
    believed, is thrown away, and another one is waited for.

    Raises:
        BrokerUnavailable: nobody answers at the broker's address.
        BrokerRefused: the token is used or too old.
    """
    with _asked(login, name, request) as channel:
        return _wait(channel, name, take, wait_s=wait_s)


def ask(login: Login, name: str, request: bytes) -> None:
    """The hub's operator finds the request of a member.

    Raises:
        BrokerUnavailable: nobody answers at the broker's address.
        BrokerRefused: the member may not log in, or not ask.
    """
    with _asked(login, name, request):
        pass


@contextmanager
def _asked(login: Login, name: str, request: bytes) -> Iterator[BlockingChannel]:
    """Yield a channel on which the broker has taken the request."""
    with talking(login) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        _ask(channel, login.user, name, request)
        yield channel


def _ask(channel: BlockingChannel, user: str, name: str, request: bytes) -> None:
    said = BasicProperties(user_id=user, delivery_mode=2, content_type="application/json")
    channel.basic_publish(asking.join_exchange(name), name, request, said, mandatory=True)


def _wait(
    channel: BlockingChannel, name: str, take: Callable[[bytes], bool], *, wait_s: float
) -> bool:
    deadline = time.monotonic() + wait_s
    while True:
        method, _, body = channel.basic_get(asking.join_answers(name))
        if method is not None and body is not None:
            is_taken = take(body)
            channel.basic_ack(method.delivery_tag or 0)
            if is_taken:
                return True
            continue
        if time.monotonic() >= deadline:
            return False
        channel.connection.sleep(min(_POLL_S, max(0.0, deadline - time.monotonic())))
