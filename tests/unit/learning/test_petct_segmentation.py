"""Lesions on PET/CT: it learns to mark them wherever they lie, it repeats, Dice is its formula."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.datasets import find_cases, split_cases
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.imaging.volumes import Volume
from fedmq.learning.plan import Ratio, Task
from fedmq.learning.plans.petct_segmentation import (
    PetctSegmentation,
    PetctSegmentationConfig,
    dice_of,
)
from fedmq.parameters import parameters_bytes
from tests.support.fields import ball, case_with

pytestmark = pytest.mark.training

TASK = Task(seed=1, round=1, report=lambda _share, _text: None)
SMALL = PetctSegmentationConfig(
    spacing_mm=12.0, patch=(8, 8, 8), patches_per_case=2, width=4, epochs=1
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, ...]:
    """Return eight cases of each of two sites."""
    folder: Path = tmp_path_factory.mktemp("cohorts")
    for name in ("umc-basel", "chu-lyon"):
        write_cohort(SITES[name], folder / name, num_cases=8, seed=1)
    return (*find_cases(folder / "umc-basel"), *find_cases(folder / "chu-lyon"))


def test_it_learns_to_mark_the_lesions_of_other_patients(cases: tuple[Case, ...]) -> None:
    """Dice over 0.5 on the cases left out, from a network that marked at random."""
    training, validation = split_cases(cases, seed=1, validation_share=0.3)
    plan = PetctSegmentation(
        PetctSegmentationConfig(
            spacing_mm=5.0, patch=(16, 16, 16), width=4, epochs=10, learning_rate=0.01
        )
    )
    start = plan.initial_parameters(1)
    fit = plan.train(start, training, TASK)
    before = plan.evaluate(start, validation, TASK).metrics["dice"]
    after = plan.evaluate(fit.parameters, validation, TASK).metrics["dice"]
    assert before.denominator == after.denominator == len(validation)
    assert before.numerator < 0.3 * before.denominator
    assert after.numerator > 0.5 * after.denominator


def test_the_same_task_gives_the_same_bits(cases: tuple[Case, ...]) -> None:
    """From a new plan as from one that has its arrays in memory."""
    plan, other = PetctSegmentation(SMALL), PetctSegmentation(SMALL)
    start = plan.initial_parameters(3)
    first = parameters_bytes(plan.train(start, cases, TASK).parameters)
    assert first == parameters_bytes(plan.train(start, cases, TASK).parameters)
    assert first == parameters_bytes(
        other.train(other.initial_parameters(3), cases, TASK).parameters
    )


def test_augmented_training_repeats_to_the_bit_and_is_another_one(cases: tuple[Case, ...]) -> None:
    """What is drawn for it comes from the task's seed, whoever reads ahead."""
    plan = PetctSegmentation(replace(SMALL, augment=True))
    start = plan.initial_parameters(3)
    first = parameters_bytes(plan.train(start, cases[:4], TASK).parameters)
    other = PetctSegmentation(replace(SMALL, augment=True))
    other.ahead = 0  # type: ignore[misc]  # of this one alone
    assert first == parameters_bytes(other.train(start, cases[:4], TASK).parameters)
    without = PetctSegmentation(SMALL).train(start, cases[:4], TASK)
    assert first != parameters_bytes(without.parameters)


def test_cases_without_a_mask_are_left_out_and_counted_so(cases: tuple[Case, ...]) -> None:
    """A site of which nobody has a mask says so."""
    bare = lacking(cases[0], "MASK")
    plan = PetctSegmentation(SMALL)
    start = plan.initial_parameters(1)
    assert plan.train(start, [bare, *cases[1:3]], TASK).num_cases == 2
    assert plan.evaluate(start, [bare], TASK).num_cases == 0
    with pytest.raises(DatasetError) as caught:
        plan.train(start, [bare], TASK)
    assert caught.value.code == "no_usable_case"


def test_a_case_without_ct_is_learnt_from_judged_and_counted(cases: tuple[Case, ...]) -> None:
    """A site without CT takes part; one without PET does not, whose masks are drawn on it."""
    plan = PetctSegmentation(SMALL)
    start = plan.initial_parameters(1)
    given = [lacking(cases[0], "CT"), lacking(cases[1], "PET"), *cases[2:4]]
    fit, assessment = plan.train(start, given, TASK), plan.evaluate(start, given, TASK)
    assert fit.num_cases == assessment.num_cases == 3
    for metrics in (fit.metrics, assessment.metrics):
        assert metrics["with_ct"] == Ratio(numerator=2.0, denominator=3.0)
        assert metrics["with_pet"] == Ratio(numerator=3.0, denominator=3.0)
    alone = plan.evaluate(start, given[:1], TASK)
    assert alone.metrics["dice"].denominator == 1.0
    assert alone.metrics["loss"] != plan.evaluate(start, cases[:1], TASK).metrics["loss"]


def lacking(case: Case, name: str) -> Case:
    """Return the case without one of its modalities."""
    return replace(case, volumes={key: one for key, one in case.volumes.items() if key != name})


def test_dice_is_twice_the_common_over_the_sum() -> None:
    """Two of three and two of two: 4 / 5; nothing on both sides is right."""
    marked = torch.tensor([True, True, True, False])
    truth = torch.tensor([True, True, False, False])
    nothing = torch.zeros(4, dtype=torch.bool)
    assert dice_of(marked, truth) == pytest.approx(0.8)
    assert dice_of(marked, nothing) == 0.0
    assert dice_of(nothing, nothing) == 1.0


