"""The node: takes requests, asks its policy, has the work done, answers.

inbox (journal) -> policy -> tasks -> worker -> outbox (journal) -> broker. Each step is on the disk
before the next; a node that is killed redoes at most the task it had in hand, with the same seed.
"""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import structlog

from fedmq.audit.turned_away import TurnedAwayCount
from fedmq.clocks import Clock
from fedmq.learning.trainer_protocol import Broken, Done, Progress
from fedmq.logs import log_link, log_rejected
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Place
from fedmq.messages.heads import ObjectedHead, SignedHead
from fedmq.messages.notices import (
    Activity,
    ExperimentOver,
    Heartbeat,
    Hello,
    NodeOnline,
    Receipt,
    Welcome,
)
from fedmq.messages.payloads import CHUNK_BYTES
from fedmq.messages.registry import Body
from fedmq.messages.replies import PingReply
from fedmq.messages.requests import (
    CancelRequest,
    EvaluateRequest,
    PingRequest,
    PrepareRequest,
    TrainRequest,
)
from fedmq.node.answers import Answers
from fedmq.node.audit_words import request_of, start_of
from fedmq.node.containment import Containment
from fedmq.node.dependencies import read_dependencies
from fedmq.node.found import Telling
from fedmq.node.greetings import Greetings
from fedmq.node.policy import Policy
from fedmq.node.policy_in_force import PolicyInForce
from fedmq.node.reception import Reception
from fedmq.node.records import open_records
from fedmq.node.storage import Storage
from fedmq.node.terms import Dependencies, Request
from fedmq.node.work import Work, WorkerPort
from fedmq.node.worker import Flooded, WorkerEvent
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.home import Home
from fedmq.transport.inbox import TurnedAway
from fedmq.transport.loop import Loop
from fedmq.transport.ports import (
    Connected,
    Delivered,
    Disconnected,
    Sink,
    Transport,
    TransportEvent,
)
from fedmq.transport.received import NOBODY, Received
from fedmq.transport.retention import Retention
from fedmq.transport.routes import from_node
from fedmq.transport.wires import Wire
from fedmq.types import NOWHERE, Digest, ExperimentId, NodeId, Role

HEARTBEAT_S: Final = 5.0
REVIEW_S: Final = 1.0
"""So often the tables are looked at that the command line writes."""
SWEEP_S: Final = 60.0
TASKS_PREFETCH: Final = 16
PAYLOADS_PREFETCH: Final = 8

_ACTIVITIES: Final[Mapping[type[Request], Activity]] = {
    PrepareRequest: Activity.PREPARING,
    TrainRequest: Activity.TRAINING,
    EvaluateRequest: Activity.EVALUATING,
}

Event = TransportEvent | WorkerEvent

log = structlog.get_logger()


