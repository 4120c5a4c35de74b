"""The orchestrator: takes submissions, leads experiments, answers researchers.

The loop is receive, ask the experiment's state machine, log the event and perform its actions. The
log, the messages that follow and the receipt are one transaction; what is not of the journal
(folding, files, chunks) happens after it, and again after a crash, with the same result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, assert_never

import structlog

from fedmq.disk import LocalDisk
from fedmq.errors import ParametersError
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope, Place
from fedmq.messages.notices import ExperimentOver, ExperimentOverview, Overview
from fedmq.messages.registry import Body
from fedmq.messages.replies import EvaluateReply, Failure, PrepareReply, Refusal, TrainReply
from fedmq.messages.submissions import (
    Acceptance,
    ExperimentReport,
    Query,
    QueryKind,
    Rejection,
    Submission,
)
from fedmq.orchestrator import answers, requests, store
from fedmq.orchestrator.aggregation.fedavg import FedAvg
from fedmq.orchestrator.aggregation.folding import Contribution, fold_updates
from fedmq.orchestrator.checkpoints import Checkpoints
from fedmq.orchestrator.events import (
    Action,
    Announce,
    AskPrepare,
    AskWork,
    Event,
    Fold,
    Folded,
    FoldFailed,
    Heard,
    Keep,
    StopAsked,
    Ticked,
)
from fedmq.orchestrator.experiment import Experiment, begin
from fedmq.orchestrator.presence import Presence
from fedmq.orchestrator.store import Kept, Store
from fedmq.orchestrator.updates import find_fault
from fedmq.transport import courier as couriers
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.journal import Journal
from fedmq.transport.loop import Loop
from fedmq.transport.ports import Sink, Transport, TransportEvent
from fedmq.transport.routes import to_node, to_researcher
from fedmq.transport.spool import Spool
from fedmq.types import Digest, ExperimentId, NodeId, ResearcherId

OVERVIEW_S: Final = 5.0
INBOX_PREFETCH: Final = 1
REPLIES_PREFETCH: Final = 64
PAYLOADS_PREFETCH: Final = 8
EVENTS_PREFETCH: Final = 256

log = structlog.get_logger()


@dataclass(slots=True)
class _Lead:
    """An experiment that this orchestrator knows, and its state."""

    kept: Kept
    state: Experiment
    traffic_noted: tuple[int, int] = (0, 0)


class OrchestratorService:
    """One orchestrator, driven by its loop; in tests by `handle` and `tick`."""

    def __init__(
        self,
        *,
        name: str,
        home: Path,
        make_transport: Callable[[Sink], Transport],
        clock: Callable[[], float],
        version: str,
    ) -> None:
        self.loop: Loop[TransportEvent] = Loop()
        self._name = name
        self._clock = clock
        self._version = version
        self._journal = Journal(home / "journal.sqlite", couriers.SCHEMA, store.SCHEMA)
        self._spool = Spool(LocalDisk(home / "payloads"))
        self._checkpoints = Checkpoints(home / "experiments")
        self._store = Store(self._journal)
        self._presence = Presence(clock)
        self._transport = make_transport(self.loop.put)
        self._courier = Courier(
            me=name,
            transport=self._transport,
            journal=self._journal,
            spool=self._spool,
            clock=clock,
        )
        self._after: list[Callable[[], None]] = []
        self._leads = {kept.experiment: self._replay(kept) for kept in self._store.experiments()}
        self._overview_at = clock()

    # The life of the service.

    def start(self) -> None:
        """Read the queues, and go on with every experiment where it was."""
        self._transport.consume(topology.ORCHESTRATOR_INBOX, prefetch=INBOX_PREFETCH)
        self._transport.consume(topology.ORCHESTRATOR_EVENTS, prefetch=EVENTS_PREFETCH)
        for experiment, lead in self._leads.items():
            if not lead.state.stage.is_over:
                self._open_queues(experiment)
        self._courier.attach(self)
        self._transport.start()
        for lead in list(self._leads.values()):
            self._export(lead)
            self._perform(lead, lead.state.resume())
        self._run_after()

    def run(self) -> None:
        """Serve until the loop is stopped."""
        self.start()
        log.info("orchestrator_started", version=self._version, experiments=len(self._leads))
        try:
            self.loop.run(self.handle, self.tick)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the broker and the journal."""
        self._transport.close()
        self._journal.close()

    def handle(self, event: TransportEvent) -> None:
        """Take an event of the transport."""
        before = self._courier.trouble
        self._courier.handle(event)
        if self._courier.trouble != before:
            log.info("broker_link_changed", trouble=self._courier.trouble or "none")
        self._run_after()

    def tick(self) -> None:
        """Let time pass: deadlines, repeats, the overview."""
        for experiment, lead in self._leads.items():
            if not lead.state.stage.is_over:
                self._advance(experiment, Ticked())
        self._courier.tick()
        self._run_after()
        if self._clock() >= self._overview_at:
            self._overview_at = self._clock() + OVERVIEW_S
            self._tell_overview()

    # What the courier asks (`fedmq.transport.courier.Receiver`).

    def accept(self, message: Message) -> None:
        """Make of a message what follows, inside its transaction."""
        envelope = message.envelope
        match message.body:
            case Submission() as submission:
                self._take_submission(submission, envelope)
            case Query() as query:
                self._answer(query, envelope)
            case PrepareReply() | TrainReply() | EvaluateReply() | Refusal() | Failure() as reply:
                self._presence.note(message)
                self._take_reply(reply, envelope)
            case _:
                self._presence.note(message)

    def expect(self, message: Message) -> bool:
        """Open the way for a submission's parameters, which its sender holds until asked."""
        if not isinstance(message.body, Submission):
            return False
        experiment = ExperimentId(message.envelope.experiment)
        if experiment not in self._leads:
            self._open_queues(experiment)
        return True

    def hear(self, message: Message) -> None:
        """Note a node's sign of life; experiments that are open to all nodes ask it."""
        if message.envelope.sender == self._name:
            return
        node = self._presence.note(message)
        for experiment, lead in self._leads.items():
            state = lead.state
            if not (state.stage.is_over or state.spec.nodes or node in state.asked):
                self._advance(experiment, Heard(node=node))

    def fetched(self, digest: Digest) -> None:
        """A payload is here; the message that announced it follows."""

    def may_fetch(self, sender: str, digest: Digest) -> bool:
        """Nodes may have the model of their experiment, its researcher too; nobody an update."""
        return any(
            digest == lead.state.model.digest
            and (sender == lead.kept.researcher or sender in lead.state.asked)
            for lead in self._leads.values()
        )

    # Researchers.

    def _take_submission(self, submission: Submission, envelope: Envelope) -> None:
        experiment = ExperimentId(envelope.experiment)
        researcher = ResearcherId(envelope.sender)
        known = self._leads.get(experiment)
        fault = answers.find_fault(submission, self._spool.path(submission.initial.digest))
        if known is not None and known.kept.researcher != researcher:
            fault = "the experiment's id is taken; submit it again under another"
        if fault is not None:
            log.info("submission_rejected", experiment=experiment)
            self._reply_to(envelope, Rejection(reason=fault))
            return
        if known is None:
            now = self._clock()
            kept = Kept(
                experiment=experiment,
                researcher=researcher,
                spec=submission.spec,
                plan_source=submission.plan_source,
                initial=submission.initial,
                began_at=now,
            )
            self._store.add(kept)
            state, actions = begin(kept.spec, kept.initial, now=now)
            lead = _Lead(kept, state)
            self._leads[experiment] = lead
            self._perform(lead, actions)
            self._after.append(lambda: self._export(lead))
            for node in self._presence.nodes():
                if not kept.spec.nodes and self._presence.is_near(node):
                    self._advance(experiment, Heard(node=node))
            log.info("experiment_accepted", experiment=experiment, rounds=kept.spec.num_rounds)
        self._reply_to(envelope, Acceptance(experiment=experiment))

    def _answer(self, query: Query, envelope: Envelope) -> None:
        own = [
            lead
            for lead in self._leads.values()
            if lead.kept.researcher == envelope.sender
            and query.experiment in {lead.kept.experiment, answers.ALL}
        ]
        if query.kind is QueryKind.LIST:
            reports = [answers.make_report(lead.kept, lead.state, {}) for lead in own]
            self._reply_to(envelope, answers.make_list(reports))
        elif not own:
            text = f"you have no experiment {query.experiment}"
            self._reply_to(envelope, Rejection(reason=text))
        else:
            (lead,) = own[:1]
            if query.kind is QueryKind.STOP:
                self._advance(lead.kept.experiment, StopAsked())
            self._reply_to(envelope, self._report(lead))

    def _reply_to(self, envelope: Envelope, body: Body) -> None:
        place = Place(experiment=envelope.experiment)
        message_id = f"{envelope.message_id}.answer"[-200:]
        message = self._courier.write(body, message_id, envelope.sender, place, answers=envelope)
        self._courier.post(message, to_researcher(ResearcherId(envelope.sender)))

    def _report(self, lead: _Lead) -> ExperimentReport:
        traffic = self._store.traffic(lead.kept.experiment)
        return answers.make_report(lead.kept, lead.state, traffic)

    # Nodes.

    def _take_reply(
        self,
        reply: PrepareReply | TrainReply | EvaluateReply | Refusal | Failure,
        envelope: Envelope,
    ) -> None:
        experiment = ExperimentId(envelope.experiment)
        lead = self._leads.get(experiment)
        if lead is None:
            return
        fault = None
        if isinstance(reply, TrainReply) and not lead.state.stage.is_over:
            update, model = (
                self._spool.path(digest)
                for digest in (reply.update.digest, lead.state.model.digest)
            )
            fault = find_fault(update, model)
        self._advance(experiment, answers.read_reply(reply, envelope, fault))
        if isinstance(reply, TrainReply):
            self._after.append(lambda: self._release([reply.update.digest]))

    # Events and actions.

    def _replay(self, kept: Kept) -> _Lead:
        state, _ = begin(kept.spec, kept.initial, now=kept.began_at)
        for at, event in self._store.events(kept.experiment):
            state, _ = state.advance(event, now=at)
        return _Lead(kept, state)

    def _advance(self, experiment: ExperimentId, event: Event) -> None:
        """Log an event that changes something, and perform what follows."""
        lead = self._leads[experiment]
        now = self._clock()
        state, actions = lead.state.advance(event, now=now)
        if state == lead.state and not actions:
            return
        with self._courier.transaction():
            self._store.append(experiment, event, now)
            lead.state = state
            self._perform(lead, actions)

    def _perform(self, lead: _Lead, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case AskPrepare(node=node):
                    self._ask_prepare(lead, node)
                case AskWork() as ask:
                    self._ask_work(lead, ask)
                case Fold() as fold:
                    self._after.append(partial(self._fold, lead, fold))
                case Keep(round=number):
                    self._keep(lead, number)
                case Announce(nodes=nodes):
                    self._announce(lead, nodes)
                case _:
                    assert_never(action)

    def _ask_prepare(self, lead: _Lead, node: NodeId) -> None:
        kept = lead.kept
        body = requests.make_prepare(kept.spec, kept.plan_source, kept.researcher)
        message_id = requests.prepare_id(kept.experiment, node)
        place = Place(experiment=kept.experiment)
        self._courier.post(self._courier.write(body, message_id, node, place), to_node(node))

    def _ask_work(self, lead: _Lead, ask: AskWork) -> None:
        experiment = lead.kept.experiment
        body = requests.make_work(lead.kept.spec, ask)
        place = Place(experiment=experiment, round=ask.round, attempt=ask.attempt)
        for node in ask.nodes:
            message = self._courier.write(
                body,
                requests.work_id(experiment, ask, node),
                node,
                place,
                expires_at=ask.deadline,
            )
            self._courier.post(message, to_node(node))
        if ask.is_new:
            # The others ask for it when they are back.
            near = [to_node(node) for node in ask.nodes if self._presence.is_near(node)]
            self._after.append(lambda: self._courier.push(ask.model, near, experiment))

    def _fold(self, lead: _Lead, fold: Fold) -> None:
        experiment = lead.kept.experiment
        began = self._clock()
        name = f"{experiment}.folding"
        contributions = {
            node: Contribution(path=self._spool.path(update.digest), num_cases=num_cases)
            for node, update, num_cases in fold.updates
        }
        reference = self._spool.path(fold.reference.digest)
        target = LocalDisk(reference.parent).path(name)
        try:
            fold_updates(reference, contributions, target, FedAvg())
        except ParametersError as error:
            self._advance(experiment, FoldFailed(why=str(error)))
            return
        model = self._spool.adopt(name)
        self._checkpoints.keep_model(experiment, fold.round, self._spool.path(model.digest))
        self._advance(experiment, Folded(model=model))
        self._release([fold.reference.digest, *(one[1].digest for one in fold.updates)])
        log.info(
            "round_folded",
            experiment=experiment,
            round=fold.round,
            nodes=len(fold.updates),
            seconds=round(self._clock() - began, 3),
        )

    def _keep(self, lead: _Lead, number: int) -> None:
        experiment = lead.kept.experiment
        up, down = self._courier.traffic(experiment)
        noted_up, noted_down = lead.traffic_noted
        self._store.add_traffic(experiment, number, up - noted_up, down - noted_down)
        lead.traffic_noted = (up, down)
        self._after.append(lambda: self._export(lead))
        record = lead.state.records[number - 1]
        log.info(
            "round_closed",
            experiment=experiment,
            round=number,
            model=record.model[:12],
            seconds=round(record.duration_s, 3),
        )

    def _announce(self, lead: _Lead, nodes: tuple[NodeId, ...]) -> None:
        experiment = lead.kept.experiment
        self._courier.drop(experiment)
        over = ExperimentOver(state=lead.state.stage, reason=lead.state.reason()[:2000])
        for node in nodes:
            message = self._courier.write(
                over, requests.over_id(experiment, node), node, Place(experiment=experiment)
            )
            self._courier.post(message, to_node(node))
        queues = [queue.name for queue in topology.experiment_queues(experiment)]
        self._after.append(lambda: self._close_queues(queues))
        self._after.append(lambda: self._export(lead))
        self._after.append(
            lambda: self._release([one.update.digest for one in lead.state.trained.values()])
        )
        log.info("experiment_over", experiment=experiment, state=str(lead.state.stage))

    # What happens outside the journal.

    def _run_after(self) -> None:
        while self._after:
            self._after.pop(0)()

    def _open_queues(self, experiment: ExperimentId) -> None:
        self._transport.declare(topology.experiment_queues(experiment))
        self._transport.consume(topology.experiment_replies(experiment), prefetch=REPLIES_PREFETCH)
        self._transport.consume(
            topology.experiment_payloads(experiment), prefetch=PAYLOADS_PREFETCH
        )

    def _close_queues(self, queues: list[str]) -> None:
        for queue in queues:
            self._transport.stop_consuming(queue)
        self._transport.delete(queues)

    def _export(self, lead: _Lead) -> None:
        state, experiment = lead.state, lead.kept.experiment
        if state.round == 0 or not state.records:
            initial = self._spool.path(lead.kept.initial.digest)
            self._checkpoints.keep_model(experiment, 0, initial)
        elif state.records:
            newest = state.records[-1]
            self._checkpoints.keep_model(experiment, newest.round, self._spool.path(newest.model))
        self._checkpoints.keep_report(self._report(lead))

    def _release(self, digests: list[Digest]) -> None:
        """Remove payloads that no experiment needs; equal ones may serve several."""
        needed: set[str] = set()
        for lead in self._leads.values():
            needed.add(lead.state.model.digest)
            if not lead.state.stage.is_over:
                needed.update(one.update.digest for one in lead.state.trained.values())
        for digest in digests:
            if digest not in needed:
                self._spool.remove(digest)

    def _tell_overview(self) -> None:
        body = Overview(
            version=self._version,
            nodes=self._presence.overview(),
            experiments=[
                ExperimentOverview(
                    experiment=experiment,
                    state=lead.state.stage,
                    round=lead.state.round,
                    num_rounds=lead.state.spec.num_rounds,
                    reason=lead.state.reason()[:2000],
                )
                for experiment, lead in self._leads.items()
                if not lead.state.stage.is_over
            ],
        )
        message = self._courier.write(body, f"overview.{int(self._clock())}", "-", Place())
        self._courier.tell(message, "overview")
