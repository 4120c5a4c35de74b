"""A crowd: the real services of one federation with very many nodes, in this process.

As in `fedmq.simulation.rehearsal`, the broker and the journals are in memory, and payloads are
files. Unlike there, messages are signed and sealed, training is null, and time is the processor's:
what else the machine does makes nobody late, so nobody is taken to be away for it.
"""

import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from fedmq import __version__
from fedmq.hub.keyring import new_identity
from fedmq.learning.trainer_protocol import Done, Job, JobKind
from fedmq.messages.mandates import ExperimentSpec
from fedmq.messages.submissions import Rejection
from fedmq.node.datasets import Dataset
from fedmq.node.records import open_records
from fedmq.node.service import NodeService
from fedmq.node.warm_trainers import TrainerKey
from fedmq.orchestrator.service import OrchestratorService
from fedmq.orchestrator.state import Experiment
from fedmq.parameters import Parameters, parameters_bytes, read_parameters
from fedmq.researcher.mailbox import Mailbox, submission_id
from fedmq.security.roster import Roster, enrolled
from fedmq.security.wire import SealedWire
from fedmq.simulation.approval import RELAXED, approve_plan
from fedmq.simulation.members import (
    ASKED,
    DATASET,
    EXPERIMENT,
    PLAN,
    RESEARCHER,
    SOURCE,
)
from fedmq.simulation.passing import PassingHome
from fedmq.simulation.shared_trainer import Ended, Turn
from fedmq.transport import topology
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import TransportEvent
from fedmq.types import ORCHESTRATOR, NodeId, Role

TICK_S: Final = 1.0
"""Between two ticks of the orchestrator."""
NODE_TICKS: Final = 5
"""Of so many ticks, a node has one, and the nodes have theirs in turn: it beats every five seconds,
and here all of them share what each has for itself at its site."""
CASES: Final = 4
"""Of each node."""


class _Member(Protocol):
    """A service, as the crowd drives it."""

    def handle(self, event: TransportEvent) -> None:
        """Take an event of the transport."""

    def tick(self) -> None:
        """Let time pass."""


class ProcessorTime:
    """A clock that goes while this process works, and is set on where everybody waits."""

    def __init__(self) -> None:
        self._began_at = time.time()
        self._ahead_s = 0.0

    def now(self) -> float:
        """Return Unix seconds, as everybody here has them."""
        return self._began_at + self.steady()

    def steady(self) -> float:
        """Return the seconds that have gone by."""
        return time.process_time() + self._ahead_s

    def wait_until(self, steady: float) -> None:
        """Let time go by."""
        self._ahead_s += max(0.0, steady - self.steady())


