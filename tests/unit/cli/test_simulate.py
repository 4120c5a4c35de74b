"""The command that simulates: what is wrong is said before anything runs."""

import json
import shutil
from pathlib import Path

import pytest

from fedmq.parameters import load_parameters
from tests.unit.cli.line import CommandLine

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def experiment(home: Path) -> Path:
    """Return the example of a plan of one's own, in the folder that the command runs in."""
    for name in ("mean.toml", "mean_plan.py"):
        shutil.copy(EXAMPLES / name, home / name)
    return home / "mean.toml"


def test_rows_are_the_data_and_the_talk_says_where_the_model_is(
    fedmq: CommandLine, experiment: Path, home: Path
) -> None:
    """As for an experiment at real nodes; what comes next is to run it there."""
    outcome = fedmq("simulate", experiment.name, "--nodes", "3", "--cases", "4")
    assert outcome.code == 0
    assert [line.split()[:5] for line in outcome.data.splitlines()[1:]] == [
        ["1", "of", "2", "3", "of"],
        ["2", "of", "2", "3", "of"],
    ]
    assert "model of round 2: mean-age-simulated.safetensors" in outcome.talk.splitlines()
    assert outcome.talk.splitlines()[-1] == "next: fedmq run mean.toml"
    assert set(load_parameters(home / "mean-age-simulated.safetensors")) == {"mean"}
    assert not (home / "mean-age-simulated.log").exists()


def test_programs_read_a_document_for_each_round(fedmq: CommandLine, experiment: Path) -> None:
    """And for the end."""
    words = ("--nodes", "3", "--cases", "4", "--rounds", "1", "--json")
    outcome = fedmq("simulate", experiment.name, *words, "--output", "models/mean.safetensors")
    documents = [json.loads(line) for line in outcome.data.splitlines()]
    (record,) = [one["record"] for one in documents if one["kind"] == "round"]
    assert [one["num_cases"] for one in record["outcomes"]] == [3, 3, 3]
    assert documents[-1]["state"] == "finished"


def test_what_a_plan_raises_is_said_once_and_kept_beside_the_model(
    fedmq: CommandLine, experiment: Path, home: Path
) -> None:
    """The traceback is there: this is the researcher's machine, and the researcher's plan."""
    plan = home / "mean_plan.py"
    plan.write_text(plan.read_text().replace("values.mean()", "values.men()"))
    outcome = fedmq("simulate", experiment.name, "--cases", "4")
    assert outcome.code == 1
    assert outcome.talk.count("training_error: AttributeError") == 1
    assert "mean-age-simulated failed: round 1, training: " in " ".join(outcome.talk.split())
    assert "has no attribute 'men'" in (home / "mean-age-simulated.log").read_text()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("nothing.toml",), "error: nothing.toml cannot be read"),
        (("mean.toml", "--nodes", "2"), "error: 2 simulated nodes are too few"),
        (("mean.toml", "--data", "nowhere"), "error: the folder of the dataset is missing"),
    ],
)
def test_what_cannot_be_simulated_is_told_with_its_fix(
    fedmq: CommandLine, experiment: Path, words: tuple[str, ...], what: str
) -> None:
    """Before anything runs."""
    assert experiment.exists()
    outcome = fedmq("simulate", *words)
    assert (outcome.code, outcome.data) == (1, "")
    assert outcome.talk.splitlines()[0].startswith(what)
    assert "fix: " in outcome.talk


def test_a_plan_that_cannot_be_read_is_named(fedmq: CommandLine, experiment: Path) -> None:
    """A file that is no Python, and no file at all."""
    plan = experiment.with_name("mean_plan.py")
    plan.write_text("class Mean(:\n")
    assert "error: the plan's source cannot be loaded" in fedmq("simulate", "mean.toml").talk
    plan.unlink()
    assert "mean_plan.py cannot be read" in fedmq("simulate", "mean.toml").talk
