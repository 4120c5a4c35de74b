"""A plan shipped as source: read and approved by operators, then trained, averaged, fetched."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedmq.imaging.datasets import find_cases, split_cases
from fedmq.learning.catalogue import plan_digest
from fedmq.learning.plan import Task
from fedmq.parameters import Parameters, load_parameters
from tests.support.broker import TestBroker
from tests.support.federation import (
    LYON,
    PARIS,
    PLAN,
    PLAN_FILE,
    RESEARCHER,
    Federation,
    running_federation,
)
from tests.support.held_plan import HeldConfig, HeldPlan

pytestmark = pytest.mark.rabbitmq

SEED = 5
ROUNDS = 3


@pytest.fixture
def federation(tmp_path: Path, broker: TestBroker) -> Iterator[Federation]:
    """Return a federation of its own: nobody has approved anything in it."""
    with running_federation(tmp_path / "f", broker) as running:
        yield running


def train_by_hand(folders: list[Path]) -> list[Parameters]:
    """Return the models of all rounds, averaged in this test alone."""
    plan = HeldPlan(HeldConfig())
    models = [plan.initial_parameters(SEED)]
    for number in range(1, ROUNDS + 1):
        task = Task(seed=SEED, round=number, report=lambda _share, _text: None)
        before = models[-1]
        sums = {name: np.zeros(array.shape) for name, array in before.items()}
        num_cases = 0
        for folder in folders:
            cases, _ = split_cases(find_cases(folder), seed=SEED)
            fit = plan.train(before, cases, task)
            for name, array in fit.parameters.items():
                update = np.subtract(array, before[name])
                sums[name] += len(cases) * update.astype(np.float64)
            num_cases += len(cases)
        after = {name: before[name] + sums[name] / num_cases for name in before}
        models.append(
            {
                "weight": after["weight"].astype(np.float32),
                "bias": after["bias"],
                "steps": np.rint(after["steps"]).astype(np.int64),
            }
        )
    return models


def test_a_shipped_plan_waits_for_its_approval_and_its_model_is_the_average_by_hand(
    federation: Federation,
) -> None:
    """Refused until every operator has approved exactly these bytes; then right to the last bit."""
    experiment = federation.write_experiment(rounds=ROUNDS)
    run = federation.start("run", RESEARCHER, "run", str(experiment), "--output", "m.safetensors")
    run.expect(f"{LYON}: plan_awaits_approval; {PARIS}: plan_awaits_approval")

    (asked,) = federation.plans(LYON)
    digest = plan_digest(PLAN_FILE.read_bytes())
    assert (asked["name"], asked["digest"], asked["decision"]) == (PLAN, digest, "awaiting")
    asker = asked["asked"]
    assert (asker["researcher"], asker["purpose"]) == (RESEARCHER, "a test of the whole")
    shown = federation.do(LYON, "node", "plans", "show", digest[:12])
    assert shown.data == PLAN_FILE.read_text() + "\n"

    federation.do(LYON, "node", "plans", "approve", digest[:12])
    run.expect(f"1 of at least 2 nodes take part; {PARIS}: plan_awaits_approval")
    assert not list(federation.home(LYON).glob("node/payloads/*.output"))
    federation.do(PARIS, "node", "plans", "approve", PLAN)
    assert run.wait() == 0, run.log()
    assert f"{ROUNDS} of {ROUNDS}" in run.log()

    expected = train_by_hand([federation.home(node) / "cases" for node in (LYON, PARIS)])
    final = load_parameters(federation.home(RESEARCHER) / "m.safetensors")
    (folder,) = (federation.home("centre") / "orchestrator" / "experiments").iterdir()
    kept = [load_parameters(path) for path in sorted(folder.glob("round-*.safetensors"))]
    assert len(kept) == ROUNDS + 1
    for model, by_hand in [*zip(kept, expected, strict=True), (final, expected[-1])]:
        assert model.keys() == by_hand.keys()
        for name in by_hand:
            assert model[name].dtype == by_hand[name].dtype
            assert model[name].tobytes() == by_hand[name].tobytes(), name
    for one, next_one in itertools.pairwise(kept):
        assert one["weight"].tobytes() != next_one["weight"].tobytes()
