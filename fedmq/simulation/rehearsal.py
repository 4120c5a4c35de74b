"""A rehearsal: an experiment on a whole federation in this process, on virtual time.

Orchestrator, nodes and the researcher's mailbox are the real ones. What differs: the broker and the
journals are in memory, all nodes share one trainer, and time leaps over what nobody waits for.
"""

import heapq
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from fedmq import __version__
from fedmq.errors import ConfigurationError, TransportError
from fedmq.imaging.datasets import find_cases
from fedmq.learning.trainer_protocol import Broken
from fedmq.messages.codec import Message
from fedmq.messages.submissions import (
    ExperimentReport,
    Query,
    QueryKind,
    Rejection,
)
from fedmq.node.datasets import Dataset
from fedmq.node.plans import Asked
from fedmq.node.records import Records, open_records
from fedmq.node.service import NodeService
from fedmq.orchestrator.service import OrchestratorService
from fedmq.researcher.mailbox import Mailbox, submission_id
from fedmq.researcher.run import Run
from fedmq.simulation.approval import RELAXED, approve_plan
from fedmq.simulation.passing import PassingHome
from fedmq.simulation.plain_wire import PlainWire
from fedmq.simulation.script import Script
from fedmq.simulation.shared_trainer import Ended, TrainerPort, Turn
from fedmq.transport import topology
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import Delivered, TransportEvent
from fedmq.types import ORCHESTRATOR, ExperimentId, NodeId, ResearcherId

RESEARCHER: Final = ResearcherId("researcher")
BEGAN_AT: Final = 1_800_000_000.0
"""Unix seconds: the same in every rehearsal, so that its messages are the same."""
TICK_S: Final = 1.0
"""So often services are told that time has gone by, while messages come."""
LONGEST_TICK_S: Final = 20.0
"""So often at least; nodes are said to be absent that are not heard for longer."""
NEWS_S: Final = 3_600.0
"""So long at most it is waited for news of an experiment before somebody asks again."""
ANSWER_S: Final = 86_400.0
_MAX_NAME: Final = 30

T = TypeVar("T")


class _Member(Protocol):
    """A service, as the rehearsal drives it."""

    def handle(self, event: TransportEvent) -> None:
        """Take an event of the transport."""

    def tick(self) -> None:
        """Let time pass."""


