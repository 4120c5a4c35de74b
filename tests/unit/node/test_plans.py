"""The plans of a node: listed by their bytes, decided on by name or digest."""

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Final

import pytest

from fedmq.errors import ConfigurationError, PlanError
from fedmq.learning.catalogue import plan_digest, plan_source
from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import PlanReference, Study
from fedmq.node.plans import Asked, PlanRecord, Plans
from fedmq.node.policy import Decision, Policy
from fedmq.node.proposals import Wishes, choose_terms, find_askings, propose_terms
from fedmq.node.records import open_records
from fedmq.node.terms import Terms
from fedmq.transport.home import LocalHome
from fedmq.types import Digest
from tests.support.mandates import changed
from tests.unit.node.test_policy import NOW, PREPARE, TRAIN

SOURCE: Final = "print('learn')\n"
SHIPPED: Final = PlanReference(name="mine", digest=plan_digest(SOURCE.encode()), is_shipped=True)
STUDY: Final = Study(protocol="FEDPET-01", ethics="CPP 2026-117", end="2027-12-31")
ASKED: Final = Asked(
    experiment="lung", researcher="ana", purpose="a test", dataset="petct", study=STUDY
)
TERMS: Final = Terms(
    researcher="ana", study=STUDY, datasets=("petct",), until="2027-12-31", dependencies={}
)


@pytest.fixture
def plans(tmp_path: Path) -> Iterator[Plans]:
    """Return the plans of a node to which nobody has come."""
    records = open_records(LocalHome(tmp_path))
    yield records.plans
    records.close()


def reference(name: str) -> PlanReference:
    """Return a plan of the catalogue."""
    return PlanReference(name=name, digest=plan_digest(plan_source(name)), is_shipped=False)


def approve(plans: Plans, word: str, *, now: float) -> PlanRecord:
    """Return a plan that one person approved, of whom one is needed."""
    plans.approve(plans.find(word), TERMS, "op-1", needed=1, now=now)
    return plans.find(word)


def reject(plans: Plans, word: str, reason: str = "", *, now: float) -> PlanRecord:
    """Return a plan that is rejected."""
    return plans.reject(plans.find(word), reason, now=now)


def test_a_shipped_plan_is_listed_with_its_source(plans: Plans) -> None:
    """The operator reads exactly what would run."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=3.0)
    (record,) = plans.all()
    assert (record.decision, record.asked, record.asked_at) == (Decision.AWAITING, ASKED, 3.0)
    assert record.decided_at is None
    assert plans.source(record) == SOURCE
    assert plans.decision(SHIPPED.digest) is Decision.AWAITING


def test_bytes_that_are_not_here_are_not_listed(plans: Plans) -> None:
    """Nobody can decide on what cannot be read."""
    plans.ask(SHIPPED, None, ASKED, now=3.0)
    plans.ask(SHIPPED, SOURCE + " ", ASKED, now=3.0)
    other = reference("petct-survival").model_copy(update={"digest": Digest("ab" * 32)})
    plans.ask(other, None, ASKED, now=3.0)
    assert plans.all() == ()
    assert plans.found_digest(SHIPPED) is None
    assert plans.found_digest(SHIPPED, SOURCE + " ") not in {None, SHIPPED.digest}


def test_a_plan_is_decided_on_by_name_or_by_its_digest(plans: Plans) -> None:
    """The time and the reason are kept."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=3.0)
    record = approve(plans, "mine", now=4.0)
    assert (record.decision, record.decided_at) == (Decision.APPROVED, 4.0)
    record = reject(plans, SHIPPED.digest[:8], "reads files", now=5.0)
    assert plans.approvals.of(SHIPPED.digest) == ()
    assert (record.decision, record.reason) == (Decision.REJECTED, "reads files")
    assert plans.all() == (record,)


def test_who_asks_again_does_not_change_what_was_decided(plans: Plans) -> None:
    """The bytes are the same."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=3.0)
    reject(plans, "mine", "", now=4.0)
    plans.ask(SHIPPED, SOURCE, Asked(experiment="liver", researcher="bob"), now=5.0)
    record = plans.find("mine")
    assert (record.decision, record.asked.researcher, record.asked_at) == (
        Decision.REJECTED,
        "bob",
        5.0,
    )


def test_a_catalogue_plan_is_approved_before_anybody_asks(plans: Plans) -> None:
    """And stays so when somebody does."""
    assert plans.decision(reference("petct-survival").digest) is None
    record = approve(plans, "petct-survival", now=1.0)
    assert (record.is_shipped, record.asked_at) == (False, None)
    assert "class PetctSurvival" in plans.source(record)
    plans.ask(reference("petct-survival"), None, ASKED, now=2.0)
    assert plans.find("petct-survival").decision is Decision.APPROVED


def test_a_word_that_names_two_plans_decides_nothing(plans: Plans) -> None:
    """A shipped plan cannot hide behind the name of the catalogue's."""
    content = SOURCE.encode()
    false = PlanReference(name="petct-survival", digest=plan_digest(content), is_shipped=True)
    plans.ask(false, SOURCE, ASKED, now=1.0)
    with pytest.raises(ConfigurationError, match="2 plans are called petct-survival"):
        approve(plans, "petct-survival", now=2.0)
    assert {record.decision for record in plans.all()} == {Decision.AWAITING}
    assert approve(plans, false.digest, now=2.0).is_shipped


