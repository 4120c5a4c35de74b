"""The reception: what researchers ask, and what they are answered."""

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from fedmq.messages.codec import Message
from fedmq.messages.data import KnownNode
from fedmq.messages.envelope import Envelope, Place
from fedmq.messages.mandates import Mandate
from fedmq.messages.registry import Body
from fedmq.messages.submissions import (
    Acceptance,
    NodesReport,
    OrderReport,
    Query,
    QueryKind,
    Rejection,
    Submission,
)
from fedmq.orchestrator import answers
from fedmq.orchestrator.events import Event, PauseAsked, ResumeAsked, StopAsked
from fedmq.orchestrator.leader import Leader
from fedmq.orchestrator.store import Kept
from fedmq.transport.courier import Courier
from fedmq.transport.routes import to_researcher
from fedmq.types import NOWHERE, ExperimentId, MessageId, ResearcherId

log = structlog.get_logger()

_WISHES: Final[Mapping[QueryKind, Event]] = {
    QueryKind.STOP: StopAsked(),
    QueryKind.PAUSE: PauseAsked(),
    QueryKind.RESUME: ResumeAsked(),
}


class Reception:
    """Answers every submission and every query, once."""

    def __init__(
        self,
        courier: Courier,
        leader: Leader,
        *,
        is_given: Callable[[Mandate], bool],
        known_nodes: Callable[[], list[KnownNode]],
    ) -> None:
        self._known_nodes = known_nodes
        self._is_given = is_given
        self._courier = courier
        self._leader = leader

    def take_submission(self, submission: Submission, envelope: Envelope) -> None:
        """Begin an experiment, or say why not; its initial parameters are here."""
        experiment = ExperimentId(envelope.experiment)
        kept = Kept(
            mandate=submission.mandate,
            plan_source=submission.plan_source,
            began_at=self._leader.time.now(),
        )
        known = self._leader.find(experiment)
        fault: str | None
        if not self._is_own(submission, envelope):
            fault = "it is not signed by who submits it, or for another id or orchestrator"
        elif known is None:
            initial = self._courier.spool.file(submission.initial.digest)
            fault = answers.find_fault(kept, initial)
        elif known.kept.is_same_as(kept):
            fault = None
        else:
            fault = "the experiment's id is taken; submit it again under another"
        if fault is None and known is None:
            self._leader.begin(kept)
            log.info("experiment_accepted", experiment=experiment, rounds=kept.spec.num_rounds)
        else:
            # Nobody else takes away what was uploaded.
            self._leader.afterwards(lambda: self._leader.release([submission.initial.digest]))
            self._leader.afterwards(lambda: self._leader.close_idle_queues(experiment))
        if fault is None:
            self._answer(envelope, Acceptance(experiment=experiment))
        else:
            log.info("submission_rejected", experiment=experiment)
            self._answer(envelope, Rejection(reason=fault))

    def _is_own(self, submission: Submission, envelope: Envelope) -> bool:
        order = submission.mandate.order
        named = order.experiment, order.researcher, order.orchestrator
        is_named = named == (envelope.experiment, envelope.sender, self._courier.me)
        return is_named and self._is_given(submission.mandate)

    def expect_upload(self, message: Message) -> None:
        """Open the way for a submission's parameters, which its sender holds until asked."""
        experiment = ExperimentId(message.envelope.experiment)
        if experiment == NOWHERE:
            # Its queues would take what nodes say outside any experiment.
            self._leader.afterwards(lambda: self._turn_away(message.envelope))
        else:
            self._leader.queues.open(experiment)

    def take_query(self, query: Query, envelope: Envelope) -> None:
        """Answer what a researcher asks of experiments of their own; stop one."""
        if query.kind is QueryKind.NODES:
            self._answer(envelope, NodesReport(nodes=self._known_nodes()))
            return
        own = [lead for lead in self._leader if lead.kept.researcher == envelope.sender]
        if query.kind is QueryKind.LIST:
            chosen = [one for one in own if query.experiment in {one.kept.experiment, NOWHERE}]
            summaries = (self._leader.summary(lead) for lead in reversed(chosen))
            num_running = sum(not lead.is_over for lead in self._leader)
            self._answer(envelope, answers.make_list(summaries, num_running=num_running))
            return
        lead = next((one for one in own if one.kept.experiment == query.experiment), None)
        if lead is None:
            text = f"you have no experiment {query.experiment}"
            self._answer(envelope, Rejection(reason=text))
            return
        if query.kind is QueryKind.ORDER:
            self._answer(envelope, OrderReport(mandate=lead.kept.mandate))
            return
        wish = _WISHES.get(query.kind)
        if wish is not None:
            # Made again, a pause of long ago would be a new one.
            self._leader.remember_with(lead.kept.experiment, envelope)
            self._leader.advance(lead.kept.experiment, wish)
        self._answer(envelope, self._leader.report(lead))

    def _turn_away(self, envelope: Envelope) -> None:
        with self._courier.transaction():
            self._leader.await_no_more(envelope)
            self._answer(envelope, Rejection(reason="an experiment needs an id of its own"))

    def _answer(self, envelope: Envelope, body: Body) -> None:
        # Outside any experiment: an answer outlives it. The name of who asked makes the id unique.
        message_id = MessageId(f"{envelope.message_id}.answer.{envelope.sender}"[-200:])
        message = self._courier.write(body, message_id, envelope.sender, Place(), answers=envelope)
        self._courier.post(message, to_researcher(ResearcherId(envelope.sender)))
