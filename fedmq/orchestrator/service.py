"""The orchestrator: takes submissions, leads experiments, answers researchers.

The loop is receive, ask the experiment's state machine, log the event and perform its actions.
"""

from collections.abc import Callable

import structlog

from fedmq.audit import log as audit_log
from fedmq.audit.log import AuditLog
from fedmq.audit.turned_away import TurnedAwayCount
from fedmq.clocks import Clock
from fedmq.errors import ProtocolError
from fedmq.logs import log_link, log_rejected
from fedmq.messages.codec import Message
from fedmq.messages.data import KnownNode
from fedmq.messages.envelope import Envelope, Place
from fedmq.messages.notices import Hello, Overview, Welcome
from fedmq.messages.payloads import CHUNK_BYTES
from fedmq.messages.replies import (
    Answer,
    EvaluateReply,
    Failure,
    PingReply,
    PrepareReply,
    Refusal,
    TrainReply,
)
from fedmq.messages.submissions import Query, Submission
from fedmq.orchestrator import answers, heard, leadership, running_time, store, told, witness
from fedmq.orchestrator.audit_facts import OrchestratorStarted
from fedmq.orchestrator.epoch_wire import EpochWire
from fedmq.orchestrator.fenced_home import FencedHome
from fedmq.orchestrator.lead import Lead
from fedmq.orchestrator.leader import PAYLOADS, Leader
from fedmq.orchestrator.leadership import Leadership
from fedmq.orchestrator.leftovers import is_counted
from fedmq.orchestrator.overviews import Overviews
from fedmq.orchestrator.presence import Presence
from fedmq.orchestrator.queues import Queues
from fedmq.orchestrator.reception import Reception
from fedmq.orchestrator.sole_reader import SoleReader
from fedmq.orchestrator.state import Experiment
from fedmq.orchestrator.told import Told
from fedmq.orchestrator.updates import find_fault
from fedmq.orchestrator.witness import Witness
from fedmq.transport import courier as couriers
from fedmq.transport.courier import Courier
from fedmq.transport.home import Home
from fedmq.transport.inbox import TurnedAway
from fedmq.transport.loop import Loop
from fedmq.transport.ports import (
    Connected,
    Disconnected,
    Sink,
    Transport,
    TransportEvent,
)
from fedmq.transport.retention import Retention
from fedmq.transport.routes import to_node
from fedmq.transport.spool import Spool
from fedmq.transport.topology import Profile
from fedmq.transport.wires import Wire
from fedmq.types import Digest, ExperimentId, NodeId

log = structlog.get_logger()


