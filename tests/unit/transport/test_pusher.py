"""The pusher: one message for as many readers as it has room for, whatever their number."""

import itertools
import os
from pathlib import Path

import pytest

from fedmq.disk import LocalDisk
from fedmq.messages.codec import MAX_READERS, Message
from fedmq.messages.payloads import Chunk
from fedmq.security.wire import SealedWire
from fedmq.transport import topology
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import Publication
from fedmq.transport.pusher import Pusher
from fedmq.transport.routes import to_node
from fedmq.transport.spool import Spool
from fedmq.types import NodeId, Role
from tests.support.clock import FakeClock
from tests.support.keys import Keys

CENTRE = "orchestrator"
PAYLOAD = bytes(range(256)) * 10


class Recorder(MemoryTransport):
    """A transport that keeps what was published on it, and delivers nothing."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker(topology.federation(nodes=[], researchers=[])), CENTRE, print)
        self.published: list[Publication] = []

    def publish(self, publication: Publication, ticket: int) -> None:  # noqa: ARG002 - port
        """Keep it."""
        self.published.append(publication)


def pushed(folder: Path, keys: Keys, nodes: list[NodeId]) -> list[Publication]:
    """Return what a payload of one chunk, pushed to all nodes, is published as."""
    spool = Spool(LocalDisk(folder))
    spool.new_file("new").write(PAYLOAD)
    manifest = spool.adopt("new")
    transport = Recorder()
    wire, clock = keys.wire(CENTRE), FakeClock(lambda: 0.0)
    pusher = Pusher(CENTRE, spool, transport, wire, itertools.count(1), clock)
    pusher.connected()
    pusher.push(manifest, [to_node(node) for node in nodes], "lung")
    return transport.published


def reached(publication: Publication) -> set[str]:
    """Return the names in the keys of a publication."""
    return {key.partition(".")[0] for key in (publication.routing_key, *publication.also_to)}


@pytest.mark.parametrize(("num_nodes", "num_messages"), [(1, 1), (MAX_READERS, 1), (300, 2)])
def test_every_reader_opens_the_chunk_however_many_they_are(
    tmp_path: Path, num_nodes: int, num_messages: int
) -> None:
    """A message has room for so many keys; one with more of them is refused by all its readers."""
    nodes = [NodeId(f"node-{number:03}") for number in range(num_nodes)]
    keys = Keys({CENTRE: Role.ORCHESTRATOR, **dict.fromkeys(nodes, Role.NODE)})
    published = pushed(tmp_path, keys, nodes)
    assert len(published) == num_messages
    opened: dict[str, Message] = {}
    for publication in published:
        for name in reached(publication):
            wire = SealedWire(keys.identities[name], keys.roster, random=os.urandom)
            assert name not in opened
            opened[name] = wire.open(publication.body)
    assert sorted(opened) == nodes
    assert all(isinstance(one.body, Chunk) and one.data == PAYLOAD for one in opened.values())


def test_the_keys_of_a_publication_fit_the_header_of_a_frame(tmp_path: Path) -> None:
    """AMQP sends a message's header in one frame: of 128 KiB, unless a broker says less."""
    nodes = [NodeId(f"{number:040}") for number in range(1_000)]
    keys = Keys({CENTRE: Role.ORCHESTRATOR, **dict.fromkeys(nodes, Role.NODE)})
    published = pushed(tmp_path, keys, nodes)
    assert set().union(*map(reached, published)) == set(nodes)
    assert all(sum(len(key) + 8 for key in one.also_to) < 16 * 1024 for one in published)
