"""A patient withdraws between two rounds; what happened is proved to others; a hospital leaves."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedmq.hub.keyring import Keyring
from fedmq.imaging.datasets import find_cases, split_cases
from fedmq.security.roster import governance_fingerprint
from tests.support.broker import TestBroker
from tests.support.federation import (
    CENTRE,
    DATASET,
    LYON,
    PARIS,
    RESEARCHER,
    Federation,
    running_federation,
)

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def federation(tmp_path: Path, broker: TestBroker) -> Iterator[Federation]:
    """Return a federation of its own: nothing brings a withdrawn case back."""
    with running_federation(tmp_path / "f", broker) as running:
        yield running


def numbers(report: dict[str, Any], node: str) -> list[int]:
    """Return with how many cases a node trained in each round."""
    return [
        outcome["num_cases"]
        for record in report["records"]
        for outcome in record["outcomes"]
        if outcome["node"] == node
    ]


def require_fingerprint_counts(federation: Federation, path: Path) -> None:
    """Return if the federation's own is taken and another refused, of the log and of a file."""
    right = Keyring(federation.node_credentials(LYON).with_suffix(".keys")).trust().governance
    fingerprint = governance_fingerprint(bytes.fromhex(right))
    for file in ((), (str(path),)):
        words = ("node", "audit", "verify", *file, "--fingerprint")
        assert "witnessed   up to entry" in federation.do(LYON, *words, fingerprint).data
        other = federation.fedmq(LYON, *words, fingerprint[::-1])
        assert (other.code, other.data) == (1, "")
        assert "nobody of the federation with this fingerprint vouches" in other.talk


def require_who_answers_is_told(federation: Federation, lines: list[dict[str, Any]]) -> None:
    """Return if an exported log says how plans are contained, by which policy, on which terms."""
    told = {one["kind"]: one for one in lines}
    level = json.loads(federation.do(LYON, "node", "status", "--json").data)["containment"]["level"]
    policy = federation.node_credentials(LYON).with_name("policy.toml").read_bytes()
    started, approved = told["node_started"], told["plan_decision"]
    assert started["containment"] == level
    assert started["policy"] == hashlib.sha256(policy).hexdigest()
    assert (approved["researcher"], approved["datasets"]) == (RESEARCHER, [DATASET])
    assert approved["until"] > "2026"
    assert len(approved["terms"]) == 64


def test_a_patient_withdraws_and_a_hospital_leaves(federation: Federation) -> None:
    """The rounds behind the withdrawal have a case less, and all that happened verifies."""
    federation.hold(LYON, 2)
    identifier = federation.submit(federation.write_experiment(config=federation.hold_config))
    federation.approve(LYON, PARIS)
    federation.reached(LYON, 2)
    training, _ = split_cases(find_cases(federation.home(LYON) / "cases"), seed=5)
    gone = training[2].case_id

    # In the middle of the second round, whose training has all cases: it is begun again.
    withdrawn = federation.do(LYON, "node", "data", "withdraw", DATASET, gone, "--reason", "asked")
    assert f"{gone} of {DATASET} is in no later round" in withdrawn.talk
    assert "it had entered 1 update" in withdrawn.talk
    # What is begun again is not held: where a case is withdrawn a plan sees the others and no mark.
    federation.release()
    models = federation.digests(identifier)
    report = federation.report(identifier)
    assert numbers(report, LYON) == [6, 5, 5]
    assert numbers(report, PARIS) == [3, 3, 3]
    header, row = withdrawn.data.splitlines()
    assert header.split() == ["experiment", "round", "update", "model"]
    assert (row.split()[0], row.split()[1], row.split()[3]) == (identifier, "1", models[0][:12])

    # The orchestrator signed the head of each answer, and has a log of its own.
    own = json.loads(federation.do(LYON, "node", "audit", "verify", "--json").data)
    assert (own["fault"], own["witnessed"]["by"]) == (None, "orchestrator")
    assert own["witnessed"]["number"] > own["num_entries"] - 5
    led = federation.do(CENTRE, "orchestrator", "audit", "verify", "--json")
    assert json.loads(led.data)["fault"] is None
    shown = federation.do(CENTRE, "orchestrator", "audit", "show", "-n", "500", "--json")
    kinds = Counter(one["kind"] for one in json.loads(shown.data)["entries"])
    assert (kinds["experiment_accepted"], kinds["round_folded"]) == (1, 3)
    assert kinds["head_witnessed"] >= 12

    # What the hospital gives to an inspector is verified on a machine that is no node.
    exported = federation.do(LYON, "node", "audit", "export", "log.jsonl")
    head = exported.data.split()[1]
    path = federation.home(LYON) / "log.jsonl"
    *lines, witnesses = [json.loads(line) for line in path.read_text().splitlines()]
    assert witnesses["witnesses"]["node"] == LYON
    trained = [one["round"] for one in lines if one["kind"] == "training_done"]
    assert trained == [1, 2, 3]
    require_who_answers_is_told(federation, lines)
    assert gone not in path.read_text()
    verify = ("node", "audit", "verify", str(path), "--head", head)
    assert "kept heads  1 found" in federation.do(RESEARCHER, *verify).data
    require_fingerprint_counts(federation, path)
    path.write_text(path.read_text().replace('"num_cases":5', '"num_cases":6', 1))
    damaged = federation.fedmq(RESEARCHER, *verify)
    assert damaged.code == 1
    assert "its bytes were changed" in damaged.talk

    federation.programs[LYON].end()
    left = federation.do(LYON, "node", "leave")
    assert "after 1 experiment with 3 rounds" in left.talk
    refused = federation.fedmq(LYON, "node", "start")
    assert refused.code == 1
    assert "this node has left the federation" in refused.talk
