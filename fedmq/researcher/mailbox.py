"""The mailbox: a researcher's courier, and the answers that came, for one thread.

Several programs of one researcher may share a home, and the broker hands what comes to one of them:
answers go into the journal and payloads into the folder that all of them look into.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fedmq.clocks import Clock
from fedmq.errors import ProtocolError
from fedmq.messages.codec import Message, decode, encode
from fedmq.messages.envelope import Place
from fedmq.messages.fields import Manifest
from fedmq.messages.mandates import ExperimentSpec, Order
from fedmq.messages.notices import ExperimentOver
from fedmq.messages.payloads import CHUNK_BYTES
from fedmq.messages.registry import Body
from fedmq.messages.submissions import (
    Acceptance,
    ExperimentReport,
    NodesReport,
    OrderReport,
    Rejection,
    ReportList,
    Submission,
)
from fedmq.parameters import Parameters, write_parameters
from fedmq.researcher.silence import Readers
from fedmq.transport import courier as couriers
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.home import Home
from fedmq.transport.inbox import TurnedAway
from fedmq.transport.ports import (
    Connected,
    Disconnected,
    ReadersCounted,
    Transport,
    TransportEvent,
)
from fedmq.transport.routes import from_researcher
from fedmq.transport.spool import Spool
from fedmq.transport.wires import Wire
from fedmq.types import Digest, ExperimentId, ResearcherId, Role

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS answers (
    correlation_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    encoded BLOB NOT NULL,
    PRIMARY KEY (correlation_id, sender)
);
CREATE TABLE IF NOT EXISTS uploads (
    message_id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    orchestrator TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS leaders (
    experiment TEXT PRIMARY KEY,
    orchestrator TEXT NOT NULL
) WITHOUT ROWID;
"""
OUTSIDE: Final = Place()
"""Where a question belongs that is of no experiment's rounds."""
MAX_ANSWERS: Final = 1_000
"""Answers that nobody came back for, the newest."""
INBOX_PREFETCH: Final = 16
PAYLOADS_PREFETCH: Final = 8


def submission_id(experiment: ExperimentId) -> str:
    """Return the id under which an experiment is submitted."""
    return f"{experiment}.submission"


