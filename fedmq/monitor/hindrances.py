"""Hindrances: what keeps the broker from taking messages, in words, with who mends it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_MEGABYTE: Final = 1_000_000
_WAITS: Final = "what is sent waits at its senders and is lost nowhere; reading goes on"
_LIMITS: Final = (("max-length", "messages", ""), ("max-length-bytes", "message_bytes", " bytes"))
"""What a policy calls it, what the queue holds of it, and the word behind the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindrance:
    """Why messages do not move."""

    what: str
    why: str
    fix: str


def find_hindrances(
    nodes: Iterable[Mapping[str, Any]], queues: Iterable[Mapping[str, Any]]
) -> tuple[Hindrance, ...]:
    """Return what the management API's lists of broker nodes and queues show of alarms, limits."""
    return (*_alarms(nodes), *_full(queues))


def _alarms(nodes: Iterable[Mapping[str, Any]]) -> Iterator[Hindrance]:
    for node in nodes:
        if node.get("mem_alarm"):
            used, limit = _megabytes(node.get("mem_used")), _megabytes(node.get("mem_limit"))
            yield Hindrance(
                what=f"the broker {node.get('name')} takes no messages; {_WAITS}",
                why=f"its memory is full: {used} MB are in use, the limit is {limit} MB",
                fix="the hub's operator: give the broker more memory, or raise "
                "vm_memory_high_watermark; it takes messages again by itself",
            )
        if node.get("disk_free_alarm"):
            free, limit = _megabytes(node.get("disk_free")), _megabytes(node.get("disk_free_limit"))
            yield Hindrance(
                what=f"the broker {node.get('name')} takes no messages; {_WAITS}",
                why=f"its disk is nearly full: {free} MB are free, the limit is {limit} MB",
                fix="the hub's operator: free space on the broker's disk, or lower "
                "disk_free_limit; it takes messages again by itself",
            )


def _full(queues: Iterable[Mapping[str, Any]]) -> Iterator[Hindrance]:
    for queue in queues:
        policy = queue.get("effective_policy_definition") or {}
        if policy.get("overflow") != "reject-publish":
            continue
        for limit_of, held_of, unit in _LIMITS:
            limit, held = policy.get(limit_of), int(queue.get(held_of) or 0)
            if limit is not None and held >= int(limit):
                yield Hindrance(
                    what=f"the queue {queue.get('name')} takes no messages; {_WAITS}",
                    why=f"it is full: it holds {held}{unit}, its limit is {limit}",
                    fix="whoever reads it: start the program again, or ask why it reads so slowly",
                )
                break


def _megabytes(value: object) -> str:
    return f"{value / _MEGABYTE:.0f}" if isinstance(value, int | float) else "?"
