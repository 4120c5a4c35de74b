"""What a log says of who answers for what ran: terms of approvals, containment, the policy."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.audit.chain import BEGINNING, read_entry, write_entry
from fedmq.audit.export import export_log
from fedmq.audit.facts import fact_of
from fedmq.audit.files import verify_file
from fedmq.containment.cell import Means
from fedmq.messages.fields import Study
from fedmq.node.audit_facts import Decided, NodeStarted, PlanDecided, PolicyChanged
from fedmq.node.containment import Containment, read_findings
from fedmq.node.policy_file import PolicyFile
from fedmq.node.proposals import Wishes
from fedmq.node.terms import Limit
from tests.unit.node.world import DATASET, RELAXED, TINY, World

STUDY = Study(protocol="IMMUNO-PET 2024/17, amended", ethics="CPP 24.0117", end="2027-12-31")
WISHES = Wishes(
    researcher="ana",
    study=STUDY,
    datasets=(DATASET,),
    until="1970-02-01",
    max_rounds=7,
    limits={"epochs": Limit(low=1, high=5), "mood": Limit(words=("learn", "none"))},
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    made.close()


def decisions(world: World) -> list[PlanDecided]:
    """Return what the log says of plans."""
    return list(world.service._records.audit.facts(PlanDecided))


def test_an_approval_is_told_with_its_terms(world: World) -> None:
    """For whom, which study, on what, until when, within which limits; and a digest of all."""
    world.prepare(study=STUDY)
    world.approve(person="ann", wishes=WISHES)
    (told,) = decisions(world)
    (agreed,) = world.plans.approvals.of(TINY.digest)
    assert told == PlanDecided(
        plan=TINY.digest,
        name="tiny",
        decision="approved",
        by="ann",
        terms=hashlib.sha256(agreed.terms.model_dump_json().encode()).hexdigest(),
        researcher="ana",
        protocol="IMMUNO-PET 2024/17, amended",
        ethics="CPP 24.0117",
        study_end="2027-12-31",
        datasets=(DATASET,),
        limits=("epochs=1..5", "mood=learn,none"),
        until="1970-02-01",
        max_rounds=7,
    )


def test_who_agrees_first_of_two_is_told_with_the_terms_too(world: World) -> None:
    """Two entries with the same digest of terms; the second one approves."""
    world.policy = replace(RELAXED, approvals_needed=2)
    world.prepare()
    world.approve(person="ann")
    world.approve(person="bob")
    first, second = decisions(world)
    assert [(one.decision, one.by) for one in (first, second)] == [
        ("awaiting", "ann"),
        ("approved", "bob"),
    ]
    assert first.terms == second.terms != ""


def test_a_rejection_names_no_terms(world: World) -> None:
    """There is nothing that was agreed to."""
    world.prepare()
    world.reject()
    (told,) = decisions(world)
    assert (told.decision, told.terms, told.datasets, told.limits) == ("rejected", "", (), ())


def test_an_export_has_terms_and_no_text_that_is_no_reference(world: World, tmp_path: Path) -> None:
    """Line feeds, letters of other scripts and escapes are `?`; the file verifies."""
    strange = Study(protocol="Étude\x1b[2J", ethics="a\nb", end="2027-12-31")
    world.prepare(study=strange)
    world.approve(wishes=replace(WISHES, study=strange, limits={"mood": Limit(words=("é",))}))
    path = tmp_path / "log.jsonl"
    export_log(world.service._records.audit, path)
    assert verify_file(path).fault is None
    (line,) = [one for one in path.read_bytes().splitlines() if b'"plan_decision"' in one]
    entry = read_entry(line)
    assert entry is not None
    assert entry.fields["protocol"] == entry.fields["ethics"] == "?"
    assert (entry.fields["limits"], entry.fields["datasets"]) == (["?"], [DATASET])
    assert (entry.fields["researcher"], entry.fields["max_rounds"]) == ("ana", 7)


@pytest.mark.parametrize(
    ("found", "level", "lacks"),
    [
        (Containment(means=frozenset(Means)), "full", ()),
        (
            read_findings({Means.LANDLOCK: "no such call: /home/ann"}),
            "partial",
            ("Landlock", "strict limit of results"),
        ),
        (read_findings({"together": "x"}), "insufficient", ("means",)),
        (None, "", ()),
    ],
)
def test_a_start_tells_how_plans_are_contained(
    world: World, found: Containment | None, level: str, lacks: tuple[str, ...]
) -> None:
    """A node that the operator let start without leaves a trace; the machine's words stay out."""
    world.die()
    world.containment = found
    world.live()
    started = list(world.service._records.audit.facts(NodeStarted))[-1]
    assert (started.containment, started.lacks) == (level, lacks)


def test_another_policy_is_told_before_it_counts(world: World, tmp_path: Path) -> None:
    """A file that is written, changed, and broken: its digests, once each, then the decision."""
    path = tmp_path / "policy.toml"
    path.write_text("min_cases = 1\nmin_nodes = 1\nrequire_study = false\n")
    world.die()
    file = PolicyFile(path)
    world.read_policy = file.read
    world.live()
    audit = world.service._records.audit
    first = hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(audit.facts(NodeStarted))[-1].policy == first
    world.run(seconds=3)
    assert not list(audit.facts(PolicyChanged))
    path.write_text("min_cases = 50\nmin_nodes = 1\nrequire_study = false\n")
    second = hashlib.sha256(path.read_bytes()).hexdigest()
    world.prepare()
    kinds = [entry.kind for entry in audit.entries()]
    assert kinds[-3:] == ["policy_changed", "request_received", "decision"]
    assert list(audit.facts(Decided))[-1].code == "too_few_cases"
    path.write_text("min_cases =")
    world.run(seconds=3)
    assert list(audit.facts(PolicyChanged)) == [PolicyChanged(policy=second, before=first)]
    path.write_text("min_cases = 1\nmin_nodes = 1\nrequire_study = false\n")
    world.run(seconds=2)
    assert [one.policy for one in audit.facts(PolicyChanged)] == [second, first]


def test_entries_of_an_older_version_are_read_as_before() -> None:
    """They say nothing of terms, containment and policy."""
    for kind, fields in (
        (PlanDecided, {"plan": "0" * 64, "name": "tiny", "decision": "approved", "by": "ann"}),
        (NodeStarted, {"node": "chu-lyon", "version": "1"}),
    ):
        line, _ = write_entry(BEGINNING, at=1.0, kind=kind.KIND, fields=fields)
        entry = read_entry(line)
        assert entry is not None
        assert fact_of(entry, kind) == kind(**fields)
