"""Log lines: only keys that are allowed, and no words of strangers."""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
import structlog

from fedmq.logs import configure, drop_unknown_keys, log_ending, log_link, log_rejected


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """Return what stands on stderr, as JSON."""
    screen = StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    configure(as_json=True)
    yield screen
    structlog.reset_defaults()


def test_a_rejection_is_one_line_with_its_reason(logged: StringIO) -> None:
    """Which message, from whom, in which queue."""
    log_rejected(
        reason="forged_sender",
        queue="node.chu-lyon.tasks",
        kind="train.request",
        sender="umc-basel",
    )
    (line,) = logged.getvalue().splitlines()
    known = json.loads(line)
    assert known.pop("timestamp")
    assert known == {
        "event": "message_rejected",
        "level": "warning",
        "reason": "forged_sender",
        "queue": "node.chu-lyon.tasks",
        "kind": "train.request",
        "sender": "umc-basel",
    }


def test_two_rosters_of_one_version_are_named_in_words(logged: StringIO) -> None:
    """And what to do: no program can tell which of them is the right one."""
    log_rejected(reason="roster_forked", queue="q", kind="hello", sender="umc-basel")
    (line,) = logged.getvalue().splitlines()
    known = json.loads(line)
    assert known["reason"] == "roster_forked"
    assert known["fix"].endswith(
        "compare the roster's hash with the hub's operator: fedmq node roster"
    )


def test_who_is_refused_by_the_broker_is_told_of_both_that_it_may_be(logged: StringIO) -> None:
    """Other credentials are of no use to who was revoked, and what it kept is not to be lost."""
    log_link("the hub has taken this login's certificate back", refused=True)
    log_link("the line broke", refused=False)
    refused, broken = map(json.loads, logged.getvalue().splitlines())
    assert refused["fix"].startswith("ask the hub's operator whether this member was revoked")
    assert "if so, end its program and keep what it stored" in refused["fix"]
    assert "if not, put the credentials that the hub wrote last in place" in refused["fix"]
    assert "fix" not in broken


def test_a_certificate_near_its_end_is_a_line_with_what_to_do(logged: StringIO) -> None:
    """In the words of the command that starts the service."""
    log_ending("the certificate of x ends on 2027-01-01", "fedmq hub renew x")
    (line,) = logged.getvalue().splitlines()
    known = json.loads(line)
    assert (known["event"], known["level"]) == ("certificate_ends", "warning")
    assert known["reason"] == "the certificate of x ends on 2027-01-01"
    assert known["fix"] == "fedmq hub renew x"


@pytest.mark.parametrize("word", ["", "two\nlines", "\x1b[31m", "Doe, Jane", "x" * 81])
def test_what_is_no_plain_word_is_left_out(logged: StringIO, word: str) -> None:
    """Whoever may publish chooses the kind: nothing of theirs is made up as a line of the log."""
    log_rejected(reason="not_msgpack", queue="q", kind=word, sender=word)
    (line,) = logged.getvalue().splitlines()
    assert json.loads(line).keys() == {"event", "level", "reason", "queue", "timestamp"}


def test_a_key_that_is_not_allowed_is_dropped() -> None:
    """Nothing about a patient has a name here."""
    assert drop_unknown_keys(None, "", {"event": "x", "patient": "Doe"}) == {"event": "x"}


def test_a_log_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it goes to the disk that is full, its lines are lost and the service lives."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        configure()
        structlog.get_logger().warning("disk_full")
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
