"""Missing modalities: what `petct-survival` learns from incomplete cases, beside complete ones.

Four invented hospitals: the largest has no CT, in the next most cases lack CT or PET, in the third
half of them lack the PET, and the smallest has all. Rounds of federated averaging go on in one
process, with the aggregator of the orchestrator. Each way of learning has the same patients, the
same seed and the same rounds; all are judged on the same patients, who were kept apart: with PET
and CT, and as they are where they come from.
"""

import io
import math
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from benchmarks.progress import say
from fedmq.imaging.cases import Case
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.learning.outcomes import read_outcomes
from fedmq.learning.plan import Ratio, Task
from fedmq.learning.plans.petct_survival import PetctSurvival, PetctSurvivalConfig
from fedmq.learning.survival import concordance
from fedmq.orchestrator.aggregation.fedavg import FedAvg
from fedmq.parameters import Parameters

LACKING: Final[Mapping[str, Mapping[str, float]]] = {
    "chu-lyon": {"CT": 1.0},
    "ghu-paris": {"CT": 0.6, "PET": 0.3},
    "umc-basel": {"PET": 0.5},
    "ico-nantes": {},
}
"""Site -> modality -> share of its cases without it; no case lacks both."""
DENSITY_EFFECT: Final = 0.7
"""Log hazard per standard deviation of what the CT alone shows; uptake, which the PET alone does,
has 0.68, and volume, which both do, 0.88."""
_LEARNT: Final = 0.5
"""So many times a site's usual cases are learnt from: 24, 20, 16 and 12."""
_KEPT: Final = 1.5
"""So many times its usual cases are kept apart."""
_ROUNDS: Final = 30
_SETTINGS: Final[Mapping[str, object]] = {"spacing_mm": 6.0, "shape": (20, 20, 20), "epochs": 2}
_BOOTSTRAPS: Final = 10_000

