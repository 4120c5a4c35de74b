"""Lesions on PET/CT: it learns to mark them, it repeats, and Dice is its formula."""

from pathlib import Path

import pytest
import torch

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.datasets import find_cases, split_cases
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.learning.plan import Task
from fedmq.learning.plans.petct_segmentation import (
    PetctSegmentation,
    PetctSegmentationConfig,
    dice_of,
)
from fedmq.parameters import parameters_bytes

pytestmark = pytest.mark.training

TASK = Task(seed=1, round=1, report=lambda _share, _text: None)
SMALL = PetctSegmentationConfig(shape=(8, 8, 8), spacing_mm=12.0, width=4, epochs=1)


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
            shape=(24, 24, 24), spacing_mm=5.0, width=4, epochs=15, learning_rate=0.01
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


def test_cases_without_a_mask_are_left_out_and_counted_so(cases: tuple[Case, ...]) -> None:
    """A site of which nobody has a mask says so."""
    bare = Case(
        case_id=cases[0].case_id,
        volumes={modality: cases[0].volumes[modality] for modality in ("PET", "CT")},
        clinical={},
    )
    plan = PetctSegmentation(SMALL)
    start = plan.initial_parameters(1)
    assert plan.train(start, [bare, *cases[1:3]], TASK).num_cases == 2
    assert plan.evaluate(start, [bare], TASK).num_cases == 0
    with pytest.raises(DatasetError) as caught:
        plan.train(start, [bare], TASK)
    assert caught.value.code == "no_usable_case"


def test_dice_is_twice_the_common_over_the_sum() -> None:
    """Two of three and two of two: 4 / 5; nothing on both sides is right."""
    marked = torch.tensor([True, True, True, False])
    truth = torch.tensor([True, True, False, False])
    nothing = torch.zeros(4, dtype=torch.bool)
    assert dice_of(marked, truth) == pytest.approx(0.8)
    assert dice_of(marked, nothing) == 0.0
    assert dice_of(nothing, nothing) == 1.0


def test_a_box_that_cannot_be_halved_twice_is_refused() -> None:
    """Before anything runs, not inside the network."""
    with pytest.raises(ConfigurationError):
        PetctSegmentationConfig(shape=(24, 24, 30))
