"""The crier: a new roster goes out once, not once for each member of it, and reaches all."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from fedmq.hub.keyring import KeptWire, new_identity
from fedmq.messages.codec import MAX_READERS, Message
from fedmq.messages.envelope import Place
from fedmq.messages.notices import (
    Activity,
    Heartbeat,
    Hello,
    Overview,
    Receipt,
    RosterNotice,
)
from fedmq.security.roster import Roster, enrolled, sign_roster, with_member, without_member
from fedmq.transport import courier as couriers
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.home import LocalHome
from fedmq.transport.journal import Journal
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import Publication, TransportEvent
from fedmq.transport.routes import from_node, to_node, to_researcher
from fedmq.transport.spool import Spool
from fedmq.types import NodeId, ResearcherId, Role
from tests.support.clock import FakeClock
from tests.support.keys import Keys

CENTRE, LYON = "orchestrator", NodeId("chu-lyon")


class Member(MemoryTransport):
    """A courier and its transport, which keeps what was published."""

    def __init__(self, broker: MemoryBroker, folder: Path, name: str, keys: Keys) -> None:
        super().__init__(broker, name, self._take)
        home = LocalHome(folder / name)
        keyring = keys.write_keyring(folder / name / "keys", keys.identities[name])
        self.published: list[Publication] = []
        self.now = 0.0
        self.heard: list[Message] = []
        self.wire = KeptWire(keyring)
        self.journal: Journal = home.journal(couriers.SCHEMA)
        self.courier = Courier(
            me=name,
            transport=self,
            wire=self.wire,
            journal=self.journal,
            spool=Spool(home.disk("payloads")),
            clock=FakeClock(lambda: self.now),
            brings_rosters=keys.identities[name].role is Role.ORCHESTRATOR,
        )
        self.courier.attach(
            SimpleNamespace(hear=self.heard.append, turned_away=lambda _: None)  # type: ignore[arg-type]
        )

    def publish(self, publication: Publication, ticket: int) -> None:
        """Keep it, and publish it."""
        self.published.append(publication)
        super().publish(publication, ticket)

    @property
    def num_brought(self) -> int:
        """How many rosters it has told to others."""
        return sum(one.properties.type == RosterNotice.TYPE for one in self.published)

    def beat(self) -> None:
        """Give a sign of life, as a node does."""
        body = Heartbeat(version="0", activity=Activity.IDLE, progress=0.0, num_waiting=0)
        message = self.courier.write(body, f"heartbeat.{self.now}", "-", Place())
        self.courier.tell(message, "heartbeat")

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


def test_an_orchestrator_on_another_machine_hears_of_a_roster_from_whom_it_tells_something(
    tmp_path: Path,
) -> None:
    """The hub writes it into its own folder; members that have it bring it further."""
    name = "ana"
    keys = Keys({CENTRE: Role.ORCHESTRATOR, name: Role.RESEARCHER})
    broker = MemoryBroker(topology.federation(nodes=[], researchers=[ResearcherId(name)]))
    centre = Member(broker, tmp_path, CENTRE, keys)
    keys.roster = keys.make_roster(2, CENTRE, name)
    member = Member(broker, tmp_path, name, keys)
    member.consume(topology.researcher_inbox(ResearcherId(name)), prefetch=1)
    centre.consume(topology.orchestrator_inbox(CENTRE), prefetch=1)
    for one in (member, centre):
        one.start()
    broker.run_until_idle()
    assert (centre.wire.version, member.wire.version) == (1, 2)
    told = centre.courier.write(Receipt(of="nothing"), "receipt", name, Place())
    centre.courier.say(told, to_researcher(ResearcherId(name)))
    broker.run_until_idle()
    assert centre.wire.version == 2
    for one in (member, centre):
        one.journal.close()


class Pair:
    """A node and an orchestrator on another machine than the hub, which asks nobody anything."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        """`keys` have the orchestrator's roster; the test gives each a newer one."""
        self.keys = keys
        self.broker = MemoryBroker(topology.federation(nodes=[LYON], researchers=[]))
        self.centre = Member(self.broker, folder, CENTRE, keys)
        self.node = Member(self.broker, folder, LYON, keys)
        self.centre.consume(topology.orchestrator_inbox(CENTRE), prefetch=1)
        self.centre.consume(topology.orchestrator_events(CENTRE), prefetch=1)
        self.node.consume(topology.node_tasks(LYON), prefetch=1)
        for one in (self.centre, self.node):
            one.start()
        self.run()

    def bring(self, roster: Roster) -> None:
        """Let the node have a newer roster."""
        self.node.wire.learn(sign_roster(roster, self.keys.governance).notice)

    def run(self, seconds: int = 0) -> None:
        """Let time pass; the node gives a sign of life every five seconds."""
        for second in range(seconds + 1):
            self.node.now = self.centre.now = self.node.now + (second > 0)
            for one in (self.centre, self.node):
                one.courier.tick()
            if second % 5 == 4:
                self.node.beat()
            self.broker.run_until_idle()

    def close(self) -> None:
        """Let go of the disk."""
        for one in (self.centre, self.node):
            one.journal.close()


