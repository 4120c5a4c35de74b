"""Federations in one process, one for each seed: what is lost, counted twice, stale, unequal."""

import os
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import structlog

from fedmq.encodings.kinds import Encoding, Kind
from fedmq.simulation.checks import Findings, run_seed
from fedmq.simulation.encodings_by_hand import AS_IT_IS, Travel
from fedmq.simulation.members import UNDERTAKINGS, Undertaking

ENCODED = tuple(
    Travel(updates=updates, models=models)
    for updates in (
        Encoding(kind=Kind.BF16),
        Encoding(kind=Kind.FP16),
        Encoding(kind=Kind.INT8),
        Encoding(kind=Kind.TOP_K, share=0.3),
    )
    for models in (Kind.EXACT, Kind.BF16, Kind.FP16)
)
"""The ways in which seeds travel, in turn."""
_SHOWN = 10
"""Failing seeds that are named one by one."""


def measure(
    num_seeds: int, first: int, *, is_encoded: bool = False, is_shared: bool = False
) -> dict[str, object]:
    """Return the sums over all seeds; every one can be run again by itself.

    `is_shared`: among two orchestrators with an experiment each.
    """
    began = time.perf_counter()
    mishaps: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    lives: list[int] = []
    unsound = 0
    with ProcessPoolExecutor(os.cpu_count(), initializer=be_silent) as pool:
        run = partial(
            _run, is_encoded=is_encoded, undertakings=UNDERTAKINGS[: 2 if is_shared else 1]
        )
        results = pool.map(run, range(first, first + num_seeds), chunksize=20)
        for number, found in enumerate(results, start=1):
            mishaps.update({str(kind): count for kind, count in found.mishaps.items()})
            lives.append(found.num_lives)
            totals.update(_sums(found))
            if not found.is_sound:
                unsound += 1
                if unsound <= _SHOWN:
                    say(f"seed {found.seed}: {found}")
            if number % 500 == 0 or number == num_seeds:
                say(f"{number} of {num_seeds} seeds, {unsound} unsound")
    seconds = time.perf_counter() - began
    return {
        "seeds": num_seeds,
        "first_seed": first,
        "encoded": is_encoded,
        "shared": is_shared,
        **{name: totals[name] for name in _sums(Findings(seed=0))},
        "unsound_seeds": unsound,
        "mishaps": mishaps.total(),
        **{f"mishaps_{kind}": count for kind, count in sorted(mishaps.items())},
        "lives_median": statistics.median(lives),
        "seconds": round(seconds, 1),
        "seeds_per_s": round(num_seeds / seconds, 2),
    }


def _run(seed: int, *, is_encoded: bool, undertakings: tuple[Undertaking, ...]) -> Findings:
    """Return what was wrong with the run of a seed, in which updates and models may be encoded."""
    travel = ENCODED[seed % len(ENCODED)] if is_encoded else AS_IT_IS
    return run_seed(seed, travel=travel, undertakings=undertakings)


def _sums(found: Findings) -> dict[str, int]:
    return {
        "lost_rounds": found.lost_rounds,
        "double_counted": found.double_counted,
        "stale_run": found.stale_run,
        "digest_mismatches": found.digest_mismatches,
        "turned_away": found.turned_away,
        "log_faults": found.log_faults,
        "not_at_rest": int(bool(found.why)),
    }


def be_silent() -> None:
    """Have services write no log."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)
