"""The outbox: what has no receipt is signed and sealed anew, whatever becomes of keys."""

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.hub.keyring import new_identity
from fedmq.messages.codec import Message, encode
from fedmq.security.identities import Identity
from fedmq.security.roster import Roster, sign_roster, with_next_keys
from fedmq.security.rotation import make_rotation_request
from fedmq.security.wire import SealedWire
from fedmq.transport.journal import Cell, Journal
from fedmq.transport.outbox import HASTE_S, SCHEMA, Outbox
from fedmq.transport.ports import Publication
from fedmq.transport.routes import to_node
from fedmq.types import NodeId, Role
from tests.support.clock import FakeClock
from tests.support.keys import Keys
from tests.unit.security.test_wire import PREPARE, message

LYON, CENTRE = "chu-lyon", "orchestrator"


class Sent:
    """A transport that notes what it is given."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def publish(self, publication: Publication, ticket: int) -> None:
        """Note it."""
        assert ticket
        self.bodies.append(publication.body)


class Desk:
    """An orchestrator's outbox, and the keys of the federation."""

    def __init__(self, folder: Path) -> None:
        self.keys = Keys({LYON: Role.NODE, CENTRE: Role.ORCHESTRATOR})
        self.wire = self.keys.wire(CENTRE)
        self.journal = Journal(folder / "journal.sqlite", SCHEMA)
        self.sent = Sent()
        self.now = 0.0
        self.outbox = self.opened()

    def opened(self) -> Outbox:
        """Return the outbox as it is on the disk."""
        made = Outbox(
            self.journal,
            self.sent,  # type: ignore[arg-type]
            self.wire,
            itertools.count(1),
            FakeClock(lambda: self.now),
        )
        made.connected()
        return made

    def post(self) -> Message:
        """Return a message to Lyon, which is published."""
        made = message(PREPARE, CENTRE, LYON)
        with self.journal.transaction():
            self.outbox.add(made, to_node(NodeId(LYON)))
        self.outbox.flush()
        return made

    def changed(self, name: str) -> Identity:
        """Return the next keys of a member, whose stolen ones count no more."""
        old, new = self.keys.identities[name], new_identity(name, self.keys.identities[name].role)
        asked = make_rotation_request(old, new)
        self.wire.roster = with_next_keys(
            self.wire.roster, asked.public, asked.proof, are_stolen=True, at=2.0
        )
        self.wire.roster_hash = sign_roster(self.wire.roster, self.keys.governance).hash
        self.keys.identities[name] = new
        return new

    def reader(self, identity: Identity, roster: Roster) -> SealedWire:
        """Return Lyon's wire."""
        return SealedWire(identity, roster, random=os.urandom)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Return an outbox that is connected."""
    made = Desk(tmp_path)
    yield made
    made.journal.close()


def test_with_a_newer_roster_it_goes_again_to_the_readers_new_keys(desk: Desk) -> None:
    """At once; the roster that it is sealed by is said in it."""
    posted = desk.post()
    new = desk.changed(LYON)
    desk.outbox.flush()
    desk.outbox.flush()
    assert len(desk.sent.bodies) == 2
    reader = desk.reader(new, desk.wire.roster)
    with pytest.raises(Exception, match="not for this key"):
        reader.open(desk.sent.bodies[0])
    opened = reader.open(desk.sent.bodies[1])
    assert opened.body == posted.body
    assert opened.envelope == posted.envelope.model_copy(
        update={"roster": 2, "roster_hash": desk.wire.roster_hash}
    )


def test_it_is_sealed_once_to_be_published_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While there is a connection; signing and sealing is most of what a small message costs."""
    sealed: list[Message] = []
    seal = desk.wire.seal

    def noted(message: Message, readers: Sequence[str]) -> bytes:
        sealed.append(message)
        return seal(message, readers)

    monkeypatch.setattr(desk.wire, "seal", noted)
    posted = desk.post()
    assert len(sealed) == len(desk.sent.bodies) == 1
    reader = desk.reader(desk.keys.identities[LYON], desk.wire.roster)
    assert reader.open(desk.sent.bodies[0]).body == posted.body


def test_what_cannot_leave_is_not_kept_sealed(desk: Desk) -> None:
    """A thousand requests with a plan each would be a hundred megabytes."""
    desk.outbox.disconnected()
    desk.post()
    assert [letter.sealed for letter in desk.outbox._letters.values()] == [None]
    desk.outbox.connected()
    assert len(desk.sent.bodies) == 1


def test_it_is_signed_by_the_keys_that_the_sender_has_by_then(desk: Desk) -> None:
    """Also by another life, from the disk."""
    posted = desk.post()
    desk.wire.identity = desk.changed(CENTRE)
    desk.opened()
    reader = desk.reader(desk.keys.identities[LYON], desk.wire.roster)
    with pytest.raises(Exception, match="did not sign"):
        reader.open(desk.sent.bodies[0])
    assert reader.open(desk.sent.bodies[1]).body == posted.body


def test_what_an_older_version_had_sealed_goes_as_it_is(desk: Desk) -> None:
    """Its plain text is nowhere any more."""
    sealed = desk.wire.seal(message(PREPARE, CENTRE, LYON), [LYON])
    desk.journal.execute(
        "INSERT INTO outbox VALUES ('m', 'fedmq.tasks', 'chu-lyon.control', '-', ?, 1)", (sealed,)
    )
    desk.opened()
    assert desk.sent.bodies == [sealed]


