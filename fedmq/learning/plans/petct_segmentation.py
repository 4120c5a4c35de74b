"""Lesions marked on PET and CT: MONAI's U-Net, trained on patches, judged on whole volumes.

Patches are drawn around lesions and anywhere else in the body; the validation cases are gone
through window by window, so that a lesion counts wherever it lies, and so does what is marked
where there is none. A case without CT is learnt from and judged as well: the mask is drawn on the
PET, and in place of the CT there are zeros. Norms are per patch (GroupNorm), never over a batch:
statistics of a batch would be those of a site.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from monai.losses.dice import DiceCELoss
from monai.networks.nets.unet import UNet
from pydantic import Field
from torch import nn

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.patches import Patch, draw_patches
from fedmq.imaging.preprocessing import CHANNELS, Frame, PreparedCase
from fedmq.imaging.stored import StoredCase
from fedmq.learning.augmentation import augment
from fedmq.learning.case_arrays import CaseArrays, cases_with, readers_of
from fedmq.learning.modalities import Modalities
from fedmq.learning.plan import Assessment, Fit, PlanConfig, Ratio, Task, TrainingPlan
from fedmq.learning.presence import count_present, find_presence
from fedmq.learning.ranges import (
    BatchSize,
    Epochs,
    LearningRate,
    Share,
    Sides,
    Spacing,
)
from fedmq.learning.reading import AHEAD, Reader
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
_STRIDES: Final = (2, 2)
_DIVISOR: Final = 4
"""Of each side of a patch: it is halved twice."""
_WINDOWS_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PetctSegmentationConfig(PlanConfig):
    """Images, network and descent."""

    spacing_mm: Spacing = 4.0
    patch: Sides = (48, 48, 48)
    """Voxels of what the network sees at once."""
    patches_per_case: Annotated[int, Field(ge=1, le=256)] = 4
    """Drawn anew in each epoch."""
    lesion_share: Share = 0.5
    """Of patches: around a voxel of the mask; the others are anywhere in the body."""
    augment: bool = False
    """Whether patches are turned, scaled, flipped, and made noisy, each time in another way."""
    overlap: Annotated[float, Field(ge=0.0, le=0.9, allow_inf_nan=False)] = 0.25
    """Of neighbouring windows, as a share of the patch, where whole volumes are judged."""
    width: Annotated[int, Field(ge=4, le=64, multiple_of=4)] = 8
    learning_rate: LearningRate = 0.003
    epochs: Epochs = 2
    batch_size: BatchSize = 2
    """Cases to a step; each gives its patches."""
    memory_format: MemoryFormat = "contiguous"

    def __post_init__(self) -> None:
        """Check that a patch can be halved twice."""
        if any(side % _DIVISOR for side in self.patch):
            raise ConfigurationError(
                "patch does not fit the network",
                why=f"it is {list(self.patch)}, and each side is halved twice",
                fix=f"choose multiples of {_DIVISOR}",
            )


class PetctSegmentation(TrainingPlan):
    """The Dice of a site is the sum over its cases; only cases with a mask count."""

    name: ClassVar[str] = "petct-segmentation"
    config_class: ClassVar[type[PlanConfig]] = PetctSegmentationConfig
    modalities: ClassVar[Modalities] = ("PET", "MASK")
    optional_modalities: ClassVar[tuple[str, ...]] = ("CT",)
    ahead: ClassVar[int] = AHEAD
    """Batches that are loaded before they are due; the bits are the same with 0."""
    config: PetctSegmentationConfig

    def __init__(self, config: PetctSegmentationConfig) -> None:
        super().__init__(config)
        self._arrays = CaseArrays(Frame(spacing_mm=config.spacing_mm), with_masks=True)
        # Dice of a batch as a whole, and cross entropy: a patch without a lesion has no Dice of
        # its own to learn from.
        self._loss = DiceCELoss(sigmoid=True, batch=True)

    def initial_parameters(self, seed: int) -> Parameters:
        """Return a new network's numbers."""
        return to_parameters(self._network(seed))

    def train(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Fit:
        """Return the network after `epochs` over patches of the cases that have PET and mask."""
        usable = cases_with(cases, self.modalities)
        if not usable:
            raise DatasetError(
                "no case can train petct-segmentation",
                code="no_usable_case",
                why="none has PET and mask",
                fix="add masks, or leave the experiment",
            )
        network, descent = self.descend(parameters, usable, task)
        return Fit(
            parameters=to_parameters(network),
            num_cases=len(usable),
            metrics={
                "loss": Ratio(numerator=descent.loss, denominator=float(len(usable))),
                **count_present(find_presence(usable, CHANNELS), CHANNELS),
            },
        )

    def descend(
        self, parameters: Parameters, usable: Sequence[Case], task: Task
    ) -> tuple[nn.Module, Descent]:
        """Return the network after `epochs` over cases with PET and mask, of which there is one."""
        prepare_torch(task)
        network = self._network(task.seed)
        load_into(network, parameters)
        rng = np.random.default_rng(derive_seed(task))

        def load(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            of_batch = [usable[index] for index in batch.tolist()]
            return self._draw(self._arrays.stored_all(of_batch, num_readers=readers_of(task)), rng)

        def loss_of(drawn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
            images, masks = drawn
            return torch.as_tensor(self._loss(network(images), masks))

        descent = run_epochs(
            torch.optim.Adam(network.parameters(), lr=self.config.learning_rate),
            load,
            loss_of,
            num_cases=len(usable),
            schedule=Schedule(
                epochs=self.config.epochs, batch_size=self.config.batch_size, ahead=self.ahead
            ),
            task=task,
        )
        return network, descent

    @torch.no_grad()
    def evaluate(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Assessment:
        """Return loss and Dice, both over all voxels of each case that has PET and mask."""
        prepare_torch(task)
        usable = cases_with(cases, self.modalities)
        network = self._network(task.seed)
        load_into(network, parameters)
        loss = dice = 0.0
        with Reader(self._arrays.read, usable, ahead=self.ahead) as reader:
            for prepared in reader:
                logits, mask = self._judge(network, prepared)
                loss += float(self._loss(logits, mask.float()))
                dice += dice_of(logits > 0.0, mask)
        count = float(len(usable))
        return Assessment(
            num_cases=len(usable),
            metrics={
                "loss": Ratio(numerator=loss, denominator=count),
                "dice": Ratio(numerator=dice, denominator=count),
                **count_present(find_presence(usable, CHANNELS), CHANNELS),
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
        return lay_network(network, self.config.memory_format)

    def _draw(
        self, cases: Sequence[StoredCase], rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return patches of the cases and their masks, n patches of `patches_per_case` a case."""
        patches: list[Patch] = []
        for case in cases:
            patches += draw_patches(
                case,
                self.config.patch,
                count=self.config.patches_per_case,
                lesion_share=self.config.lesion_share,
                rng=rng,
            )
        images = torch.from_numpy(np.stack([patch.images for patch in patches]))
        masks = torch.from_numpy(np.stack([patch.mask[np.newaxis] for patch in patches]))
        if self.config.augment:
            images, masks = augment(images, masks.float(), rng, spacing_mm=self.config.spacing_mm)
        return lay_images(images, self.config.memory_format), masks.float()

    def _judge(
        self, network: nn.Module, prepared: PreparedCase
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and mask of a whole case, both of shape (1, 1, X, Y, Z)."""
        # torch.tensor copies: the arrays that are kept are read-only.
        logits = sliding_window_inference(
            torch.tensor(prepared.images[np.newaxis]),
            self.config.patch,
            _WINDOWS_AT_ONCE,
            lambda windows: network(lay_images(windows, self.config.memory_format)),
            overlap=self.config.overlap,
            mode="gaussian",
        )
        return torch.as_tensor(logits), torch.tensor(prepared.mask)[None, None]


def dice_of(marked: torch.Tensor, truth: torch.Tensor) -> float:
    """Return twice what both mark over what each marks; 1 where neither marks anything."""
    size = int(marked.sum()) + int(truth.sum())
    return 2.0 * int((marked & truth).sum()) / size if size else 1.0
