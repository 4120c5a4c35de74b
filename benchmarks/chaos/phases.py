"""Phases: what a program is doing, told from the steps that it notes. Pure."""

import re
from enum import StrEnum
from typing import Final

from benchmarks.chaos.steps import Note, Side

JUST_S: Final = 0.1
"""So long after a step the program is still taken to be at it."""


class Phase(StrEnum):
    """What a program is busy with."""

    TRAIN = "train"
    """A task is in the trainer's hand."""
    UPDATE = "update"
    """A node makes an update of what was trained."""
    FOLD = "fold"
    """The orchestrator makes a model of updates, or gives it its name and record."""
    UPLOAD = "upload"
    """Chunks of a payload leave."""
    RECEIVE = "receive"
    """Chunks of a payload are written."""
    JOURNAL = "journal"
    """A commit, a message that leaves, a delivery that is taken off its queue."""
    WAIT = "wait"
    """None of these: it waits for others."""
    START = "start"
    """It has not taken a step in this life."""


_KINDS: Final = (
    (Phase.FOLD, re.compile(r"\w+ (payloads/folding|experiments/.*)|link .*")),
    (Phase.UPDATE, re.compile(r"\w+ (payloads/update|payloads/initial|scratch/.*)")),
    (Phase.UPLOAD, re.compile(r"publish payload\.chunk")),
    (Phase.RECEIVE, re.compile(r"(\w+ payloads/.*)|acknowledge payload\.chunk")),
)
_TRAINING_BEGINS: Final = re.compile(r"commit .*=tasks\(started\).*")
_TRAINING_ENDS: Final = re.compile(r"sync scratch/output|commit .*-tasks.*")


class Course:
    """The steps of one program, life after life, and the phase that they put it in."""

    def __init__(self) -> None:
        self.last: Note | None = None
        self.is_training = False

    def take(self, note: Note) -> None:
        """Take the next note."""
        self.last = note
        if note.side is Side.AFTER and _TRAINING_BEGINS.fullmatch(note.step):
            self.is_training = True
        elif _TRAINING_ENDS.fullmatch(note.step):
            self.is_training = False

    def phase(self, pid: int, at: float) -> Phase:
        """Return what the process is doing at a moment."""
        if self.last is None or self.last.pid != pid:
            return Phase.START
        if self.last.side is Side.BEFORE or at - self.last.at < JUST_S:
            return kind_of(self.last.step)
        return Phase.TRAIN if self.is_training else Phase.WAIT


def kind_of(step: str) -> Phase:
    """Return the phase that a step belongs to."""
    return next((phase for phase, names in _KINDS if names.fullmatch(step)), Phase.JOURNAL)


def is_progress(note: Note) -> bool:
    """Return whether a step shows that a program is back at work.

    It has read its journal, reached the broker, and taken a message off its queue.
    """
    return note.side is Side.AFTER and note.step.startswith("acknowledge ")
