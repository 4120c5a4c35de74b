"""The crier: a new roster goes out once, not once for each member of it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from fedmq.hub.keyring import KeptWire
from fedmq.messages.codec import MAX_READERS, Message
from fedmq.messages.envelope import Place
from fedmq.messages.notices import Overview, Receipt, RosterNotice
from fedmq.transport import courier as couriers
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.home import LocalHome
from fedmq.transport.journal import Journal
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import Publication, TransportEvent
from fedmq.transport.routes import to_node, to_researcher
from fedmq.transport.spool import Spool
from fedmq.types import NodeId, ResearcherId, Role
from tests.support.clock import FakeClock
from tests.support.keys import Keys

CENTRE = "orchestrator"


class Member(MemoryTransport):
    """A courier and its transport, which keeps what was published."""

    def __init__(self, broker: MemoryBroker, folder: Path, name: str, keys: Keys) -> None:
        super().__init__(broker, name, self._take)
        home = LocalHome(folder / name)
        keyring = keys.write_keyring(folder / name / "keys", keys.identities[name])
        self.published: list[Publication] = []
        self.wire = KeptWire(keyring)
        self.journal: Journal = home.journal(couriers.SCHEMA)
        self.courier = Courier(
            me=name,
            transport=self,
            wire=self.wire,
            journal=self.journal,
            spool=Spool(home.disk("payloads")),
            clock=FakeClock(lambda: 0.0),
            brings_rosters=keys.identities[name].role is Role.ORCHESTRATOR,
        )

    def publish(self, publication: Publication, ticket: int) -> None:
        """Keep it, and publish it."""
        self.published.append(publication)
        super().publish(publication, ticket)

    def _take(self, event: TransportEvent) -> None:
        self.courier.handle(event)


def test_one_message_brings_the_roster_to_as_many_nodes_as_it_has_keys_for(tmp_path: Path) -> None:
    """A thousand rosters of a thousand members each would be a quarter of a gigabyte."""
    nodes = [NodeId(f"node-{number:03}") for number in range(300)]
    keys = Keys({CENTRE: Role.ORCHESTRATOR, **dict.fromkeys(nodes, Role.NODE)})
    broker = MemoryBroker(topology.federation(nodes=nodes, researchers=[]))
    readers = [Member(broker, tmp_path, node, keys) for node in (nodes[0], nodes[-1])]
    keys.roster = keys.make_roster(2, CENTRE, *nodes)
    centre = Member(broker, tmp_path, CENTRE, keys)
    for reader in readers:
        reader.consume(topology.node_tasks(NodeId(reader.user)), prefetch=1)
        reader.start()
    centre.start()
    broker.run_until_idle()
    brought = [one for one in centre.published if one.properties.type == RosterNotice.TYPE]
    assert [1 + len(one.also_to) for one in brought] == [MAX_READERS, 300 - MAX_READERS]
    assert all(broker.depth(topology.node_tasks(node)) == 1 for node in nodes[1:-1])
    assert [reader.wire.version for reader in readers] == [2, 2]
    for member in (*readers, centre):
        member.journal.close()


@pytest.mark.parametrize("role", [Role.NODE, Role.RESEARCHER])
def test_an_orchestrator_on_another_machine_hears_of_a_roster_from_whom_it_tells_something(
    tmp_path: Path, role: Role
) -> None:
    """The hub writes it into its own folder; members that have it bring it further."""
    name = "ana"
    keys = Keys({CENTRE: Role.ORCHESTRATOR, name: role})
    is_node = role is Role.NODE
    broker = MemoryBroker(
        topology.federation(
            nodes=[NodeId(name)] if is_node else [],
            researchers=[] if is_node else [ResearcherId(name)],
        )
    )
    centre = Member(broker, tmp_path, CENTRE, keys)
    keys.roster = keys.make_roster(2, CENTRE, name)
    member = Member(broker, tmp_path, name, keys)
    inbox = topology.node_tasks(NodeId(name))
    if not is_node:
        inbox = topology.researcher_inbox(ResearcherId(name))
    member.consume(inbox, prefetch=1)
    centre.consume(topology.orchestrator_inbox(CENTRE), prefetch=1)
    for one in (member, centre):
        one.start()
    broker.run_until_idle()
    assert (centre.wire.version, member.wire.version) == (1, 2)
    route = to_node(NodeId(name)) if is_node else to_researcher(ResearcherId(name))
    told = centre.courier.write(Receipt(of="nothing"), "receipt", name, Place())
    centre.courier.say(told, route)
    broker.run_until_idle()
    assert centre.wire.version == 2
    for one in (member, centre):
        one.journal.close()


def test_orchestrators_tell_each_other_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hear each other's signs of life, and have no way to write to each other."""
    keys = Keys(dict.fromkeys((CENTRE, "second"), Role.ORCHESTRATOR))
    broker = MemoryBroker(
        topology.federation(nodes=[], researchers=[], orchestrators=[CENTRE, "second"])
    )
    second = Member(broker, tmp_path, "second", keys)
    keys.roster = keys.make_roster(2, CENTRE, "second")
    centre = Member(broker, tmp_path, CENTRE, keys)
    centre.consume(topology.orchestrator_events(CENTRE), prefetch=1)
    for one in (second, centre):
        one.start()
    broker.run_until_idle()
    heard: list[Message] = []
    monkeypatch.setattr(
        centre.courier, "_receiver", SimpleNamespace(hear=heard.append), raising=False
    )
    overview = Overview(version="0", nodes=[], experiments=[])
    second.courier.tell(second.courier.write(overview, "overview", "-", Place()), "overview")
    broker.run_until_idle()
    assert [message.envelope.roster for message in heard] == [1]
    assert centre.published == []
    for one in (second, centre):
        one.journal.close()
