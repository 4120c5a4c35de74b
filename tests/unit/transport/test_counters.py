"""Counters: what was taken once is never taken again, and nothing else is refused."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.messages.envelope import Envelope
from fedmq.transport.counters import SCHEMA, Counters, beacon_sign, read_life
from fedmq.transport.journal import Journal

STREAM = "0123456789abcdef"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Return a journal with the tables of counters."""
    made = Journal(tmp_path / "journal.sqlite", SCHEMA)
    yield made
    made.close()


def envelope(counter: int, sender: str = "chu-lyon", stream: str = STREAM) -> Envelope:
    """Return the envelope of a message with this number."""
    return Envelope(
        type="ping.reply",
        message_id=f"m-{counter}",
        sender=sender,
        recipient="orchestrator",
        sent_at=1.0,
        stream=stream,
        counter=counter,
    )


def test_kept_messages_are_counted_for_each_recipient(journal: Journal) -> None:
    """From 1, in every life on."""
    counters = Counters(journal)
    assert [counters.next_for("a"), counters.next_for("a"), counters.next_for("b")] == [1, 2, 1]
    assert Counters(journal).next_for("a") == 3
    assert Counters(journal).stream == counters.stream


def test_a_journal_that_was_put_back_from_a_copy_uses_no_number_twice(tmp_path: Path) -> None:
    """What a service sent after the copy was made, and what it sends now, are of two streams."""
    there = Journal(tmp_path / "there" / "journal.sqlite", SCHEMA)
    receiver = Counters(there)
    own = tmp_path / "own" / "journal.sqlite"

    def live() -> list[Envelope]:
        made = Journal(own, SCHEMA)
        counters = Counters(made, is_alone=True)
        numbers = [counters.next_for("orchestrator") for _ in range(2)]
        made.close()
        assert numbers == [1, 2]
        return [envelope(number, stream=counters.stream) for number in numbers]

    live()
    shutil.copytree(own.parent, tmp_path / "copy")
    for one in live():
        receiver.take(one)
    shutil.rmtree(own.parent)
    shutil.copytree(tmp_path / "copy", own.parent)
    assert not any(receiver.has(one) for one in live())
    there.close()


@pytest.mark.parametrize("seed", range(5))
def test_each_number_is_taken_once_in_whatever_order(journal: Journal, seed: int) -> None:
    """And when all have come, one range says so."""
    counters, numbers = Counters(journal), list(range(1, 200))
    random.Random(seed).shuffle(numbers)
    for number in numbers:
        assert not counters.has(envelope(number))
        counters.take(envelope(number))
        counters.take(envelope(number))
        assert counters.has(envelope(number))
    assert journal.rows("SELECT first, last FROM counted_in") == [(1, 199)]
    assert not counters.has(envelope(200))


def test_senders_and_streams_are_counted_apart(journal: Journal) -> None:
    """A member that lost its disk counts from 1 again, and says so."""
    counters = Counters(journal)
    counters.take(envelope(1))
    assert not counters.has(envelope(1, sender="ghu-paris"))
    assert not counters.has(envelope(1, stream="fedcba9876543210"))
    assert Counters(journal).has(envelope(1))


def test_two_journals_are_two_streams(tmp_path: Path) -> None:
    """The name is random."""
    streams = set()
    for name in ("a", "b"):
        made = Journal(tmp_path / name / "journal.sqlite", SCHEMA)
        streams.add(Counters(made).stream)
        made.close()
    assert len(streams) == 2


def test_signs_grow_within_a_life_and_from_life_to_life(journal: Journal) -> None:
    """A beacon's stand between a life and the next."""
    first = Counters(journal)
    signs = [first.next_sign(), first.next_sign()]
    signs.append(beacon_sign(read_life(journal), 1))
    signs.append(Counters(journal).next_sign())
    assert signs == sorted(set(signs))


def test_an_old_sign_is_no_news(journal: Journal) -> None:
    """Neither a copy, nor one of a life that has long been followed by others."""
    counters = Counters(journal)
    life = 1 << 32
    assert counters.is_news(envelope(life + 2))
    assert not counters.is_news(envelope(life + 2))
    assert not counters.is_news(envelope(life + 1))
    assert counters.is_news(envelope(life + 3))
    for number in range(2, 12):
        assert counters.is_news(envelope(number * life + 1))
    assert not counters.is_news(envelope(life + 4))


def test_programs_of_one_member_may_speak_side_by_side(journal: Journal) -> None:
    """Two notebooks of a researcher: the newer life does not silence the older."""
    counters, life = Counters(journal), 1 << 32
    for number in (1, 2, 3):
        assert counters.is_news(envelope(5 * life + number))
        assert counters.is_news(envelope(6 * life + number))
