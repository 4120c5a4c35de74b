"""The mailbox on the memory broker, step by step: what a home keeps, over lives and programs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedmq.disk import LocalDisk
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Place
from fedmq.messages.fields import Manifest
from fedmq.messages.mandates import Mandate, Order
from fedmq.messages.notices import ExperimentOver
from fedmq.messages.payloads import CHUNK_BYTES
from fedmq.messages.registry import Body
from fedmq.messages.requests import CancelRequest
from fedmq.messages.submissions import (
    Acceptance,
    OrderReport,
    Query,
    QueryKind,
    Rejection,
    Submission,
)
from fedmq.parameters import parameters_bytes
from fedmq.researcher import mailbox as mailboxes
from fedmq.researcher.mailbox import Mailbox
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport import courier as couriers
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.home import LocalHome
from fedmq.transport.inbox import TurnedAway
from fedmq.transport.journal import Journal
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import TransportEvent
from fedmq.transport.routes import to_researcher
from fedmq.transport.spool import Spool
from fedmq.transport.wires import Wire
from fedmq.types import ORCHESTRATOR, Digest, ExperimentId, ResearcherId
from tests.support.clock import FakeClock
from tests.unit.messages.examples import MANIFEST, REPORT, SPEC

ANNA = ResearcherId("anna")
LUNG, LIVER = ExperimentId("lung-000001"), ExperimentId("liver-000002")
MODEL = {"w": np.arange(CHUNK_BYTES // 2, dtype=np.float32)}
"""Two chunks and a header."""


class Centre:
    """An orchestrator that remembers what it was given and answers when it is told to."""

    def __init__(self, world: "World", name: str = ORCHESTRATOR) -> None:
        self.world = world
        self.folder = world.folder / name
        self.accepted: list[Message] = []
        self.transport = MemoryTransport(world.broker, name, self.take)
        self.journal = Journal(self.folder / "journal.sqlite", couriers.SCHEMA)
        self.courier = Courier(
            me=name,
            transport=self.transport,
            wire=PlainWire(),
            journal=self.journal,
            spool=Spool(LocalDisk(self.folder / "payloads")),
            clock=FakeClock(lambda: world.now),
        )
        self.courier.attach(self)
        for experiment in (LUNG, LIVER):
            queues = topology.experiment_queues(experiment, name)
            self.transport.declare(queues)
            for queue in queues:
                self.transport.consume(queue.name, prefetch=4)
        self.transport.consume(topology.orchestrator_inbox(name), prefetch=1)
        self.transport.start()

    def take(self, event: TransportEvent) -> None:
        """Hand an event on."""
        self.courier.handle(event)

    def answer(self, question: Message, body: Body) -> None:
        """Send the answer to a message."""
        self.send(body, f"{question.envelope.message_id}.answer", question)

    def send(self, body: Body, message_id: str, question: Message | None = None) -> None:
        """Send a message to anna."""
        envelope = None if question is None else question.envelope
        message = self.courier.write(body, message_id, ANNA, Place(), answers=envelope)
        with self.courier.transaction():
            self.courier.post(message, to_researcher(ANNA))

    def make_payload(self) -> Manifest:
        """Return the manifest of a model that is here."""
        disk = LocalDisk(self.folder / "payloads")
        disk.write("new", 0, parameters_bytes(MODEL))
        return self.courier.spool.adopt("new")

    def accept(self, message: Message) -> None:
        """Keep it."""
        self.accepted.append(message)

    def wants_payload(self, _message: Message) -> bool:
        """All wait for it."""
        return True

    def expect(self, _message: Message) -> bool:
        """Ask for parameters at once, as the orchestrator does."""
        return True

    def hear(self, message: Message) -> None:
        """Nothing is heard here."""

    def fetched(self, digest: Digest) -> None:
        """Nothing waits for it here."""

    def keeps(self, _digest: Digest) -> bool:
        """All that is here."""
        return True

    def may_fetch(self, _sender: str, _digest: Digest) -> bool:
        """Whatever anna asks for."""
        return True

    def turned_away(self, _message: TurnedAway) -> None:
        """The journal has it."""


class World:
    """A broker, an orchestrator, and programs of anna's on one home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1_000.0
        self.broker = MemoryBroker(
            topology.federation(nodes=[], researchers=[ANNA], orchestrators=[ORCHESTRATOR, "hub-b"])
        )
        self.centre, self.other = Centre(self), Centre(self, "hub-b")
        self.programs: list[tuple[Mailbox, MemoryTransport]] = []

    def open(self, wire: Wire | None = None) -> Mailbox:
        """Return the mailbox of one more program."""
        transport = MemoryTransport(self.broker, ANNA, _hear_nothing)
        made = Mailbox(
            researcher=ANNA,
            home=LocalHome(self.folder / "home"),
            transport=transport,
            wire=wire or PlainWire(),
            clock=FakeClock(lambda: self.now),
        )
        transport.sink = made.handle
        made.open()
        self.programs.append((made, transport))
        return made

    def kill(self) -> None:
        """End every program of anna's without a word."""
        for mailbox, transport in self.programs:
            transport.disconnect()
            mailbox._journal.close()
        self.programs.clear()

    def run(self, seconds: int = 0) -> None:
        """Let everything happen, then time pass and everything happen again."""
        self.broker.run_until_idle()
        for _ in range(seconds):
            self.now += 1.0
            self.centre.courier.tick()
            self.other.courier.tick()
            for mailbox, _ in self.programs:
                mailbox.tick()
            self.broker.run_until_idle()

    def close(self) -> None:
        """Close what is open."""
        self.kill()
        self.centre.journal.close()
        self.other.journal.close()


