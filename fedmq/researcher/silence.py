"""Silence: why no answer came, as far as the broker can say. Pure."""

from dataclasses import dataclass

from fedmq.errors import TransportError


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """How many programs read; None where the broker does not say."""

    of_submissions: int | None = None
    """Orchestrators."""
    of_answers: int | None = None
    """Programs of this researcher, this one among them; where the broker counts only who is active,
    never more than one."""


def explain_silence(readers: Readers) -> TransportError:
    """Return the error of who was not answered in time, at a broker that works."""
    if readers.of_submissions == 0:
        return TransportError(
            "the orchestrator does not answer",
            why="it is not running: nobody reads what researchers send",
            fix="the hub's operator: fedmq orchestrator start",
        )
    if readers.of_answers is not None and readers.of_answers > 1:
        return TransportError(
            "the answer did not come here",
            why="another program of yours reads your answers; if it has another home, "
            "they stay there",
            fix="close it, or use the same home, or have a login of its own here: "
            "the hub's operator: fedmq hub add-researcher NAME",
        )
    return TransportError(
        "the orchestrator does not answer",
        why="it is not running or busy, or another program of yours, with another home, "
        "reads your answers",
        fix="close that program, or use the same home; "
        "the hub's operator: fedmq orchestrator start",
    )
