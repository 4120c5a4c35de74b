"""Survival from PET/CT: it learns, it repeats, and its losses are their formulas."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch

from fedmq.demo.show import COHORT_FACTOR, EXPERIMENT
from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.datasets import find_cases, split_cases
from fedmq.imaging.preprocessing import CHANNELS
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.imaging.volumes import Volume
from fedmq.learning.configs import make_config
from fedmq.learning.plan import Fit, Task
from fedmq.learning.plans.petct_survival import (
    PetctSurvival,
    PetctSurvivalConfig,
    _Inputs,
    _Intervals,
    _Ranks,
)
from fedmq.learning.survival import interval_targets, risk_at
from tests.support.fields import ball, case_with

pytestmark = pytest.mark.training

TASK = Task(seed=1, round=1, report=lambda _share, _text: None)
SMALL = PetctSurvivalConfig(shape=(8, 8, 8), spacing_mm=12.0, width=4, epochs=1)
CLINICAL: Final[dict[str, Any]] = {
    "clinical_features": ("age", "ecog"),
    "clinical_centres": (65.0, 1.0),
    "clinical_scales": (10.0, 1.0),
}


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
        # One at a time: threads may share a batch, and then equal images are added up otherwise.
        parameters = plan.initial_parameters(1)
        risks[centre] = [plan.predict(parameters, [case])[0] for case in cases]
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


def lacking(case: Case, *names: str) -> Case:
    """Return the case without these modalities."""
    volumes = {name: path for name, path in case.volumes.items() if name not in names}
    return replace(case, volumes=volumes)


def test_cases_without_image_or_outcome_are_left_out_and_counted_so(
    cases: tuple[Case, ...],
) -> None:
    """The count that goes out is the count that spoke; nobody at all is said."""
    no_ct, no_image = lacking(cases[0], "CT"), lacking(cases[1], "CT", "PET")
    no_row = replace(cases[2], clinical={})
    given = [no_ct, no_image, no_row, *cases[3:]]
    plan = PetctSurvival(SMALL)
    start = plan.initial_parameters(1)
    fit, assessment = plan.train(start, given, TASK), plan.evaluate(start, given, TASK)
    assert fit.num_cases == assessment.num_cases == 4
    for metrics in (fit.metrics, assessment.metrics):
        counts = {name: (one.numerator, one.denominator) for name, one in metrics.items()}
        assert counts["with_pet"] == (4.0, 4.0)
        assert counts["with_ct"] == (3.0, 4.0)
        assert counts["left_out_no_image"] == counts["left_out_no_outcome"] == (1.0, 6.0)
        assert counts["left_out_incomplete"] == (0.0, 6.0)
    with pytest.raises(DatasetError) as caught:
        plan.train(start, [no_image], TASK)
    assert caught.value.code == "no_usable_case"
    assert plan.evaluate(start, [no_image], TASK).num_cases == 0


def test_complete_cases_alone_are_learnt_from_where_that_is_asked_for(
    cases: tuple[Case, ...],
) -> None:
    """What others are compared with: the same bits as if the other cases were not there."""
    plan = PetctSurvival(replace(SMALL, missing="drop"))
    start = plan.initial_parameters(1)
    fit = plan.train(start, [lacking(cases[0], "CT"), *cases[1:]], TASK)
    assert fit.num_cases == 5
    assert fit.metrics["left_out_incomplete"].numerator == 1.0
    assert content(fit) == content(plan.train(start, cases[1:], TASK))


@pytest.mark.parametrize("absent", ["PET", "CT"])
def test_what_an_absent_image_holds_never_matters(absent: str) -> None:
    """Not even where it is no number; what is there does, and so does that the other is not."""
    plan = PetctSurvival(SMALL)
    network = plan._network(1)
    generator = torch.Generator().manual_seed(1)
    channel = CHANNELS.index(absent)
    presence = torch.ones(3, 2)
    presence[:, channel] = 0.0
    outputs = []
    for content_of_absent in (0.0, 1.0, torch.nan):
        images = torch.rand((3, 2, 8, 8, 8), generator=generator.manual_seed(2))
        images[:, channel] = content_of_absent
        inputs = _Inputs(images=images, presence=presence, clinical=torch.zeros(3, 0))
        outputs.append(network(inputs))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    whole = _Inputs(
        images=torch.rand((3, 2, 8, 8, 8), generator=generator.manual_seed(2)),
        presence=torch.ones(3, 2),
        clinical=torch.zeros(3, 0),
    )
    assert outputs[0].shape == network(whole).shape
    assert not torch.equal(outputs[0], network(whole))


def test_all_that_is_there_is_learnt_from() -> None:
    """Each array has a gradient; the stem of what is absent has none at all."""
    plan = PetctSurvival(replace(SMALL, **CLINICAL))
    network = plan._network(1)
    images = torch.rand((4, 2, 8, 8, 8), generator=torch.Generator().manual_seed(1))
    clinical = torch.tensor([[0.5, 0.0, 1.0, 0.0]] * 4)
    for absent in (None, 0, 1):
        presence = torch.ones(4, 2)
        if absent is not None:
            presence[:, absent] = 0.0
        network.zero_grad()
        network(
            _Inputs(images=images, presence=presence, clinical=clinical)
        ).square().sum().backward()
        gradients = {name: one.grad for name, one in network.named_parameters()}
        assert all(one is not None and one.abs().sum() > 0 for one in gradients.values())
        by_channel = gradients["stem.weight"].reshape(2, -1).abs().sum(dim=1)  # type: ignore[union-attr]
        assert (by_channel > 0).tolist() == [absent != 0, absent != 1]
        told = gradients["head.weight"][:, 16:18].abs().sum(dim=0)  # type: ignore[index]
        assert (told > 0).tolist() == [absent != 0, absent != 1]


def test_what_is_dropped_comes_from_the_task_alone(cases: tuple[Case, ...]) -> None:
    """The same task loses the same; another rate or round is other bits; nothing is lost of one."""
    often = PetctSurvival(replace(SMALL, modality_dropout=1.0))
    never = PetctSurvival(replace(SMALL, modality_dropout=0.0))
    start = often.initial_parameters(1)
    first = content(often.train(start, cases, TASK))
    assert first == content(often.train(start, cases, TASK))
    assert first != content(never.train(start, cases, TASK))
    alone = [lacking(case, "CT") for case in cases]
    assert content(often.train(start, alone, TASK)) == content(never.train(start, alone, TASK))
    # Nobody is judged with less than there is.
    assert often.evaluate(start, cases, TASK) == never.evaluate(start, cases, TASK)


def test_clinical_features_change_the_risk_and_may_be_missing(cases: tuple[Case, ...]) -> None:
    """A case with nothing else is learnt from too, and a missing cell is not the centre."""
    plan = PetctSurvival(replace(SMALL, **CLINICAL))
    start = plan.initial_parameters(1)
    rows = ({"age": "65", "ecog": "1"}, {"age": "85", "ecog": "1"}, {"age": "", "ecog": "1"})
    variants = [replace(cases[0], clinical={**cases[0].clinical, **row}) for row in rows]
    assert len(set(plan.predict(start, variants).tolist())) == 3
    bare = lacking(cases[0], "PET", "CT", "MASK")
    fit = plan.train(start, [bare, *cases[1:]], TASK)
    assert fit.num_cases == 6
    assert fit.metrics["with_pet"].numerator == 5.0
    assert fit.metrics["with_clinical"].numerator == 6.0
    assert np.isfinite(plan.predict(fit.parameters, [bare])).all()


def test_a_site_without_ct_learns_to_rank_its_cases(tmp_path: Path) -> None:
    """By PET alone, and by CT alone: the loss of the cases that it learns from falls."""
    write_cohort(SITES["chu-lyon"], tmp_path, num_cases=16, seed=1)
    found = find_cases(tmp_path)
    plan = PetctSurvival(
        PetctSurvivalConfig(shape=(12, 12, 12), spacing_mm=8.0, width=4, epochs=15)
    )
    start = plan.initial_parameters(1)
    for absent in ("PET", "CT"):
        alone = [lacking(case, absent) for case in found]
        fit = plan.train(start, alone, TASK)
        before, after = (
            plan.evaluate(one, alone, TASK).metrics["loss"].numerator
            for one in (start, fit.parameters)
        )
        assert after < 0.95 * before


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
    [
        {"cut_points_months": (6.0, 3.0, 12.0)},
        {"horizon_months": 7.0},
        {"cut_points_months": ()},
        {"clinical_features": ("age",)},
    ],
)
def test_cut_points_rise_and_hold_the_horizon_and_features_have_scales(
    values: dict[str, object],
) -> None:
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
