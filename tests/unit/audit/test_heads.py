"""Heads: told by a node, signed by the orchestrator that keeps them, proved to anybody."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from fedmq.audit import log as audit_log
from fedmq.audit.export import export_log
from fedmq.audit.facts import HeadObjected
from fedmq.audit.files import verify_file
from fedmq.audit.heads import Countersigned
from fedmq.audit.log import AuditLog
from fedmq.audit.witnesses import Witnesses, gather, genuine
from fedmq.errors import ConfigurationError
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.heads import HeadCode, ObjectedHead, SignedHead, ToldHead
from fedmq.messages.replies import PrepareReply
from fedmq.node.audit_facts import NodeStarted
from fedmq.node.audit_verify import verify_records
from fedmq.node.records import Records, open_records
from fedmq.orchestrator import witness
from fedmq.orchestrator.audit_facts import HeadRefused, HeadWitnessed, LogChanged, RoundFolded
from fedmq.orchestrator.witness import Witness, count_refused, count_witnessed
from fedmq.security.roster import without_member
from fedmq.simulation.faults import NO_FAULTS
from fedmq.simulation.sweep import REFERENCE
from fedmq.simulation.world import World
from fedmq.transport.home import LocalHome
from fedmq.types import Digest, Role
from tests.support.clock import FakeClock
from tests.support.keys import Keys

LYON: Final = "chu-lyon"
ORCHESTRATOR: Final = "orchestrator"
KEYS: Final = Keys(
    {
        LYON: Role.NODE,
        "ghu-paris": Role.NODE,
        ORCHESTRATOR: Role.ORCHESTRATOR,
        "ada": Role.RESEARCHER,
    }
)
GOVERNANCE: Final = KEYS.governance.public.signing.hex()


def started(version: int) -> NodeStarted:
    """Return something that happened."""
    return NodeStarted(node=LYON, version=str(version))


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """Return the records of a node to which three things happened."""
    made = open_records(LocalHome(tmp_path / "node"), FakeClock(lambda: 1_000.0))
    for number in range(3):
        made.audit.note(started(number))
    yield made
    made.close()


class Keeper:
    """An orchestrator, as far as it keeps heads."""

    def __init__(self, folder: Path) -> None:
        self.journal = LocalHome(folder).journal(audit_log.SCHEMA, witness.SCHEMA)
        clock = FakeClock(lambda: 2_000.0)
        self.audit = AuditLog(self.journal, clock)
        self.witness = Witness(self.journal, self.audit, KEYS.wire(ORCHESTRATOR), clock)

    def take(self, told: ToldHead | None) -> SignedHead | ObjectedHead | None:
        """Return what an answer with a head gets, received once and receipted twice."""
        assert told is not None
        reply = PrepareReply(num_training_cases=1, num_validation_cases=1, head=told)
        envelope = Envelope(
            type=reply.TYPE, message_id="m", sender=LYON, recipient=ORCHESTRATOR, sent_at=1.0
        )
        self.witness.note(LYON, told)
        message = Message(envelope=envelope, body=reply)
        first = self.witness.answer(message)
        assert self.witness.answer(message) == first
        return first


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    """Return an orchestrator that has heard of nobody."""
    made = Keeper(tmp_path / "orchestrator")
    yield made
    made.journal.close()


def sign(records: Records, keeper: Keeper) -> SignedHead:
    """Return the signed head, as the node keeps it now."""
    head = keeper.take(records.heads.tell())
    assert isinstance(head, SignedHead)
    assert KEYS.wire(LYON).is_countersigned(head, LYON, by=ORCHESTRATOR)
    assert records.heads.keep(head, by=ORCHESTRATOR, roster=KEYS.signed.notice)
    return head


def witnesses(records: Records) -> Witnesses:
    """Return what the signed heads of a node are proved by."""
    return gather(LYON, GOVERNANCE, KEYS.signed.notice, records.heads.countersigned())


def test_a_log_is_witnessed_up_to_the_newest_head(records: Records, keeper: Keeper) -> None:
    """By whom, and when it was seen; the orchestrator's own log tells the same."""
    sign(records, keeper)
    records.audit.note(started(4))
    sign(records, keeper)
    records.audit.note(started(5))
    verdict = verify_records(records, (), witnesses(records))
    assert verdict.fault is None
    assert verdict.witnessed is not None
    seen = verdict.witnessed
    assert (seen.number, seen.by, seen.at) == (4, ORCHESTRATOR, 2_000.0)
    assert [one.entry for one in keeper.audit.facts(HeadWitnessed)] == [3, 4]
    assert keeper.audit.verify().fault is None
    assert count_witnessed(keeper.journal) == {LYON: 4}


@pytest.mark.parametrize("sql", ["DELETE FROM audit WHERE number >= 2", "DELETE FROM audit"])
def test_a_log_that_was_cut_or_rewritten_is_found(
    records: Records, keeper: Keeper, sql: str
) -> None:
    """Below a signed head, by the node alone; and by the orchestrator, once it is told."""
    sign(records, keeper)
    records.journal.execute(sql)
    assert verify_records(records, (), witnesses(records)).fault is not None
    for number in range(10, 13):
        records.audit.note(started(number))
    assert verify_records(records, (), witnesses(records)).fault is not None
    assert records.audit.verify().fault is None  # all of its hashes are right


