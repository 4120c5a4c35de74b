"""The training plan: the only thing that a researcher writes, and that an operator approves.

A plan is framework-agnostic: anything that can give and take named arrays. A plan sees cases and
parameters; it sees no broker, key or path of a site.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fedmq.imaging.cases import Case
from fedmq.learning.modalities import Modalities
from fedmq.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A metric as a sum over a count, so that the federation's is the sum of both, never a mean.

    The C-index is concordant pairs over comparable pairs; a loss is its sum over cases.
    """

    numerator: float
    denominator: float


Metrics = Mapping[str, Ratio]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanConfig:
    """The numbers that an experiment may set; a plan subclasses this with fields and defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What one node's training gives: its parameters, how many cases spoke, its metrics."""

    parameters: Parameters
    num_cases: int
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What one node's evaluation gives."""

    num_cases: int
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """All that varies from one call to the next; a task that is done again has all of it again."""

    seed: int
    round: int
    report: Callable[[float, str], None]
    """Takes the share done (0 to 1) and a short text such as `epoch 1/3`; shown on the site."""
    num_threads: int = 1
    """To compute with, exactly: another number adds in another order. Settled by the node for the
    whole of an experiment."""


class TrainingPlan(ABC):
    """A model, its loss, its optimiser and its data, for one kind of experiment."""

    name: ClassVar[str]
    config_class: ClassVar[type[PlanConfig]] = PlanConfig
    modalities: ClassVar[Modalities] = ()
    """Volumes without which a case is of no use to this plan: `("PET", "CT")` are both needed, of
    `(AnyOf(("PET", "CT")),)` one. The plan is given no other cases."""
    optional_modalities: ClassVar[tuple[str, ...]] = ()
    """Volumes that it learns from where a case has them; cases without any are given to it too, and
    are its to count."""

    units: ClassVar[Mapping[str, str]] = {}
    """Setting that names a column -> the unit that the plan takes it in, such as months."""

    def __init__(self, config: PlanConfig) -> None:
        self.config = config

    @abstractmethod
    def initial_parameters(self, seed: int) -> Parameters:
        """Return the parameters of round 0; the same seed gives the same bytes."""

    @abstractmethod
    def train(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Fit:
        """Return what training from `parameters` on a site's training cases gives."""

    @abstractmethod
    def evaluate(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Assessment:
        """Return the metrics of `parameters` on a site's validation cases."""
