"""Progression-free survival from PET and CT: a small 3-D network, in discrete time or Cox.

`discrete` learns the hazard of each interval; its loss is a sum over cases, so that sites add up
and one without events still teaches. `cox` ranks a site's cases among each other, all in one step
(Breslow's partial likelihood): a site without events teaches nothing.

It sees the whole body at a coarse spacing: all lesions count for the outcome, and the hottest voxel
of a body is often brain or bladder. `centre = "hottest"` is for images cut to the region of
interest.

Missing is normal: a case without PET or without CT is learnt from, and the network is told which of
them is there. Of cases that have both, some lose one of them in a step of training
(`modality_dropout`), so that a site where nothing is missing teaches what to do without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn
from torch.nn import functional

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.preprocessing import CHANNELS, Frame
from fedmq.learning.case_arrays import CaseArrays, readers_of
from fedmq.learning.clinical_features import Scaling, read_features
from fedmq.learning.outcomes import Outcomes
from fedmq.learning.plan import Assessment, Fit, PlanConfig, Ratio, Task, TrainingPlan
from fedmq.learning.presence import drop_modalities
from fedmq.learning.ranges import (
    BatchSize,
    Column,
    Epochs,
    Finite,
    LearningRate,
    Positive,
    Share,
    Sides,
    Spacing,
)
from fedmq.learning.reading import AHEAD, Reader
from fedmq.learning.selection import Selection, Wanted, select_cases
from fedmq.learning.survival import concordance, interval_targets, risk_at
from fedmq.learning.torch_layout import MemoryFormat, lay_images, lay_network
from fedmq.learning.torch_training import (
    Descent,
    Schedule,
    build_seeded,
    derive_seed,
    load_into,
    prepare_torch,
    run_epochs,
    to_parameters,
)
from fedmq.parameters import Parameters

_GROUPS: Final = 4
_INITIAL_LOGIT: Final = -1.5
"""A hazard of about a fifth per interval: where survival curves of this disease begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PetctSurvivalConfig(PlanConfig):
    """Outcome, images, network and descent."""

    loss: Literal["discrete", "cox"] = "discrete"
    cut_points_months: tuple[Positive, ...] = (3.0, 6.0, 9.0, 12.0, 18.0)
    horizon_months: Positive = 12.0
    """Risk is the chance not to live beyond it without progression; one of the cut points."""
    time_column: Column = "pfs_months"
    event_column: Column = "progressed"
    spacing_mm: Spacing = 8.0
    shape: Sides = (72, 56, 136)
    """Voxels: 58 by 45 by 109 cm from skull to thigh; what is further from `centre` is cut."""
    centre: Literal["body", "hottest"] = "body"
    missing: Literal["learn", "drop"] = "learn"
    """drop: a case that lacks a modality or a feature is left out, for comparison."""
    modality_dropout: Share = 0.2
    """Of cases with PET and CT: so many do without one of them in a step, and without a feature."""
    clinical_features: tuple[Column, ...] = ()
    clinical_centres: tuple[Finite, ...] = ()
    clinical_scales: tuple[Positive, ...] = ()
    width: Annotated[int, Field(ge=4, le=64, multiple_of=4)] = 8
    learning_rate: LearningRate = 0.003
    epochs: Epochs = 2
    batch_size: BatchSize = 8
    memory_format: MemoryFormat = "contiguous"

    def __post_init__(self) -> None:
        """Check that the cut points rise and hold the horizon, and that features have scales."""
        _ = self.scaling
        if any(late <= early for early, late in pairwise(self.cut_points_months)):
            raise ConfigurationError("cut_points_months must rise", fix="sort them, each once")
        if self.horizon_months not in self.cut_points_months:
            raise ConfigurationError(
                "horizon_months is not one of cut_points_months",
                why="survival is known at the cut points only",
                fix="add it to cut_points_months",
            )

    @property
    def scaling(self) -> Scaling:
        """How clinical columns become features."""
        return Scaling(
            columns=self.clinical_features,
            centres=self.clinical_centres,
            scales=self.clinical_scales,
        )


