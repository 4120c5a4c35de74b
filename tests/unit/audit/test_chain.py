"""The chain of the audit log: whatever is done to it is seen, and at which entry."""

import hashlib
import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.audit.chain import BEGINNING, Head, read_entry, write_entry
from fedmq.audit.check import ChainCheck, Verdict
from fedmq.audit.facts import EntriesPruned, fact_of, fields_of, plain
from fedmq.node.audit_facts import NodeStarted
from fedmq.types import Digest

NUM: Final = 6


def chain(count: int, *, began_with: str = "a", before: Head = BEGINNING) -> list[bytes]:
    """Return the lines of a chain."""
    lines = []
    for number in range(count):
        fields = fields_of(NodeStarted(node=began_with, version=str(number)))
        line, before = write_entry(before, at=10.0 + number, kind="node_started", fields=fields)
        lines.append(line)
    return lines


LINES: Final = tuple(chain(NUM))
OTHERS: Final = tuple(chain(NUM, began_with="b"))
numbers = st.integers(0, NUM - 1)


def head_of(line: bytes) -> Head:
    """Return the head of a chain that ends with a line."""
    entry = read_entry(line)
    assert entry is not None
    return entry.head


def verdict_on(lines: list[bytes], *heads: Head, is_whole: bool = True) -> Verdict:
    """Return what is found of lines."""
    check = ChainCheck(is_whole=is_whole, heads=heads)
    for line in lines:
        if not check.take(line):
            break
    return check.finish()


def fault_of(lines: list[bytes], *heads: Head, is_whole: bool = True) -> int | None:
    """Return the number of the first entry that is wrong, None where all are right."""
    verdict = verdict_on(lines, *heads, is_whole=is_whole)
    assert verdict.fault is None or verdict.fault.why
    return None if verdict.fault is None else verdict.fault.number


def test_a_chain_is_what_was_written() -> None:
    """It says how many entries, from when to when, up to which head."""
    verdict = verdict_on(list(LINES))
    assert verdict == Verdict(
        num_entries=NUM,
        first=1,
        began_at=10.0,
        ended_at=15.0,
        head=head_of(LINES[-1]),
        num_heads=0,
        fault=None,
    )
    assert verdict_on([]).head == BEGINNING


def test_the_rule_that_documents_state_is_the_rule() -> None:
    """Nothing but SHA-256 and a JSON reader is needed to verify a log."""
    previous = "0" * 64
    for line in LINES:
        body = line[:-75] + b"}"
        assert json.loads(line)["previous"] == previous
        previous = json.loads(line)["hash"]
        assert hashlib.sha256(body).hexdigest() == previous


def test_the_bytes_of_an_entry_are_pinned() -> None:
    """Logs are verified for years: another order or another space is another chain."""
    line, head = write_entry(BEGINNING, at=1.25, kind="k", fields={"z": 'é"', "a": [1, None]})
    assert line == (
        rb'{"a":[1,null],"at":1.25,"kind":"k","number":1,"previous":"' + b"0" * 64 + rb'",'
        rb'"z":"\u00e9\"","hash":"' + head.hash.encode() + b'"}'
    )
    assert head.hash.startswith("373454f6")


@given(number=numbers, data=st.data())
def test_every_byte_counts(number: int, data: st.DataObject) -> None:
    """Any byte of any entry made another one is seen there, in the last entry too."""
    line = bytearray(LINES[number])
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    lines = list(LINES)
    lines[number] = bytes(line)
    assert fault_of(lines) == number + 1


def test_every_byte_of_one_entry_counts() -> None:
    """Each flipped in its lowest bit: none is outside the hash."""
    for place in range(len(LINES[2])):
        line = bytearray(LINES[2])
        line[place] ^= 1
        assert fault_of([*LINES[:2], bytes(line), *LINES[3:]]) == 3


@given(first=st.integers(0, NUM - 2), count=st.integers(1, NUM))
def test_entries_that_are_gone_are_missed(first: int, count: int) -> None:
    """From the beginning, or from the middle: the next one that stands tells it."""
    lines = [*LINES[:first], *LINES[first + count :]]
    if first + count < NUM:
        assert fault_of(lines) == first + count + 1
    else:
        assert fault_of(lines, head_of(LINES[-1])) == first + 1


@given(number=st.integers(0, NUM), other=numbers)
def test_an_entry_that_was_put_in_is_seen(number: int, other: int) -> None:
    """One of another chain, or one of this chain a second time."""
    for inserted in (LINES[other], OTHERS[other]):
        lines = [*LINES[:number], inserted, *LINES[number:]]
        if inserted == (lines[number + 1] if number < NUM else b""):
            assert fault_of(lines) == other + 1  # told where it stands the second time
        else:
            assert fault_of(lines) is not None


