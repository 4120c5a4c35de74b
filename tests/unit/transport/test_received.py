"""The ids of received messages stay as long as a repeat would change something."""

from pathlib import Path

import pytest

from fedmq.messages.envelope import Envelope
from fedmq.transport.home import LocalHome
from fedmq.transport.received import NOBODY, SCHEMA, Received
from fedmq.transport.retention import DAY_S, Retention
from fedmq.types import NOWHERE
from tests.support.clock import FakeClock

NOW = 1_800_000_000.0


@pytest.fixture
def received(tmp_path: Path) -> Received:
    """Return the ids of a service that has received nothing; its clock stands."""
    return Received(LocalHome(tmp_path).journal(SCHEMA), FakeClock(lambda: NOW))


def a_message(message_id: str, *, sender: str, experiment: str) -> Envelope:
    """Return the envelope of a message."""
    return Envelope(
        type="ping",
        message_id=message_id,
        sender=sender,
        recipient="orchestrator",
        experiment=experiment,
        sent_at=NOW,
    )


REPLY = a_message("reply", sender="chu-lyon", experiment="lung")
SUBMISSION = a_message("submission", sender="anna", experiment="lung")
OTHER = a_message("other", sender="chu-lyon", experiment="liver")
HELLO = a_message("hello", sender="chu-lyon", experiment=NOWHERE)
ALL = (REPLY, SUBMISSION, OTHER, HELLO)


def test_of_an_experiment_that_is_over_only_what_began_it_is_known(received: Received) -> None:
    """A submission that came again would begin it anew; a reply changes nothing any more."""
    for one in ALL:
        received.add(one)
    received.forget({"lung": "anna"}, before=0.0)
    assert [one for one in ALL if received.has(one)] == [SUBMISSION, OTHER, HELLO]


def test_a_node_forgets_all_of_an_experiment_that_is_over(received: Received) -> None:
    """Its course says that it is over: a request that comes again is not run."""
    for one in ALL:
        received.add(one)
    received.forget({"lung": NOBODY}, before=0.0)
    assert [one for one in ALL if received.has(one)] == [OTHER, HELLO]


def test_what_belongs_to_no_experiment_is_known_for_some_days(received: Received) -> None:
    """Here 30; what belongs to an experiment that goes on stays however old it is."""
    for one in ALL:
        received.add(one)
    retention = Retention()
    received.forget({}, before=retention.before(NOW + 29 * DAY_S))
    assert received.has(HELLO)
    received.forget({}, before=retention.before(NOW + 31 * DAY_S))
    assert [one for one in ALL if received.has(one)] == [REPLY, SUBMISSION, OTHER]


def test_a_wish_is_known_as_long_as_its_experiment(received: Received) -> None:
    """A pause of long ago that came again would be a new one."""
    received.add(HELLO)
    received.assign(HELLO, "liver")
    received.forget({"lung": "anna"}, before=Retention().before(NOW + 31 * DAY_S))
    assert received.has(HELLO)