class NodeService:
    """One node, driven by its loop; in tests by `handle` and `tick`."""

    def __init__(  # noqa: PLR0913 - everything that the outside gives a node
        self,
        *,
        node: NodeId,
        home: Home,
        make_transport: Callable[[Sink], Transport],
        wire: Wire,
        make_worker: Callable[[Callable[[WorkerEvent], None]], WorkerPort],
        clock: Clock,
        version: str,
        keep_incident: Callable[[bytes], None],
        read_policy: Callable[[], Policy] = Policy,
        containment: Containment | None = None,
        read_dependencies: Callable[[], Dependencies] = read_dependencies,
        max_threads: int = 1,
        chunk_bytes: int = CHUNK_BYTES,
        make_incident: Callable[[], str] = lambda: secrets.token_hex(4),
        remind: Callable[[], None] = lambda: None,
    ) -> None:
        """`remind` is called while it serves; a task computes with `max_threads` at most."""
        self.loop: Loop[Event] = Loop()
        self._node = node
        self._wire = wire
        self._clock = clock
        self._version = version
        self._remind = remind
        self._records = open_records(home, clock)
        self._records.journal.settle()
        self._policy = PolicyInForce(read_policy, self._records.audit)
        self._containment = containment
        self._received = Received(self._records.journal, clock)
        self._storage = Storage(home, chunk_bytes=chunk_bytes)
        self._transport = make_transport(self.loop.put)
        self._worker = make_worker(self.loop.put)
        self._courier = Courier(
            me=node,
            transport=self._transport,
            wire=wire,
            journal=self._records.journal,
            spool=self._storage.spool,
            clock=clock,
            is_alone=True,
            admit=self._records.epochs.admit,
        )
        self._answers = Answers(
            node,
            self._courier,
            audit=self._records.audit,
            heads=self._records.heads,
            keep_incident=keep_incident,
            make_incident=make_incident,
        )
        self._reception = Reception(
            records=self._records,
            wire=wire,
            courier=self._courier,
            answers=self._answers,
            release=self._storage.release,
            read_policy=self._policy.get,
            read_dependencies=read_dependencies,
            clock=clock,
            hour_at=self._hour_at,
        )
        self._work = Work(
            worker=self._worker,
            records=self._records,
            storage=self._storage,
            courier=self._courier,
            reception=self._reception,
            answers=self._answers,
            clock=clock,
            max_threads=max_threads,
        )
        self._late: set[str] = set()
        self._turned_away = TurnedAwayCount()
        self._telling = Telling(
            lambda: self._records.found.tell(self._records.datasets.meanings, self._policy.get())
        )
        self._greetings = Greetings(
            clock, orchestrators=partial(wire.members, Role.ORCHESTRATOR), say=self._say_hello
        )
        self._review_at = self._heartbeat_at = clock.steady()
        self._sweep_at = clock.steady() + SWEEP_S

    # The life of the service.

    def start(self) -> None:
        """Read the queues, and go on with the work that is there."""
        started = start_of(self._node, self._version, self._policy.get(), self._containment)
        self._records.audit.note(started)
        self._transport.consume(topology.node_tasks(self._node), prefetch=TASKS_PREFETCH)
        self._transport.consume(topology.node_payloads(self._node), prefetch=PAYLOADS_PREFETCH)
        self._courier.attach(self)
        self._work.resume()
        self._sweep()
        self._transport.start()
        self._go_on()

    def run(self) -> None:
        """Serve until stopped."""
        self.start()
        waiting = len(self._records.tasks)
        log.info("node_started", node=self._node, version=self._version, waiting=waiting)
        try:
            self.loop.run(self.handle, self.tick)
        finally:
            self.close()

    def stop(self) -> None:
        """End `run` after the event in hand; may be called from a signal handler."""
        self.loop.stop()

    def close(self) -> None:
        """End the work in hand, which is done again at the next start; let go of the broker."""
        self._worker.close()
        self._transport.close()
        self._courier.settle()
        self._records.close()

    def handle(self, event: Event) -> None:
        """Take an event of the transport or of the worker."""
        self._policy.look()
        match event:
            case Progress() | Flooded() | Done() | Broken():
                self._work.take(event)
            case _:
                self._take_transport(event)
        self._go_on()

    def tick(self) -> None:
        """Let time pass: repeats, what the operator decided, the heartbeat."""
        self._courier.tick()
        now = self._clock.steady()
        if now >= self._review_at:
            self._review_at = now + REVIEW_S
            self._policy.look()
            self._greetings.review()
            if self._telling.has_changed:
                self._greetings.repeat()
            self._reception.review_held()
            self._work.review()
            self._worker.end_unused(now)
            self._reception.release_sent()
            for fact in self._turned_away.take(now):
                self._records.audit.note(fact)
        if now >= self._sweep_at and not self._courier.num_awaited:
            # Chunks that came when their experiment was over.
            self._sweep_at = now + SWEEP_S
            self._sweep()
            over = dict.fromkeys(self._records.tasks.over(), NOBODY)
            self._received.forget(over, before=Retention().before(self._clock.now()))
        self._remind()
        self._go_on()
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + HEARTBEAT_S
            self._tell_heartbeat()

    # What the courier asks (`fedmq.transport.receiver.Receiver`).

    def accept(self, message: Message) -> None:
        """Make of a request what follows, inside its transaction."""
        envelope, asked = message.envelope, request_of(message)
        if asked is not None:
            self._records.audit.note(asked)
        match message.body:
            case PrepareRequest() as request:
                self._reception.take_prepare(message, request)
            case TrainRequest() | EvaluateRequest() as work:
                self._reception.take_work(message, work)
            case CancelRequest() | ExperimentOver() if not self._reception.is_led_by(
                envelope.sender, envelope.experiment
            ):
                log.info("message_ignored", kind=envelope.type)
            case CancelRequest(before_attempt=before):
                self._reception.cancel(envelope.experiment, before)
            case ExperimentOver(state=state):
                self._reception.end(envelope.experiment, state)
                self._storage.end_experiment(envelope.experiment)
                self._worker.end_experiment(ExperimentId(envelope.experiment))
            case PingRequest(asked_at=asked_at):
                self._answers.give(envelope, PingReply(asked_at=asked_at))
            case _:
                log.info("message_ignored", kind=envelope.type)

    def wants_payload(self, message: Message) -> bool:
        """Return whether a model is needed: for what nobody ordered, or is refused, none is."""
        if isinstance(message.body, TrainRequest | EvaluateRequest):
            return self._reception.wants_model(message.envelope, message.body)
        return True

    def expect(self, message: Message) -> bool:
        """Models are pushed; what misses is asked for after a while."""
        if isinstance(message.body, TrainRequest | EvaluateRequest):
            if self._records.tasks.course(message.envelope.experiment).is_over:
                self._late.add(message.envelope.experiment)
            self._reception.expect_model(message.envelope, message.body)
        return False

    def hear(self, message: Message) -> None:
        """Note that the queue is read up to an orchestrator's answer to a hello."""
        match message.body:
            case Welcome(nonce=nonce):
                self._greetings.answered(nonce, by=message.envelope.sender)
            case Receipt(head=SignedHead() as head):
                sender = message.envelope.sender
                if self._wire.is_countersigned(head, self._node, by=sender):
                    self._records.heads.keep(head, by=sender, roster=self._wire.notice())
            case Receipt(head=ObjectedHead() as head):
                if self._records.heads.object(head):
                    log.warning(
                        "head_objected", code=str(head.code), entry=head.number, kept=head.kept
                    )
            case _:
                pass

    def fetched(self, digest: Digest) -> None:
        """A model is here; the request that needs it follows."""

    def keeps(self, digest: Digest) -> bool:
        """Until its receipt came, or its experiment is over."""
        return self._records.payloads.is_needed(digest)

    def may_fetch(self, sender: str, digest: Digest) -> bool:
        """Who leads an experiment may have its updates of this node; nobody anything else."""
        return self._records.payloads.is_update_for(sender, digest)

    def turned_away(self, message: TurnedAway) -> None:
        """Say so in the logs: the broker's dead letters have no reason."""
        now = self._clock.steady()
        fact = self._turned_away.add(message.reason, message.sender, now=now)
        if fact is not None:
            self._records.audit.note(fact)
        log_rejected(
            reason=message.reason, queue=message.queue, kind=message.kind, sender=message.sender
        )

    def _take_transport(self, event: TransportEvent) -> None:
        if isinstance(event, Delivered):
            self._greetings.heard(event.delivery.properties.user_id)
        before = self._courier.trouble
        self._courier.handle(event)
        if self._courier.trouble != before:
            refused = isinstance(event, Disconnected) and event.refused
            log_link(self._courier.trouble, refused=refused)
        if isinstance(event, Connected):
            self._tell(NodeOnline(version=self._version), "online", Place())
            self._greetings.greet()

    def _sweep(self) -> None:
        self._storage.sweep(self._records.payloads.is_needed)
        self._storage.residuals.sweep(self._records.tasks.is_running)

    def _go_on(self) -> None:
        self._storage.clear()
        while self._late:
            # Work that came behind the end of its experiment: its model comes no more.
            with self._courier.transaction():
                self._courier.drop(self._late.pop())
        self._work.go_on(may_begin=self._greetings.is_settled)

    def _say_hello(self, nonce: str, orchestrator: str) -> None:
        hello = Hello(nonce=nonce, datasets=self._telling.say())
        message = self._courier.write(hello, f"hello.{nonce}", orchestrator, Place())
        self._courier.say(message, from_node(self._node, orchestrator))

    def _hour_at(self, orchestrator: str) -> float:
        """Return the time by which orders expire: that of who gave them, as far as it is known.

        Before anything may begin none expires: it is judged again when it is begun.
        """
        if self._greetings.is_welcome(orchestrator):
            return self._courier.hour_at(orchestrator)
        return self._clock.now() if self._greetings.is_settled else 0.0

    # Signs of life.

    def _tell_heartbeat(self) -> None:
        task = self._work.current
        body = Heartbeat(
            version=self._version,
            activity=self._activity(),
            progress=0.0 if task is None else self._work.progress,
            num_waiting=len(self._records.tasks) - (task is not None),
        )
        self._tell(body, "heartbeat", Place() if task is None else task.envelope.place)

    def _activity(self) -> Activity:
        task = self._work.current
        if task is not None:
            return _ACTIVITIES[type(task.request)]
        if self._courier.is_sending:
            return Activity.SENDING
        return Activity.RECEIVING if self._courier.num_awaited else Activity.IDLE

    def _tell(self, body: Body, kind: str, place: Place) -> None:
        message_id = f"{kind}.{int(self._clock.now() * 1000)}"
        self._courier.tell(self._courier.write(body, message_id, NOWHERE, place), kind)