def _hear_nothing(_event: TransportEvent) -> None:
    """Stand for a program that is not there yet."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    made.close()


def submit(mailbox: Mailbox, experiment: ExperimentId) -> None:
    """Submit an experiment with the model as its parameters."""
    mailbox.submit(experiment, SPEC, None, MODEL, ORCHESTRATOR)


def payloads(world: World) -> list[str]:
    """Return the names of the files in the home's folder of payloads."""
    return list(LocalDisk(world.folder / "home" / "payloads").names())


def reasons(mailbox: Mailbox) -> list[str]:
    """Return why messages were turned away."""
    return [str(row[0]) for row in mailbox._journal.rows("SELECT reason FROM rejected")]


def ask(world: World, mailbox: Mailbox, message_id: str = "all.list.1") -> Message:
    """Return a question that the orchestrator was given."""
    mailbox.post(Query(kind=QueryKind.LIST), message_id, ORCHESTRATOR)
    world.run()
    return world.centre.accepted[-1]


class Doubting(PlainWire):
    """A wire of somebody who believes no signature."""

    def is_given(self, mandate: Mandate) -> bool:  # noqa: ARG002 - port
        """Nobody signed it."""
        return False


def shown(**changes: str) -> OrderReport:
    """Return an orchestrator's word that anna ordered the first experiment of hub-b."""
    named = {"experiment": LUNG, "researcher": ANNA, "orchestrator": "hub-b"} | changes
    order = Order.model_validate({**named, "spec": SPEC, "initial": MANIFEST})
    return OrderReport(mandate=PlainWire().sign(order))


@pytest.mark.parametrize(
    ("answer", "is_shown"),
    [
        (shown(), True),
        (shown(experiment=LIVER), False),
        (shown(researcher="bob"), False),
        (shown(orchestrator=ORCHESTRATOR), False),
        (REPORT.model_copy(update={"experiment": LUNG}), False),
        (Rejection(reason="no"), False),
    ],
)
def test_who_leads_is_learnt_of_an_order_of_ones_own_that_names_them(
    world: World, answer: Body, *, is_shown: bool
) -> None:
    """Each row: what hub-b answers, and whether that shows that it leads the first experiment."""
    mailbox = world.open()
    assert mailbox.learn_leader(LUNG, "hub-b", answer) is is_shown
    assert mailbox.leader(LUNG) == ("hub-b" if is_shown else None)


def test_an_order_that_nobody_signed_shows_nothing(world: World) -> None:
    """Or with a key that was revoked."""
    mailbox = world.open(Doubting())
    assert not mailbox.learn_leader(LUNG, "hub-b", shown())
    assert mailbox.leader(LUNG) is None


def test_a_killed_client_submits_once_whenever_it_dies(tmp_path: Path) -> None:
    """After each number of the broker's steps; the next program of the home goes on."""
    for steps in range(30):
        world = World(tmp_path / str(steps))
        mailbox = world.open()
        world.run()
        submit(mailbox, LUNG)
        for _ in range(steps):
            world.broker.step()
        world.kill()
        world.open()
        world.run(seconds=20)
        (taken,) = world.centre.accepted
        assert isinstance(taken.body, Submission), steps
        path = world.centre.courier.spool.path(taken.body.initial.digest)
        assert path.read_bytes() == parameters_bytes(MODEL), steps
        assert world.broker.depth(topology.DEAD_QUEUE) == 0, steps
        world.close()