class PetctSurvival(TrainingPlan):
    """Sites weigh by their cases; the order of cases depends on the task's seed and round."""

    name: ClassVar[str] = "petct-survival"
    config_class: ClassVar[type[PlanConfig]] = PetctSurvivalConfig
    units: ClassVar[Mapping[str, str]] = {"time_column": "months"}
    optional_modalities: ClassVar[tuple[str, ...]] = CHANNELS
    ahead: ClassVar[int] = AHEAD
    """Batches that are loaded before they are due; the bits are the same with 0."""
    config: PetctSurvivalConfig

    def __init__(self, config: PetctSurvivalConfig) -> None:
        super().__init__(config)
        self._arrays = CaseArrays(
            Frame(spacing_mm=config.spacing_mm, shape=config.shape, centre=config.centre)
        )

    def initial_parameters(self, seed: int) -> Parameters:
        """Return a new network's numbers."""
        return to_parameters(self._network(seed))

    def train(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Fit:
        """Return the network after `epochs` over the cases that have something and an outcome."""
        selection = self._select(cases)
        count = len(selection.outcomes.cases)
        if not count:
            raise DatasetError(
                "no case can train petct-survival",
                code="no_usable_case",
                why="none has an outcome and something to learn from, or nothing may be missing",
                fix='add volumes and outcomes, set missing = "learn", or leave the experiment',
            )
        network, descent = self.descend(parameters, selection.outcomes, task)
        return Fit(
            parameters=to_parameters(network),
            num_cases=count,
            metrics={
                "loss": Ratio(numerator=descent.loss, denominator=float(count)),
                **selection.counts,
            },
        )

    def descend(
        self, parameters: Parameters, outcomes: Outcomes, task: Task
    ) -> tuple[nn.Module, Descent]:
        """Return the network after `epochs` over cases of which there is one at least."""
        prepare_torch(task)
        network = self._network(task.seed)
        load_into(network, parameters)
        targets = self._targets(outcomes)
        count = len(outcomes.cases)
        is_cox = self.config.loss == "cox"
        rng = np.random.default_rng(derive_seed(task))

        def load(batch: torch.Tensor) -> tuple[_Inputs, _Intervals | _Ranks]:
            of_batch = [outcomes.cases[index] for index in batch.tolist()]
            inputs = self._inputs(of_batch, readers_of(task), rng)
            return inputs, targets.select(batch)

        def loss_of(loaded: tuple[_Inputs, _Intervals | _Ranks]) -> torch.Tensor:
            inputs, of_batch = loaded
            return of_batch.loss_sum(network(inputs)) / len(inputs.images)

        descent = run_epochs(
            torch.optim.Adam(network.parameters(), lr=self.config.learning_rate),
            load,
            loss_of,
            num_cases=count,
            schedule=Schedule(
                epochs=self.config.epochs,
                batch_size=count if is_cox else self.config.batch_size,
                ahead=self.ahead,
            ),
            task=task,
        )
        return network, descent

    def evaluate(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Assessment:
        """Return loss and C-index over the cases that have something and an outcome, and counts."""
        prepare_torch(task)
        selection = self._select(cases)
        outcomes = selection.outcomes
        network = self._network(task.seed)
        load_into(network, parameters)
        outputs = self._outputs(network, outcomes.cases, readers_of(task))
        loss = self._targets(outcomes).loss_sum(outputs)
        risks = self._risks(outputs)
        return Assessment(
            num_cases=len(outcomes.cases),
            metrics={
                "loss": Ratio(numerator=float(loss), denominator=float(len(outcomes.cases))),
                "c_index": concordance(outcomes.times, outcomes.events, risks),
                **selection.counts,
            },
        )

    def predict(self, parameters: Parameters, cases: Sequence[Case]) -> NDArray[np.float64]:
        """Return the risk of each case, shape (n,): of cox a log hazard ratio, else a chance."""
        network = self._network(0)
        load_into(network, parameters)
        return self._risks(self._outputs(network, cases))

    def _network(self, seed: int) -> "_Network":
        config = self.config
        outputs = 1 if config.loss == "cox" else len(config.cut_points_months)
        features = len(config.clinical_features)
        network = build_seeded(
            lambda: _Network(width=config.width, outputs=outputs, features=features), seed
        )
        return lay_network(network, config.memory_format)

    def _select(self, cases: Sequence[Case]) -> Selection:
        config = self.config
        wanted = Wanted(
            time_column=config.time_column,
            event_column=config.event_column,
            features=config.scaling,
            needs_all=config.missing == "drop",
        )
        return select_cases(cases, wanted)

    def _inputs(
        self,
        cases: Sequence[Case],
        num_readers: int = 1,
        rng: np.random.Generator | None = None,
    ) -> "_Inputs":
        """Return what the network sees of `cases`, without what `rng` takes from it."""
        images = self._arrays.images(cases, num_readers=num_readers)
        features = read_features(cases, self.config.scaling)
        presence, known = images.presence, features.presence
        if rng is not None:
            presence = drop_modalities(presence, self.config.modality_dropout, rng)
            known = known & (rng.random(known.shape) >= self.config.modality_dropout)
        clinical = np.hstack([np.where(known, features.values, 0.0), known])
        return _Inputs(
            images=lay_images(torch.from_numpy(images.arrays), self.config.memory_format),
            presence=torch.from_numpy(presence).float(),
            clinical=torch.from_numpy(clinical).float(),
        )

    @torch.no_grad()
    def _outputs(
        self, network: "_Network", cases: Sequence[Case], num_readers: int = 1
    ) -> torch.Tensor:
        step = self.config.batch_size
        batches = (cases[first : first + step] for first in range(0, len(cases), step))
        with Reader(
            lambda batch: self._inputs(batch, num_readers), batches, ahead=self.ahead
        ) as reader:
            parts = [network(inputs) for inputs in reader]
        return torch.cat(parts) if parts else torch.zeros(0, network.num_outputs)

    def _risks(self, outputs: torch.Tensor) -> NDArray[np.float64]:
        if self.config.loss == "cox":
            return outputs[:, 0].double().numpy()
        hazards = torch.sigmoid(outputs.double()).numpy()
        return risk_at(hazards, self.config.cut_points_months, self.config.horizon_months)

    def _targets(self, outcomes: Outcomes) -> "_Intervals | _Ranks":
        if self.config.loss == "cox":
            return _Ranks(
                times=torch.from_numpy(outcomes.times), events=torch.from_numpy(outcomes.events)
            )
        ends, observed = interval_targets(
            outcomes.times, outcomes.events, self.config.cut_points_months
        )
        return _Intervals(
            ends=torch.from_numpy(ends).float(), observed=torch.from_numpy(observed).float()
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Intervals:
    """Targets in discrete time, both of shape (n, cuts)."""

    ends: torch.Tensor
    observed: torch.Tensor

    def select(self, batch: torch.Tensor) -> "_Intervals":
        return _Intervals(ends=self.ends[batch], observed=self.observed[batch])

    def loss_sum(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the negative log-likelihood of the hazards, summed over cases."""
        return functional.binary_cross_entropy_with_logits(
            logits, self.ends, weight=self.observed, reduction="sum"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ranks:
    """Targets for Cox, both of shape (n,)."""

    times: torch.Tensor
    events: torch.Tensor

    def select(self, batch: torch.Tensor) -> "_Ranks":
        return _Ranks(times=self.times[batch], events=self.events[batch])

    def loss_sum(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return Breslow's negative log partial likelihood, summed over events."""
        log_hazard = outputs[:, 0]
        is_at_risk = self.times[None, :] >= self.times[:, None]
        among = torch.where(is_at_risk, log_hazard[None, :], -torch.inf)
        terms = torch.logsumexp(among, dim=1) - log_hazard
        return (terms * self.events).sum()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Inputs:
    """What the network sees of a batch."""

    images: torch.Tensor
    """Shape (n, 2, X, Y, Z); of what is not present nothing is seen."""
    presence: torch.Tensor
    """Shape (n, 2): 1 where PET or CT is there, else 0."""
    clinical: torch.Tensor
    """Shape (n, 2 * features): scaled features, 0 where missing, then 1 or 0: whether they are."""


class _Network(nn.Module):
    """Two ways from the images to the head: amounts of uptake, and normalised patterns.

    GroupNorm takes the scale out of each case, and SUV is an absolute scale; so the first layer
    has no norm, and its sum over the box (logarithm) and highest value reach the head as they are,
    as total lesion glycolysis and SUVmax do in a reading.

    The first layer looks at PET and CT apart, so that what one of them shows is all there where the
    other is missing; of that one come zeros, and the head is told.
    """

    def __init__(self, *, width: int, outputs: int, features: int) -> None:
        super().__init__()
        self.num_outputs = outputs
        self.stem = nn.Conv3d(len(CHANNELS), width, 3, stride=2, padding=1, groups=len(CHANNELS))
        self.patterns = nn.Sequential(
            nn.Conv3d(width, 2 * width, 3, stride=2, padding=1),
            nn.GroupNorm(_GROUPS, 2 * width),
            nn.ReLU(),
            nn.Conv3d(2 * width, 2 * width, 3, padding=1),
            nn.GroupNorm(_GROUPS, 2 * width),
            nn.ReLU(),
        )
        self.head = nn.Linear(4 * width + len(CHANNELS) + 2 * features, outputs)
        nn.init.constant_(self.head.bias, _INITIAL_LOGIT)

    def forward(self, inputs: _Inputs) -> torch.Tensor:
        """Return outputs, shape (n, outputs)."""
        num_each = self.stem.out_channels // len(CHANNELS)
        is_seen = inputs.presence.repeat_interleave(num_each, dim=1)[:, :, None, None, None]
        # After the first layer, whose bias would else tell of an image that is not there. Zeros by
        # choice, not by product: what is not there may be anything.
        amounts = torch.relu(self.stem(inputs.images)).where(is_seen > 0, 0.0)
        features = [
            torch.log1p(amounts.sum(dim=(2, 3, 4))),
            amounts.amax(dim=(2, 3, 4)),
            self.patterns(amounts).mean(dim=(2, 3, 4)),
            inputs.presence,
            inputs.clinical,
        ]
        return torch.as_tensor(self.head(torch.cat(features, dim=1)))
