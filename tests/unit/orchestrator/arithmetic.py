"""What experiments of tests are about: parameters, updates, and their average by hand."""

import numpy as np

from fedmq.messages.fields import PlanReference
from fedmq.messages.mandates import ExperimentSpec
from fedmq.parameters import Array
from fedmq.types import Digest, ExperimentId, NodeId, ResearcherId

LYON, BASEL, PARIS = NodeId("chu-lyon"), NodeId("umc-basel"), NodeId("ghu-paris")
NODES = (LYON, PARIS, BASEL)
CASES = {LYON: 17, PARIS: 5, BASEL: 29}
ADA, BOB = ResearcherId("ada"), ResearcherId("bob")
LUNG = ExperimentId("lung")
ORCHESTRATOR = "orchestrator"

Arrays = dict[str, Array]


def initial(seed: int = 1) -> Arrays:
    """Return small parameters of three types."""
    generator = np.random.default_rng(seed)
    return {
        "w": generator.normal(size=(5, 3)).astype("<f4"),
        "b": generator.normal(size=4),
        "half": generator.normal(size=7).astype("<f2"),
    }


def update_of(node: NodeId, model: Arrays) -> Arrays:
    """Return what a node makes of a model: every bit of it decides."""
    factor = 1.0 + NODES.index(node)
    return {
        name: (np.sin(array * factor) / 10).astype(array.dtype) for name, array in model.items()
    }


def average(model: Arrays, updates: dict[NodeId, Arrays]) -> Arrays:
    """Return the model plus the mean of the updates, weighted by cases: numpy alone."""
    result: Arrays = {}
    for name, array in model.items():
        total = np.zeros(array.shape, np.float64)
        for node in sorted(updates):
            total = total + updates[node][name].astype(np.float64) * float(CASES[node])
        mean = total / float(sum(CASES[node] for node in updates))
        result[name] = (mean + array.astype(np.float64)).astype(array.dtype)
    return result


def models_by_hand(rounds: int, asked: tuple[NodeId, ...] = NODES, seed: int = 1) -> list[Arrays]:
    """Return the model of each round, round 0 first."""
    models = [initial(seed)]
    for _ in range(rounds):
        models.append(average(models[-1], {node: update_of(node, models[-1]) for node in asked}))
    return models


def make_spec(  # noqa: PLR0913 - every setting has a default
    *,
    rounds: int = 2,
    quorum: int = 3,
    nodes: tuple[NodeId, ...] = NODES,
    evaluate: bool = True,
    deadline_s: float = 3_000.0,
    purpose: str = "a test",
    update_encoding: str = "exact",
) -> ExperimentSpec:
    """Return the spec of an experiment."""
    return ExperimentSpec(
        name="lung",
        purpose=purpose,
        plan=PlanReference(name="plan", digest=Digest("0" * 64), is_shipped=False),
        dataset="lung-petct",
        num_rounds=rounds,
        nodes=list(nodes),
        quorum=quorum,
        round_deadline_s=deadline_s,
        update_encoding=update_encoding,
        evaluate=evaluate,
    )
