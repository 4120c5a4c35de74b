"""The plans of a node: listed by their bytes, decided on by name or digest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from fedmq.errors import ConfigurationError, PlanError
from fedmq.learning.catalogue import plan_digest, plan_source
from fedmq.messages.fields import PlanReference
from fedmq.node.plans import Asked, Plans
from fedmq.node.policy import Decision
from fedmq.node.records import open_records
from fedmq.transport.home import LocalHome
from fedmq.types import Digest

SOURCE: Final = "print('learn')\n"
SHIPPED: Final = PlanReference(name="mine", digest=plan_digest(SOURCE.encode()), is_shipped=True)
ASKED: Final = Asked(experiment="lung", researcher="ana", purpose="a test")


@pytest.fixture
def plans(tmp_path: Path) -> Iterator[Plans]:
    """Return the plans of a node to which nobody has come."""
    records = open_records(LocalHome(tmp_path))
    yield records.plans
    records.close()


def reference(name: str) -> PlanReference:
    """Return a plan of the catalogue."""
    return PlanReference(name=name, digest=plan_digest(plan_source(name)), is_shipped=False)


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
    record = plans.approve("mine", now=4.0)
    assert (record.decision, record.decided_at) == (Decision.APPROVED, 4.0)
    record = plans.reject(SHIPPED.digest[:8], "reads files", now=5.0)
    assert (record.decision, record.reason) == (Decision.REJECTED, "reads files")
    assert plans.all() == (record,)


def test_who_asks_again_does_not_change_what_was_decided(plans: Plans) -> None:
    """The bytes are the same."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=3.0)
    plans.reject("mine", "", now=4.0)
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
    record = plans.approve("petct-survival", now=1.0)
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
        plans.approve("petct-survival", now=2.0)
    assert {record.decision for record in plans.all()} == {Decision.AWAITING}
    assert plans.approve(false.digest, now=2.0).is_shipped


@pytest.mark.parametrize("word", ["other", "abcde", ""])
def test_a_word_that_names_no_plan_says_which_there_are(plans: Plans, word: str) -> None:
    """Five digits of a digest are too few."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    for wrong in (word, SHIPPED.digest[:5]):
        with pytest.raises(ConfigurationError, match="there is no plan"):
            plans.approve(wrong, now=2.0)


def test_a_source_that_was_changed_on_the_disk_is_not_shown_nor_found(plans: Plans) -> None:
    """Approval is of the bytes that were read."""
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    record = plans.approve("mine", now=2.0)
    plans.source_path(SHIPPED.digest).write_text("print('steal')\n")
    assert plans.found_digest(SHIPPED) != SHIPPED.digest
    with pytest.raises(PlanError, match="other bytes"):
        plans.source(record)
    plans.source_path(SHIPPED.digest).unlink()
    with pytest.raises(PlanError, match="not here any more"):
        plans.source(record)


def test_what_awaits_a_decision_stands_first(plans: Plans) -> None:
    """Then what happened last."""
    plans.approve("clinical-logistic", now=9.0)
    plans.approve("petct-survival", now=10.0)
    plans.ask(SHIPPED, SOURCE, ASKED, now=1.0)
    names = [record.name for record in plans.all()]
    assert names == ["mine", "petct-survival", "clinical-logistic"]
