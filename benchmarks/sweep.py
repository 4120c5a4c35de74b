"""The sweep of crashes: every durable step of a small experiment, struck on both sides."""

import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from benchmarks.simulation import be_silent, say
from fedmq.encodings.kinds import Encoding, Kind
from fedmq.simulation.encodings_by_hand import AS_IT_IS, Travel
from fedmq.simulation.sweep import blows, strike

_ENCODED = Travel(updates=Encoding(kind=Kind.TOP_K, share=0.3), models=Kind.BF16)
_SHOWN = 10
"""Failing blows that are named one by one."""


def measure(*, is_encoded: bool = False) -> dict[str, object]:
    """Return how many runs survived their crash, and have the models of the undisturbed one."""
    began = time.perf_counter()
    be_silent()
    travel = _ENCODED if is_encoded else AS_IT_IS
    undisturbed = strike(None, travel)
    places = list(blows(undisturbed))
    totals: Counter[str] = Counter()
    with ProcessPoolExecutor(os.cpu_count(), initializer=be_silent) as pool:
        for after in pool.map(partial(strike, travel=travel), places, chunksize=8):
            is_equal = after.digests == undisturbed.digests
            totals["struck"] += after.was_struck
            totals["survived"] += not after.why
            totals["digests_equal"] += is_equal
            if after.why or not is_equal or not after.was_struck:
                totals["failed"] += 1
                if totals["failed"] <= _SHOWN:
                    say(f"failed: {after}")
    steps = undisturbed.num_steps
    return {
        "encoded": is_encoded,
        "steps": sum(steps.values()),
        **{f"steps_{machine}": count for machine, count in sorted(steps.items())},
        "runs": len(places),
        **{name: totals[name] for name in ("struck", "survived", "digests_equal", "failed")},
        "seconds": round(time.perf_counter() - began, 1),
    }
