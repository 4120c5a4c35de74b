"""Scripts of rehearsals: who takes part, and what does not fit together."""

from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError, PlanError
from fedmq.researcher.experiment import Experiment
from fedmq.simulation.script import Wishes, choose_nodes, write_script

HERE, THERE = Path("here"), Path("there")


def make_experiment(*nodes: str, quorum: int = 2, plan: str = "clinical-logistic") -> Experiment:
    """Return a small experiment at nodes."""
    return Experiment(
        name="try", plan=plan, dataset="lung", rounds=9, quorum=quorum, nodes=nodes, seed=3
    )


@pytest.mark.parametrize(
    ("experiment", "wishes", "expected"),
    [
        (make_experiment(), Wishes(), ["site-1", "site-2", "site-3", "site-4"]),
        (make_experiment(quorum=5), Wishes(), [f"site-{number}" for number in range(1, 6)]),
        (make_experiment("lyon", "basel"), Wishes(), ["lyon", "basel"]),
        (make_experiment("site-1", quorum=1), Wishes(num_nodes=3), ["site-1", "site-2", "site-3"]),
        (make_experiment(), Wishes(folders=(HERE, THERE)), ["site-1", "site-2"]),
        (make_experiment(), Wishes(folders=(HERE,)), ["site-1", "site-2", "site-3", "site-4"]),
    ],
)
def test_nodes_are_those_named_then_as_many_as_are_asked_for(
    experiment: Experiment, wishes: Wishes, expected: list[str]
) -> None:
    """Without a word on it as many as have data, or four."""
    assert list(choose_nodes(experiment, wishes)) == expected


@pytest.mark.parametrize(
    ("wishes", "what"),
    [
        (Wishes(num_nodes=1), "1 simulated nodes are too few"),
        (Wishes(num_nodes=3, folders=(HERE, THERE)), "2 folders of cases do not fit 3 nodes"),
    ],
)
def test_what_does_not_fit_together_is_named(wishes: Wishes, what: str) -> None:
    """With what to do about it."""
    with pytest.raises(ConfigurationError, match=what) as refused:
        choose_nodes(make_experiment(), wishes)
    assert refused.value.fix


def test_rounds_and_seed_are_those_that_are_wished(tmp_path: Path) -> None:
    """All nodes are named, so that each is asked from the first round on."""
    wishes = Wishes(num_nodes=2, num_cases=2, rounds=1, seed=8)
    spec = write_script(make_experiment(), wishes, tmp_path).spec
    assert (spec.num_rounds, spec.seed, spec.nodes) == (1, 8, ["site-1", "site-2"])


def test_a_plan_that_makes_no_parameters_is_named(tmp_path: Path) -> None:
    """What it raised is told: it is the researcher's own."""
    source = (Path(__file__).parents[3] / "examples" / "mean_plan.py").read_text()
    plan = tmp_path / "plan.py"
    plan.write_text(source.replace('{"mean": np.zeros(1)}', '{"mean": np.zeros(seed["x"])}'))
    with pytest.raises(PlanError, match="makes no parameters to begin with") as refused:
        write_script(make_experiment(plan=str(plan)), Wishes(), tmp_path)
    assert "TypeError: 'int' object is not subscriptable" in refused.value.why
