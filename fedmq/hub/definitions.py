"""Definitions: the topology and the users of a federation in the form that RabbitMQ loads. Pure."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fedmq.transport.declarations import Binding, Exchange, Policy, Queue, Topology
from fedmq.transport.rights import Rights

SALT_BYTES: Final = 4

Entry = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A login at the broker, with the hash of its password and what it may do."""

    name: str
    password_hash: str
    rights: Rights
    tags: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    """By RabbitMQ's names."""


def password_hash(password: str, salt: bytes) -> str:
    """Return RabbitMQ's salted SHA-256 of a password (rabbit_password_hashing_sha256).

    Source: https://www.rabbitmq.com/docs/passwords#computing-password-hash
    """
    digest = hashlib.sha256(salt + password.encode()).digest()
    return base64.b64encode(salt + digest).decode()


def make_definitions(
    vhost: str, topology: Topology, users: Iterable[User], *, binds_streams: bool = True
) -> Entry:
    """Return the definitions of one federation in one vhost; loading them again changes nothing."""
    known = sorted(users, key=lambda user: user.name)
    return {
        "vhosts": [{"name": vhost}],
        "users": [_user(user) for user in known],
        "permissions": [_permission(user, vhost) for user in known],
        "topic_permissions": [
            _topic_permission(user, vhost, exchange)
            for user in known
            for exchange in sorted(user.rights.topics | user.rights.bindings)
        ],
        "policies": [_policy(policy, vhost) for policy in topology.policies],
        "exchanges": [_exchange(exchange, vhost) for exchange in topology.exchanges],
        "queues": [_queue(queue, vhost) for queue in topology.queues],
        "bindings": [
            _binding(binding, queue, vhost)
            for queue in topology.queues
            if binds_streams or not queue.is_stream
            for binding in queue.bindings
        ],
    }


def _user(user: User) -> Entry:
    return {
        "name": user.name,
        "password_hash": user.password_hash,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ",".join(user.tags),
        "limits": dict(user.limits),
    }


def _permission(user: User, vhost: str) -> Entry:
    return {
        "user": user.name,
        "vhost": vhost,
        "configure": user.rights.configure,
        "write": user.rights.write,
        "read": user.rights.read,
    }


def _topic_permission(user: User, vhost: str, exchange: str) -> Entry:
    # Without an entry RabbitMQ allows every key, and with one it asks both patterns.
    return {
        "user": user.name,
        "vhost": vhost,
        "exchange": exchange,
        "write": user.rights.topics.get(exchange, "^$"),
        "read": user.rights.bindings.get(exchange, "^$"),
    }


def _policy(policy: Policy, vhost: str) -> Entry:
    return {
        "vhost": vhost,
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": "queues",
        "definition": policy.definition,
        "priority": 0,
    }


def _exchange(exchange: Exchange, vhost: str) -> Entry:
    return {
        "name": exchange.name,
        "vhost": vhost,
        "type": exchange.type,
        "durable": True,
        "auto_delete": False,
        "internal": exchange.internal,
        "arguments": {},
    }


def _queue(queue: Queue, vhost: str) -> Entry:
    return {
        "name": queue.name,
        "vhost": vhost,
        "durable": True,
        "auto_delete": False,
        "arguments": queue.arguments,
    }


def _binding(binding: Binding, queue: Queue, vhost: str) -> Entry:
    return {
        "source": binding.exchange,
        "vhost": vhost,
        "destination": queue.name,
        "destination_type": "queue",
        "routing_key": binding.key,
        "arguments": {},
    }
