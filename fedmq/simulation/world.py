"""The world: machines, a broker and time, from a seed; run until everybody is at rest."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from fedmq.learning.trainer_protocol import Job, JobKind
from fedmq.messages.codec import decode
from fedmq.messages.mandates import ExperimentSpec
from fedmq.orchestrator import leadership
from fedmq.orchestrator.leadership import read_epoch
from fedmq.simulation.aim import Aim
from fedmq.simulation.encodings_by_hand import AS_IT_IS, Travel
from fedmq.simulation.faults import Fault, Faults, Misfortune
from fedmq.simulation.machines import Machine
from fedmq.simulation.members import (
    DATASET,
    PLAN,
    STUDY,
    UNDERTAKINGS,
    NodeMachine,
    OrchestratorMachine,
    ResearcherMachine,
    Undertaking,
)
from fedmq.simulation.training import initial_model
from fedmq.simulation.transport import FaultyBroker
from fedmq.transport import topology
from fedmq.types import ExperimentId, NodeId

BEGAN_AT: Final = 1_800_000_000.0
MISHAPS: Final = 60
"""After so many nothing goes wrong any more, so that every run comes to an end."""
_WAITING_S: Final = 30 * 86_400.0
_SHORTEST_S: Final = 2.5
_TICK_S: Final = 0.5
"""Between two ticks of a program, at least."""
_LONGEST_S: Final = 1_800.0
_LIMIT_S: Final = 60 * 86_400.0
_LIMIT_STEPS: Final = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is to happen where nothing goes wrong."""

    nodes: tuple[NodeId, ...]
    num_rounds: int
    quorum: int
    round_deadline_s: float
    evaluate: bool
    seed: int
    travel: Travel = AS_IT_IS
    undertakings: tuple[Undertaking, ...] = UNDERTAKINGS[:1]
    """Each by another orchestrator; all but their seeds is the same."""

    def seed_of(self, undertaking: Undertaking) -> int:
        """Return the seed of an experiment and of its first model."""
        return self.seed + self.undertakings.index(undertaking)

    def spec(self, undertaking: Undertaking) -> ExperimentSpec:
        """Return an experiment."""
        return ExperimentSpec(
            name=undertaking.experiment,
            purpose="a simulation",
            plan=PLAN,
            dataset=DATASET,
            num_rounds=self.num_rounds,
            nodes=list(self.nodes),
            quorum=self.quorum,
            round_deadline_s=self.round_deadline_s,
            waiting_deadline_s=_WAITING_S,
            max_attempts=100,
            evaluate=self.evaluate,
            update_encoding=self.travel.updates.kind.value,
            top_k_share=self.travel.updates.share,
            model_encoding=self.travel.models.value,
            seed=self.seed_of(undertaking),
            study=STUDY,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One experiment with the machines of its own."""

    undertaking: Undertaking
    orchestrator: OrchestratorMachine
    researcher: ResearcherMachine


class World:
    """One federation with an experiment for each of its orchestrators."""

    def __init__(
        self, scenario: Scenario, faults: Faults, seed: int, aim: Aim | None = None
    ) -> None:
        self.scenario = scenario
        self.aim = Aim() if aim is None else aim
        self.misfortune = Misfortune(faults, Random(f"{seed} faults"), limit=MISHAPS)
        undertakings = scenario.undertakings
        layout = topology.federation(
            nodes=scenario.nodes,
            researchers=[one.researcher for one in undertakings],
            orchestrators=[one.orchestrator for one in undertakings],
        )
        self.broker = FaultyBroker(layout, self.misfortune, Random(f"{seed} order"))
        self.num_stale = 0
        """How often a node began what it had answered, or what its round had gone on without."""
        self._time = 0.0
        self._ticked_at = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.courses = tuple(self._course(one) for one in undertakings)
        self.nodes = {
            name: NodeMachine(
                name,
                self,
                began_at=BEGAN_AT,
                note=partial(self._note, name),
                undertakings=undertakings,
            )
            for name in scenario.nodes
        }
        self.machines: tuple[Machine, ...] = (
            *(course.orchestrator for course in self.courses),
            *self.nodes.values(),
            *(course.researcher for course in self.courses),
        )

    def _course(self, undertaking: Undertaking) -> Course:
        return Course(
            undertaking=undertaking,
            orchestrator=OrchestratorMachine(self, began_at=BEGAN_AT, undertaking=undertaking),
            researcher=ResearcherMachine(
                self,
                began_at=BEGAN_AT,
                spec=self.scenario.spec(undertaking),
                initial=initial_model(self.scenario.seed_of(undertaking)),
                undertaking=undertaking,
            ),
        )

    @property
    def time(self) -> float:
        """Seconds that have gone by."""
        return self._time

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something in a while."""
        heapq.heappush(self._agenda, (self._time + seconds, next(self._numbers), act))

    def run(self) -> bool:
        """Return whether the experiment is over and everybody at rest, before patience ends."""
        for machine in self.machines:
            machine.live()
        pause_s, num_steps = _SHORTEST_S, 0
        while self._time < _LIMIT_S and num_steps < _LIMIT_STEPS:
            before = self._num_deliveries()
            while self.broker.step() and num_steps < _LIMIT_STEPS:
                num_steps += 1
            if self.is_at_rest():
                return True
            is_busy = self._num_deliveries() > before
            pause_s = _SHORTEST_S if is_busy else min(_LONGEST_S, 5 * pause_s)
            self._pass_time(pause_s)
        return False

    def is_at_rest(self) -> bool:
        """Return whether the experiment is over, all know it, and nothing is left to be sent."""
        if not all(course.researcher.is_over for course in self.courses):
            return False
        return all(
            machine.program is not None and not machine.rows("outbox") + machine.rows("waiting")
            for machine in self.machines
        ) and not any(node.rows("tasks") for node in self.nodes.values())

    @property
    def num_buried(self) -> int:
        """How many messages became dead letters that nobody who leads had sent.

        What a life left on its way may come after words of the next: it is turned away, and the
        next life sends it too. Nothing else here deserves it.
        """
        leading = [course.orchestrator for course in self.courses]
        newest = {one.name: read_epoch(one.home.journal(leadership.SCHEMA)) for one in leading}
        buried = (decode(body).envelope for body in self.broker.buried)
        return sum(not 0 < one.epoch < newest.get(one.sender, 0) for one in buried)

    def close(self) -> None:
        """Give the memory back."""
        for machine in self.machines:
            machine.home.close()

    def _num_deliveries(self) -> int:
        return sum(machine.num_deliveries for machine in self.machines)

    def _pass_time(self, seconds: float) -> None:
        until = self._time + seconds
        if self._agenda and self._agenda[0][0] <= until:
            self._time, _, act = heapq.heappop(self._agenda)
            act()
        else:
            self._time = until
        if self._time < self._ticked_at + _TICK_S:
            return
        self._ticked_at = self._time
        if self.misfortune.happens(Fault.RESTART_BROKER):
            for machine in self.machines:
                machine.lose_connection()
            if self.misfortune.happens(Fault.WIPE_BROKER):
                self.broker.wipe()
        for machine in self.machines:
            machine.tick()
        for course in self.courses:
            course.orchestrator.look()

    def _note(self, node: NodeId, experiment: ExperimentId, job: Job) -> None:
        (course,) = [one for one in self.courses if one.undertaking.experiment == experiment]
        state = course.orchestrator.look()
        if state is None or job.kind is JobKind.PREPARE:
            return
        answered = state.trained if job.kind is JobKind.TRAIN else state.evaluated
        if job.round < state.round or (job.round == state.round and node in answered):
            self.num_stale += 1
