"""The machines of a federation: orchestrators, nodes, and researchers who want one model each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.learning.catalogue import plan_digest
from fedmq.learning.trainer_protocol import Job
from fedmq.messages.fields import PlanReference, Study
from fedmq.messages.mandates import ExperimentSpec
from fedmq.messages.submissions import ExperimentReport, Query, QueryKind, Rejection
from fedmq.node.datasets import Dataset
from fedmq.node.plans import Asked
from fedmq.node.policy import Policy
from fedmq.node.records import open_records
from fedmq.node.service import NodeService
from fedmq.node.worker import WorkerEvent
from fedmq.orchestrator.service import OrchestratorService
from fedmq.orchestrator.state import Experiment
from fedmq.parameters import Parameters
from fedmq.researcher.mailbox import Mailbox, submission_id
from fedmq.researcher.run import OVER
from fedmq.simulation.approval import RELAXED, approve_plan
from fedmq.simulation.machines import Machine, Outside, Program
from fedmq.simulation.plain_wire import PlainWire
from fedmq.simulation.rivals import RivalMachine
from fedmq.simulation.training import VALIDATION_CASES, SimulatedWorker, num_cases
from fedmq.simulation.transport import FaultyTransport
from fedmq.transport.ports import Sink, TransportEvent
from fedmq.types import ORCHESTRATOR, ExperimentId, NodeId, ResearcherId

RESEARCHER: Final = ResearcherId("researcher")
EXPERIMENT: Final = ExperimentId("lung")


@dataclass(frozen=True, slots=True)
class Undertaking:
    """An experiment: who wants it, and who leads it."""

    experiment: ExperimentId = EXPERIMENT
    researcher: ResearcherId = RESEARCHER
    orchestrator: str = ORCHESTRATOR


UNDERTAKINGS: Final = (
    Undertaking(),
    Undertaking(ExperimentId("liver"), ResearcherId("researcher-2"), "orchestrator-2"),
)
"""As many as there are orchestrators."""
DATASET: Final = "tables"
SOURCE: Final = "# The numpy plan of the simulation; SimulatedWorker runs it.\n"
PLAN: Final = PlanReference(name="simulated", digest=plan_digest(SOURCE.encode()), is_shipped=True)
STUDY: Final = Study(protocol="a simulation", ethics="none", end="9999-12-31")
ASKED: Final = Asked(researcher=RESEARCHER, dataset=DATASET, study=STUDY)
CHUNK_BYTES: Final = 128
"""So small that a model of a few numbers travels in several chunks."""
LOOK_S: Final = 20.0
"""So long after the first answer the researcher asks again; each time it takes twice as long."""
PATIENCE_S: Final = 3600.0
"""So long the researcher waits for an answer before asking once more."""

MakeTransport = Callable[[Sink], FaultyTransport]


class OrchestratorMachine(RivalMachine):
    """An orchestrator's."""

    def __init__(
        self, outside: Outside, *, began_at: float, undertaking: Undertaking = UNDERTAKINGS[0]
    ) -> None:
        super().__init__(undertaking.orchestrator, outside, began_at=began_at)
        self._experiment = undertaking.experiment
        self.state: Experiment | None = None
        """Of the experiment, as it was when it was looked at last."""

    def look(self) -> Experiment | None:
        """Return the state of the experiment; of an orchestrator that is away, the last one."""
        if isinstance(self.program, OrchestratorService):
            self.state = self.program.find(self._experiment)
        return self.state

    def make(self, make_transport: MakeTransport) -> Program:
        """Return the orchestrator."""
        return OrchestratorService(
            name=self.name,
            home=self.home,
            make_transport=make_transport,
            wire=PlainWire(),
            clock=self.clock,
            version="0",
            chunk_bytes=CHUNK_BYTES,
        )


