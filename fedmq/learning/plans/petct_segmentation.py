"""Lesions marked on PET and CT: MONAI's U-Net, trained on the Dice loss in one box per case.

Norms are per case (GroupNorm), never over a batch: statistics of a batch would be those of a site.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import torch
from monai.losses.dice import DiceLoss
from monai.networks.nets.unet import UNet
from pydantic import Field
from torch import nn

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.learning.case_arrays import CaseArrays, cases_with
from fedmq.learning.plan import Assessment, Fit, PlanConfig, Ratio, Task, TrainingPlan
from fedmq.learning.ranges import BatchSize, Epochs, LearningRate, Side, SpacingMm, Threads
from fedmq.learning.torch_training import (
    Schedule,
    build_seeded,
    load_into,
    prepare_torch,
    run_epochs,
    to_parameters,
)
from fedmq.parameters import Parameters

_GROUPS: Final = 4
_STRIDES: Final = (2, 2)
_DIVISOR: Final = 4
"""Of each side of the box: it is halved twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PetctSegmentationConfig(PlanConfig):
    """Images, network and descent."""

    shape: tuple[Side, Side, Side] = (32, 32, 32)
    spacing_mm: SpacingMm = 4.0
    width: Annotated[int, Field(ge=4, le=64, multiple_of=4)] = 8
    learning_rate: LearningRate = 0.003
    epochs: Epochs = 2
    batch_size: BatchSize = 4
    threads: Threads = 1

    def __post_init__(self) -> None:
        """Check that the box can be halved twice."""
        if any(side % _DIVISOR for side in self.shape):
            raise ConfigurationError(
                "shape does not fit the network",
                why=f"it is {list(self.shape)}, and each side is halved twice",
                fix=f"choose multiples of {_DIVISOR}",
            )


class PetctSegmentation(TrainingPlan):
    """The Dice of a site is the sum over its cases; only cases with a mask count."""

    name: ClassVar[str] = "petct-segmentation"
    config_class: ClassVar[type[PlanConfig]] = PetctSegmentationConfig
    modalities: ClassVar[tuple[str, ...]] = ("PET", "CT", "MASK")
    config: PetctSegmentationConfig

    def __init__(self, config: PetctSegmentationConfig) -> None:
        super().__init__(config)
        self._arrays = CaseArrays(shape=config.shape, spacing_mm=config.spacing_mm)
        self._loss = DiceLoss(sigmoid=True)

    def initial_parameters(self, seed: int) -> Parameters:
        """Return a new network's numbers."""
        return to_parameters(self._network(seed))

    def train(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Fit:
        """Return the network after `epochs` over the cases that have PET, CT and mask."""
        prepare_torch(task, threads=self.config.threads)
        usable = cases_with(cases, self.modalities)
        if not usable:
            raise DatasetError(
                "no case can train petct-segmentation",
                code="no_usable_case",
                why="none has PET, CT and mask",
                fix="add masks, or leave the experiment",
            )
        network = self._network(task.seed)
        load_into(network, parameters)

        def loss_of(batch: torch.Tensor) -> torch.Tensor:
            chosen = [usable[index] for index in batch.tolist()]
            images, masks = self._tensors(chosen)
            return torch.as_tensor(self._loss(network(images), masks))

        total = run_epochs(
            torch.optim.Adam(network.parameters(), lr=self.config.learning_rate),
            loss_of,
            num_cases=len(usable),
            schedule=Schedule(epochs=self.config.epochs, batch_size=self.config.batch_size),
            task=task,
        )
        return Fit(
            parameters=to_parameters(network),
            num_cases=len(usable),
            metrics={"loss": Ratio(numerator=total, denominator=float(len(usable)))},
        )

    @torch.no_grad()
    def evaluate(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Assessment:
        """Return loss and Dice over the cases that have PET, CT and mask."""
        prepare_torch(task, threads=self.config.threads)
        usable = cases_with(cases, self.modalities)
        network = self._network(task.seed)
        load_into(network, parameters)
        loss = dice = 0.0
        for case in usable:
            images, masks = self._tensors([case])
            logits = network(images)
            loss += float(self._loss(logits, masks))
            dice += dice_of(logits > 0.0, masks > 0.0)
        count = float(len(usable))
        return Assessment(
            num_cases=len(usable),
            metrics={
                "loss": Ratio(numerator=loss, denominator=count),
                "dice": Ratio(numerator=dice, denominator=count),
            },
        )

    def _network(self, seed: int) -> nn.Module:
        width = self.config.width
        network: nn.Module = build_seeded(
            lambda: UNet(
                spatial_dims=3,
                in_channels=2,
                out_channels=1,
                channels=(width, 2 * width, 4 * width),
                strides=_STRIDES,
                norm=("GROUP", {"num_groups": _GROUPS}),
            ),
            seed,
        )
        return network

    def _tensors(self, cases: Sequence[Case]) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            torch.from_numpy(self._arrays.images(cases)),
            torch.from_numpy(self._arrays.masks(cases)),
        )


def dice_of(marked: torch.Tensor, truth: torch.Tensor) -> float:
    """Return twice what both mark over what each marks; 1 where neither marks anything."""
    size = int(marked.sum()) + int(truth.sum())
    return 2.0 * int((marked & truth).sum()) / size if size else 1.0
