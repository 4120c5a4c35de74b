"""Random kills, and other mishaps: to whom, when and in the middle of what, a seed decides."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from random import Random
from typing import Final

from benchmarks.chaos.broker import Broker
from benchmarks.chaos.ground import SERVICES
from benchmarks.chaos.members import Member
from benchmarks.chaos.phases import Phase
from benchmarks.chaos.recovery import Fall, Falls, Lost
from benchmarks.chaos.stage import PATIENCE_S, Stage

_LOOK_S: Final = 0.004
_GIVE_UP_S: Final = 20.0
"""A phase that does not come for so long is no more waited for."""
_WEIGHTS: Final = {"node": 5.0, "orchestrator": 3.0, "researcher": 1.5, "broker": 1.0}
_PHASES: Final = {
    "node": (Phase.TRAIN, Phase.TRAIN, Phase.UPDATE, Phase.UPLOAD, Phase.RECEIVE, Phase.JOURNAL),
    "orchestrator": (Phase.FOLD, Phase.FOLD, Phase.UPLOAD, Phase.RECEIVE, Phase.JOURNAL),
    "researcher": (Phase.UPDATE, Phase.UPLOAD, Phase.JOURNAL, Phase.RECEIVE),
    "broker": (Phase.UPLOAD, Phase.RECEIVE, Phase.FOLD, Phase.JOURNAL, Phase.TRAIN),
}
_ANY_TIME: Final = 0.2
"""So many strokes come at a random time, whatever their victim is doing."""
_PATIENT: Final = 0.6
"""After so many of the strokes the next one waits until everybody is back."""
_CUTS: Final = 0.15
_FILLS: Final = 0.1
_STOPS: Final = 0.12
_RESTARTS: Final = 0.06
_LONG: Final = 0.15
"""So many stay away for seconds."""


_EXPERIMENT_S: Final = 600.0
"""No experiment takes so long, however often it is struck."""


class How(StrEnum):
    """What may happen to a program; its plural is the name of a figure."""

    KILL = "kill"
    STOP = "stop"
    RESTART = "restart"
    CUT = "cut"
    """Its line, in one direction or both."""
    FILL = "fill"
    """Its disk."""


_SIGNALS: Final = {
    How.KILL: signal.SIGKILL,
    How.STOP: signal.SIGSTOP,
    How.RESTART: signal.SIGTERM,
}
_LONGEST_S: Final = {how: 12.0 if how is How.CUT else 5.0 for how in How}
_DIRECTIONS: Final = (("up", "down"), ("up", "down"), ("up",), ("down",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """What is to happen next."""

    victim: Member | Broker
    how: How
    directions: tuple[str, ...]
    """Which a cut is of."""
    phase: Phase | None
    """The phase that is waited for, None where any will do."""
    due_at: float
    pause_s: float
    """Until the victim is started, or goes on."""
    is_patient: bool
    """Whether everybody has to be back before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Who is away, and what ends it."""

    victim: Member | Broker
    until: float
    come_back: Callable[[], object]


class Killer:
    """Lets a federation run experiments, and kills its programs meanwhile."""

    def __init__(self, stage: Stage, random: Random, *, num_kills: int) -> None:
        self.falls = Falls()
        self.counts: Counter[How] = Counter()
        self._stage = stage
        self._random = random
        self._num_kills = num_kills
        self._absences: list[Absence] = []
        self._finished_at = time.monotonic()
        self._stroke = self._draw()

    def run(self) -> None:
        """Return once so many were killed, all are back, and the experiments are over.

        Raises:
            Lost: somebody did not come back, or a model is another.
        """
        self._stage.begin_experiment()
        while not self._is_over:
            self._stage.look()
            self.falls.look()
            self._bring_back()
            self._lead_researcher()
            self._strike_if_due()
            self._require_life()
            time.sleep(_LOOK_S)

    @property
    def _is_done(self) -> bool:
        return len(self.falls) >= self._num_kills

    @property
    def _is_over(self) -> bool:
        is_quiet = not (self._absences or self.falls.is_open)
        return self._is_done and is_quiet and self._stage.researcher.is_idle

    def _bring_back(self) -> None:
        now = time.monotonic()
        for absence in [one for one in self._absences if one.until <= now]:
            self._absences.remove(absence)
            absence.come_back()

    def _lead_researcher(self) -> None:
        researcher = self._stage.researcher
        if researcher.is_running or self._is_away(researcher) or researcher.is_idle:
            return
        if not researcher.end_life():
            researcher.start()
            return
        self._stage.check()
        now = time.monotonic()
        self._stage.say(
            f"experiment {len(researcher.finished)} after {now - self._finished_at:.1f} s,"
            f" {len(self.falls)} killed"
        )
        self._finished_at = now
        if not self._is_done:
            self._stage.begin_experiment()

    def _strike_if_due(self) -> None:
        stroke, now = self._stroke, time.monotonic()
        if self._is_done or now < stroke.due_at:
            return
        if now > stroke.due_at + _GIVE_UP_S:
            self._stroke = self._draw()
            return
        if stroke.is_patient and (self._absences or self.falls.is_open):
            return
        victim = stroke.victim
        if not victim.is_running or self._is_away(victim):
            return
        if stroke.phase is None or stroke.phase is victim.phase:
            self._strike(stroke)
            self._stroke = self._draw()

    def _strike(self, stroke: Stroke) -> None:
        self.counts[stroke.how] += 1
        come_back = self._befall(stroke)
        until = time.monotonic() + stroke.pause_s
        self._absences.append(Absence(victim=stroke.victim, until=until, come_back=come_back))

    def _befall(self, stroke: Stroke) -> Callable[[], object]:
        """Let it happen; return what ends it."""
        victim, ground, at = stroke.victim, self._stage.ground, time.monotonic()
        match stroke.how:
            case How.CUT:
                ground.cut(victim.name, stroke.directions)
                return partial(ground.heal, victim.name)
            case How.FILL:
                ground.disks[victim.name].fill()
                return ground.disks[victim.name].clear
            case how:
                phase = victim.send(_SIGNALS[how])
        if how is How.STOP:
            return partial(victim.send, signal.SIGCONT)
        if how is How.KILL:
            fall = Fall(who=victim, phase=phase, at=at, gone_at=time.monotonic())
            self.falls.all.append(fall)
        return victim.come_back

    def _draw(self) -> Stroke:
        random, stage = self._random, self._stage
        victims: tuple[Member | Broker, ...] = (*stage.members, stage.broker)
        weights = [_WEIGHTS[victim.kind] / _count(victim.kind, victims) for victim in victims]
        victim = random.choices(victims, weights)[0]
        chances = {How.STOP: _STOPS, How.RESTART: _RESTARTS}
        if victim.name in SERVICES and stage.ground.hosts is not None:
            chances[How.CUT] = _CUTS
        if victim.name in stage.ground.disks:
            chances[How.FILL] = _FILLS
        chances = {How.KILL: 1.0 - sum(chances.values()), **chances}
        how = random.choices(list(chances), list(chances.values()))[0]
        is_long = how not in {How.KILL, How.RESTART} or random.random() < _LONG
        return Stroke(
            victim=victim,
            how=how,
            directions=random.choice(_DIRECTIONS),
            phase=None if random.random() < _ANY_TIME else random.choice(_PHASES[victim.kind]),
            due_at=time.monotonic() + random.uniform(0.0, 1.5),
            pause_s=random.uniform(1.0, _LONGEST_S[how]) if is_long else random.uniform(0.0, 1.0),
            is_patient=random.random() < _PATIENT,
        )

    def _is_away(self, victim: Member | Broker) -> bool:
        if isinstance(victim, Broker) and victim.is_starting:
            return True
        return any(absence.victim is victim for absence in self._absences)

    def _require_life(self) -> None:
        """Return if everything goes on.

        Raises:
            Lost: an experiment takes too long, or somebody does not come back.
        """
        now = time.monotonic()
        late = [one for one in self.falls.all if one.recovery_s is None]
        if late and now - late[0].at > PATIENCE_S:
            who = late[0].who
            raise Lost(f"{who.kind} is not back {PATIENCE_S:.0f} s after it was killed")
        if now - self._finished_at > _EXPERIMENT_S:
            raise Lost(f"an experiment takes more than {_EXPERIMENT_S:.0f} s")
        for service in self._stage.services:
            if not (service.is_running or self._is_away(service)):
                raise Lost(f"{service.name} ended by itself:\n{service.program.log()[-2000:]}")


def _count(kind: str, victims: Sequence[Member | Broker]) -> int:
    return sum(victim.kind == kind for victim in victims)
