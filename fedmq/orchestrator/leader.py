"""The leader: all experiments of one orchestrator, and what follows from their events.

An event is put to the experiment's state machine; the log, the messages that follow and the receipt
are one transaction. What is not of the journal (folding, files, queues) happens after it, and again
after a crash, with the same result. Chunks go when they go: whoever misses them asks.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, assert_never

import structlog

from fedmq.audit.log import AuditLog
from fedmq.clocks import Clock
from fedmq.errors import ParametersError
from fedmq.messages.envelope import Envelope, Place
from fedmq.messages.notices import ExperimentOver
from fedmq.messages.requests import PrepareRequest
from fedmq.messages.submissions import ExperimentReport, RoundRecord
from fedmq.orchestrator import answers, requests
from fedmq.orchestrator.audit_words import accepted, facts_of
from fedmq.orchestrator.checkpoints import Checkpoints
from fedmq.orchestrator.events import (
    Action,
    Announce,
    AskPrepare,
    AskWork,
    Event,
    Fold,
    FoldFailed,
    Heard,
    Keep,
    KeepLate,
    RoomFound,
    RoomLacked,
    Ticked,
)
from fedmq.orchestrator.experiment import advance, begin, undone
from fedmq.orchestrator.lead import Lead
from fedmq.orchestrator.leadership import Leadership
from fedmq.orchestrator.leftovers import Leftovers, needed_payloads
from fedmq.orchestrator.model_making import make_model
from fedmq.orchestrator.presence import Presence
from fedmq.orchestrator.queues import Queues
from fedmq.orchestrator.replay import replay
from fedmq.orchestrator.room import lacking_bytes
from fedmq.orchestrator.rounds import begins_round
from fedmq.orchestrator.running_time import RunningTime
from fedmq.orchestrator.state import Experiment
from fedmq.orchestrator.store import Kept, Store
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.home import Home
from fedmq.transport.journal import Journal
from fedmq.transport.retention import Retention
from fedmq.transport.routes import to_node
from fedmq.types import Digest, ExperimentId, NodeId

PAYLOADS: Final = "payloads"
"""The folder of models and updates in an orchestrator's home."""
LOOK_S: Final = 300.0
"""So often it is looked for what nothing needs any more: payloads, ids of messages."""

log = structlog.get_logger()


