"""Training configs: what fits is taken, what does not is named."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar, Literal

import pytest

from fedmq.errors import ConfigurationError, PlanError
from fedmq.imaging.cases import Case
from fedmq.learning.configs import make_config
from fedmq.learning.plan import Assessment, Fit, PlanConfig, Task, TrainingPlan
from fedmq.learning.ranges import Epochs, LearningRate, Side
from fedmq.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyConfig(PlanConfig):
    """One field of each kind."""

    needed: str
    epochs: Epochs = 2
    rate: LearningRate = 0.1
    flag: bool = False
    loss: Literal["discrete", "cox"] = "discrete"
    cuts: tuple[float, ...] = (3.0, 6.0)
    shape: tuple[Side, Side, Side] = (24, 24, 24)

    def __post_init__(self) -> None:
        """Refuse what fits alone, but not together."""
        if self.flag and self.epochs == 1:
            raise ValueError("flag needs two epochs")


class Toy(TrainingPlan):
    """A plan that has a config and does nothing."""

    name: ClassVar[str] = "toy"
    config_class: ClassVar[type[PlanConfig]] = ToyConfig

    def initial_parameters(self, seed: int) -> Parameters:
        """Do nothing."""
        raise NotImplementedError

    def train(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Fit:
        """Do nothing."""
        raise NotImplementedError

    def evaluate(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Assessment:
        """Do nothing."""
        raise NotImplementedError


def test_values_that_fit_are_set_and_the_rest_keeps_its_default() -> None:
    """Lists become tuples, whole numbers floats."""
    values = {"needed": "a", "rate": 1, "cuts": [1, 2.5], "shape": [8, 9, 10], "loss": "cox"}
    config = make_config(Toy, values)
    assert config == ToyConfig(needed="a", rate=1.0, cuts=(1.0, 2.5), shape=(8, 9, 10), loss="cox")
    assert isinstance(config, ToyConfig)
    assert isinstance(config.rate, float)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"epoch": 1}, "'epoch'"),
        ({"epochs": "3"}, "epochs"),
        ({"epochs": 3.5}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": None}, "epochs"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": -0.1}, "rate"),
        ({"rate": float("inf")}, "rate"),
        ({"flag": 1}, "flag"),
        ({"loss": "mse"}, "loss"),
        ({"cuts": 3.0}, "cuts"),
        ({"cuts": [3.0, "6"]}, r"cuts\[1\]"),
        ({"shape": [24, 24]}, "shape"),
        ({"shape": [24, 24, 4]}, r"shape\[2\]"),
        ({"needed": 3}, "needed"),
        ({"rate": Decimal("0.1")}, "rate"),
        ({"needed": datetime(2026, 1, 1, tzinfo=UTC)}, "needed"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(
    values: dict[str, object], named: str
) -> None:
    """Unknown name, wrong type, out of range, not finite."""
    with pytest.raises(ConfigurationError, match=named):
        make_config(Toy, {"needed": "a", **values})


def test_values_that_do_not_fit_together_are_the_researchers_to_mend() -> None:
    """What a plan's own check raises is a fault of the settings."""
    with pytest.raises(ConfigurationError, match="two epochs"):
        make_config(Toy, {"needed": "a", "flag": True, "epochs": 1})


def test_a_setting_without_default_is_needed() -> None:
    """Said by name."""
    with pytest.raises(ConfigurationError, match="needed"):
        make_config(Toy, {})


def test_a_type_that_cannot_be_checked_is_the_plans_fault() -> None:
    """Not the researcher's values are wrong, but the plan."""

    class Odd:
        """Nothing that pydantic knows."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class OddConfig(PlanConfig):
        """A field of that type."""

        odd: Odd

    class OddPlan(Toy):
        """A plan with that config."""

        config_class: ClassVar[type[PlanConfig]] = OddConfig

    with pytest.raises(PlanError):
        make_config(OddPlan, {"odd": 1})
