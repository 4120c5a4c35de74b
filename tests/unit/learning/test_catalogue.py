"""The catalogue: plans by name, their sources, and sources that are no plan."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

import fedmq.learning.plans
from fedmq.errors import PlanError
from fedmq.learning.catalogue import CATALOGUE, load_plan, load_source, plan_digest, plan_source
from fedmq.learning.configs import make_config
from fedmq.learning.plan import TrainingPlan

PLAN = b'''
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from fedmq.learning.plan import Assessment, Fit, PlanConfig, Ratio, TrainingPlan

@dataclass(frozen=True, slots=True, kw_only=True)
class MeanConfig(PlanConfig):
    start: float = 2.0

class Mean(TrainingPlan):
    """A model of one number."""

    name = "mean"
    config_class = MeanConfig

    def initial_parameters(self, seed):
        return {"mean": np.array([self.config.start])}

    def train(self, parameters, cases, task):
        return Fit(parameters=parameters, num_cases=len(cases), metrics={})

    def evaluate(self, parameters, cases, task):
        return Assessment(num_cases=len(cases), metrics={})
'''


@pytest.mark.training
@pytest.mark.parametrize("name", CATALOGUE)
def test_each_plan_is_where_the_catalogue_says(name: str) -> None:
    """By name and from its own source it is the same plan, and its defaults are a config."""
    plan_class = load_plan(name)
    shipped = load_source(plan_source(name))
    assert plan_class.name == shipped.name == name
    assert shipped is not plan_class
    for each in (plan_class, shipped):
        plan = each(make_config(each, {}))
        assert isinstance(plan, TrainingPlan)
        assert plan.initial_parameters(1).keys() == plan.initial_parameters(2).keys()


def test_the_catalogue_has_every_plan_that_is_installed() -> None:
    """A module in the folder that nobody can name would be dead."""
    folder = Path(next(iter(fedmq.learning.plans.__path__)))
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {target.partition(":")[0].rpartition(".")[2] for target in CATALOGUE.values()} == modules


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_digest_is_that_of_the_bytes(name: str) -> None:
    """What sha256sum says of the file is what the operator approves."""
    source = plan_source(name)
    assert b"TrainingPlan" in source
    assert plan_digest(source) == hashlib.sha256(source).hexdigest()


def test_reading_sources_runs_nothing_and_needs_no_torch() -> None:
    """An operator can look at a plan on a machine that could not run it."""
    code = (
        "import sys; sys.modules.update(torch=None, monai=None, scipy=None); "
        "from fedmq.learning.catalogue import *; "
        "[plan_digest(plan_source(name)) for name in CATALOGUE]; "
        "load_plan('clinical-logistic')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_a_plan_whose_packages_are_missing_says_so() -> None:
    """What to install, and who."""
    code = (
        "import sys; sys.modules.update(torch=None)\n"
        "from fedmq.learning.catalogue import *\n"
        "from fedmq.errors import PlanError\n"
        "try: load_plan('petct-survival')\n"
        "except PlanError as error: sys.exit('torch' not in str(error))\n"
        "sys.exit(2)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_an_unknown_plan_is_told_what_there_is() -> None:
    """By name and for its source."""
    for ask in (load_plan, plan_source):
        with pytest.raises(PlanError, match="petct-survival"):
            ask("petct-survivall")


def test_a_plan_can_be_shipped_as_source() -> None:
    """Types written as text are found too; loading again is a class anew."""
    plan_class = load_source(PLAN)
    plan = plan_class(make_config(plan_class, {"start": 3}))
    assert plan.initial_parameters(0)["mean"].tolist() == [3.0]
    assert load_source(PLAN) is not plan_class


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"def broken(:\n",
        b"\x00",
        b"\xff\xfe",
        b"import no_such_package_anywhere\n",
        b"raise SystemExit(0)\n",
        b"from fedmq.learning.plans.clinical_logistic import ClinicalLogistic\n",
        PLAN.replace(b"def evaluate", b"def assess"),
        PLAN + b"\nclass Other(Mean):\n    name = 'other'\n",
        PLAN.replace(b'name = "mean"', b"pass"),
    ],
)
def test_a_source_without_exactly_one_plan_is_refused(source: bytes) -> None:
    """Nothing, no Python, what is imported only, what is abstract, two, one without a name."""
    with pytest.raises(PlanError):
        load_source(source)
    assert f"fedmq_plan_{plan_digest(source)[:16]}" not in sys.modules


def test_two_names_for_one_plan_are_one_plan() -> None:
    """An alias is no second plan."""
    assert load_source(PLAN + b"\nPlan = Mean\n").name == "mean"