class Mailbox:
    """What one researcher sends and is sent."""

    def __init__(
        self,
        *,
        researcher: ResearcherId,
        home: Home,
        transport: Transport,
        wire: Wire,
        clock: Clock,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.refusal = ""
        """Why the broker says no; empty while it does not."""
        self.is_connected = False
        self._researcher = researcher
        self._transport = transport
        self._wire = wire
        self._spool = Spool(home.disk("payloads"), chunk_bytes=chunk_bytes)
        self._journal = home.journal(couriers.SCHEMA, SCHEMA)
        self._courier = Courier(
            me=researcher,
            transport=transport,
            wire=wire,
            journal=self._journal,
            spool=self._spool,
            clock=clock,
        )
        self._num_readers: dict[str, int | None] = {}
        self._is_counting = False

    def open(self) -> None:
        """Begin to connect; what an earlier life left in the outbox goes first."""
        self._courier.attach(self)
        self._transport.consume(
            topology.researcher_inbox(self._researcher), prefetch=INBOX_PREFETCH
        )
        self._transport.consume(
            topology.researcher_payloads(self._researcher), prefetch=PAYLOADS_PREFETCH
        )
        self._transport.start()

    def close(self) -> None:
        """Let go of the broker and the journal."""
        self._transport.close()
        self._courier.settle()
        self._journal.close()

    def handle(self, event: TransportEvent) -> None:
        """Take an event of the transport."""
        match event:
            case Connected():
                self.is_connected = True
                self.refusal = ""
            case Disconnected(why=why, refused=refused):
                self.is_connected = False
                self.refusal = why if refused else ""
            case ReadersCounted(queue=queue, num_readers=num_readers):
                self._num_readers[queue] = num_readers
            case _:
                pass
        self._courier.handle(event)

    def count_readers(self, orchestrators: Sequence[str]) -> None:
        """Ask the broker, unless it was asked already; `readers` says it once it is known."""
        if not self._is_counting:
            self._is_counting = True
            # Who reads the inbox reads payloads too, in a queue whose waiting readers count.
            inboxes = map(topology.orchestrator_inbox, orchestrators)
            answers = topology.researcher_payloads(self._researcher)
            self._transport.count_readers([*inboxes, answers])

    def forget_readers(self) -> None:
        """Ask anew the next time."""
        self._is_counting = False
        self._num_readers.clear()

    def readers(self, orchestrator: str) -> Readers | None:
        """Return who reads what goes to an orchestrator and what comes here.

        None while the broker has not said all that it says of them.
        """
        inbox = topology.orchestrator_inbox(orchestrator)
        answers = topology.researcher_payloads(self._researcher)
        if not {inbox, answers} <= self._num_readers.keys():
            return None
        return Readers(
            of_submissions=self._num_readers[inbox], of_answers=self._num_readers[answers]
        )

    def tick(self) -> None:
        """Do what is due."""
        self._courier.tick()

    @property
    def trouble(self) -> str:
        """Why nothing goes or comes, for people; empty while all is well."""
        return self._courier.trouble

    # Sending.

    @property
    def orchestrators(self) -> Sequence[str]:
        """The federation's orchestrators, by name."""
        return self._wire.members(Role.ORCHESTRATOR)

    def leader(self, experiment: str) -> str | None:
        """Return to whom an experiment was given; None where this home does not know."""
        found = self._journal.cell(
            "SELECT orchestrator FROM leaders WHERE experiment = ?", (experiment,)
        )
        return None if found is None else str(found)

    def learn_leader(self, experiment: ExperimentId, orchestrator: str, answer: Body) -> bool:
        """Return whether an answer shows that an orchestrator was ordered to lead; note it if so.

        This researcher ordered it, maybe from another home: nobody else's word counts.
        """
        if not isinstance(answer, OrderReport):
            return False
        order = answer.mandate.order
        named = order.experiment, order.researcher, order.orchestrator
        is_shown = named == (experiment, self._researcher, orchestrator)
        if not (is_shown and self._wire.is_given(answer.mandate)):
            return False
        self._note_leader(experiment, orchestrator)
        return True

    def _note_leader(self, experiment: ExperimentId, orchestrator: str) -> None:
        self._journal.execute(
            "INSERT OR REPLACE INTO leaders VALUES (?, ?)", (experiment, orchestrator)
        )

    def post(self, body: Body, message_id: str, orchestrator: str, place: Place = OUTSIDE) -> None:
        """Send `body` until an orchestrator has it, in this life or in a later one."""
        message = self._courier.write(body, message_id, orchestrator, place)
        with self._courier.transaction():
            self._courier.post(message, from_researcher(self._researcher, orchestrator))

    def submit(
        self,
        experiment: ExperimentId,
        spec: ExperimentSpec,
        plan_source: str | None,
        initial: Parameters,
        orchestrator: str,
    ) -> None:
        """Order an experiment of an orchestrator: sign it, and send it with its initial parameters.

        Raises:
            ParametersError: they do not travel.
            StorageError: the disk refuses.
        """
        name, message_id = f"{experiment}.initial", submission_id(experiment)
        write_parameters(initial, self._spool.new_file(name))
        # One transaction: another program of this home may be done with an equal payload just now,
        # and would remove it between its arrival here and the note that it is needed.
        with self._courier.transaction():
            manifest = self._spool.adopt(name)
            self._journal.execute(
                "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?)",
                (message_id, manifest.digest, orchestrator),
            )
            self._note_leader(experiment, orchestrator)
            order = Order(
                experiment=experiment,
                researcher=self._researcher,
                orchestrator=orchestrator,
                spec=spec,
                initial=manifest,
            )
            submission = Submission(mandate=self._wire.sign(order), plan_source=plan_source)
            self.post(submission, message_id, orchestrator, Place(experiment=experiment))

    # What came.

    def take_answer(self, message_id: str, orchestrator: str) -> Message | None:
        """Return an orchestrator's answer to a message, once."""
        cells = (message_id, orchestrator)
        encoded = self._journal.cell(
            "SELECT encoded FROM answers WHERE correlation_id = ? AND sender = ?", cells
        )
        if not isinstance(encoded, bytes):
            return None
        self._journal.execute("DELETE FROM answers WHERE correlation_id = ? AND sender = ?", cells)
        return decode(encoded)

    def want(self, manifest: Manifest, experiment: ExperimentId, orchestrator: str) -> None:
        """Ask who leads an experiment for a payload until it is here."""
        route = from_researcher(self._researcher, orchestrator)
        self._courier.fetch(manifest, route, experiment)

    def want_no_more(self, experiment: ExperimentId) -> None:
        """Ask for no payload of an experiment.

        The orchestrator had its submission long ago, so there is nothing else to drop. A payload
        that another program of this home was handed would otherwise be asked for, for ever.
        """
        self._courier.drop(experiment)

    def find_payload(self, digest: Digest) -> Path | None:
        """Return where a payload is, None while it is not whole."""
        return self._spool.path(digest) if self._spool.has(digest) else None

    # What the courier asks (`fedmq.transport.receiver.Receiver`).

    def accept(self, message: Message) -> None:
        """Keep an answer for whoever asked."""
        match message.body:
            case (
                Acceptance()
                | Rejection()
                | ExperimentReport()
                | ReportList()
                | NodesReport()
                | OrderReport()
            ):
                self._keep(message)
            case ExperimentOver():
                pass
            case _:
                raise ProtocolError("not_for_researchers")

    def wants_payload(self, _message: Message) -> bool:
        """No answer announces a payload."""
        return True

    def expect(self, _message: Message) -> bool:
        """No answer announces a payload."""
        return False

    def hear(self, _message: Message) -> None:
        """Researchers read no events."""

    def fetched(self, digest: Digest) -> None:
        """A payload is here: who waits for it looks."""

    def keeps(self, digest: Digest) -> bool:
        """What is here is of an upload, or was asked for."""
        return self._spool.has(digest)

    def may_fetch(self, sender: str, digest: Digest) -> bool:
        """An orchestrator may have what a submission to it announced."""
        found = self._journal.cell(
            "SELECT 1 FROM uploads WHERE digest = ? AND orchestrator = ?", (digest, sender)
        )
        return found is not None and self._spool.has(digest)

    def turned_away(self, _message: TurnedAway) -> None:
        """A notebook is no place for a log; the journal has the reason."""

    def _keep(self, message: Message) -> None:
        message_id = message.envelope.correlation_id
        if message_id is None:
            raise ProtocolError("answers_nothing")
        self._journal.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)",
            (message_id, message.envelope.sender, encode(message)),
        )
        self._journal.execute(
            "DELETE FROM answers WHERE rowid <= (SELECT max(rowid) FROM answers) - ?",
            (MAX_ANSWERS,),
        )
        self._finish_upload(message_id, message.envelope.sender)

    def _finish_upload(self, message_id: str, orchestrator: str) -> None:
        """Remove the parameters of a submission that is answered, unless another needs them."""
        digest = self._journal.cell(
            "SELECT digest FROM uploads WHERE message_id = ? AND orchestrator = ?",
            (message_id, orchestrator),
        )
        if not isinstance(digest, str):
            return
        self._journal.execute("DELETE FROM uploads WHERE message_id = ?", (message_id,))
        if self._journal.cell("SELECT 1 FROM uploads WHERE digest = ?", (digest,)) is None:
            self._spool.remove(Digest(digest))