class NodeMachine(Machine):
    """A hospital's, with a dataset and an operator who has approved the plan."""

    policy: Policy = RELAXED

    def __init__(
        self,
        name: NodeId,
        outside: Outside,
        *,
        began_at: float,
        note: Callable[[ExperimentId, Job], None],
        undertakings: Sequence[Undertaking] = UNDERTAKINGS[:1],
    ) -> None:
        super().__init__(name, outside, began_at=began_at)
        self.node = name
        self._note = note
        self._wire = PlainWire([one.orchestrator for one in undertakings])
        records = open_records(self.home, self.clock, make_key=bytes)
        records.datasets.register(
            Dataset(
                name=DATASET,
                folder=Path("/data"),
                clinical=None,
                num_cases=num_cases(name) + VALIDATION_CASES,
                added_at=began_at,
            )
        )
        for one in undertakings:
            asked = Asked(researcher=one.researcher, dataset=DATASET, study=STUDY)
            approve_plan(records, PLAN, SOURCE, asked, now=began_at)

    def make(self, make_transport: MakeTransport) -> Program:
        """Return the node."""
        return NodeService(
            node=self.node,
            home=self.home,
            make_transport=make_transport,
            wire=self._wire,
            make_worker=lambda _sink: SimulatedWorker(
                self.node, self.home, self._hand_in, self._work, self._note
            ),
            clock=self.clock,
            version="0",
            keep_incident=lambda _words: None,
            make_incident=lambda: "incident",
            read_policy=lambda: self.policy,
            read_dependencies=dict,
            chunk_bytes=CHUNK_BYTES,
        )

    def _hand_in(self, event: WorkerEvent) -> None:
        if isinstance(self.program, NodeService):
            self.program.handle(event)

    def _work(self, act: Callable[[], None]) -> None:
        self.after(self.outside.misfortune.random.uniform(0.1, 40.0), act)


class Person:
    """A researcher at the mailbox: submits until it is taken, then asks until it is over."""

    def __init__(self, machine: "ResearcherMachine", mailbox: Mailbox) -> None:
        self._machine = machine
        self._experiment = machine.undertaking.experiment
        self._orchestrator = machine.undertaking.orchestrator
        self._mailbox = mailbox
        self._question = ""
        self._look_at = 0.0
        self._look_s = LOOK_S

    def start(self) -> None:
        """Log in; submit what was not submitted before."""
        self._mailbox.open()
        machine = self._machine
        if not machine.is_submitted:
            self._mailbox.submit(
                self._experiment, machine.spec, SOURCE, machine.initial, self._orchestrator
            )
            machine.is_submitted = True

    def handle(self, event: TransportEvent) -> None:
        """Take what comes."""
        self._mailbox.handle(event)

    def tick(self) -> None:
        """Look at answers, ask again."""
        self._mailbox.tick()
        machine = self._machine
        if machine.is_over:
            return
        said = self._mailbox.take_answer(submission_id(self._experiment), self._orchestrator)
        if said is not None and isinstance(said.body, Rejection):
            raise AssertionError(said.body.reason)
        answer = self._mailbox.take_answer(self._question, self._orchestrator)
        if answer is not None and isinstance(answer.body, ExperimentReport):
            machine.report = answer.body
            self._look_at = min(self._look_at, machine.clock.steady() + self._look_s)
            self._look_s = min(2 * self._look_s, PATIENCE_S / 4)
        now = machine.clock.steady()
        if now >= self._look_at and not machine.is_over:
            self._look_at = now + PATIENCE_S
            machine.num_questions += 1
            self._question = f"question.{machine.num_questions}"
            query = Query(kind=machine.wish, experiment=self._experiment)
            self._mailbox.post(query, self._question, self._orchestrator)


class ResearcherMachine(Machine):
    """A researcher's notebook, closed and opened again."""

    def __init__(
        self,
        outside: Outside,
        *,
        began_at: float,
        spec: ExperimentSpec,
        initial: Parameters,
        undertaking: Undertaking = UNDERTAKINGS[0],
    ) -> None:
        super().__init__(undertaking.researcher, outside, began_at=began_at)
        self.undertaking = undertaking
        self.spec = spec
        self.initial = initial
        self.is_submitted = False
        self.num_questions = 0
        self.wish = QueryKind.SHOW
        self.report: ExperimentReport | None = None
        """The newest that came."""

    @property
    def is_over(self) -> bool:
        """Whether the researcher has read that the experiment is over."""
        return self.report is not None and self.report.state in OVER

    def make(self, make_transport: MakeTransport) -> Program:
        """Return the researcher at the mailbox."""
        transport = make_transport(lambda _event: None)
        mailbox = Mailbox(
            researcher=self.undertaking.researcher,
            home=self.home,
            transport=transport,
            wire=PlainWire(),
            clock=self.clock,
            chunk_bytes=CHUNK_BYTES,
        )
        return Person(self, mailbox)
