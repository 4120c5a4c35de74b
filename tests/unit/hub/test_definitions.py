"""Definitions: the form that RabbitMQ loads."""

import json
import re

from fedmq.hub.definitions import User, make_definitions, password_hash
from fedmq.transport import topology
from fedmq.transport.rights import Rights, node_rights, orchestrator_rights
from fedmq.types import ORCHESTRATOR, NodeId

HASH = "h"
LYON = NodeId("chu-lyon")


def test_a_password_is_hashed_as_rabbitmq_does_it() -> None:
    """The worked example of RabbitMQ's page on passwords."""
    expected = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert password_hash("test12", bytes.fromhex("908DC60A")) == expected


def test_a_users_rights_become_permissions_of_the_vhost() -> None:
    """Also those by routing key, one line for each exchange; a node binds nothing."""
    user = User(name=LYON, password_hash=HASH, rights=node_rights(LYON))
    layout = topology.federation(nodes=[LYON], researchers=[])
    definitions = make_definitions("v", layout, [user])
    assert definitions["permissions"] == [
        {
            "user": LYON,
            "vhost": "v",
            "configure": "^$",
            "write": user.rights.write,
            "read": user.rights.read,
        }
    ]
    assert definitions["topic_permissions"] == [
        {
            "user": LYON,
            "vhost": "v",
            "exchange": exchange,
            "write": user.rights.topics[exchange],
            "read": "^$",
        }
        for exchange in (topology.EVENTS, topology.REPLIES)
    ]


def test_an_orchestrator_binds_by_its_own_keys_at_every_exchange_that_it_may_read() -> None:
    """An exchange without a line of its own would be open to every key."""
    rights = orchestrator_rights(ORCHESTRATOR)
    user = User(name=ORCHESTRATOR, password_hash=HASH, rights=rights)
    layout = topology.federation(nodes=[LYON], researchers=[])
    lines = make_definitions("v", layout, [user])["topic_permissions"]
    assert isinstance(lines, list)
    assert {line["exchange"]: (line["write"], line["read"]) for line in lines} == {
        topology.EVENTS: (rights.topics[topology.EVENTS], "^$"),
        topology.REPLIES: ("^$", rights.bindings[topology.REPLIES]),
        topology.SUBMISSIONS: ("^$", rights.bindings[topology.SUBMISSIONS]),
    }
    readable = [one.name for one in topology.EXCHANGES if re.search(rights.read, one.name)]
    assert set(readable) == set(rights.bindings)


def test_the_order_of_users_makes_no_difference() -> None:
    """The same members give the same file."""
    layout = topology.federation(nodes=[], researchers=[])
    users = [User(name=n, password_hash=HASH, rights=Rights()) for n in ("b", "a")]
    texts = {json.dumps(make_definitions("v", layout, some)) for some in (users, users[::-1])}
    assert len(texts) == 1