def test_an_orchestrator_signs_no_head_that_goes_back(records: Records, keeper: Keeper) -> None:
    """It says so, once; the node writes it down, and what comes behind that is signed again."""
    records.audit.note(started(4))
    sign(records, keeper)
    records.journal.execute("DELETE FROM audit WHERE number >= 3")
    told = records.heads.tell()
    objected = keeper.take(told)
    assert told is not None
    assert objected == ObjectedHead(log=told.log, number=2, code=HeadCode.WENT_BACK, kept=4)
    (refused,) = keeper.audit.facts(HeadRefused)
    assert (refused.node, refused.entry, refused.kept) == (LYON, 2, 4)
    assert count_refused(keeper.journal) == {LYON: 1}
    assert records.heads.object(objected)
    assert not records.heads.object(objected)
    (known,) = records.audit.facts(HeadObjected)
    assert (known.code, known.entry, known.kept) == ("went_back", 2, 4)
    sign(records, keeper)
    (changed,) = keeper.audit.facts(LogChanged)
    assert (changed.node, changed.before) == (LYON, told.log)


def test_the_same_number_has_one_hash(records: Records, keeper: Keeper) -> None:
    """A last entry that is another one now."""
    sign(records, keeper)
    records.journal.execute("DELETE FROM audit WHERE number = 3")
    records.audit.note(started(99))
    objected = keeper.take(records.heads.tell())
    assert isinstance(objected, ObjectedHead)
    assert objected.code is HeadCode.REWRITTEN


def test_answers_may_overtake_each_other(records: Records, keeper: Keeper) -> None:
    """An update waits for its payload: its head is signed behind later ones."""
    told = []
    for number in range(6):
        records.audit.note(started(number))
        told.append(records.heads.tell())
    for place in (3, 0, 5, 1, 4, 2):
        assert isinstance(keeper.take(told[place]), SignedHead)
    assert not list(keeper.audit.facts(HeadRefused))


def test_a_third_party_needs_the_hubs_fingerprint_alone(
    records: Records, keeper: Keeper, tmp_path: Path
) -> None:
    """With another one the signatures count for nothing; with it a changed log is found."""
    sign(records, keeper)
    path = tmp_path / "log.jsonl"
    export_log(records.audit, path, witnesses=witnesses(records))
    fingerprint = witnesses(records).fingerprint
    found = verify_file(path, fingerprint=fingerprint)
    assert (found.fault, found.num_entries) == (None, 3)
    assert found.witnessed is not None
    assert found.witnessed.number == 3
    with pytest.raises(ConfigurationError, match="vouches for the log"):
        verify_file(path, fingerprint="another")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[-1]]))
    assert verify_file(path, fingerprint=fingerprint).fault is not None
    path.write_bytes(b"".join([*lines, lines[0]]))
    assert verify_file(path, fingerprint=fingerprint).fault is not None


def test_signatures_of_others_do_not_count(records: Records, keeper: Keeper) -> None:
    """Another member's, of another node's log, of another head, time or federation."""
    head = sign(records, keeper)
    (kept,) = records.heads.countersigned()
    assert len(genuine(witnesses(records))) == 1
    told = ToldHead(log=head.log, place=1, number=head.number, hash=head.hash)
    forged = [
        KEYS.wire("ada").countersign(told, LYON, at_ms=head.at_ms),
        KEYS.wire(ORCHESTRATOR).countersign(told, "ghu-paris", at_ms=head.at_ms),
        head.model_copy(update={"number": 2}),
        head.model_copy(update={"hash": Digest("1" * 64)}),
        head.model_copy(update={"log": Digest("1" * 64)}),
        head.model_copy(update={"at_ms": head.at_ms + 1}),
    ]
    others: list[Countersigned] = [replace(kept, head=one) for one in forged]
    others += [replace(kept, head=forged[0], by="ada"), replace(kept, by="ghu-paris")]
    for one in others:
        assert genuine(gather(LYON, GOVERNANCE, KEYS.signed.notice, [one])) == (), one
    stranger = Keys({ORCHESTRATOR: Role.ORCHESTRATOR})
    elsewhere = gather(LYON, stranger.governance.public.signing.hex(), KEYS.signed.notice, [kept])
    assert genuine(elsewhere) == ()


def test_a_key_that_was_revoked_counts_no_more(records: Records, keeper: Keeper) -> None:
    """Who has it can sign any head at any hour; that it was replaced changes nothing."""
    sign(records, keeper)
    later = Keys({})
    later.governance = KEYS.governance
    later.roster = without_member(KEYS.roster, ORCHESTRATOR, "stolen", at=1.0)
    signed = records.heads.countersigned()
    assert genuine(gather(LYON, GOVERNANCE, later.signed.notice, signed)) == ()
    later.roster = later.roster.model_copy(update={"revoked": []})
    assert len(genuine(gather(LYON, GOVERNANCE, later.signed.notice, signed))) == 1


def test_a_round_is_told_by_both_sides_without_a_message_more() -> None:
    """Every answer's head comes back with its receipt."""
    world = World(REFERENCE, NO_FAULTS, 0)
    assert world.run()
    for name, node in world.nodes.items():
        records = open_records(node.home)
        signed = records.heads.countersigned()
        assert len(signed) == 1 + 2 * REFERENCE.num_rounds, name
        assert not list(records.audit.facts(HeadObjected))
    (course,) = world.courses
    centre = course.orchestrator
    own = AuditLog(centre.home.journal(audit_log.SCHEMA), centre.clock)
    folded = list(own.facts(RoundFolded))
    assert [one.round for one in folded] == [1, 2]
    assert [one.node for one in folded[0].updates] == ["chu-lyon", "ghu-paris"]
    kinds = [one.kind for one in own.entries()]
    assert (kinds[0], kinds[-1]) == ("orchestrator_started", "experiment_over")
    assert kinds.count("experiment_accepted") == 1
    world.close()