def test_a_reader_whose_keys_nobody_knows_is_waited_for(desk: Desk) -> None:
    """The message goes once the roster has them."""
    whole = desk.wire.roster
    desk.wire.roster = whole.model_copy(
        update={"members": [one for one in whole.members if one.name != LYON]}
    )
    desk.wire.roster = Roster.model_validate(desk.wire.roster.model_dump())
    posted = desk.post()
    assert desk.sent.bodies == []
    assert "keys of chu-lyon" in desk.outbox.trouble
    desk.wire.roster = Roster.model_validate(whole.model_dump() | {"version": 2})
    desk.outbox.flush()
    reader = desk.reader(desk.keys.identities[LYON], desk.wire.roster)
    opened = reader.open(desk.sent.bodies[0])
    assert encode(replace(opened, envelope=posted.envelope)) == encode(posted)


def num_rows(desk: Desk) -> int:
    """Return how many messages would be sent by the next life."""
    return int(str(desk.journal.cell("SELECT count(*) FROM outbox")))


def test_receipts_are_taken_at_once_and_written_down_together(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit waits for the disk, and a round has as many receipts as nodes."""
    first = desk.post()
    others = [
        replace(first, envelope=first.envelope.model_copy(update={"message_id": one}))
        for one in "ab"
    ]
    with desk.journal.transaction():
        for one in others:
            desk.outbox.add(one, to_node(NodeId(LYON)))
    commits: list[str] = []
    real = Journal.execute

    def counted(journal: Journal, sql: str, cells: Sequence[Cell] = ()) -> int:
        if sql == "COMMIT":
            commits.append(sql)
        return real(journal, sql, cells)

    monkeypatch.setattr(Journal, "execute", counted)
    for one in (first, *others):
        desk.outbox.received(one.envelope.message_id, by=LYON)
        assert not desk.outbox.has(one.envelope.message_id)
    assert (len(desk.outbox), num_rows(desk), commits) == (0, 3, [])
    desk.outbox.settle()
    desk.outbox.settle()
    assert (num_rows(desk), commits) == (0, ["COMMIT"])


def test_a_receipt_that_a_crash_took_lets_the_message_go_once_more(desk: Desk) -> None:
    """Its receiver knows it, and gives its receipt again."""
    posted = desk.post()
    desk.outbox.received(posted.envelope.message_id, by=LYON)
    again = desk.opened()
    assert len(desk.sent.bodies) == 2
    again.received(posted.envelope.message_id, by=LYON)
    again.settle()
    assert num_rows(desk) == 0


def test_what_is_said_anew_after_its_receipt_is_not_forgotten_with_it(desk: Desk) -> None:
    """The row that is removed is the one that the receipt was for."""
    posted = desk.post()
    desk.outbox.received(posted.envelope.message_id, by=LYON)
    desk.post()
    desk.outbox.settle()
    assert (len(desk.outbox), num_rows(desk), len(desk.sent.bodies)) == (1, 1, 2)


def test_what_is_dropped_needs_no_settling(desk: Desk) -> None:
    """With its experiment it is gone."""
    posted = desk.post()
    desk.outbox.received(posted.envelope.message_id, by=LYON)
    desk.outbox.drop(posted.envelope.experiment)
    assert num_rows(desk) == 0
    desk.outbox.settle()
    assert len(desk.outbox) == 0


def test_who_has_a_newer_roster_than_before_is_sent_again_what_waits_once(desk: Desk) -> None:
    """However often it speaks: nothing is sent for words alone, nor at once what has just left."""
    for _ in range(2):
        desk.changed(CENTRE)  # roster 3 is the newest
    desk.post()
    desk.outbox.confirmed(1)
    for now, roster, num_sent in [
        (1.0, 1, 1),
        (60.0, 1, 1),  # it says nothing new
        (60.0, 9, 1),  # a roster that is not here: with it all goes again
        (60.0, 3, 1),
    ]:
        desk.now = now
        desk.outbox.heard(LYON, roster)
        desk.outbox.flush()
        assert len(desk.sent.bodies) == num_sent, (now, roster)
    desk.outbox.heard("ghu-paris", 1)
    desk.outbox.heard("ghu-paris", 2)
    desk.outbox.flush()
    assert len(desk.sent.bodies) == 1, "it is for Lyon"


def test_a_node_that_takes_one_roster_after_the_other_is_sent_again_what_waits_each_time(
    desk: Desk,
) -> None:
    """At the earliest a few seconds after the last time."""
    for _ in range(2):
        desk.changed(CENTRE)
    desk.post()
    desk.outbox.confirmed(1)
    desk.outbox.heard(LYON, 1)
    desk.now = 60.0
    for _ in range(3):
        desk.outbox.heard(LYON, 2)
        desk.outbox.flush()
        assert len(desk.sent.bodies) == 2
    desk.outbox.confirmed(2)
    desk.now = 61.0
    desk.outbox.heard(LYON, 3)
    desk.outbox.flush()
    assert len(desk.sent.bodies) == 2
    desk.now = 60.0 + HASTE_S
    for _ in range(3):
        desk.outbox.heard(LYON, 3)
        desk.outbox.flush()
    assert len(desk.sent.bodies) == 3