def test_an_orchestrator_that_says_nothing_hears_of_a_roster_by_a_nodes_sign_of_life(
    tmp_path: Path,
) -> None:
    """Nobody answers these; it tells its own roster to one that has a newer one."""
    pair = Pair(tmp_path, Keys({CENTRE: Role.ORCHESTRATOR, LYON: Role.NODE}))
    pair.bring(pair.keys.make_roster(2, CENTRE, LYON))
    assert pair.centre.wire.version == 1
    pair.run(seconds=10)
    assert pair.centre.wire.version == 2
    num_brought = pair.node.num_brought, pair.centre.num_brought
    pair.run(seconds=60)
    assert (pair.node.num_brought, pair.centre.num_brought) == num_brought
    pair.close()


def test_an_orchestrator_that_connects_hears_of_a_roster_at_once(tmp_path: Path) -> None:
    """It tells nodes the one that it has; who has a newer one brings it."""
    pair = Pair(tmp_path, Keys({CENTRE: Role.ORCHESTRATOR, LYON: Role.NODE}))
    pair.centre.disconnect()
    pair.bring(pair.keys.make_roster(2, CENTRE, LYON))
    pair.centre.connect()
    pair.run()
    assert pair.centre.wire.version == 2
    pair.close()


@pytest.mark.parametrize("role", [Role.NODE, Role.ORCHESTRATOR])
def test_a_member_that_is_not_known_is_asked_for_its_roster(tmp_path: Path, role: Role) -> None:
    """What it says is not believed; the governance's signature is, whoever brings it."""
    keys = Keys({CENTRE: Role.ORCHESTRATOR, LYON: Role.NODE})
    newest = keys.make_roster(2, CENTRE, LYON)
    is_new_node = role is Role.NODE
    # The other one knows of the federation what was before the newcomer.
    keys.roster = keys.make_roster(1, *([CENTRE] if is_new_node else [LYON]))
    pair = Pair(tmp_path, keys)
    newcomer, other = pair.node, pair.centre
    if not is_new_node:
        newcomer, other = other, newcomer
    newcomer.wire.learn(sign_roster(newest, keys.governance).notice)
    if is_new_node:
        hello = newcomer.courier.write(Hello(nonce="1"), "hello", CENTRE, Place())
        newcomer.courier.say(hello, from_node(LYON, CENTRE))
    else:
        receipt = newcomer.courier.write(Receipt(of="nothing"), "receipt", LYON, Place())
        newcomer.courier.say(receipt, to_node(LYON))
    pair.broker.run_until_idle()
    assert other.wire.newest == 2
    pair.close()


def test_a_roster_that_waits_is_brought_and_takes_away_there_too_without_a_storm(
    tmp_path: Path,
) -> None:
    """Both go on with the accepted one in what they say: they tell each other ever more seldom."""
    keys = Keys({CENTRE: Role.ORCHESTRATOR, LYON: Role.NODE, "ada": Role.RESEARCHER})
    pair = Pair(tmp_path, keys)
    north = enrolled(new_identity("centre-north", Role.ORCHESTRATOR).public)
    newest = with_member(keys.roster, north, at=2.0)
    pair.bring(without_member(newest, "ada", "left", at=3.0))
    told = pair.centre.courier.write(Receipt(of="nothing"), "receipt", LYON, Place())
    pair.centre.courier.say(told, to_node(LYON))
    pair.run()
    for one in (pair.node, pair.centre):
        assert (one.wire.version, one.wire.newest) == (1, 3)
        assert one.wire.role_of("ada") is None
    for _ in range(360):
        pair.centre.courier.say(told, to_node(LYON))
        pair.run(seconds=10)
    assert pair.node.num_brought < 15
    assert pair.centre.num_brought < 15
    pair.close()


def test_who_knows_neither_is_brought_both_the_accepted_one_and_the_one_that_waits(
    tmp_path: Path,
) -> None:
    """The first waits nowhere: who is new in it is known at once."""
    keys = Keys({CENTRE: Role.ORCHESTRATOR, LYON: Role.NODE})
    pair = Pair(tmp_path, keys)
    basel = enrolled(new_identity("umc-basel", Role.NODE).public)
    between = with_member(keys.roster, basel, at=2.0)
    north = enrolled(new_identity("centre-north", Role.ORCHESTRATOR).public)
    pair.bring(between)
    pair.bring(with_member(between, north, at=3.0))
    pair.run(seconds=10)
    for one in (pair.node, pair.centre):
        assert (one.wire.version, one.wire.newest) == (2, 3)
    pair.close()


def test_orchestrators_tell_each_other_nothing(tmp_path: Path) -> None:
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
    overview = Overview(version="0", nodes=[], experiments=[])
    second.courier.tell(second.courier.write(overview, "overview", "-", Place()), "overview")
    broker.run_until_idle()
    assert [message.envelope.roster for message in centre.heard] == [1]
    assert centre.published == []
    for one in (second, centre):
        one.journal.close()
