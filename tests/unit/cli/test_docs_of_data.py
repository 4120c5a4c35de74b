"""What docs/features.md and docs/data-checks.md show is so: commands, columns, codes, config."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import fedmq as package
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.feature_table import COLUMNS, read_table, with_features
from fedmq.imaging.report.advice import ADVICE
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.learning.catalogue import load_plan
from fedmq.learning.configs import make_config
from fedmq.learning.plan import Task
from fedmq.types import Role
from tests.unit.cli.line import CommandLine

DOCS = Path(__file__).parents[3] / "docs"
FEATURES = (DOCS / "features.md").read_text()
CHECKS = (DOCS / "data-checks.md").read_text()
LYON = "chu-lyon"


def first_cells(page: str) -> set[str]:
    """Return the inline code in the first cells of a page's tables."""
    cells = re.findall(r"^\| ([^|]*) \|", page, re.MULTILINE)
    return {code for cell in cells for code in re.findall(r"`([^`]+)`", cell)}


def test_the_columns_in_the_docs_are_those_of_the_table() -> None:
    """None is missing, none is invented."""
    assert first_cells(FEATURES) == set(COLUMNS)


def test_every_finding_with_advice_is_in_the_docs() -> None:
    """And the docs explain none that does not exist."""
    assert set(ADVICE) == first_cells(CHECKS) - {"missing_file"}


def test_the_commands_in_the_docs_do_what_they_say(
    fedmq: CommandLine, credentials: Callable[..., Path], home: Path
) -> None:
    """One after the other, on an invented cohort; the experiment's config trains on the columns."""
    credentials(LYON, Role.NODE, home / "node" / "credentials.toml")
    write_cohort(SITES[LYON], home / "cases", num_cases=6)
    assert fedmq("node", "data", "add", "lung-petct", "cases").code == 0
    shown = re.findall(r"^    fedmq (.*)$", FEATURES + CHECKS, re.MULTILINE)
    assert len(shown) == 5
    for line in shown:
        assert fedmq(*shlex.split(line)).code == 0, line
    for place in ("checks/lung-petct.html", "features/lung-petct.csv"):
        assert place in FEATURES + CHECKS
        assert (home / "node" / place).is_file()
    assert (home / "features.csv").is_file()
    assert (home / "lung-petct.html").is_file()

    (snippet,) = re.findall(r"^```toml\n(.*?)^```$", FEATURES, re.DOTALL | re.MULTILINE)
    (home / "experiment.toml").write_text(snippet)
    spec, _, _ = package.Experiment.from_toml(home / "experiment.toml").to_spec()
    plan_class = load_plan(spec.plan.name)
    plan = plan_class(make_config(plan_class, spec.config))
    cases = with_features(
        find_cases(home / "cases"), read_table(home / "node" / "features" / "lung-petct.csv")
    )
    task = Task(seed=1, round=1, report=lambda _share, _text: None)
    fit = plan.train(plan.initial_parameters(0), cases, task)
    assert (fit.parameters["weight"] != 0.0).all()
