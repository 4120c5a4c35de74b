"""Heard: when each node was heard of last, for people; it outlives the process."""

from collections.abc import Iterable, Mapping
from typing import Final

from fedmq.transport.journal import Journal
from fedmq.types import NodeId

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS heard (
    node TEXT PRIMARY KEY,
    at REAL NOT NULL
) WITHOUT ROWID;
"""
LATELY_S: Final = 60.0
"""Who was heard of since then is there."""
KEEP_S: Final = 60.0
"""So often it is written down."""


def read_heard(journal: Journal) -> dict[NodeId, float]:
    """Return when each node was heard of, in Unix seconds; up to KEEP_S old."""
    rows = journal.rows("SELECT node, at FROM heard")
    return {NodeId(str(node)): float(at or 0.0) for node, at in rows}


def write_heard(journal: Journal, times: Mapping[NodeId, float]) -> None:
    """Write down when nodes were heard of."""
    with journal.transaction():
        for node, at in times.items():
            journal.execute(
                "INSERT INTO heard VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at",
                (node, at),
            )


def describe_absent(
    awaited: Iterable[NodeId], ages: Mapping[NodeId, float], *, lately_s: float = LATELY_S
) -> list[str]:
    """Return of the awaited nodes that are not there since when they were not heard of."""
    parts = []
    for node in awaited:
        age_s = ages.get(node)
        if age_s is None:
            parts.append(f"{node} never heard of")
        elif age_s >= lately_s:
            parts.append(f"{node} last heard {ago(age_s)}")
    return parts


def ago(seconds: float) -> str:
    """Return in words how long ago something was."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
