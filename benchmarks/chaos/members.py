"""The members of a federation under chaos: real programs that may be gone at any moment."""

import re
import signal
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks.chaos.phases import Course, Phase, is_progress
from benchmarks.chaos.steps import Notes, Side
from tests.support.federation import CENTRE, RESEARCHER, Federation, Program, until

ORCHESTRATOR: Final = "orchestrator"
_LED: Final = re.compile(r"the orchestrator leads (\S+);")


class Member(ABC):
    """One program, life after life, and what it notes of its steps."""

    def __init__(self, federation: Federation, notes: Path, name: str) -> None:
        self.name = name
        self.notes = Notes(notes, name)
        self.steps: Counter[str] = Counter()
        """How often each step was taken."""
        self._federation = federation
        self._course = Course()
        self._progress: list[float] = []

    @abstractmethod
    def start(self) -> None:
        """Begin a life, and do not wait for it."""

    def come_back(self) -> None:
        """Begin a life after one that was cut off."""
        self.start()

    @property
    @abstractmethod
    def kind(self) -> str:
        """What it is, whatever its name."""

    @property
    def program(self) -> Program:
        """The process, running or not."""
        return self._federation.programs[self.name]

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        return self.program.is_running

    def send(self, number: signal.Signals) -> Phase:
        """Return what it was doing when the signal came, which may end it."""
        at, pid = time.monotonic(), self.program.pid
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self.program.end(number)
        else:
            self.program.send(number)
        self.look(until=at)
        phase = self._course.phase(pid, at)
        self.look()
        return phase

    def wait_until_still(self) -> None:
        """Return once the process stands still, as it was ordered to."""
        stat = Path(f"/proc/{self.program.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", f"{self.name}'s stop")

    def look(self, until: float | None = None) -> None:
        """Read what it noted since, or up to a moment."""
        for note in self.notes.read(until):
            self._course.take(note)
            if note.side is Side.AFTER:
                self.steps[note.step] += 1
            if is_progress(note):
                self._progress.append(note.at)

    @property
    def phase(self) -> Phase:
        """What it is doing."""
        return self._course.phase(self.program.pid, time.monotonic())

    def progress_since(self, at: float) -> float | None:
        """Return when it was back at work after a moment, None while it is not."""
        index = bisect_right(self._progress, at)
        return self._progress[index] if index < len(self._progress) else None


class Service(Member):
    """A node or the orchestrator."""

    @property
    def kind(self) -> str:
        """What it is, as its command says it."""
        return ORCHESTRATOR if self.name == ORCHESTRATOR else "node"

    def start(self) -> None:
        """Start it."""
        home = CENTRE if self.name == ORCHESTRATOR else self.name
        self._federation.start(self.name, home, self.kind, "start")


class Researcher(Member):
    """Runs one experiment after the other, to its model; comes back as a person would.

    Who knows the experiment's id follows it, and fetches its model at the end. Who was cut off
    before the orchestrator said it runs the experiment again; what the first client had kept is
    sent by the second one, so that there may be two.
    """

    def __init__(self, federation: Federation, notes: Path, experiment: Path) -> None:
        super().__init__(federation, notes, RESEARCHER)
        self.num_failures = 0
        """Clients that gave up, because nobody answered for long."""
        self.finished: list[str] = []
        """Experiments that were followed to their end, and their models fetched."""
        self._experiment = experiment
        self._todo: list[tuple[str, ...]] = []
        self._known = ""

    def start(self) -> None:
        """Go on with the experiment in hand, or begin the next one."""
        if not self._todo:
            self._known = ""
            self._todo = [("run", str(self._experiment))]
        self._federation.start(self.name, RESEARCHER, *self._todo[0])

    @property
    def kind(self) -> str:
        """What it is."""
        return "researcher"

    @property
    def is_idle(self) -> bool:
        """Whether no experiment is in hand."""
        return not self._todo

    def come_back(self) -> None:
        """Begin a life after one that was cut off."""
        self.end_life()
        self.start()

    def end_life(self) -> bool:
        """Take note of the client's end; return whether its experiment is done with."""
        if not self._known and (led := _LED.search(self.program.log())):
            self._known = led[1]
        code = self.program.wait()
        if code == 0:
            self._todo.pop(0)
        elif self._known and self._todo[0][0] == "run":
            self._todo = [
                ("experiments", "follow", self._known),
                ("experiments", "fetch", self._known, f"{self._known}.safetensors"),
            ]
        self.num_failures += code > 0
        if not self._todo:
            self.finished.append(self._known)
        return not self._todo