class NullTrainer:
    """Adds 1.0 to every number but the first, which is the node's: equal updates are sent once."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = defaultdict(float)
        """By round."""
        self.began_at: dict[int, float] = {}
        """By round: when its first training began, in seconds of this process."""

    def perform(self, key: TrainerKey, job: Job) -> tuple[Ended, float]:  # noqa: ARG002 - port
        """Return how a job ended, and after how many seconds."""
        began = time.process_time()
        if job.kind is JobKind.TRAIN and job.parameters_path and job.output_path:
            self.began_at.setdefault(job.round, began)
            model = read_parameters(Path(job.parameters_path).read_bytes())
            trained = {name: np.add(array, np.float32(1.0)) for name, array in model.items()}
            for array in trained.values():
                array[0] = int(Path(job.dataset_folder).name)
            Path(job.output_path).write_bytes(parameters_bytes(trained))
        seconds = time.process_time() - began
        self.seconds[job.round] += seconds
        done = Done(
            job_id=job.job_id,
            num_cases=0 if job.kind is JobKind.PREPARE else CASES,
            metrics={},
            num_training_cases=CASES,
            num_validation_cases=0,
            num_cases_left_out=0,
        )
        return done, seconds


class Crowd:
    """One orchestrator, one researcher and very many nodes."""

    def __init__(self, folder: Path, num_nodes: int) -> None:
        self.trainer = NullTrainer()
        self.seconds: dict[str, float] = defaultdict(float)
        """Of this process in services, by who they are: `orchestrator`, `nodes`, `researcher`."""
        self._folder = folder
        self._clock = ProcessorTime()
        self._jobs: deque[Callable[[], None]] = deque()
        self._tick_at = 0.0
        self._num_ticks = 0
        self._homes: list[PassingHome] = []
        width = len(str(num_nodes))
        self.nodes = [NodeId(f"node-{number:0{width}}") for number in range(1, num_nodes + 1)]
        self._wires = _make_wires(self.nodes)
        self._broker = MemoryBroker(topology.federation(nodes=self.nodes, researchers=[RESEARCHER]))
        self._orchestrator = self._make_orchestrator()
        self._nodes = {node: self._make_node(node) for node in self.nodes}
        self._mailbox = self._make_mailbox()
        self._members: dict[str, _Member] = {
            ORCHESTRATOR: self._orchestrator,
            RESEARCHER: self._mailbox,
            **{str(node): service for node, service in self._nodes.items()},
        }

    def close(self) -> None:
        """Let go of everything; the folder is the caller's."""
        for home in self._homes:
            home.close()

    def start(self) -> None:
        """Let everybody connect, and the orchestrator hear of every node."""
        self._orchestrator.start()
        for node in self._nodes.values():
            node.start()
        self._mailbox.open()
        self._go_on()
        self._tick(self.nodes)
        self._go_on()

    def submit(self, spec: ExperimentSpec, initial: Parameters) -> None:
        """Return once the orchestrator leads the experiment."""
        self._mailbox.submit(EXPERIMENT, spec, SOURCE, initial, ORCHESTRATOR)
        while (
            answer := self._mailbox.take_answer(submission_id(EXPERIMENT), ORCHESTRATOR)
        ) is None:
            self._go_on()
        if isinstance(answer.body, Rejection):
            raise SystemExit(answer.body.reason)

    def run(self) -> Experiment:
        """Return the experiment once it is over."""
        while (state := self._orchestrator.find(EXPERIMENT)) is None or not state.is_over:
            self._go_on()
        return state

    # What happens.

    def _go_on(self) -> None:
        """Hand over all messages; then let one job be done, or time pass."""
        while self._broker.step():
            self._tick_when_due()
        if self._jobs:
            self._jobs.popleft()()
        else:
            self._clock.wait_until(self._tick_at)
        self._tick_when_due()

    def _tick_when_due(self) -> None:
        if self._clock.steady() >= self._tick_at:
            self._num_ticks += 1
            self._tick(self.nodes[self._num_ticks % NODE_TICKS :: NODE_TICKS])

    def _tick(self, nodes: Sequence[str]) -> None:
        for name in (ORCHESTRATOR, RESEARCHER, *nodes):
            with self._counted(name):
                self._members[name].tick()
        self._tick_at = self._clock.steady() + TICK_S

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        who = "nodes" if name in self._nodes else name
        self.seconds[who] += time.process_time() - began

    # Members.

    def _home(self, *names: str) -> PassingHome:
        home = PassingHome(self._folder.joinpath(*names))
        self._homes.append(home)
        return home

    def _transport(self, name: str) -> MemoryTransport:
        return MemoryTransport(self._broker, name, partial(self._take, name))

    def _take(self, name: str, event: TransportEvent) -> None:
        with self._counted(name):
            self._members[name].handle(event)

    def _make_orchestrator(self) -> OrchestratorService:
        return OrchestratorService(
            name=ORCHESTRATOR,
            home=self._home(ORCHESTRATOR),
            make_transport=lambda _sink: self._transport(ORCHESTRATOR),
            wire=self._wires[ORCHESTRATOR],
            clock=self._clock,
            version=__version__,
        )

    def _make_node(self, node: NodeId) -> NodeService:
        home = self._home("nodes", node)
        records = open_records(home, self._clock, make_key=bytes)
        number = node.rpartition("-")[2]
        now = self._clock.now()
        records.datasets.register(
            Dataset(
                name=DATASET,
                folder=Path("/data") / number,
                clinical=None,
                num_cases=CASES,
                added_at=now,
            )
        )
        approve_plan(records, PLAN, SOURCE, ASKED, now=now)
        return NodeService(
            node=node,
            home=home,
            make_transport=lambda _sink: self._transport(node),
            wire=self._wires[node],
            make_worker=lambda _sink: Turn(
                self.trainer,
                lambda _seconds, act: self._jobs.append(act),
                partial(self._hand_in, node),
                lambda _broken: None,
            ),
            clock=self._clock,
            version=__version__,
            keep_incident=lambda _words: None,
            read_policy=lambda: RELAXED,
            read_dependencies=dict,
        )

    def _hand_in(self, node: NodeId, ended: Ended) -> None:
        with self._counted(node):
            self._nodes[node].handle(ended)

    def _make_mailbox(self) -> Mailbox:
        return Mailbox(
            researcher=RESEARCHER,
            home=self._home(RESEARCHER),
            transport=self._transport(RESEARCHER),
            wire=self._wires[RESEARCHER],
            clock=self._clock,
        )


def _make_wires(nodes: Sequence[NodeId]) -> dict[str, SealedWire]:
    """Return the wire of each member, all with one roster."""
    roles = {ORCHESTRATOR: Role.ORCHESTRATOR, RESEARCHER: Role.RESEARCHER}
    roles |= dict.fromkeys(nodes, Role.NODE)
    identities = {name: new_identity(name, role) for name, role in roles.items()}
    members = [enrolled(identities[name].public) for name in sorted(roles)]
    roster = Roster(federation="crowd", version=1, issued_at=time.time(), members=members)
    return {
        name: SealedWire(identity, roster, random=os.urandom)
        for name, identity in identities.items()
    }
