"""Troubles in words: each part of the way has its own, and the worst is said."""

from fedmq.transport.ports import (
    Blocked,
    Connected,
    ConsumerBack,
    ConsumerLost,
    Disconnected,
    TransportEvent,
)
from fedmq.transport.troubles import Troubles

LOST = ConsumerLost(queue="node.chu-lyon.tasks", why="PRECONDITION_FAILED")
CUT = Disconnected(why="cut", refused=False, retry_in_s=1.0)
BLOCKED = Blocked(blocked=True, why="low on memory")


def after(*events: TransportEvent) -> Troubles:
    """Return the troubles after these events."""
    troubles = Troubles()
    for event in events:
        troubles.note(event)
    return troubles


def test_nothing_is_well_before_the_first_connection() -> None:
    """Then all is."""
    assert after().words == "connecting to the broker"
    assert after(Connected()).words == ""


def test_the_end_of_one_trouble_does_not_hide_another() -> None:
    """A queue that cannot be read stays one while the broker takes messages again."""
    unblocked = Blocked(blocked=False, why="")
    both = after(Connected(), LOST, BLOCKED)
    assert both.words.endswith("low on memory")
    assert both.is_blocked
    one = after(Connected(), LOST, BLOCKED, unblocked)
    assert one.words == "node.chu-lyon.tasks cannot be read: PRECONDITION_FAILED"
    assert not one.is_blocked
    assert after(Connected(), LOST, ConsumerBack(queue=LOST.queue)).words == ""


def test_a_lost_connection_is_all_that_is_said() -> None:
    """What was blocked or lost on it is over with it."""
    assert after(Connected(), LOST, BLOCKED, CUT).words == "cut"
    assert after(Connected(), LOST, BLOCKED, CUT, Connected()).words == ""
