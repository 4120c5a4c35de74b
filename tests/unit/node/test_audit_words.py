"""What a node's log tells of what it was asked, did and answered; and nothing about a patient."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.audit.export import export_log
from fedmq.audit.facts import MessagesTurnedAway
from fedmq.audit.log import AuditLog
from fedmq.audit.turned_away import GATHER_S, TurnedAwayCount
from fedmq.messages.envelope import Place
from fedmq.messages.replies import FailureCode
from fedmq.messages.requests import PingRequest, TrainRequest
from fedmq.node.audit_facts import (
    CasesCounted,
    Decided,
    EvaluationAnswered,
    ExperimentEnded,
    IncidentHappened,
    NodeStarted,
    PlanDecided,
    RequestReceived,
    TrainingDone,
    UpdateSent,
)
from fedmq.node.audit_verify import verify_records
from fedmq.transport.ports import Properties, Publication
from fedmq.transport.routes import to_node
from fedmq.transport.topology import Lane
from tests.unit.node.world import DATASET, LUNG, LYON, TINY, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    made.close()


def log_of(world: World) -> AuditLog:
    """Return the node's log."""
    return world.service._records.audit


def whole_experiment(world: World) -> None:
    """Have everything happen once."""
    world.agree()
    world.train()
    world.done()
    world.run(seconds=2)
    world.evaluate()
    world.done(num_cases=1)
    world.train(3)
    world.broken(FailureCode.TRAINING_ERROR, "patient Doe, case-3")
    world.train(2)
    world.cancel(before_attempt=1)
    world.withdraw("case-2")
    world.over()


def test_a_whole_experiment_is_told_in_order(world: World) -> None:
    """Who asked for what, what the node said, what it did and on what, how it ended."""
    whole_experiment(world)
    assert [entry.kind for entry in log_of(world).entries()] == [
        "dataset",
        "node_started",
        "request_received",
        "decision",
        "plan_decision",
        "decision",
        "cases_counted",
        "request_received",
        "decision",
        "training_done",
        "update_sent",
        "request_received",
        "decision",
        "evaluation_answered",
        "request_received",
        "decision",
        "incident",
        "request_received",
        "decision",
        "request_received",
        "case_withdrawn",
        "experiment_over",
    ]
    assert verify_records(world.service._records).fault is None


def test_each_entry_says_what_an_inspector_asks(world: World) -> None:
    """Plan, dataset, list of cases, models in and out, sizes, codes."""
    whole_experiment(world)
    log = log_of(world)
    lists = world.service._records.case_lists
    (training,) = log.facts(TrainingDone)
    (sent,) = log.facts(UpdateSent)
    (answered,) = log.facts(EvaluationAnswered)
    asked = list(log.facts(RequestReceived))
    assert (asked[0].sender, asked[0].researcher, asked[0].plan) == (
        "orchestrator",
        "ana",
        TINY.digest,
    )
    assert (asked[1].type, asked[1].round, asked[1].model) == (
        TrainRequest.TYPE,
        1,
        world.model.digest,
    )
    assert [(one.decision, one.code) for one in log.facts(Decided)][:2] == [
        ("refused", "plan_awaits_approval"),
        ("accepted", ""),
    ]
    assert list(log.facts(Decided))[-1].code == "stale"
    (decided,) = log.facts(PlanDecided)
    assert (decided.plan, decided.decision) == (TINY.digest, "approved")
    (counted,) = log.facts(CasesCounted)
    assert (counted.num_training_cases, counted.num_validation_cases) == (4, 1)
    assert (training.experiment, training.round, training.dataset) == (LUNG, 1, DATASET)
    assert (training.plan, training.model) == (TINY.digest, world.model.digest)
    assert (training.num_cases, training.model_bytes) == (4, world.model.size_bytes)
    assert (sent.update, sent.round) == (training.update, 1)
    update = world.orchestrator.courier.spool.path(training.update)  # type: ignore[arg-type]
    assert update.stat().st_size == training.update_bytes
    assert lists.has(training.cases, lists.hash_of(DATASET, "case-2"))
    assert not lists.has(answered.cases, lists.hash_of(DATASET, "case-2"))
    assert (answered.num_cases, answered.model) == (1, world.model.digest)
    (incident,) = log.facts(IncidentHappened)
    assert (incident.code, incident.incident, incident.round) == ("training_error", "1ncident", 3)
    (over,) = log.facts(ExperimentEnded)
    assert over.state == "finished"
    (started,) = log.facts(NodeStarted)
    assert (started.node, started.version) == (LYON, "0.1")