class _Threshold(nn.Module):
    """Marks uptake over SUV 5, where a trained network would mark lesions."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[Sequence[int]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits of the windows, shape (n, 1, X, Y, Z)."""
        self.shapes += [images.shape[2:] for _ in images]
        return 100.0 * (images[:, :1] - 5.0 / 20.0)


class _MarksUptake(PetctSegmentation):
    """The plan, with a network that needs no training."""

    def __init__(self, config: PetctSegmentationConfig) -> None:
        super().__init__(config)
        self.network = _Threshold()

    def _network(self, seed: int) -> nn.Module:  # noqa: ARG002 - it has no numbers
        return self.network


def test_a_lesion_far_from_the_hottest_voxel_is_in_the_dice(tmp_path: Path) -> None:
    """A bladder at one end, marked in vain, and a lesion at the other: 2 L / (2 L + B)."""
    shape, affine = (20, 20, 75), np.diag([4.0, 4.0, 4.0, 1.0])
    lesion = ball(affine, shape, 10.0, centre=(40, 40, 260), radius=15.0)
    bladder = ball(affine, shape, 30.0, centre=(30, 30, 30), radius=20.0)
    case = case_with(
        tmp_path,
        PET=Volume(array=1.0 + lesion.array + bladder.array, affine=affine),
        CT=Volume(array=np.zeros(shape, np.float32), affine=affine),
        MASK=Volume(array=np.float32(lesion.array > 0), affine=affine),
    )
    plan = _MarksUptake(PetctSegmentationConfig(spacing_mm=4.0, patch=(16, 16, 16)))
    dice = plan.evaluate({}, [case], TASK).metrics["dice"]
    size, in_vain = (int((one.array > 0).sum()) for one in (lesion, bladder))
    assert dice.denominator == 1.0
    assert dice.numerator == pytest.approx(2 * size / (2 * size + in_vain))
    # Windows of 16 that begin every 12 voxels: 2, 2 and 6 of them reach all of 20, 20 and 75.
    assert plan.network.shapes == [(16, 16, 16)] * 2 * 2 * 6


def test_another_round_draws_other_patches(cases: tuple[Case, ...]) -> None:
    """Of one case, whose order cannot differ; the seed of the network is the same."""
    plan = PetctSegmentation(SMALL)
    start = plan.initial_parameters(1)
    other = Task(seed=1, round=2, report=TASK.report)
    fits = [plan.train(start, cases[:1], task) for task in (TASK, other)]
    assert parameters_bytes(fits[0].parameters) != parameters_bytes(fits[1].parameters)


def test_a_patch_that_cannot_be_halved_twice_is_refused() -> None:
    """Before anything runs, not inside the network."""
    with pytest.raises(ConfigurationError):
        PetctSegmentationConfig(patch=(24, 24, 30))


class Unhurried(PetctSegmentation):
    """The plan as it is where nothing is loaded ahead."""

    ahead = 0


class Hasty(PetctSegmentation):
    """The plan with more loaded ahead than there is."""

    ahead = 50


def test_what_is_loaded_ahead_changes_no_bit(cases: tuple[Case, ...]) -> None:
    """Patches are drawn by one generator, in the order in which they are learned from."""
    config = PetctSegmentationConfig(
        spacing_mm=12.0, patch=(8, 8, 8), patches_per_case=2, width=4, epochs=3
    )
    start = PetctSegmentation(config).initial_parameters(1)
    fits = [
        plan_class(config).train(start, cases, TASK)
        for plan_class in (PetctSegmentation, Unhurried, Hasty)
    ]
    assert len({parameters_bytes(fit.parameters) for fit in fits}) == 1
    assert len({fit.metrics["loss"] for fit in fits}) == 1
    judged = [
        plan_class(config).evaluate(start, cases, TASK)
        for plan_class in (PetctSegmentation, Unhurried, Hasty)
    ]
    assert judged[0] == judged[1] == judged[2]


def test_another_layout_learns_as_much_in_other_bits_that_repeat(cases: tuple[Case, ...]) -> None:
    """Parameters lie as ever: an update of one site fits those of others."""
    values = {"spacing_mm": 12.0, "patch": (8, 8, 8), "width": 4, "epochs": 3}
    plain = PetctSegmentation(PetctSegmentationConfig(**values))  # type: ignore[arg-type]
    other = PetctSegmentation(
        PetctSegmentationConfig(**values, memory_format="channels_last")  # type: ignore[arg-type]
    )
    start = plain.initial_parameters(1)
    assert parameters_bytes(start) == parameters_bytes(other.initial_parameters(1))
    as_ever, fit = plain.train(start, cases, TASK), other.train(start, cases, TASK)
    assert parameters_bytes(fit.parameters) != parameters_bytes(as_ever.parameters)
    again = other.train(start, cases, TASK)
    assert parameters_bytes(fit.parameters) == parameters_bytes(again.parameters)
    assert {array.dtype for array in fit.parameters.values()} == {np.dtype(np.float32)}
    assert all(array.flags.c_contiguous for array in fit.parameters.values())
    loss = as_ever.metrics["loss"].numerator
    assert fit.metrics["loss"].numerator == pytest.approx(loss, rel=0.02)
    judged = plain.evaluate(start, cases, TASK).metrics["loss"].numerator
    assert other.evaluate(start, cases, TASK).metrics["loss"].numerator == pytest.approx(
        judged, rel=0.02
    )
