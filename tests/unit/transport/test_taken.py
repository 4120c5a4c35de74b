"""What was taken: known by its digest while it is among the last."""

from pathlib import Path

from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.requests import CancelRequest
from fedmq.transport import taken
from fedmq.transport.journal import Journal
from fedmq.transport.taken import MAX_TAKEN, Taken


def message(counter: int, *, before_attempt: int = 1, stream: str = "a" * 16) -> Message:
    """Return a small order with a number."""
    envelope = Envelope(
        type="cancel.request",
        message_id=f"m{counter}",
        sender="orchestrator",
        recipient="chu-lyon",
        sent_at=0.0,
        stream=stream,
        counter=counter,
    )
    return Message(envelope=envelope, body=CancelRequest(before_attempt=before_attempt))


def test_only_another_message_under_the_same_number_contradicts(tmp_path: Path) -> None:
    """Another number or stream does not, nor what was never taken."""
    known = Taken(Journal(tmp_path / "journal.sqlite", taken.SCHEMA))
    known.add(message(1))
    known.add(message(1, before_attempt=2))
    assert not known.contradicts(message(1))
    assert known.contradicts(message(1, before_attempt=2))
    assert not known.contradicts(message(2, before_attempt=2))
    assert not known.contradicts(message(1, before_attempt=2, stream="b" * 16))


def test_the_oldest_digests_go_when_there_are_too_many(tmp_path: Path) -> None:
    """They would grow for ever."""
    journal = Journal(tmp_path / "journal.sqlite", taken.SCHEMA)
    known = Taken(journal)
    with journal.transaction():
        for counter in range(1, MAX_TAKEN + 3):
            known.add(message(counter))
    assert journal.cell("SELECT count(*) FROM taken") == MAX_TAKEN
    assert not known.contradicts(message(2, before_attempt=2))
    assert known.contradicts(message(3, before_attempt=2))