def test_an_answer_is_given_once_to_whichever_program_asks(world: World) -> None:
    """The broker hands it to the first; the second finds it at home."""
    first, second = world.open(), world.open()
    world.centre.answer(ask(world, second), Rejection(reason="no"))
    world.run()
    found = second.take_answer("all.list.1", ORCHESTRATOR)
    assert found is not None
    assert found.body == Rejection(reason="no")
    assert all(one.take_answer("all.list.1", ORCHESTRATOR) is None for one in (first, second))


def test_answers_that_nobody_came_back_for_do_not_pile_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest are kept."""
    monkeypatch.setattr(mailboxes, "MAX_ANSWERS", 3)
    mailbox = world.open()
    for number in range(5):
        message_id = f"all.list.{number}"
        world.centre.answer(ask(world, mailbox, message_id), Rejection(reason=str(number)))
    world.run()
    found = [mailbox.take_answer(f"all.list.{number}", ORCHESTRATOR) for number in range(5)]
    assert [answer is None for answer in found] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_what_answers_nothing_is_turned_away_and_a_notice_is_not(world: World) -> None:
    """Orders to nodes, answers without a question; the end of an experiment is fine."""
    mailbox = world.open()
    for number, body in enumerate(
        [
            CancelRequest(before_attempt=1),
            Rejection(reason="to nothing"),
            ExperimentOver(state="finished", reason=""),
        ]
    ):
        world.centre.send(body, f"unasked.{number}")
    world.run()
    assert reasons(mailbox) == ["not_for_researchers", "answers_nothing"]
    assert world.broker.depth(topology.DEAD_QUEUE) == 2


def test_parameters_are_removed_once_every_submission_with_them_is_answered(world: World) -> None:
    """A sweep submits the same model again and again."""
    mailbox = world.open()
    submit(mailbox, LUNG)
    submit(mailbox, LIVER)
    world.run()
    first, second = world.centre.accepted
    assert len(payloads(world)) == 1
    world.centre.answer(first, Acceptance(experiment=LUNG))
    world.run()
    assert len(payloads(world)) == 1
    world.centre.answer(second, Rejection(reason="no"))
    world.run()
    assert payloads(world) == []


def test_parameters_are_for_whom_they_are_submitted_to(world: World) -> None:
    """Another orchestrator that knows their digest gets nothing."""
    mailbox = world.open()
    submit(mailbox, LUNG)
    world.run()
    (taken,) = world.centre.accepted
    assert isinstance(taken.body, Submission)
    world.other.courier.fetch(taken.body.initial, to_researcher(ANNA), LUNG)
    world.run(seconds=5)
    assert not world.other.courier.spool.has(taken.body.initial.digest)
    assert "not_for_sender" in reasons(mailbox)


def test_a_submission_that_cannot_be_written_leaves_no_half(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a message nor the note of an upload."""
    mailbox = world.open()

    def fail(*_: object) -> None:
        raise RuntimeError("no words")

    with monkeypatch.context() as patch:
        patch.setattr(Courier, "write", fail)
        with pytest.raises(RuntimeError, match="no words"):
            mailbox.submit(LUNG, SPEC, None, MODEL, ORCHESTRATOR)
    world.run(seconds=5)
    assert world.centre.accepted == []
    assert mailbox._journal.rows("SELECT * FROM uploads") == []


def test_a_model_that_another_program_was_handed_is_not_asked_for_again(world: World) -> None:
    """The one that asked finds it at home, and lets it be."""
    world.open()
    asking = world.open()
    world.run()
    manifest = world.centre.make_payload()
    asking.want(manifest, LUNG, ORCHESTRATOR)
    world.run(seconds=1)
    found = asking.find_payload(manifest.digest)
    assert found is not None
    assert found.read_bytes() == parameters_bytes(MODEL)
    asking.want_no_more(LUNG)
    sent = world.centre.courier.bytes_sent(topology.ANSWERS, LUNG)
    assert sent > 0
    world.run(seconds=200)
    assert world.centre.courier.bytes_sent(topology.ANSWERS, LUNG) == sent


def test_a_model_that_does_not_come_is_asked_for_until_it_is_there(world: World) -> None:
    """Over a broken connection too."""
    mailbox = world.open()
    (_, transport) = world.programs[0]
    world.run()
    transport.disconnect()
    manifest = world.centre.make_payload()
    mailbox.want(manifest, LUNG, ORCHESTRATOR)
    world.run(seconds=5)
    assert mailbox.find_payload(manifest.digest) is None
    transport.connect()
    world.run(seconds=5)
    assert mailbox.find_payload(manifest.digest) is not None
