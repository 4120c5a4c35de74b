"""Silence: why no answer came, as far as the broker can say. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedmq.errors import TransportError
from fedmq.types import ORCHESTRATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """How many programs read; None where the broker does not say."""

    of_submissions: int | None = None
    """Programs of the orchestrator."""
    of_answers: int | None = None
    """Programs of this researcher, this one among them; where the broker counts only who is active,
    never more than one."""


def orchestrator_words(name: str) -> str:
    """Return an orchestrator as people read of it: the one that every hub has needs no name."""
    return "the orchestrator" if name == ORCHESTRATOR else f"the orchestrator {name}"


def explain_silence(readers: Mapping[str, Readers]) -> TransportError:
    """Return the error of who was answered in time by none of them, at a broker that works.

    `readers` by the names of orchestrators.
    """
    is_usual = list(readers) == [ORCHESTRATOR]
    what = (
        "the orchestrator does not answer" if is_usual else f"no answer from {', '.join(readers)}"
    )
    if all(one.of_submissions == 0 for one in readers.values()):
        return TransportError(
            what,
            why="it is not running: nobody reads what researchers send",
            fix="the hub's operator: fedmq orchestrator start",
        )
    if any((one.of_answers or 0) > 1 for one in readers.values()):
        return TransportError(
            "the answer did not come here",
            why="another program of yours reads your answers; if it has another home, "
            "they stay there",
            fix="close it, or use the same home, or have a login of its own here: "
            "the hub's operator: fedmq hub add-researcher NAME",
        )
    return TransportError(
        what,
        why="it is not running or busy, or another program of yours, with another home, "
        "reads your answers",
        fix="close that program, or use the same home; "
        "the hub's operator: fedmq orchestrator start",
    )
