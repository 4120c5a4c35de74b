"""A dialogue with RabbitMQ: one connection that waits for each answer, for those who ask little.

Its errors are in words: pika's, those of TLS, and those of what stands between.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pika
from pika.adapters.blocking_connection import BlockingConnection
from pika.exceptions import AMQPError, ChannelClosedByBroker

from fedmq.errors import BrokerRefused, BrokerUnavailable, TransportError
from fedmq.transport.address import Address
from fedmq.transport.look import find_obstacle, hear_refusal
from fedmq.transport.rabbitmq import Login
from fedmq.transport.rabbitmq_certificates import certificate_words, is_revoked
from fedmq.transport.rabbitmq_faults import (
    find_cause,
    is_cut,
    is_of_tls,
    is_refusal,
    is_taken_back,
    reason_of,
)
from fedmq.transport.rabbitmq_link import proof_of, tls_options
from fedmq.transport.rabbitmq_tunnel import tunnelled

_ROLE: Final = "watch"
_TIMEOUT_S: Final = 10.0


@contextmanager
def talking(login: Login) -> Iterator[BlockingConnection]:
    """Yield a connection at the first address of the login that answers, and close it.

    Raises:
        BrokerUnavailable: nobody answers, or something stands between.
        BrokerRefused: the login is wrong, or may not do what was tried.
    """
    # What pika would log is in the error, with the address left out.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    try:
        connection = _connect(login)
    except (AMQPError, OSError, TransportError) as error:
        raise _trouble(error, login) from error
    try:
        yield connection
    except AMQPError as error:
        raise _trouble(error, login) from error
    finally:
        with suppress(AMQPError):
            connection.close()


def _connect(login: Login) -> BlockingConnection:
    every = [parameters(login, address) for address in login.addresses]
    if login.proxy is None:
        return BlockingConnection(every)
    # Where pika's blocking connections come from cannot be said in any other way.
    tunnel: Any = tunnelled(login.proxy)
    return BlockingConnection(every, _impl_class=tunnel)


def parameters(login: Login, address: Address) -> pika.ConnectionParameters:
    """Return what pika has to know to log in at an address."""
    return pika.ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=login.vhost,
        credentials=proof_of(login),
        ssl_options=tls_options(login, address.host),
        connection_attempts=1,
        socket_timeout=_TIMEOUT_S,
        stack_timeout=2 * _TIMEOUT_S,
        blocked_connection_timeout=_TIMEOUT_S,
        client_properties={
            "connection_name": f"{login.user} {_ROLE}",
            "product": login.program,
        },
    )


def _trouble(error: Exception, login: Login) -> TransportError:
    """Return what an error of pika, or of what is below it, means for who logs in."""
    known = find_cause(error, TransportError)
    if known is not None:
        return known
    if login.tls is not None and is_of_tls(error):
        for address in login.addresses:
            obstacle = find_obstacle(address, login.tls, login.proxy)
            if obstacle is not None:
                return obstacle
    if is_refusal(error):
        return _refused(login, reason_of(error), is_taken_back=is_taken_back(error))
    if isinstance(error, ChannelClosedByBroker):
        return BrokerRefused(
            "the broker does not do what was asked",
            why=reason_of(error),
            fix="the hub's operator: fedmq hub up",
        )
    said = _hear(login) if is_cut(error) else ""
    if is_revoked(said):
        return _refused(login, certificate_words(said, time.time()), is_taken_back=True)
    return BrokerUnavailable(
        "no broker answers",
        why=certificate_words(said, time.time()) or reason_of(error),
        fix="look whether this machine reaches it; the hub's operator: fedmq hub status",
    )


def _hear(login: Login) -> str:
    """Return what the first broker that has something against the login's certificate says."""
    if login.tls is None or login.tls.certificate is None:
        return ""
    heard = (hear_refusal(address, login.tls, login.proxy) for address in login.addresses)
    return next((words for words in heard if words), "")


def _refused(login: Login, why: str, *, is_taken_back: bool) -> BrokerRefused:
    return BrokerRefused(
        f"the broker refuses user {login.user}",
        why=why,
        fix="ask the hub's operator" if is_taken_back else "use the credentials that the hub wrote",
    )
