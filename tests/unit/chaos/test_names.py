"""Durable steps have names made of what is written."""

import pytest

from benchmarks.chaos.names import change_name, commit_name, file_name, queue_name
from fedmq.messages.codec import Message, encode
from fedmq.messages.envelope import Envelope
from fedmq.messages.notices import Receipt
from fedmq.node.tasks import State

RECEIPT = encode(
    Message(
        envelope=Envelope(
            type=Receipt.TYPE, message_id="1", sender="a", recipient="b", sent_at=0.0
        ),
        body=Receipt(of="2"),
    )
)
A = 64 * "a"


@pytest.mark.parametrize(
    ("sql", "cells", "name"),
    [
        ("INSERT OR IGNORE INTO received VALUES (?, ?, ?)", ("a", "b", "c"), "+received"),
        ("DELETE FROM waiting WHERE sender = ?", ("a",), "-waiting"),
        ("UPDATE tasks SET state = ?", (State.STARTED, None), "=tasks(started)"),
        ("INSERT INTO tasks VALUES (?, ?)", (State.WAITING, RECEIPT), "+tasks(receipt)"),
        (
            "INSERT INTO events SELECT ?, ?",
            (1.0, '{"node":"a","kind":"agreed"}'),
            "+events(agreed)",
        ),
        ("INSERT INTO plans VALUES (?)", (b"no message",), "+plans"),
        ("INSERT INTO plans VALUES (?)", ('""" A plan. """\n{"kind": "f8"}\n',), "+plans"),
        ("SELECT 1 FROM tasks", (), ""),
    ],
)
def test_a_change_is_named_by_its_table_and_what_its_row_says(
    sql: str, cells: tuple[object, ...], name: str
) -> None:
    """A message's type, an event's kind, a task's state: what people look for."""
    assert change_name(sql, cells) == name  # type: ignore[arg-type]


def test_a_commit_is_named_by_its_changes_each_once() -> None:
    """However many rows of a kind there are."""
    assert commit_name(["+received", "+outbox(a)", "+outbox(a)"]) == "commit +received +outbox(a)"


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (A, "payload"),
        (f"{A}.600-128.part", "payload.part"),
        (f"{A}.py.new", "payload.py.new"),
        ("lung-ab12.folding", "folding"),
        ("lung-ab12.2.0.output", "output"),
        ("round-0003.safetensors", "round"),
        ("late-0003.chu-lyon.safetensors", "late"),
        ("experiment.json.part", "experiment.json.part"),
        ("rounds.jsonl", "rounds.jsonl"),
    ],
)
def test_a_file_is_named_by_its_kind(file: str, kind: str) -> None:
    """The same step has the same name in every round of every experiment."""
    assert file_name("payloads", file) == f"payloads/{kind}"


def test_a_queue_is_named_without_its_experiment() -> None:
    """Two words of three."""
    assert queue_name("experiment.lung-ab12@orchestrator.replies") == "experiment.replies"
