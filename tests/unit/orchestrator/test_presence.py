"""Presence: who was heard of, when, and doing what."""

from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.notices import Activity, Heartbeat, NodeOnline
from fedmq.messages.registry import Body
from fedmq.orchestrator.heard import KEEP_S, LATELY_S, SCHEMA
from fedmq.orchestrator.presence import Presence
from fedmq.simulation.disk import SimulatedHome
from fedmq.types import NodeId
from tests.support.clock import FakeClock

LYON, BASEL = NodeId("chu-lyon"), NodeId("umc-basel")
TRAINING = Heartbeat(version="1", activity=Activity.TRAINING, progress=0.5, num_waiting=0)


class World:
    """A presence and its clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.home = SimulatedHome("orchestrator", lambda _word: None)
        self.live()

    def live(self) -> None:
        """Begin a life of the orchestrator."""
        self.journal = self.home.journal(SCHEMA)
        self.presence = Presence(FakeClock(lambda: self.now), self.journal)

    def says(self, node: NodeId, body: Body, experiment: str = "-", number: int = 0) -> None:
        """Let a node say something."""
        envelope = Envelope(
            type=body.TYPE,
            message_id="m",
            sender=node,
            recipient="-",
            experiment=experiment,
            round=number,
            sent_at=5.0,
        )
        assert self.presence.note(Message(envelope=envelope, body=body)) == node


def test_a_node_is_near_for_a_while_after_each_sign() -> None:
    """By the orchestrator's clock, not by the node's."""
    world = World()
    assert not world.presence.is_near(LYON)
    world.says(LYON, NodeOnline(version="1"))
    world.now += LATELY_S - 1
    assert world.presence.is_near(LYON)
    world.now += 1
    assert not world.presence.is_near(LYON)
    world.says(LYON, TRAINING)
    assert world.presence.is_near(LYON)


def test_the_overview_says_where_each_node_is() -> None:
    """By name, with what its last heartbeat said."""
    world = World()
    world.says(BASEL, NodeOnline(version="1"))
    world.says(LYON, TRAINING, "lung", 3)
    assert world.presence.nodes() == (LYON, BASEL)
    lyon, basel = world.presence.overview()
    assert (lyon.node, lyon.heard_at, lyon.activity, lyon.progress) == (
        LYON,
        1_000.0,
        Activity.TRAINING,
        0.5,
    )
    assert (lyon.experiment, lyon.round) == ("lung", 3)
    assert (basel.activity, basel.experiment, basel.round) == (Activity.IDLE, "-", 0)


def test_other_messages_are_signs_of_life_that_change_nothing_else() -> None:
    """A reply does not say what the node does next."""
    world = World()
    world.says(LYON, TRAINING, "lung", 3)
    world.now += 10
    world.says(LYON, NodeOnline(version="1"), "other", 9)
    (lyon,) = world.presence.overview()
    assert (lyon.heard_at, lyon.activity) == (1_010.0, Activity.TRAINING)
    assert (lyon.experiment, lyon.round) == ("lung", 3)


def test_those_who_cannot_answer_are_named_with_the_reason() -> None:
    """Away since when, or without room; nothing is said of those who can."""
    world = World()
    world.says(LYON, TRAINING)
    assert world.presence.describe_absent([BASEL, LYON]) == "umc-basel never heard of"
    world.now += 3 * 3_600
    full = Heartbeat(version="1", activity=Activity.DISK_FULL, progress=0.0, num_waiting=1)
    world.says(BASEL, full)
    assert world.presence.describe_absent([BASEL, LYON]) == (
        "chu-lyon last heard 3 h ago, the disk of umc-basel is full"
    )


def test_when_a_node_was_heard_outlives_the_orchestrator() -> None:
    """Written down once in a while, by the wall's clock; a clock that was set back adds nothing."""
    world = World()
    world.says(LYON, TRAINING)
    world.presence.keep()
    world.live()
    assert world.presence.nodes() == ()
    world.says(LYON, TRAINING)
    world.now += KEEP_S
    world.presence.keep()
    world.now += 7_200
    world.live()
    assert world.presence.describe_absent([LYON]) == "chu-lyon last heard 2 h ago"
    world.now = 5.0
    world.live()
    assert world.presence.describe_absent([LYON]) == ""