@pytest.mark.parametrize("word", ["other", "abcde", ""])
def test_a_word_that_names_no_plan_says_which_there_are(plans: Plans, word: str) -> None:
    """Five digits of a digest are too few."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    for wrong in (word, SHIPPED.digest[:5]):
        with pytest.raises(ConfigurationError, match="there is no plan"):
            approve(plans, wrong, now=2.0)


def test_a_source_that_was_changed_on_the_disk_is_not_shown_nor_found(plans: Plans) -> None:
    """Approval is of the bytes that were read."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    record = approve(plans, "mine", now=2.0)
    plans.source_path(SHIPPED.digest).write_text("print('steal')\n")
    assert plans.found_digest(SHIPPED) != SHIPPED.digest
    with pytest.raises(PlanError, match="other bytes"):
        plans.source(record)
    plans.source_path(SHIPPED.digest).unlink()
    with pytest.raises(PlanError, match="not here any more"):
        plans.source(record)


def upgrade(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[bytes, bytes]:
    """Install a newer version of a plan of the catalogue; return the older and the newer one."""
    older = plan_source(name)
    newer = older + b"# newer\n"
    monkeypatch.setattr(
        "fedmq.node.plans.plan_source", lambda one: newer if one == name else plan_source(one)
    )
    return older, newer


def test_an_approved_plan_of_the_catalogue_is_read_after_an_upgrade(
    plans: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was approved, byte for byte; but it is not here to be run, nor approved again."""
    approved = approve(plans, "clinical-logistic", now=1.0)
    older, newer = upgrade(monkeypatch, "clinical-logistic")
    assert plans.source(approved) == older.decode()
    asked = PlanReference(name=approved.name, digest=approved.digest, is_shipped=False)
    assert plans.found_digest(asked) == plan_digest(newer)
    plans.reject(approved, "old", now=2.0)
    with pytest.raises(PlanError, match="other bytes"):
        plans.approve(approved, TERMS, "op-1", needed=1, now=3.0)
    assert plans.decision(approved.digest) is Decision.REJECTED


def test_a_kept_source_that_was_changed_on_the_disk_is_not_shown(
    plans: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installed one is, while it has the bytes; approving once more keeps them anew."""
    approved = approve(plans, "clinical-logistic", now=1.0)
    kept = plans.source_path(approved.digest)
    kept.write_text("print('steal')\n")
    assert plans.source(approved) == plan_source("clinical-logistic").decode()
    approve(plans, "clinical-logistic", now=2.0)
    assert kept.read_bytes() == plan_source("clinical-logistic")
    kept.write_text("print('steal')\n")
    upgrade(monkeypatch, "clinical-logistic")
    with pytest.raises(PlanError, match="other bytes"):
        plans.source(approved)


def test_a_source_half_written_when_the_program_was_killed_is_none(plans: Plans) -> None:
    """The next approval keeps it whole."""
    record = plans.find("clinical-logistic")
    kept = plans.source_path(record.digest)
    passing = kept.with_name(f"{kept.name}.new")
    passing.write_bytes(b"x" * 100_000)
    approve(plans, "clinical-logistic", now=1.0)
    assert kept.read_bytes() == plan_source("clinical-logistic")
    assert not passing.exists()


def test_what_awaits_a_decision_stands_first(plans: Plans) -> None:
    """Then what happened last."""
    approve(plans, "clinical-logistic", now=9.0)
    approve(plans, "petct-survival", now=10.0)
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    names = [record.name for record in plans.all()]
    assert names == ["mine", "petct-survival", "clinical-logistic"]


def test_all_who_ask_are_remembered_the_newest_first(plans: Plans) -> None:
    """Each with what it waits for, until somebody approves."""
    other = ASKED.model_copy(update={"experiment": "liver", "researcher": "bob"})
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    plans.ask(SHIPPED, SOURCE, other, now=2.0)
    plans.await_approval(SHIPPED.digest, "lung", "plan_awaits_approval")
    assert [(one.researcher, one.code) for one in plans.askings(SHIPPED.digest)] == [
        ("bob", ""),
        ("ana", "plan_awaits_approval"),
    ]
    (waiting,) = find_askings(plans, plans.find("mine"), Wishes())
    assert waiting.researcher == "ana"
    (named,) = find_askings(plans, plans.find("mine"), Wishes(researcher="bob"))
    assert named.researcher == "bob"
    approve(plans, "mine", now=3.0)
    assert {one.code for one in plans.askings(SHIPPED.digest)} == {""}


@pytest.mark.parametrize(
    "change", [{"researcher": "bob"}, {"dataset": "brain"}, {"study": None}], ids=str
)
def test_an_asking_is_not_exchanged_under_the_name_of_its_experiment(
    plans: Plans, change: dict[str, object]
) -> None:
    """What the operator has read stays; the same asked again is the newest."""
    other = ASKED.model_copy(update={"experiment": "liver"})
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    plans.ask(SHIPPED, SOURCE, other, now=2.0)
    plans.ask(SHIPPED, SOURCE, ASKED.model_copy(update=change), now=3.0)
    assert plans.askings(SHIPPED.digest) == (other, ASKED)
    assert plans.find("mine").asked_at == 2.0
    plans.ask(SHIPPED, SOURCE, ASKED, now=4.0)
    assert plans.askings(SHIPPED.digest) == (ASKED, other)


def test_who_asks_for_more_than_was_approved_is_listed_first_again(plans: Plans) -> None:
    """The operator has to look; a rejection is not asked about again."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    approve(plans, "mine", now=2.0)
    plans.await_approval(SHIPPED.digest, "lung", "dataset_not_approved")
    assert plans.find("mine").decision is Decision.AWAITING
    reject(plans, "mine", now=3.0)
    plans.await_approval(SHIPPED.digest, "lung", "dataset_not_approved")
    assert plans.find("mine").decision is Decision.REJECTED


def test_two_persons_have_to_agree_to_the_same(plans: Plans) -> None:
    """The same person twice counts once, other terms count apart."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    record = plans.find("mine")
    policy = Policy(approvals_needed=2)

    def agree(person: str, terms: Terms = TERMS) -> Decision:
        plans.approve(record, terms, person, needed=2, now=2.0)
        return plans.find("mine").decision

    assert agree("op-1") is Decision.AWAITING
    assert agree("op-1") is Decision.AWAITING
    assert agree("op-2", TERMS.model_copy(update={"max_rounds": 5})) is Decision.AWAITING
    assert plans.approvals.in_force(SHIPPED.digest, policy) == ()
    assert agree("op-2") is Decision.APPROVED
    (approval,) = plans.approvals.in_force(SHIPPED.digest, policy)
    assert approval.terms == TERMS


def test_the_second_person_is_offered_what_the_first_agreed_to(plans: Plans) -> None:
    """Unless packages were changed between, or the second wishes something else."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    record, policy = plans.find("mine"), Policy(approvals_needed=2)
    narrow = TERMS.model_copy(update={"max_rounds": 5})
    plans.approve(record, narrow, "op-1", needed=2, now=2.0)

    def offered(wishes: Wishes, packages: dict[str, str]) -> int | None:
        return choose_terms(plans, record, wishes, policy, packages, now=NOW).max_rounds

    assert offered(Wishes(), {}) == 5
    assert offered(Wishes(), {"torch": "9"}) is None
    assert offered(Wishes(max_rounds=7), {}) == 7


def test_what_two_persons_may_mean_has_to_be_named(plans: Plans) -> None:
    """What the first agreed to is not offered for another who asks, nor one of two such terms."""
    waiting = ASKED.model_copy(update={"code": "plan_awaits_approval"})
    other = waiting.model_copy(update={"researcher": "bob", "experiment": "liver"})
    plans.ask(SHIPPED, SOURCE, waiting, now=1.0)
    record, policy = plans.find("mine"), Policy(approvals_needed=2, zone=UTC)
    narrow = TERMS.model_copy(update={"max_rounds": 5})
    plans.approve(record, narrow, "op-1", needed=2, now=2.0)

    def offered(wishes: Wishes) -> tuple[str, int | None]:
        terms = choose_terms(plans, record, wishes, policy, {}, now=NOW)
        return terms.researcher, terms.max_rounds

    assert offered(Wishes()) == ("ana", 5)
    plans.ask(SHIPPED, SOURCE, other, now=3.0)
    with pytest.raises(ConfigurationError, match="2 different askings wait"):
        offered(Wishes())
    assert offered(Wishes(researcher="ana")) == offered(Wishes(experiment="lung")) == ("ana", 5)
    assert offered(Wishes(researcher="bob")) == offered(Wishes(experiment="liver")) == ("bob", None)
    plans.approve(record, TERMS, "op-1", needed=2, now=4.0)
    with pytest.raises(ConfigurationError, match="2 different askings wait"):
        offered(Wishes(researcher="ana"))
    assert offered(Wishes(researcher="ana", max_rounds=5)) == ("ana", 5)


def test_an_approval_after_a_rejection_begins_anew(plans: Plans) -> None:
    """Who agreed before has to agree again."""
    record = plans.find("clinical-logistic")
    plans.approve(record, TERMS, "op-1", needed=2, now=1.0)
    plans.reject(record, "", now=2.0)
    agreement = plans.approve(record, TERMS, "op-2", needed=2, now=3.0)
    assert agreement.persons == ("op-2",)
    assert plans.approve(record, TERMS, "op-1", needed=2, now=4.0).persons == ("op-2", "op-1")


def test_the_last_approved_plan_of_the_name_is_found_for_a_comparison(plans: Plans) -> None:
    """Revoked or not; of other bytes."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    assert plans.last_approved(plans.find("mine")) is None
    first = approve(plans, "mine", now=2.0)
    second = SHIPPED.model_copy(update={"digest": plan_digest((SOURCE + "#").encode())})
    plans.ask(second, SOURCE + "#", ASKED, now=3.0)
    found = plans.last_approved(plans.find(second.digest))
    assert found is not None
    assert found.digest == first.digest
    plans.reject(first, "", now=4.0)
    assert plans.last_approved(plans.find(second.digest)) is not None
    assert plans.last_approved(plans.find(first.digest)) is None


def test_an_approval_holds_as_long_as_terms_study_and_policy_let_it(plans: Plans) -> None:
    """The operator is told what cannot be."""
    policy = Policy(max_approval_days=30, zone=UTC)

    def until(wishes: Wishes, asked: Asked = ASKED) -> str:
        return propose_terms(asked, wishes, policy, {}, now=NOW).until

    assert until(Wishes()) == "2027-04-14"
    ending = ASKED.model_copy(update={"study": STUDY.model_copy(update={"end": "2027-03-20"})})
    assert until(Wishes(), ending) == "2027-03-20"
    assert until(Wishes(until="2027-03-15")) == "2027-03-15"
    for wrong in ("2027-03-14", "2027-04-15", "tomorrow", "2027-03-1", "2027-04-00"):
        with pytest.raises(ConfigurationError):
            until(Wishes(until=wrong))
    with pytest.raises(ConfigurationError, match="who may run the plan"):
        until(Wishes(), Asked())
    record = plans.find("clinical-logistic")
    terms = TERMS.model_copy(update={"until": "2030-01-01"})
    plans.approve(record, terms, "op-1", needed=1, now=NOW)
    (approval,) = plans.approvals.in_force(record.digest, policy)
    assert approval.last_day == "2027-04-14"


def test_rounds_are_counted_for_who_may_run_them(plans: Plans) -> None:
    """Once each, without the one that is asked for, from the first agreement on."""
    record = plans.find("clinical-logistic")
    policy = Policy(zone=UTC)
    plans.approve(record, TERMS, "op-1", needed=1, now=NOW)
    order = changed(TRAIN, plan=TRAIN.spec.plan.model_copy(update={"digest": record.digest}))
    told = plans.approvals

    def begin(number: int, *, now: float = NOW, **others: str) -> None:
        told.note_round(envelope(number), changed(order, **others), now=now)

    begin(1, now=NOW - 86_400.0)
    for _ in range(2):
        begin(2)
    begin(3)
    begin(4, researcher="bob")
    begin(5, dataset="other")
    told.note_round(envelope(6), PREPARE, now=NOW)
    (approval,) = told.in_force(record.digest, policy)
    assert approval.num_rounds == 2
    assert told.in_force(record.digest, policy, envelope(3))[0].num_rounds == 1
    assert told.rounds_today(policy, envelope(9), now=NOW) == 4
    assert told.rounds_today(policy, envelope(3), now=NOW) == 3
    assert told.rounds_today(policy, envelope(9), now=NOW - 86_400.0) == 1
    assert told.has_begun(envelope(6)) is False
    assert told.has_begun(envelope(5)) is True


def envelope(number: int) -> Envelope:
    """Return the envelope of an order of a round."""
    return Envelope(
        type="train.request",
        message_id=f"m{number}",
        sender="orchestrator",
        recipient="chu-lyon",
        experiment="lung",
        round=number,
        attempt=0,
        sent_at=0.0,
    )
