"""The names of durable steps, made of what is written: rows, files, messages. Pure."""

import json
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from fedmq.errors import ProtocolError
from fedmq.messages.codec import decode
from fedmq.transport.journal import Cell

_CHANGE: Final = re.compile(r"\s*(INSERT(?: OR \w+)? INTO|DELETE FROM|UPDATE)\s+(\w+)")
_SIGNS: Final = {"INSERT": "+", "DELETE": "-", "UPDATE": "="}
_DIGEST: Final = re.compile(r"[0-9a-f]{64}(?:\.\d+-\d+)?")
_NUMBERED: Final = re.compile(r"(round|late)-.*")


def change_name(sql: str, cells: Sequence[Cell]) -> str:
    """Return what a statement changes, as +outbox(train_request); empty for one that reads."""
    found = _CHANGE.match(sql)
    if found is None:
        return ""
    # The message, where there is one, says more than the state that stands before it.
    kind = next(filter(None, map(_kind, reversed(cells))), "")
    sign = _SIGNS[found[1].partition(" ")[0]]
    return f"{sign}{found[2]}({kind})" if kind else f"{sign}{found[2]}"


def commit_name(changes: Iterable[str]) -> str:
    """Return the name of a transaction that changed this, each kind of change once."""
    return " ".join(["commit", *dict.fromkeys(changes)])


def file_name(place: str, name: str) -> str:
    """Return the kind of a file in a folder of a home, as payloads/payload.part."""
    if found := _DIGEST.match(name):
        kind = "payload" + name[found.end() :]
    elif found := _NUMBERED.fullmatch(name):
        kind = found[1]
    elif name.startswith(("rounds.", "experiment.")):
        kind = name
    else:
        kind = name.rpartition(".")[2]
    return f"{place}/{kind}"


def queue_name(name: str) -> str:
    """Return the kind of a queue: that of an experiment has its name in the middle."""
    first, *_, last = name.split(".")
    return f"{first}.{last}"


def _kind(cell: Cell) -> str:
    """Return what a cell says of its row: a message's type, an event's kind, a state."""
    if isinstance(cell, bytes):
        try:
            return decode(cell).envelope.type
        except ProtocolError:
            return ""
    if isinstance(cell, StrEnum):
        return str(cell)
    # A plan's source is text with any words in it.
    if isinstance(cell, str) and cell.startswith("{") and '"kind":' in cell:
        return str(json.loads(cell).get("kind", ""))
    return ""
