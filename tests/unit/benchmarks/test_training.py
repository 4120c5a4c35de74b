"""What the records of an experiment say about its rounds."""

from benchmarks import training
from benchmarks.comparison import Load
from benchmarks.federation import DATASET
from fedmq.messages.submissions import NodeOutcome, RoundRecord
from fedmq.types import Digest

LOAD = Load(num_nodes=2, mb=1, num_rounds=3)


def record(number: int, duration_s: float, *training_s: float, up: int = 0) -> RoundRecord:
    """Return the record of a round in which nodes trained so long."""
    outcomes = [
        NodeOutcome(node=f"node-0{index}", outcome="updated", num_cases=4, duration_s=one)
        for index, one in enumerate(training_s, start=1)
    ]
    return RoundRecord(
        round=number,
        attempt=0,
        model=Digest("0" * 64),
        outcomes=outcomes,
        train_metrics={},
        metrics={},
        bytes_up=up,
        bytes_down=1_000_500,
        duration_s=duration_s,
    )


def test_rounds_after_the_first_count() -> None:
    """The first one has its own figures: in its record, and from the start of the processes."""
    records = [record(1, 5.0, 3.0, 4.0), record(2, 1.0, 0.2, 0.4), record(3, 2.0, 0.6, 0.1)]
    peaks = {"orchestrator": 90.0, "node-01": 70.0, "node-02": 75.0, "broker": 200.0}
    trees = {"orchestrator": 88.0, "node-01": 160.0, "node-02": 150.0}
    found = training._read(records, 9.0, peaks, trees)
    assert found.round_s == (1.0, 2.0)
    assert found.first_round_s == 9.0
    assert found.node_rss_mb == 160.0
    figures = dict(found.more)
    assert figures["round_1_s"] == 5.0
    assert figures["slowest_training_s"] == 0.5
    assert (figures["orchestrator_rss_mb"], figures["node_program_rss_mb"]) == (90.0, 75.0)


def test_bytes_are_compared_with_one_model_and_an_update_of_each_node() -> None:
    """With two nodes the least is three models."""
    records = [record(1, 1.0, 0.1), record(2, 1.0, 0.1, up=2_000_400)]
    peaks = dict.fromkeys(("orchestrator", "node-01", "broker"), 1.0)
    turn = training._read(records, 1.0, peaks, peaks)
    assert dict(training._with_ideal(turn, LOAD).more)["bytes_over_models"] == 1.0003


def test_every_training_can_be_asked_for() -> None:
    """Its experiment is one that a researcher could write."""
    for one in training.TRAININGS.values():
        experiment = one.make_experiment(2, 1, 3)
        assert (experiment.dataset, experiment.rounds, experiment.quorum) == (DATASET, 3, 2)
