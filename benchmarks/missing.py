"""Missing modalities: what `petct-survival` learns from incomplete cases, beside complete ones.

Four invented hospitals. `sites`: two have no CT, one has no PET, the smallest has both. `cases`:
the largest has no CT, in the next most cases lack CT or PET, in the third half of them lack the
PET, and the smallest has all. Rounds of federated averaging go on in one process, with the
aggregator of the orchestrator. Each way of learning has the same patients, the same seed and the
same rounds; all are judged on the same patients, who were kept apart: with PET and CT, and as they
are where they come from.

How many rounds are best differs: few patients are soon learnt by heart. So each way is judged after
several numbers of rounds, and a way after all of them also beside complete-case training at the
number that turned out best for that, on average over the seeds: nobody knows it beforehand.
"""

import io
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
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

Lacking = Mapping[str, Mapping[str, float]]
"""Site -> modality -> share of its cases without it; no case lacks both."""
SCENARIOS: Final[Mapping[str, Lacking]] = {
    "sites": {
        "chu-lyon": {"CT": 1.0},
        "ghu-paris": {"PET": 1.0},
        "umc-basel": {"CT": 1.0},
        "ico-nantes": {},
    },
    "cases": {
        "chu-lyon": {"CT": 1.0},
        "ghu-paris": {"CT": 0.6, "PET": 0.3},
        "umc-basel": {"PET": 0.5},
        "ico-nantes": {},
    },
}
DENSITY_EFFECT: Final = 0.7
"""Log hazard per standard deviation of what the CT alone shows; uptake, which the PET alone does,
has 0.68, and volume, which both do, 0.88."""
_LEARNT: Final = 0.5
"""So many times a site's usual cases are learnt from: 24, 20, 16 and 12."""
_KEPT: Final = 1.5
"""So many times its usual cases are kept apart."""
_ROUNDS: Final = (5, 10, 20, 30, 45, 60)
"""After these all ways are judged."""
_LAST: Final = _ROUNDS[-1]
KINDS: Final = ("complete", "as_there", "incomplete")
_SETTINGS: Final[Mapping[str, object]] = {"spacing_mm": 6.0, "shape": (20, 20, 20), "epochs": 2}
_BOOTSTRAPS: Final = 10_000

Figures = dict[str, object]
Ways = Mapping[str, Mapping[str, object]]
"""Name -> settings of the plan."""
BASE: Final = "complete"
COMPARED: Final[Ways] = {
    "learn": {},
    "learn_without_dropout": {"modality_dropout": 0.0},
    BASE: {"missing": "drop", "modality_dropout": 0.0},
}
"""learn: as the plan is without settings; complete: complete-case training."""
DROPOUTS: Final[Ways] = {
    **{f"learn_{round(100 * rate)}": {"modality_dropout": rate} for rate in (0.0, 0.1, 0.3, 0.5)},
    BASE: COMPARED[BASE],
}

Judged = Mapping[tuple[str, str, int], float]
"""C-index by way, kind of cases, rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """The patients of one seed; site -> cases."""

    training: Mapping[str, Sequence[Case]]
    """As the sites have them."""
    kept: Mapping[str, Mapping[str, Sequence[Case]]]
    """Kept apart: `complete` all of them with PET and CT, `as_there` all as their sites have them,
    `incomplete` of these who lack one of the two."""


def measure(
    num_seeds: int, first: int, *, scenario: str = "sites", is_choice: bool = False
) -> Figures:
    """Return C-indices over all seeds, and differences to complete-case training.

    With `is_choice` rates of dropout are compared instead.
    """
    began = time.perf_counter()
    ways = DROPOUTS if is_choice else COMPARED
    seeds = range(first, first + num_seeds)
    run = partial(run_seed, ways=ways, lacking=SCENARIOS[scenario])
    by_seed: list[Judged] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for seed, found in zip(seeds, pool.map(run, seeds), strict=True):
            last = {f"{way} {kind}": one for (way, kind, at), one in found.items() if at == _LAST}
            say(f"seed {seed}: " + ", ".join(f"{name} {one:.4f}" for name, one in last.items()))
            by_seed.append(found)
    figures: Figures = {"scenario": scenario, "seeds": num_seeds, "first_seed": first}
    figures |= compare(by_seed, ways)
    return {**figures, "seconds": round(time.perf_counter() - began, 1)}


def compare(by_seed: Sequence[Judged], ways: Ways) -> Figures:
    """Return means over seeds by rounds, and the paired differences to complete-case training."""
    figures: Figures = {"rounds": list(_ROUNDS)}
    for kind in KINDS:
        means = {
            (way, at): statistics.mean(found[way, kind, at] for found in by_seed)
            for way in ways
            for at in _ROUNDS
        }
        best = max(_ROUNDS, key=lambda at: means[BASE, at])
        figures[f"{BASE}_best_on_{kind}_at"] = best
        for way in ways:
            figures[f"{way}_on_{kind}"] = [round(means[way, at], 4) for at in _ROUNDS]
            if way == BASE:
                continue
            for what, other in (("gain", _LAST), ("gain_over_best", best)):
                gains = [found[way, kind, _LAST] - found[BASE, kind, other] for found in by_seed]
                low, high = interval_of_mean(gains, seed=1)
                figures[f"{way}_{what}_on_{kind}"] = [
                    round(statistics.mean(gains), 4),
                    round(low, 4),
                    round(high, 4),
                    sum(gain > 0 for gain in gains),
                ]
    return figures


def run_seed(
    seed: int,
    *,
    ways: Ways,
    lacking: Lacking,
    learnt: float = _LEARNT,
    kept: float = _KEPT,
) -> Judged:
    """Return the C-index of each way on each kind of cases, after each of the numbers of rounds."""
    found: dict[tuple[str, str, int], float] = {}
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as folder:
        cohort = make_cohort(Path(folder), lacking, seed=seed, learnt=learnt, kept=kept)
        for name, settings in ways.items():
            config = PetctSurvivalConfig(**{**_SETTINGS, **settings})  # type: ignore[arg-type]
            plan = PetctSurvival(config)
            for at, parameters in _federate(plan, cohort, seed=seed):
                for kind, cases in cohort.kept.items():
                    ratio = _judge(plan, parameters, cases)
                    found[name, kind, at] = ratio.numerator / ratio.denominator
    return found


def make_cohort(folder: Path, shares: Lacking, *, seed: int, learnt: float, kept: float) -> Cohort:
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
        lacking = [_lacking(case, shares[name], chance) for case in cases]
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


def _federate(
    plan: PetctSurvival, cohort: Cohort, *, seed: int
) -> Iterator[tuple[int, Parameters]]:
    """Yield the parameters after each number of rounds of all sites with a case to learn from."""
    parameters = plan.initial_parameters(seed)
    for number in range(1, _LAST + 1):
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
        if number in _ROUNDS:
            yield number, parameters


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