class OrchestratorService:
    """One orchestrator, driven by its loop; in tests by `handle` and `tick`."""

    def __init__(  # noqa: PLR0913 - everything that the outside gives an orchestrator
        self,
        *,
        name: str,
        home: Home,
        make_transport: Callable[[Sink], Transport],
        wire: Wire,
        clock: Clock,
        version: str,
        retention: Retention | None = None,
        profile: Profile = Profile.SINGLE,
        chunk_bytes: int = CHUNK_BYTES,
        remind: Callable[[], None] = lambda: None,
        leader: str = "orchestrator",
        count_stand_bys: Callable[[], int] = lambda: 0,
    ) -> None:
        """Take over the experiments of the home: whoever led them is replaced.

        `remind` is called while it serves: it knows by itself when something is due. `leader` says
        which program this is, for people.
        """
        self.loop: Loop[TransportEvent] = Loop()
        self._clock = clock
        self._version = version
        self._remind = remind
        self._journal = home.journal(
            couriers.SCHEMA,
            store.SCHEMA,
            running_time.SCHEMA,
            heard.SCHEMA,
            told.SCHEMA,
            audit_log.SCHEMA,
            witness.SCHEMA,
            leadership.SCHEMA,
        )
        # Before anything else is written: nobody who led before can do so from here on.
        self._leadership = Leadership(self._journal, leader, now=clock.now())
        wire = EpochWire(wire, self._leadership)
        home = FencedHome(home, self._leadership)
        self._journal.settle()
        self._audit = AuditLog(self._journal, clock)
        self._witness = Witness(self._journal, self._audit, wire, clock)
        self._turned_away = TurnedAwayCount()
        self._presence = Presence(clock, self._journal)
        self._told = Told(self._journal)
        self._transport = make_transport(self.loop.put)
        self._common = SoleReader(name, self._transport, clock)
        self._courier = Courier(
            me=name,
            transport=self._transport,
            wire=wire,
            journal=self._journal,
            spool=Spool(home.disk(PAYLOADS), chunk_bytes=chunk_bytes),
            clock=clock,
            witness=self._witness.answer,
            is_alone=True,
            brings_rosters=True,
        )
        self._leader = Leader(
            courier=self._courier,
            queues=Queues(name, self._transport, profile),
            journal=self._journal,
            presence=self._presence,
            home=home,
            clock=clock,
            retention=retention or Retention(),
            audit=self._audit,
            leadership=self._leadership,
        )
        self._reception = Reception(
            self._courier,
            self._leader,
            is_given=wire.is_given,
            known_nodes=self._known_nodes,
        )
        self._overviews = Overviews(
            courier=self._courier,
            leader=self._leader,
            presence=self._presence,
            clock=clock,
            version=version,
            count_stand_bys=count_stand_bys,
        )

    # The life of the service.

    def start(self) -> None:
        """Read the queues, and go on with every experiment where it was."""
        self._audit.note(OrchestratorStarted(orchestrator=self._courier.me, version=self._version))
        self._leader.open_running()
        # First what the last life left undone, then what waited for its payload: that may lead on.
        self._leader.resume()
        self._leader.run_after()
        self._courier.attach(self)
        self._transport.start()
        self._leader.run_after()

    def run(self) -> None:
        """Serve until the loop is stopped.

        Raises:
            LeaseLost: another program has taken over; nothing more was written or sent.
            SecondStore: another program serves under this name, from a store of its own.
        """
        self.start()
        log.info("orchestrator_started", version=self._version, experiments=len(self._leader))
        try:
            self.loop.run(self.handle, self.tick)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the broker and the journal."""
        self._transport.close()
        self._courier.settle()
        self._journal.close()

    def handle(self, event: TransportEvent) -> None:
        """Take an event of the transport."""
        self._leadership.require()
        before = self._courier.trouble
        self._courier.handle(event)
        self._common.handle(event)
        if isinstance(event, Connected):
            self._leader.close_over()
        if self._courier.trouble != before:
            refused = isinstance(event, Disconnected) and event.refused
            log_link(self._courier.trouble, refused=refused)
        self._leader.run_after()

    def tick(self) -> None:
        """Let time pass: deadlines, repeats, the overview."""
        self._leadership.require()
        self._leader.tick()
        self._presence.keep()
        self._common.tick()
        for fact in self._turned_away.take(self._clock.steady()):
            self._audit.note(fact)
        self._courier.tick()
        self._leader.run_after()
        self._remind()
        self._overviews.tick()

    def find(self, experiment: ExperimentId) -> Experiment | None:
        """Return the state of an experiment, None if it was never begun here."""
        lead = self._leader.find(experiment)
        return None if lead is None else lead.state

    # What the courier asks (`fedmq.transport.receiver.Receiver`).

    def accept(self, message: Message) -> None:
        """Make of a message what follows, inside its transaction.

        Raises:
            ProtocolError: nobody says this to an orchestrator.
        """
        envelope = message.envelope
        if isinstance(message.body, Answer) and message.body.head is not None:
            self._witness.note(envelope.sender, message.body.head)
        match message.body:
            case Submission() as submission:
                self._reception.take_submission(submission, envelope)
            case Query() as query:
                self._reception.take_query(query, envelope)
            case PrepareReply() | TrainReply() | EvaluateReply() | Refusal() | Failure() as reply:
                self._take_reply(reply, envelope)
                self._presence.note(message)
            case PingReply():
                self._presence.note(message)
            case _:
                raise ProtocolError("unexpected_type", "nobody says this to an orchestrator")

    def wants_payload(self, _message: Message) -> bool:
        """Nothing is judged before its payload is here."""
        return True

    def expect(self, message: Message) -> bool:
        """Open the way for a submission's parameters; await no update of what is over."""
        if isinstance(message.body, Submission):
            self._reception.expect_upload(message)
            return True
        lead = self._leader.find(ExperimentId(message.envelope.experiment))
        if lead is not None and lead.is_over:
            self._leader.afterwards(lambda: self._leader.drop_late(lead))
        return False

    def hear(self, message: Message) -> None:
        """Note a node's sign of life; experiments that are open to all nodes ask it."""
        if isinstance(message.body, Hello):
            self._told.keep(message.envelope.sender, message.body.datasets)
            self._welcome(message.body, NodeId(message.envelope.sender))
        # Orchestrators hear each other too.
        if not isinstance(message.body, Overview):
            self._leader.hear(self._presence.note(message))

    def _known_nodes(self) -> list[KnownNode]:
        return [
            KnownNode(node=one.node, heard_at=one.heard_at, datasets=self._told.of(one.node))
            for one in self._presence.overview()
        ]

    def fetched(self, digest: Digest) -> None:
        """A payload is here; the message that announced it follows."""

    def keeps(self, digest: Digest) -> bool:
        """A crash may have left the model of an earlier round, and somebody may ask for it late."""
        return self._leader.needs(digest)

    def may_fetch(self, sender: str, digest: Digest) -> bool:
        """Nodes may have the model of their experiment, its researcher too; nobody an update."""
        return any(
            digest in {lead.state.model.digest, lead.state.travelling.digest}
            and (sender == lead.kept.researcher or sender in lead.state.asked)
            for lead in self._leader
        )

    def _welcome(self, hello: Hello, node: NodeId) -> None:
        """Answer behind everything that the node was sent before."""
        welcome = Welcome(nonce=hello.nonce)
        message = self._courier.write(welcome, f"welcome.{hello.nonce}", node, Place())
        self._courier.say(message, to_node(node))

    def turned_away(self, message: TurnedAway) -> None:
        """Say so in the logs: the broker's dead letters have no reason."""
        now = self._clock.steady()
        fact = self._turned_away.add(message.reason, message.sender, now=now)
        if fact is not None:
            self._audit.note(fact)
        log_rejected(
            reason=message.reason, queue=message.queue, kind=message.kind, sender=message.sender
        )

    def _take_reply(
        self,
        reply: PrepareReply | TrainReply | EvaluateReply | Refusal | Failure,
        envelope: Envelope,
    ) -> None:
        lead = self._leader.find(ExperimentId(envelope.experiment))
        if lead is not None and not lead.is_over:
            self._advance(lead, reply, envelope)
        if not isinstance(reply, TrainReply):
            return
        node, update = NodeId(envelope.sender), reply.update.digest
        if lead is None or not is_counted(lead.state, node, update):
            self._leader.afterwards(lambda: self._leader.release([update]))

    def _advance(
        self,
        lead: Lead,
        reply: PrepareReply | TrainReply | EvaluateReply | Refusal | Failure,
        envelope: Envelope,
    ) -> None:
        fault = None
        if isinstance(reply, TrainReply):
            spool = self._courier.spool
            update, model = spool.file(reply.update.digest), spool.file(lead.state.model.digest)
            fault = find_fault(update, model, lead.kept.encoding)
        ahead_s = self._leader.time.now() - self._clock.now()
        event = answers.read_reply(reply, envelope, fault, ahead_s=ahead_s)
        self._leader.advance(lead.kept.experiment, event)
