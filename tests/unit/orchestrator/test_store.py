"""The store: an experiment is what its log says, after any number of lives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.errors import StorageError
from fedmq.messages.fields import Manifest, PlanReference, RatioField
from fedmq.messages.mandates import ExperimentSpec, Order
from fedmq.messages.submissions import RoundRecord
from fedmq.orchestrator import store
from fedmq.orchestrator.events import (
    Agreed,
    Declined,
    Deferred,
    Evaluated,
    Event,
    Fell,
    Folded,
    FoldFailed,
    Heard,
    PauseAsked,
    ResumeAsked,
    RoomFound,
    RoomLacked,
    StopAsked,
    Ticked,
    Trained,
)
from fedmq.orchestrator.store import Kept, Store
from fedmq.transport.journal import Journal
from fedmq.types import Digest, ExperimentId, NodeId
from tests.support.mandates import mandated

LUNG, LIVER = ExperimentId("lung"), ExperimentId("liver")
LYON = NodeId("chu-lyon")
MANIFEST = Manifest(digest=Digest("a" * 64), size_bytes=10, chunk_bytes=4)
METRICS = {"loss": RatioField(numerator=0.1 + 0.2, denominator=1e-300)}
EVERY_EVENT: list[Event] = [
    Heard(node=LYON),
    Agreed(node=LYON),
    Declined(node=LYON, code="unknown_plan", is_final=True),
    Trained(
        node=LYON,
        round=1,
        attempt=2,
        update=MANIFEST,
        num_cases=3,
        metrics=METRICS,
        duration_s=0.1,
    ),
    Evaluated(node=LYON, round=1, attempt=2, num_cases=0, metrics=METRICS, duration_s=1e9),
    Fell(node=LYON, round=1, attempt=2, leg="evaluate", code="stale", is_refusal=True),
    Deferred(
        node=LYON, round=1, attempt=2, leg="train", code="out_of_hours", retry_at=1.5, until=None
    ),
    Folded(model=MANIFEST),
    FoldFailed(why="déjà vu"),
    StopAsked(),
    PauseAsked(),
    ResumeAsked(),
    RoomLacked(needed_bytes=2**40),
    RoomFound(),
    Ticked(),
]


def kept(experiment: ExperimentId, began_at: float = 1_700_000_000.123456) -> Kept:
    """Return an experiment as it was submitted, with every kind of value in its config."""
    order = Order(
        experiment=experiment,
        researcher="ada",
        orchestrator="orchestrator",
        spec=ExperimentSpec(
            name=experiment,
            purpose="Überleben",
            plan=PlanReference(name="plan", digest=Digest("0" * 64), is_shipped=True),
            dataset="lung-petct",
            config={
                "flag": True,
                "count": 1,
                "rate": 1.0,
                "small": 5e-324,
                "name": "x",
                "list": [1, 1.0, False, "y"],
            },
            num_rounds=3,
            nodes=["chu-lyon"],
            quorum=1,
            seed=2**63 - 1,
        ),
        initial=MANIFEST,
    )
    return Kept(mandate=mandated(order), plan_source="class Plan: ...\n", began_at=began_at)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Return an empty journal."""
    made = Journal(tmp_path / "journal.sqlite", store.SCHEMA)
    yield made
    made.close()


def test_an_experiment_comes_back_as_it_was_submitted(journal: Journal, tmp_path: Path) -> None:
    """To the type of every value of its config, in the next life."""
    Store(journal).add(kept(LUNG))
    journal.close()
    again = Journal(tmp_path / "journal.sqlite", store.SCHEMA)
    (found,) = Store(again).experiments()
    again.close()
    assert found == kept(LUNG)
    assert repr(found.spec.config) == repr(kept(LUNG).spec.config)


def test_an_experiment_without_source_has_none(journal: Journal) -> None:
    """No source and an empty one differ."""
    Store(journal).add(kept(LUNG))
    journal.execute("UPDATE experiments SET plan_source = NULL")
    (found,) = Store(journal).experiments()
    assert found.plan_source is None


def test_experiments_come_in_the_order_in_which_they_began(journal: Journal) -> None:
    """Not by name."""
    for one in (kept(LUNG, 1.0), kept(LIVER, 2.0)):
        Store(journal).add(one)
    assert [one.experiment for one in Store(journal).experiments()] == [LUNG, LIVER]


def test_an_experiment_is_kept_once(journal: Journal) -> None:
    """A second one of its name is a fault of the program."""
    Store(journal).add(kept(LUNG))
    with pytest.raises(StorageError):
        Store(journal).add(kept(LUNG))


def test_every_kind_of_event_is_replayed_as_it_was_logged(journal: Journal) -> None:
    """In order, each with its time to the last bit, apart from other experiments' events."""
    for one in (LUNG, LIVER):
        Store(journal).add(kept(one))
    logged = [(1_700_000_000.1 + n / 3, event) for n, event in enumerate(EVERY_EVENT)]
    for at, event in logged:
        Store(journal).append(LUNG, event, at)
        Store(journal).append(LIVER, Ticked(), 1.0)
    assert list(Store(journal).events(LUNG)) == logged
    assert list(Store(journal).events(LIVER)) == [(1.0, Ticked())] * len(logged)


def test_a_transaction_that_breaks_leaves_no_event(journal: Journal) -> None:
    """Log and messages are there together or not at all."""
    Store(journal).add(kept(LUNG))

    def breaks() -> None:
        with journal.transaction():
            Store(journal).append(LUNG, Ticked(), 1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks()
    assert list(Store(journal).events(LUNG)) == []


def a_record(number: int) -> RoundRecord:
    """Return the record of a round without nodes."""
    return RoundRecord(
        round=number,
        attempt=0,
        model=Digest("1" * 64),
        outcomes=[],
        train_metrics=METRICS,
        metrics={},
        bytes_up=number,
        bytes_down=2 * number,
        duration_s=0.1,
    )


@pytest.mark.parametrize("number", [0, 1, 500, 501, 1_234])
def test_records_come_in_order_or_the_newest_first(journal: Journal, number: int) -> None:
    """All of them, however many pages they take, apart from those of other experiments."""
    for one in (LUNG, LIVER):
        Store(journal).add(kept(one))
    made = [a_record(one) for one in range(1, number + 1)]
    with journal.transaction():
        for record in made:
            Store(journal).add_record(LUNG, record)
    Store(journal).add_record(LIVER, a_record(7))
    assert list(Store(journal).records(LUNG)) == made
    assert list(Store(journal).newest_records(LUNG)) == made[::-1]
    assert list(Store(journal).records(LIVER)) == [a_record(7)]


def test_a_long_log_is_replayed_whole(journal: Journal) -> None:
    """However many pages it takes."""
    Store(journal).add(kept(LUNG))
    with journal.transaction():
        for at in range(1_001):
            Store(journal).append(LUNG, Ticked(), float(at))
    assert [at for at, _ in Store(journal).events(LUNG)] == list(range(1_001))


def test_a_round_is_kept_once(journal: Journal) -> None:
    """A second record of it is a fault of the program."""
    Store(journal).add(kept(LUNG))
    Store(journal).add_record(LUNG, a_record(1))
    with pytest.raises(StorageError):
        Store(journal).add_record(LUNG, a_record(1))


def test_one_submission_is_the_same_whenever_it_comes() -> None:
    """Any other difference makes it another."""
    assert kept(LUNG, 1.0).is_same_as(kept(LUNG, 2.0))
    assert not kept(LUNG).is_same_as(kept(LIVER))