def test_an_exported_log_has_nothing_of_patients_or_of_the_machine(
    world: World, tmp_path: Path
) -> None:
    """No case, no path, no text that people wrote, no value; and the keyed hashes need the key."""
    whole_experiment(world)
    world.reject()
    export_log(log_of(world), tmp_path / "log.jsonl")
    text = (tmp_path / "log.jsonl").read_text()
    for word in ("case-1", "case-2", "case-3", "Doe", str(tmp_path), "cases/", "not here", "asked"):
        assert word not in text.replace('"cases":', ""), word
    key = world.service._records.journal.cell("SELECT key FROM case_key")
    assert isinstance(key, bytes)
    assert key.hex() not in text


def test_the_same_list_of_cases_is_kept_once(world: World) -> None:
    """A hundred rounds on the same cases take one list."""
    world.agree()
    before = world.rows("case_lists")
    for number in range(1, 5):
        world.train(number)
        world.done()
    assert world.rows("case_lists") == before + 1
    assert world.rows("task_cases") == 1
    assert len(list(log_of(world).facts(TrainingDone))) == 4


def test_every_life_is_told(world: World) -> None:
    """Also one that ended without a word."""
    world.die()
    world.live()
    assert len(list(log_of(world).facts(NodeStarted))) == 2
    assert verify_records(world.service._records).fault is None


def test_a_ping_is_no_request_that_counts(world: World) -> None:
    """It asks for nothing of anybody's data."""
    before = log_of(world).head()
    world.orchestrator.ask(PingRequest(asked_at=1.0), "ping.1", Place())
    world.run()
    assert log_of(world).head() == before


def test_a_flood_of_messages_that_are_turned_away_is_a_few_entries(world: World) -> None:
    """The first at once, the others counted; a stranger's words are no words of the log."""
    route = to_node(LYON)
    stray = Publication(
        exchange=route.exchange,
        routing_key=route.key(Lane.CONTROL),
        body=b"no message",
        properties=Properties(),
    )
    for number in range(50):
        world.orchestrator.transport.publish(stray, 1_000_000 + number)
    world.run()
    told = list(log_of(world).facts(MessagesTurnedAway))
    assert [(one.reason, one.sender, one.count) for one in told] == [
        ("not_msgpack", "orchestrator", 1)
    ]
    world.run(seconds=GATHER_S + 2)
    told = list(log_of(world).facts(MessagesTurnedAway))
    assert [one.count for one in told] == [1, 49]


def test_messages_are_counted_by_reason_and_sender() -> None:
    """What is told once is not told again, and the next one is news again."""
    counts = TurnedAwayCount()
    first = counts.add("too_large", "a", now=0.0)
    assert first == MessagesTurnedAway(reason="too_large", sender="a", count=1)
    assert counts.add("too_large", "b\n", now=0.0) == MessagesTurnedAway(
        reason="too_large", sender="?", count=1
    )
    assert counts.add("too_large", "a", now=1.0) is None
    assert counts.take(GATHER_S - 1) == ()
    assert counts.take(GATHER_S) == (MessagesTurnedAway(reason="too_large", sender="a", count=1),)
    assert counts.take(10 * GATHER_S) == ()
    assert counts.add("too_large", "a", now=GATHER_S + 1) == first