Figures = dict[str, object]
Ways = Mapping[str, Mapping[str, object]]
"""Name -> settings of the plan."""
COMPARED: Final[Ways] = {
    "learn": {},
    "learn_without_dropout": {"modality_dropout": 0.0},
    "complete": {"missing": "drop", "modality_dropout": 0.0},
    "complete_with_dropout": {"missing": "drop"},
    "complete_as_many_steps": {"missing": "drop", "modality_dropout": 0.0},
}
"""learn: as the plan is without settings; complete: complete-case training."""
DROPOUTS: Final[Ways] = {
    f"{name}_{round(100 * rate)}": {"missing": missing, "modality_dropout": rate}
    for name, missing in (("learn", "learn"), ("complete", "drop"))
    for rate in (0.0, 0.1, 0.2, 0.3, 0.5)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """The patients of one seed; site -> cases."""

    training: Mapping[str, Sequence[Case]]
    """As the sites have them."""
    kept: Mapping[str, Mapping[str, Sequence[Case]]]
    """Kept apart: `complete` all of them with PET and CT, `as_there` all as their sites have them,
    `incomplete` of these who lack one of the two."""


def measure(num_seeds: int, first: int, *, is_choice: bool = False) -> Figures:
    """Return C-indices over all seeds, and differences to complete-case training.

    With `is_choice` rates of dropout are compared instead, each with the plan's default.
    """
    began = time.perf_counter()
    ways = DROPOUTS if is_choice else COMPARED
    base = "complete_0" if is_choice else "complete"
    by_seed: list[Mapping[str, float]] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        seeds = range(first, first + num_seeds)
        for seed, found in zip(seeds, pool.map(partial(run_seed, ways=ways), seeds), strict=True):
            say(f"seed {seed}: " + ", ".join(f"{name} {one:.4f}" for name, one in found.items()))
            by_seed.append(found)
    figures: Figures = {"seeds": num_seeds, "first_seed": first, "rounds": _ROUNDS}
    for name in by_seed[0]:
        values = [found[name] for found in by_seed]
        figures[name] = round(statistics.mean(values), 4)
        way, _, cases = name.rpartition("_on_")
        if way == base:
            continue
        gains = [found[name] - found[f"{base}_on_{cases}"] for found in by_seed]
        low, high = interval_of_mean(gains, seed=first)
        figures[f"{way}_gain_on_{cases}"] = round(statistics.mean(gains), 4)
        figures[f"{way}_gain_on_{cases}_low"] = round(low, 4)
        figures[f"{way}_gain_on_{cases}_high"] = round(high, 4)
        figures[f"{way}_better_on_{cases}"] = sum(gain > 0 for gain in gains)
    return {**figures, "seconds": round(time.perf_counter() - began, 1)}


def run_seed(
    seed: int,
    *,
    ways: Ways,
    num_rounds: int = _ROUNDS,
    learnt: float = _LEARNT,
    kept: float = _KEPT,
) -> Mapping[str, float]:
    """Return the C-index of each way on each kind of cases: `WAY_on_complete`."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as folder:
        cohort = make_cohort(Path(folder), seed=seed, learnt=learnt, kept=kept)
        for name, settings in ways.items():
            config = PetctSurvivalConfig(**{**_SETTINGS, **settings})  # type: ignore[arg-type]
            if name.endswith("as_many_steps"):
                config = replace(config, epochs=_epochs_for_steps(cohort, config))
            plan = PetctSurvival(config)
            parameters = _federate(plan, cohort, seed=seed, num_rounds=num_rounds)
            for kind, cases in cohort.kept.items():
                ratio = _judge(plan, parameters, cases)
                found[f"{name}_on_{kind}"] = ratio.numerator / ratio.denominator
    return found


def make_cohort(folder: Path, *, seed: int, learnt: float, kept: float) -> Cohort:
    """Return invented patients of all sites, whose volumes are in `folder`."""
    training: dict[str, Sequence[Case]] = {}
    complete: dict[str, Sequence[Case]] = {}
    as_there: dict[str, Sequence[Case]] = {}
    for name, site in SITES.items():
        num_learnt, num_kept = (round(share * site.num_cases) for share in (learnt, kept))
        dense = replace(site, density_effect=DENSITY_EFFECT)
        write_cohort(dense, folder / name, num_cases=num_learnt + num_kept, seed=seed)
        cases = find_cases(folder / name)
        chance = Random(f"{seed}:{name}")
        lacking = [_lacking(case, LACKING[name], chance) for case in cases]
        training[name] = lacking[:num_learnt]
        complete[name] = cases[num_learnt:]
        as_there[name] = lacking[num_learnt:]
    incomplete: dict[str, Sequence[Case]] = {
        name: [case for case in cases if not _is_whole(case)] for name, cases in as_there.items()
    }
    kinds = {"complete": complete, "as_there": as_there, "incomplete": incomplete}
    return Cohort(training=training, kept=kinds)


def interval_of_mean(values: Sequence[float], *, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean over seeds, by the percentiles of bootstraps."""
    rng = np.random.default_rng(seed)
    means = rng.choice(np.array(values), size=(_BOOTSTRAPS, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _is_whole(case: Case) -> bool:
    return {"PET", "CT"} <= set(case.volumes)


def _lacking(case: Case, shares: Mapping[str, float], chance: Random) -> Case:
    """Return the case without at most one of its modalities."""
    lot = chance.random()
    for modality, share in shares.items():
        if lot < share:
            volumes = {name: path for name, path in case.volumes.items() if name != modality}
            return replace(case, volumes=volumes)
        lot -= share
    return case


def _federate(plan: PetctSurvival, cohort: Cohort, *, seed: int, num_rounds: int) -> Parameters:
    """Return the parameters after so many rounds of all sites that have a case to learn from."""
    parameters = plan.initial_parameters(seed)
    for number in range(1, num_rounds + 1):
        task = Task(seed=seed, round=number, report=lambda _share, _text: None)
        fits = []
        for site in sorted(cohort.training):
            cases = _usable(plan, cohort.training[site])
            if cases:
                with redirect_stderr(io.StringIO()):  # how long it took
                    fits.append(plan.train(parameters, cases, task))
        weights = [float(fit.num_cases) for fit in fits]
        parameters = {
            name: _fold(array, [fit.parameters[name] for fit in fits], weights)
            for name, array in parameters.items()
        }
    return parameters


def _fold(
    reference: np.ndarray, trained: Sequence[np.ndarray], weights: Sequence[float]
) -> np.ndarray:
    start = reference.astype(np.float64).ravel()
    updates = [array.astype(np.float64).ravel() - start for array in trained]
    folded = FedAvg().fold(start, updates, weights)
    return folded.reshape(reference.shape).astype(reference.dtype)


def _usable(plan: PetctSurvival, cases: Sequence[Case]) -> Sequence[Case]:
    if plan.config.missing == "learn":
        return cases
    return [case for case in cases if _is_whole(case)]


def _epochs_for_steps(cohort: Cohort, config: PetctSurvivalConfig) -> int:
    """Return how many epochs over complete cases have as many steps as those over all cases."""
    everybody = PetctSurvival(replace(config, missing="learn"))
    own = PetctSurvival(config)
    steps = [
        sum(math.ceil(len(_usable(plan, cases)) / config.batch_size) for cases in sites)
        for plan, sites in ((everybody, cohort.training.values()), (own, cohort.training.values()))
    ]
    return round(config.epochs * steps[0] / steps[1])


def _judge(
    plan: PetctSurvival, parameters: Parameters, sites: Mapping[str, Sequence[Case]]
) -> Ratio:
    """Return the C-index over pairs of patients of one site, summed over sites."""
    found = []
    for cases in sites.values():
        outcomes = read_outcomes(cases, time_column="pfs_months", event_column="progressed")
        risks = plan.predict(parameters, outcomes.cases)
        found.append(concordance(outcomes.times, outcomes.events, risks))
    return Ratio(
        numerator=sum(one.numerator for one in found),
        denominator=sum(one.denominator for one in found),
    )
