"""Survival from PET/CT: it learns, it repeats, and its losses are their formulas."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from fedmq.demo.show import COHORT_FACTOR, EXPERIMENT
from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.datasets import find_cases, split_cases
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.imaging.volumes import Volume
from fedmq.learning.configs import make_config
from fedmq.learning.plan import Fit, Task
from fedmq.learning.plans.petct_survival import (
    PetctSurvival,
    PetctSurvivalConfig,
    _Intervals,
    _Ranks,
)
from fedmq.learning.survival import interval_targets, risk_at
from tests.support.fields import ball, case_with

pytestmark = pytest.mark.training

TASK = Task(seed=1, round=1, report=lambda _share, _text: None)
SMALL = PetctSurvivalConfig(shape=(8, 8, 8), spacing_mm=12.0, width=4, epochs=1)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, ...]:
    """Return six cases of one site."""
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(SITES["umc-basel"], folder, num_cases=6, seed=1)
    return find_cases(folder)


def content(fit: Fit) -> dict[str, bytes]:
    """Return the bytes of each array."""
    return {name: array.tobytes() for name, array in fit.parameters.items()}


def test_the_cohort_of_the_demo_is_learnt_as_well_as_published_studies_are(
    tmp_path: Path,
) -> None:
    """All sites pooled, their validation cases: C-index 0.65 to 0.75, from no idea at all."""
    experiment = tomllib.loads(EXPERIMENT.format(rounds=10))
    seed, share = experiment["experiment"]["seed"], experiment["experiment"]["validation_share"]
    training: list[Case] = []
    validation: list[Case] = []
    for site in SITES.values():
        write_cohort(site, tmp_path / site.name, num_cases=COHORT_FACTOR * site.num_cases)
        found = find_cases(tmp_path / site.name)
        trains, validates = split_cases(found, seed=seed, validation_share=share)
        training += trains
        validation += validates
    config = make_config(PetctSurvival, {**experiment["config"], "epochs": 5})
    assert isinstance(config, PetctSurvivalConfig)
    plan = PetctSurvival(config)
    start = plan.initial_parameters(seed)
    fit = plan.train(start, training, TASK)
    before = plan.evaluate(start, validation, TASK).metrics
    after = plan.evaluate(fit.parameters, validation, TASK).metrics
    assert 0.65 <= after["c_index"].numerator / after["c_index"].denominator <= 0.75
    assert after["loss"].numerator < before["loss"].numerator


def test_all_of_the_body_is_seen_unless_the_hottest_voxel_is_asked_for(tmp_path: Path) -> None:
    """A lesion one way off the bladder changes the risk, or lies outside the box."""
    shape, affine = (12, 12, 60), np.diag([4.0, 4.0, 4.0, 1.0])
    bladder = ball(affine, shape, 30.0, centre=(20, 20, 30), radius=16.0).array
    lesion = ball(affine, shape, 15.0, centre=(20, 20, 210), radius=16.0).array
    cases = []
    for name, uptake in (("with", bladder + lesion), ("without", bladder)):
        (tmp_path / name).mkdir()
        volumes = {"PET": 1.0 + uptake, "CT": np.zeros(shape, np.float32)}
        cases.append(
            case_with(
                tmp_path / name,
                **{key: Volume(array=one, affine=affine) for key, one in volumes.items()},
            )
        )
    risks = {}
    for centre in ("body", "hottest"):
        values = {"centre": centre, "spacing_mm": 8.0, "shape": (8, 8, 36), "width": 4}
        if centre == "hottest":
            values["shape"] = (8, 8, 8)
        plan = PetctSurvival(PetctSurvivalConfig(**values))  # type: ignore[arg-type]
        risks[centre] = plan.predict(plan.initial_parameters(1), cases)
    assert risks["body"][0] != risks["body"][1]
    assert risks["hottest"][0] == risks["hottest"][1]


@pytest.mark.parametrize("loss", ["discrete", "cox"])
def test_the_same_task_gives_the_same_bits(cases: tuple[Case, ...], loss: str) -> None:
    """From a new plan as from one that has its arrays in memory; another seed differs."""
    values = {"shape": (8, 8, 8), "spacing_mm": 12.0, "width": 4, "loss": loss, "batch_size": 2}
    config = PetctSurvivalConfig(**values)  # type: ignore[arg-type]
    plan, other = PetctSurvival(config), PetctSurvival(config)
    start = plan.initial_parameters(3)
    first = content(plan.train(start, cases, TASK))
    assert first == content(plan.train(start, cases, TASK))
    assert first == content(other.train(other.initial_parameters(3), cases, TASK))
    assert first != content(plan.train(plan.initial_parameters(4), cases, TASK))
    result = plan.evaluate(start, cases, TASK)
    assert result.num_cases == 6
    assert result.metrics["c_index"].denominator > 0


def test_a_site_without_events_trains(cases: tuple[Case, ...]) -> None:
    """Living on is something to learn from, in discrete time."""
    censored = [
        Case(
            case_id=case.case_id,
            volumes=case.volumes,
            clinical={"pfs_months": "14", "progressed": "0"},
        )
        for case in cases
    ]
    plan = PetctSurvival(SMALL)
    start = plan.initial_parameters(1)
    fit = plan.train(start, censored, TASK)
    assert fit.num_cases == 6
    assert plan.predict(fit.parameters, censored).mean() < plan.predict(start, censored).mean()
    assert plan.evaluate(fit.parameters, censored, TASK).metrics["c_index"].denominator == 0.0


def test_cases_without_ct_or_outcome_are_left_out_and_counted_so(cases: tuple[Case, ...]) -> None:
    """The count that goes out is the count that spoke; nobody at all is said."""
    no_ct = Case(
        case_id=cases[0].case_id,
        volumes={"PET": cases[0].volumes["PET"]},
        clinical=cases[0].clinical,
    )
    no_row = Case(case_id=cases[1].case_id, volumes=cases[1].volumes, clinical={})
    plan = PetctSurvival(SMALL)
    start = plan.initial_parameters(1)
    assert plan.train(start, [no_ct, no_row, *cases[2:]], TASK).num_cases == 4
    with pytest.raises(DatasetError) as caught:
        plan.train(start, [no_ct], TASK)
    assert caught.value.code == "no_usable_case"
    assert plan.evaluate(start, [no_ct], TASK).num_cases == 0


def test_the_discrete_loss_is_the_log_likelihood() -> None:
    """By hand from hazards: an end in the second interval, a last visit after the first."""
    hazards = np.array([[0.2, 0.5, 0.3], [0.1, 0.4, 0.6]])
    ends, observed = interval_targets([4.0, 3.5], [True, False], (3.0, 6.0, 12.0))
    targets = _Intervals(ends=torch.from_numpy(ends), observed=torch.from_numpy(observed))
    logits = torch.from_numpy(np.log(hazards / (1 - hazards)))
    expected = -(np.log(0.8) + np.log(0.5) + np.log(0.9))
    assert float(targets.loss_sum(logits)) == pytest.approx(expected)
    np.testing.assert_allclose(risk_at(hazards, (3.0, 6.0, 12.0), 6.0), [0.6, 0.46])


def test_the_cox_loss_is_breslows() -> None:
    """By hand: two events, one of them tied with a censored case that is still at risk."""
    log_hazards = np.array([0.5, -0.3, 0.1])
    targets = _Ranks(times=torch.tensor([2.0, 5.0, 5.0]), events=torch.tensor([True, True, False]))
    e = np.exp(log_hazards)
    expected = -(0.5 - np.log(e.sum())) - (-0.3 - np.log(e[1] + e[2]))
    assert float(targets.loss_sum(torch.from_numpy(log_hazards)[:, None])) == pytest.approx(
        expected
    )


@pytest.mark.parametrize(
    "values",
    [{"cut_points_months": (6.0, 3.0, 12.0)}, {"horizon_months": 7.0}, {"cut_points_months": ()}],
)
def test_cut_points_rise_and_hold_the_horizon(values: dict[str, object]) -> None:
    """Refused before anything runs."""
    with pytest.raises(ConfigurationError):
        PetctSurvivalConfig(**values)  # type: ignore[arg-type]


class Unhurried(PetctSurvival):
    """The plan as it is where nothing is loaded ahead."""

    ahead = 0


@pytest.mark.parametrize("loss", ["discrete", "cox"])
def test_what_is_loaded_ahead_changes_no_bit(cases: tuple[Case, ...], loss: str) -> None:
    """Batches are those of the seed, whoever makes them and when."""
    values = {"shape": (8, 8, 8), "spacing_mm": 12.0, "width": 4, "loss": loss, "batch_size": 2}
    config = PetctSurvivalConfig(**values, epochs=3)  # type: ignore[arg-type]
    plan, unhurried = PetctSurvival(config), Unhurried(config)
    start = plan.initial_parameters(3)
    assert content(plan.train(start, cases, TASK)) == content(unhurried.train(start, cases, TASK))
    assert plan.evaluate(start, cases, TASK) == unhurried.evaluate(start, cases, TASK)


@pytest.mark.parametrize("plan_class", [PetctSurvival, Unhurried])
def test_a_case_that_cannot_be_read_is_named_whoever_reads_it(
    tmp_path: Path, plan_class: type[PetctSurvival]
) -> None:
    """The error of the loading thread is the one that a plain loop has."""
    write_cohort(SITES["umc-basel"], tmp_path, num_cases=4, seed=1)
    cases = find_cases(tmp_path)
    damaged = cases[2].volumes["PET"]
    damaged.write_bytes(damaged.read_bytes()[:100])
    plan = plan_class(SMALL)
    with pytest.raises(DatasetError) as caught:
        plan.train(plan.initial_parameters(1), cases, TASK)
    assert caught.value.case == cases[2].case_id


def test_another_layout_learns_as_much_in_other_bits_that_repeat(cases: tuple[Case, ...]) -> None:
    """Parameters lie as ever: an update of one site fits those of others."""
    values = {"shape": (8, 8, 8), "spacing_mm": 12.0, "width": 4, "epochs": 3, "batch_size": 2}
    plain = PetctSurvival(PetctSurvivalConfig(**values))  # type: ignore[arg-type]
    other = PetctSurvival(
        PetctSurvivalConfig(**values, memory_format="channels_last")  # type: ignore[arg-type]
    )
    start = plain.initial_parameters(1)
    as_ever, fit = plain.train(start, cases, TASK), other.train(start, cases, TASK)
    assert content(fit) != content(as_ever)
    assert content(fit) == content(other.train(start, cases, TASK))
    assert {array.dtype for array in fit.parameters.values()} == {np.dtype(np.float32)}
    assert all(array.flags.c_contiguous for array in fit.parameters.values())
    loss = as_ever.metrics["loss"].numerator
    assert fit.metrics["loss"].numerator == pytest.approx(loss, rel=0.02)
    np.testing.assert_allclose(
        other.predict(start, cases), plain.predict(start, cases), rtol=0.05, atol=0.0
    )