@given(one=numbers, other=numbers)
def test_entries_in_another_order_are_seen(one: int, other: int) -> None:
    """Two that changed places."""
    lines = list(LINES)
    lines[one], lines[other] = lines[other], lines[one]
    assert (fault_of(lines) is None) == (one == other)


@given(kept=numbers, cut=st.integers(1, NUM))
def test_a_tail_that_was_cut_is_seen_by_who_keeps_a_head(kept: int, cut: int) -> None:
    """Without one a shorter log is a sound log: that is what heads are kept for."""
    lines, head = list(LINES[: NUM - cut]), head_of(LINES[kept])
    assert fault_of(lines) is None
    if kept < NUM - cut:
        assert verdict_on(lines, head).num_heads == 1
    else:
        assert fault_of(lines, head) == NUM - cut + 1


@given(kept=numbers)
def test_a_log_written_anew_is_seen_by_who_keeps_a_head(kept: int) -> None:
    """Every hash of it is right, and it is another log."""
    assert fault_of(list(OTHERS)) is None
    assert fault_of(list(OTHERS), head_of(LINES[kept])) == kept + 1


def test_a_part_of_a_log_may_begin_anywhere_and_a_whole_one_may_not() -> None:
    """An export since a day is a part."""
    assert fault_of(list(LINES[2:]), is_whole=False) is None
    assert fault_of(list(LINES[2:])) == 3
    assert verdict_on(list(LINES[2:]), is_whole=False).first == 3


def test_the_head_before_the_first_entry_is_compared_too() -> None:
    """Who kept the head of what is not in the part can still tell."""
    right, wrong = head_of(LINES[1]), Head(number=2, hash=Digest("1" * 64))
    assert verdict_on(list(LINES[2:]), right, is_whole=False).num_heads == 1
    assert fault_of(list(LINES[2:]), wrong, is_whole=False) == 2


@pytest.mark.parametrize("is_true", [True, False])
def test_a_log_begins_later_only_where_an_entry_says_so(is_true: bool) -> None:  # noqa: FBT001
    """With the number and the hash of the last entry that went."""
    gone = head_of(LINES[1])
    fact = EntriesPruned(
        count=2, through=2, through_hash=gone.hash if is_true else Digest("1" * 64)
    )
    line, _ = write_entry(head_of(LINES[-1]), at=20.0, kind=fact.KIND, fields=fields_of(fact))
    assert fault_of([*LINES[2:], line]) == (None if is_true else 3)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b"{}",
        b'{"number":1}',
        b'{"at":"x","kind":"k","number":1,"previous":"0"}',
        b'{"at":1,"kind":"k","number":"1","previous":"0"}',
    ],
)
def test_what_is_no_entry_is_none_though_its_hash_is_right(body: bytes) -> None:
    """Whoever writes a file may put anything in it."""
    sealed = hashlib.sha256(body[:-1] + b"}").hexdigest().encode()
    assert read_entry(body[:-1] + b',"hash":"' + sealed + b'"}') is None
    assert fault_of([body]) == 1


def test_an_entry_of_a_later_version_is_an_entry() -> None:
    """Of a kind that is not known here, or a known kind with other fields."""
    first, head = write_entry(BEGINNING, at=1.0, kind="privacy_spent", fields={"epsilon": 0.5})
    second, _ = write_entry(head, at=1.0, kind=EntriesPruned.KIND, fields={"how": "anew"})
    assert fault_of([first, second]) is None
    entry = read_entry(second)
    assert entry is not None
    assert fact_of(entry, EntriesPruned) is None


@pytest.mark.parametrize("name", ["number", "at", "kind", "previous", "hash"])
def test_a_field_cannot_take_the_place_of_the_entrys_own(name: str) -> None:
    """Nor can a time that is no number."""
    with pytest.raises(ValueError, match="cannot be written"):
        write_entry(BEGINNING, at=1.0, kind="k", fields={name: 1})
    with pytest.raises(ValueError, match="cannot be written"):
        write_entry(BEGINNING, at=float("inf"), kind="k", fields={})


def test_a_head_is_passed_on_as_a_word() -> None:
    """By mail, or on paper."""
    head = head_of(LINES[-1])
    assert Head.parse(str(head)) == head
    for wrong in ("", "6", f"six:{head.hash}", f"6:{head.hash[:-1]}", f"{head} "):
        assert Head.parse(wrong) is None


def test_words_from_outside_are_plain_or_a_question_mark() -> None:
    """No line of a terminal is changed by who wrote a message."""
    assert plain("lung-1.x_Y") == "lung-1.x_Y"
    assert (plain(""), plain("a b"), plain("\x1b[2J"), plain("é")) == ("", "?", "?", "?")