class Leader:
    """The experiments, by name."""

    def __init__(  # noqa: PLR0913 - it stands between all of them
        self,
        *,
        courier: Courier,
        queues: Queues,
        journal: Journal,
        presence: Presence,
        home: Home,
        clock: Clock,
        retention: Retention,
        audit: AuditLog,
        leadership: Leadership,
    ) -> None:
        self._leadership = leadership
        self._audit = audit
        self.queues = queues
        self._courier = courier
        self._spool = courier.spool
        self._store = Store(journal)
        self._inbox = courier.inbox
        self._presence = presence
        self._retention = retention
        payloads = home.disk(PAYLOADS)
        self._checkpoints = Checkpoints(home, payloads, part=str(leadership.epoch))
        self._leftovers = Leftovers(payloads, courier.spool)
        self._clock = clock
        self._home = home
        self.time = RunningTime(journal, clock)
        self._look_at = clock.steady()
        self._after: list[Callable[[], None]] = []
        self._leads = {
            kept.experiment: Lead(kept, replay(kept, self._store.events(kept.experiment)))
            for kept in self._store.experiments()
        }

    def __iter__(self) -> Iterator[Lead]:
        return iter(list(self._leads.values()))

    def __len__(self) -> int:
        return len(self._leads)

    def find(self, experiment: ExperimentId) -> Lead | None:
        """Return an experiment, None if it was never begun here."""
        return self._leads.get(experiment)

    # Life.

    def open_running(self) -> None:
        """Read the queues of every experiment that runs."""
        for experiment, lead in self._leads.items():
            if not lead.is_over:
                self.queues.open(experiment)

    def close_over(self) -> None:
        """Delete the queues of every experiment that is over, now that there is a connection.

        When it ended there may have been none; to delete what is gone does nothing.
        """
        for experiment, lead in self._leads.items():
            if lead.is_over:
                self.queues.close(experiment)

    def resume(self) -> None:
        """Do again what a crash may have cut off."""
        for lead in self:
            self._export(lead)
            self._perform(lead, undone(lead.state))

    def begin(self, kept: Kept) -> None:
        """Lead a new experiment; call it inside a transaction."""
        self._store.add(kept)
        self._audit.note(accepted(kept))
        state, actions = begin(kept.spec, kept.initial, now=kept.began_at)
        lead = Lead(kept, state)
        self._leads[kept.experiment] = lead
        self.afterwards(lambda: self.queues.open(kept.experiment))
        self._perform(lead, actions)
        self.afterwards(lambda: self._export(lead))
        for node in self._presence.nodes():
            if not kept.spec.nodes and self._presence.is_near(node):
                self.advance(kept.experiment, Heard(node=node))

    def advance(self, experiment: ExperimentId, event: Event) -> None:
        """Log an event that changes something, and perform what follows."""
        lead = self._leads[experiment]
        now = self.time.now()
        state, actions = advance(lead.state, event, now=now)
        if state == lead.state and not actions:
            return
        if begins_round(lead.state, state) and (lack := self._lacking_bytes(lead, state)):
            with self._courier.transaction():
                self.advance(experiment, RoomLacked(needed_bytes=lack))
                self.advance(experiment, event)
            log.warning("round_waits_for_room", experiment=experiment, needed_bytes=lack)
            return
        with self._courier.transaction():
            self._store.append(experiment, event, now)
            for fact in facts_of(experiment, lead.state, event, state):
                self._audit.note(fact)
            lead.state = state
            self._perform(lead, actions)

    def hear(self, node: NodeId) -> None:
        """Ask a node that is there to take part in the experiments that are open to all."""
        for experiment, lead in self._leads.items():
            if not (lead.is_over or lead.kept.spec.nodes or node in lead.state.asked):
                self.advance(experiment, Heard(node=node))

    def tick(self) -> None:
        """Let time pass for every experiment."""
        self.time.keep()
        for experiment, lead in self._leads.items():
            if lead.is_over:
                continue
            if lead.state.lacking_bytes and not self._lacking_bytes(lead, lead.state):
                log.info("round_has_room", experiment=experiment)
                self.advance(experiment, RoomFound())
            self.advance(experiment, Ticked())
        if self._clock.steady() >= self._look_at:
            self._look_at = self._clock.steady() + LOOK_S
            self._look_for_disused()

    def _lacking_bytes(self, lead: Lead, after: Experiment) -> int:
        others = [other.state for other in self if other is not lead]
        return lacking_bytes(self._home, lead.state, after, others)

    def _look_for_disused(self) -> None:
        if removed := self._leftovers.look(self.needed()):
            log.info("leftovers_removed", files=removed)
        over = {str(one.kept.experiment): str(one.kept.researcher) for one in self if one.is_over}
        before = self._retention.before(self._clock.now())
        self._inbox.received.forget(over, before=before)

    def afterwards(self, act: Callable[[], None]) -> None:
        """Do something once the transaction under way is written."""
        self._after.append(act)

    def run_after(self) -> None:
        """Do what waited for the end of the transaction, unless somebody else does it by now."""
        while self._after:
            self._leadership.require()
            self._after.pop(0)()

    def report(self, lead: Lead) -> ExperimentReport:
        """Return an experiment as it stands, with as many of its rounds as a message holds."""
        newest_first = self._store.newest_records(lead.kept.experiment)
        return answers.make_report(lead.kept, lead.state, self.reason(lead), newest_first)

    def reason(self, lead: Lead) -> str:
        """Return what an experiment waits for, and since when those were not heard of."""
        absent = self._presence.describe_absent(lead.state.awaited)
        return "; ".join(part for part in (lead.state.reason(), absent) if part)

    def summary(self, lead: Lead) -> ExperimentReport:
        """Return an experiment as it stands, without its rounds, with all that came late."""
        return answers.make_summary(lead.kept, lead.state, self.reason(lead))

    # Queues.

    def close_idle_queues(self, experiment: ExperimentId) -> None:
        """Delete the queues of an experiment that does not run, unless an upload goes through."""
        lead = self._leads.get(experiment)
        is_idle = lead is None or lead.is_over
        if is_idle and all(
            message.envelope.experiment != experiment for _, message in self._inbox.waiting()
        ):
            self.queues.close(experiment)

    # Payloads.

    def await_no_more(self, envelope: Envelope) -> None:
        """Count a message as received without its payload; call it inside a transaction."""
        self._inbox.receive(envelope)

    def remember_with(self, experiment: ExperimentId, envelope: Envelope) -> None:
        """Know a message again for as long as it could change something in an experiment."""
        self._inbox.received.assign(envelope, experiment)

    def release(self, digests: Iterable[Digest]) -> None:
        """Remove payloads that nothing needs; equal ones may serve several experiments."""
        self._spool.remove(*(set(digests) - self.needed()))

    def needs(self, digest: Digest) -> bool:
        """Return whether something needs a payload; most often it is the model of an experiment."""
        models = (lead.state.model.digest for lead in self._leads.values())
        return digest in models or digest in self.needed()

    def needed(self) -> set[Digest]:
        """Return the payloads that something needs."""
        states = (lead.state for lead in self._leads.values())
        return needed_payloads(states, self._inbox.awaited())

    # Actions.

    def _perform(self, lead: Lead, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case AskPrepare(node=node):
                    self._ask_prepare(lead, node)
                case AskWork() as ask:
                    self._ask_work(lead, ask)
                case Fold() as fold:
                    self.afterwards(partial(self._fold, lead, fold))
                case KeepLate() as late:
                    self.afterwards(partial(self._keep_late, lead, late))
                case Keep(record=record):
                    self._keep(lead, record)
                case Announce(nodes=nodes):
                    self._announce(lead, nodes)
                case _:
                    assert_never(action)

    def _ask_prepare(self, lead: Lead, node: NodeId) -> None:
        kept = lead.kept
        body = PrepareRequest(mandate=kept.mandate, plan_source=kept.plan_source)
        message_id = requests.prepare_id(kept.experiment, node)
        place = Place(experiment=kept.experiment)
        self._courier.post(self._courier.write(body, message_id, node, place), to_node(node))

    def _ask_work(self, lead: Lead, ask: AskWork) -> None:
        experiment = lead.kept.experiment
        place = Place(experiment=experiment, round=ask.round, attempt=ask.attempt)
        if ask.is_new:
            # Ahead of the requests: while a thousand of them are sealed, the nodes that have theirs
            # would wait for the model, and ask for it. Nodes that are away ask when they are back.
            near = [to_node(node) for node in ask.nodes if self._presence.is_near(node)]
            self._courier.push(ask.model, near, experiment)
        # Nodes know no running time.
        expires_at = self._clock.now() + ask.deadline - self.time.now()
        for node in ask.nodes:
            message = self._courier.write(
                requests.make_work(lead.kept.mandate, ask, node),
                requests.work_id(experiment, ask, node),
                node,
                place,
                expires_at=expires_at,
            )
            self._courier.post(message, to_node(node))

    def _fold(self, lead: Lead, fold: Fold) -> None:
        experiment = lead.kept.experiment
        began = self._clock.steady()
        try:
            folded = make_model(lead.kept, fold, self._spool, epoch=self._leadership.epoch)
        except ParametersError as error:
            self.advance(experiment, FoldFailed(why=str(error)))
            return
        gone = [] if lead.state.sent is None else [lead.state.sent.digest]
        self._checkpoints.keep_model(experiment, fold.round, folded.model.digest)
        self.advance(experiment, folded)
        self.release([fold.reference.digest, *gone, *(one[1].digest for one in fold.updates)])
        log.info(
            "round_folded",
            experiment=experiment,
            round=fold.round,
            nodes=len(fold.updates),
            seconds=round(self._clock.steady() - began, 3),
        )

    def _keep_late(self, lead: Lead, late: KeepLate) -> None:
        digest = late.update.digest
        self._checkpoints.keep_late(lead.kept.experiment, late.round, late.node, digest)

    def _keep(self, lead: Lead, record: RoundRecord) -> None:
        experiment = lead.kept.experiment
        # Between nodes and orchestrator: what a researcher uploads or fetches is of no round.
        up = self._courier.bytes_received(topology.REPLIES, experiment)
        down = self._courier.bytes_sent(topology.TASKS, experiment)
        noted_up, noted_down = lead.traffic_noted
        lead.traffic_noted = (up, down)
        traffic = {"bytes_up": up - noted_up, "bytes_down": down - noted_down}
        record = record.model_copy(update=traffic)
        self._store.add_record(experiment, record)
        self.afterwards(lambda: self._export_round(lead, record))
        log.info(
            "round_closed",
            experiment=experiment,
            round=record.round,
            model=record.model[:12],
            seconds=round(record.duration_s, 3),
        )

    def _announce(self, lead: Lead, nodes: tuple[NodeId, ...]) -> None:
        self._drop(lead, nodes)
        state = lead.state
        unused = [state.travelling.digest, *(one.update.digest for one in state.trained.values())]
        self.afterwards(lambda: self.queues.close(lead.kept.experiment))
        self.afterwards(lambda: self._export(lead))
        self.afterwards(lambda: self.release(unused))
        log.info("experiment_over", experiment=lead.kept.experiment, state=str(lead.state.stage))

    def drop_late(self, lead: Lead) -> None:
        """Await nothing more for an experiment that is over."""
        with self._courier.transaction():
            self._drop(lead, tuple(sorted(lead.state.asked)))

    def _drop(self, lead: Lead, nodes: tuple[NodeId, ...]) -> None:
        """Send and await nothing more, but the notices that the experiment is over."""
        experiment = lead.kept.experiment
        self._courier.drop(experiment)
        over = ExperimentOver(state=lead.state.stage, reason=lead.state.reason()[:2000])
        for node in nodes:
            message = self._courier.write(
                over, requests.over_id(experiment, node), node, Place(experiment=experiment)
            )
            self._courier.post(message, to_node(node))

    def _export(self, lead: Lead) -> None:
        """Write what people find in the experiment's folder."""
        experiment, number = lead.kept.experiment, lead.state.model_round
        self._checkpoints.keep_model(experiment, number, lead.state.model.digest)
        self._checkpoints.drop_models(experiment, number - self._retention.num_models)
        self._checkpoints.keep_report(self.summary(lead), self._store.records(experiment))

    def _export_round(self, lead: Lead, record: RoundRecord) -> None:
        """Write what one more round adds; its model is there since it was folded."""
        self._checkpoints.add_record(lead.kept.experiment, record)
        self._checkpoints.keep_summary(self.summary(lead))
        newest = record.round - self._retention.num_models
        self._checkpoints.drop_models(lead.kept.experiment, newest)