class Rehearsal:
    """One federation with one experiment; time goes by only while somebody waits here."""

    def __init__(
        self,
        script: Script,
        folder: Path,
        trainer: TrainerPort,
        tell_broken: Callable[[NodeId, Broken], None],
    ) -> None:
        self._script = script
        self._folder = folder
        self._trainer = trainer
        self._tell_broken = tell_broken
        self.time = 0.0
        """Seconds that have gone by in the federation."""
        self._pause_s = TICK_S
        self._is_busy = False
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._homes: list[PassingHome] = []
        nodes = list(script.folders)
        layout = topology.federation(nodes=nodes, researchers=[RESEARCHER])
        self._broker = MemoryBroker(layout)
        self._orchestrator = self._make_orchestrator()
        self._nodes = {node: self._make_node(node, place) for node, place in script.folders.items()}
        self._mailbox = self._make_mailbox()
        self._members: dict[str, _Member] = {
            ORCHESTRATOR: self._orchestrator,
            **{str(node): service for node, service in self._nodes.items()},
            RESEARCHER: self._mailbox,
        }
        self.id = ExperimentId(f"{script.spec.name[:_MAX_NAME]}-simulated")

    def close(self) -> None:
        """Let go of everything; the folder and the trainer are the caller's."""
        for home in self._homes:
            home.close()

    def submit(self) -> Run:
        """Return the run of the experiment; asking it lets time go by."""
        self._orchestrator.start()
        for node in self._nodes.values():
            node.start()
        self._mailbox.open()
        script = self._script
        self._mailbox.submit(self.id, script.spec, script.source, script.initial, ORCHESTRATOR)
        self._answer(submission_id(self.id))
        self._await_news(0.0)
        return Run(self.id, self, clock=self.steady, sleep=self._await_news)

    # What a run asks (`fedmq.researcher.run.Reports`).

    def read_report(
        self, experiment: ExperimentId, wish: QueryKind = QueryKind.SHOW
    ) -> ExperimentReport:
        """Return an experiment as it stands, after stopping, pausing or resuming it if wished."""
        message_id = f"{experiment}.{wish}.{next(self._numbers)}"
        self._mailbox.post(Query(kind=wish, experiment=experiment), message_id, ORCHESTRATOR)
        body = self._answer(message_id).body
        if not isinstance(body, ExperimentReport):
            raise TransportError("the orchestrator answers something else than asked")
        return body

    def fetch_model(self, experiment: ExperimentId) -> Path:
        """Return the file of the newest model.

        Raises:
            ConfigurationError: there is no model.
        """
        report = self.read_report(experiment)
        manifest = report.model
        if manifest is None:
            raise ConfigurationError(f"{experiment} has no model", why=report.reason)
        self._mailbox.want(manifest, experiment, ORCHESTRATOR)
        return self._await(lambda: self._mailbox.find_payload(manifest.digest))

    # Time (`fedmq.clocks.Clock`).

    def now(self) -> float:
        """Return Unix seconds, as everybody here has them."""
        return BEGAN_AT + self.time

    def steady(self) -> float:
        """Return the seconds that have gone by."""
        return self.time

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.time + seconds, next(self._numbers), act))

    def _answer(self, message_id: str) -> Message:
        answer = self._await(lambda: self._mailbox.take_answer(message_id, ORCHESTRATOR))
        if isinstance(answer.body, Rejection):
            raise ConfigurationError(
                "the orchestrator does not take the experiment", why=answer.body.reason
            )
        return answer

    def _await(self, look: Callable[[], T | None]) -> T:
        until = self.time + ANSWER_S
        while self.time < until:
            self._broker.run_until_idle()
            found = look()
            if found is not None:
                return found
            self._go_on()
        raise TransportError("the orchestrator does not answer", why="a day has gone by for it")

    def _await_news(self, seconds: float) -> None:
        """Let time go by until the experiment is at another stage, but for long enough to ask."""
        before, began = self._stage(), self.time
        while self.time < began + NEWS_S and self._stage() == before:
            self._go_on()
        while self.time < began + seconds:
            self._go_on()

    def _stage(self) -> tuple[int, str]:
        state = self._orchestrator.find(self.id)
        return (0, "") if state is None else (state.round, state.stage)

    def _go_on(self) -> None:
        """Let the next thing happen: a job ends, or services are told that time has gone by."""
        if self._agenda and self._agenda[0][0] <= self.time + self._pause_s:
            at, _, act = heapq.heappop(self._agenda)
            self.time = max(self.time, at)
            act()
        else:
            self.time += self._pause_s
            for member in self._members.values():
                member.tick()
        self._broker.run_until_idle()
        self._pause_s = TICK_S if self._is_busy else min(LONGEST_TICK_S, 2 * self._pause_s)
        self._is_busy = False

    # Members.

    def _home(self, *names: str) -> PassingHome:
        home = PassingHome(self._folder.joinpath(*names))
        self._homes.append(home)
        return home

    def _transport(self, name: str) -> MemoryTransport:
        return MemoryTransport(self._broker, name, partial(self._take, name))

    def _take(self, name: str, event: TransportEvent) -> None:
        if isinstance(event, Delivered):
            self._is_busy |= event.delivery.exchange != topology.EVENTS
        self._members[name].handle(event)

    def _make_orchestrator(self) -> OrchestratorService:
        return OrchestratorService(
            name=ORCHESTRATOR,
            home=self._home("orchestrator"),
            make_transport=lambda _sink: self._transport(ORCHESTRATOR),
            wire=PlainWire(),
            clock=self,
            version=__version__,
        )

    def _make_node(self, node: NodeId, place: Path) -> NodeService:
        home = self._home("nodes", node)
        self._prepare(open_records(home, self, make_key=bytes), place)
        incidents = itertools.count(1)
        return NodeService(
            node=node,
            home=home,
            make_transport=lambda _sink: self._transport(node),
            wire=PlainWire(),
            make_worker=lambda _sink: Turn(
                self._trainer,
                self._after,
                partial(self._hand_in, node),
                partial(self._tell_broken, node),
            ),
            clock=self,
            version=__version__,
            keep_incident=lambda _words: None,
            make_incident=lambda: f"{next(incidents):08x}",
            read_policy=lambda: RELAXED,
            read_dependencies=dict,
        )

    def _hand_in(self, node: NodeId, ended: Ended) -> None:
        self._nodes[node].handle(ended)

    def _prepare(self, records: Records, place: Path) -> None:
        """Do what a node's operator does: register the data, approve the plan."""
        spec, source = self._script.spec, self._script.source
        if self._script.is_invented:
            records.datasets.register(
                Dataset(
                    name=spec.dataset,
                    folder=place.resolve(),
                    clinical=None,
                    num_cases=len(find_cases(place)),
                    added_at=self.now(),
                )
            )
        else:
            records.datasets.add(spec.dataset, place, now=self.now())
        asked = Asked(researcher=RESEARCHER, dataset=spec.dataset, study=spec.study)
        approve_plan(records, spec.plan, source, asked, now=self.now())

    def _make_mailbox(self) -> Mailbox:
        return Mailbox(
            researcher=RESEARCHER,
            home=self._home("researcher"),
            transport=self._transport(RESEARCHER),
            wire=PlainWire(),
            clock=self,
        )
