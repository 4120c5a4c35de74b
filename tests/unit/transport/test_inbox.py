"""The inbox: what waits for a payload is found by the payload, whatever else waits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import Manifest
from fedmq.messages.replies import TrainReply
from fedmq.transport import courier as couriers
from fedmq.transport.counters import Counters
from fedmq.transport.inbox import Inbox
from fedmq.transport.journal import Cell, Journal
from fedmq.types import Digest
from tests.support.clock import FakeClock


class CountingJournal(Journal):
    """A journal that counts the rows that it was asked for."""

    num_rows = 0

    def rows(self, sql: str, cells: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        """Count, and return them."""
        found = super().rows(sql, cells)
        self.num_rows += len(found)
        return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[CountingJournal]:
    """Return an orchestrator's journal."""
    made = CountingJournal(tmp_path / "journal.sqlite", couriers.SCHEMA)
    yield made
    made.close()


def an_inbox(journal: Journal) -> Inbox:
    """Return the inbox of one more life."""
    return Inbox(journal, Counters(journal), FakeClock(lambda: 0.0))


def digest_of(number: int) -> Digest:
    """Return the digest of a node's update."""
    return Digest(f"{number:064x}")


def a_reply(number: int) -> Message:
    """Return a node's announcement of its update."""
    update = Manifest(digest=digest_of(number), size_bytes=10, chunk_bytes=10)
    return Message(
        envelope=Envelope(
            type=TrainReply.TYPE,
            message_id=f"reply.{number}",
            sender=f"node-{number}",
            recipient="orchestrator",
            experiment="lung" if number % 2 else "liver",
            sent_at=1.0,
        ),
        body=TrainReply(update=update, num_cases=1, metrics={}, duration_s=1.0),
    )


def test_a_payload_finds_its_message_without_a_look_at_the_others(
    journal: CountingJournal,
) -> None:
    """A thousand announcements may wait: what one payload costs must not grow with them."""
    inbox = an_inbox(journal)
    for number in range(100):
        inbox.wait(a_reply(number), "fedmq.replies")
    journal.num_rows = 0
    assert inbox.waiting_for(digest_of(7)) == [("fedmq.replies", a_reply(7))]
    assert inbox.waiting_for(digest_of(100)) == []
    assert journal.num_rows == 1


def test_what_is_received_or_dropped_is_awaited_no_more(journal: CountingJournal) -> None:
    """Its payload is needed for other reasons, or for none."""
    inbox = an_inbox(journal)
    for number in range(4):
        inbox.wait(a_reply(number), "fedmq.replies")
    inbox.receive(a_reply(0).envelope)
    inbox.drop("lung")
    assert inbox.awaited() == {digest_of(2)}
    assert [inbox.waiting_for(digest_of(number)) == [] for number in range(4)] == [
        True,
        True,
        False,
        True,
    ]
