"""Epochs at a node: who was replaced is obeyed no more."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.errors import ProtocolError
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.requests import CancelRequest
from fedmq.node import epochs
from fedmq.node.epochs import Epochs
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport import topology
from fedmq.transport.home import LocalHome
from fedmq.transport.journal import Journal
from tests.unit.node.world import World


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Return a node's journal."""
    journal = LocalHome(tmp_path).journal(epochs.SCHEMA)
    yield journal
    journal.close()


def asked(epoch: int, *, experiment: str = "lung", sender: str = "orchestrator") -> Envelope:
    """Return the envelope of a request."""
    return Envelope(
        type=CancelRequest.TYPE,
        message_id="m",
        sender=sender,
        recipient="chu-lyon",
        experiment=experiment,
        sent_at=1.0,
        epoch=epoch,
    )


def test_a_lower_epoch_than_the_highest_is_refused_by_name(journal: Journal) -> None:
    """Equal and higher ones are taken; the highest is remembered by the next life too."""
    for epoch in (3, 3, 7):
        Epochs(journal).admit(asked(epoch))
    for epoch in (0, 3, 6):
        with pytest.raises(ProtocolError) as caught:
            Epochs(journal).admit(asked(epoch))
        assert caught.value.reason == "superseded"
    Epochs(journal).admit(asked(7))


def test_epochs_of_other_experiments_and_orchestrators_do_not_count(journal: Journal) -> None:
    """Each orchestrator counts for itself."""
    known = Epochs(journal)
    known.admit(asked(7))
    known.admit(asked(1, experiment="liver"))
    known.admit(asked(1, sender="orchestrator-2"))
    assert known.highest("orchestrator", "lung") == 7
    assert known.highest("orchestrator", "liver") == 1
    assert known.highest("nobody", "lung") == 0


class WireOfLeader(PlainWire):
    """The wire of an orchestrator that leads with an epoch."""

    epoch = 0

    def seal(self, message: Message, readers: Collection[str] = ()) -> bytes:
        """Return the bytes of a message, with the epoch."""
        envelope = message.envelope.model_copy(update={"epoch": self.epoch})
        return super().seal(replace(message, envelope=envelope), readers)


@pytest.mark.parametrize("is_pushed", [True, False], ids=["model_here", "model_awaited"])
def test_a_node_runs_nothing_of_who_was_replaced_and_all_of_who_leads(
    tmp_path: Path, *, is_pushed: bool
) -> None:
    """An order of a lower epoch is a dead letter with its reason; the same of the leader is run."""
    wire = WireOfLeader()
    world = World(tmp_path, wires={"orchestrator": wire})
    wire.epoch = 5
    world.agree()
    world.worker.jobs.clear()
    wire.epoch = 4
    world.train(is_pushed=is_pushed)
    assert world.worker.jobs == []
    assert (world.rows("tasks"), world.rows("waiting"), world.rows("rejected")) == (0, 0, 1)
    reason = world.service._records.journal.cell("SELECT reason FROM rejected")
    assert reason == "superseded"
    assert world.broker.depth(topology.DEAD_QUEUE) == 1
    # The node kept no receipt: who leads has the order in its outbox, and sends it with its epoch.
    wire.epoch = 6
    world.orchestrator.transport.disconnect()
    world.orchestrator.transport.connect()
    world.run(seconds=20)
    assert len(world.worker.jobs) == 1
    assert world.rows("rejected") == 1
    world.close()
