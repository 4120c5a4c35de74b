"""Stores that are taken over in the middle of anything, from a seed: the models are the same."""

import pytest
import structlog

from fedmq.simulation.checks import run_seed
from fedmq.simulation.faults import Fault

SHARDS = 4
SEEDS_OF_SHARD = 8


@pytest.fixture(autouse=True)
def silence() -> None:
    """Services log what happens to them; here that is a great deal."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


@pytest.mark.parametrize("shard", range(SHARDS))
def test_who_is_replaced_and_goes_on_as_if_nothing_had_happened_spoils_nothing(shard: int) -> None:
    """At each step but inside a transaction; every round comes, and is right to the bit."""
    first = 3_000 + shard * SEEDS_OF_SHARD
    seeds = range(first, first + SEEDS_OF_SHARD)
    found = [run_seed(seed, faults={Fault.TAKE_OVER: 0.05}) for seed in seeds]
    assert [one for one in found if not one.is_sound] == []
    assert all(one.mishaps[Fault.TAKE_OVER] for one in found)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_take_overs_among_kills_cuts_and_repeats_spoil_nothing(shard: int) -> None:
    """Who takes over may be killed in the middle of that, and replaced by a third."""
    faults = {
        Fault.TAKE_OVER: 0.02,
        Fault.CRASH: 0.01,
        Fault.CUT: 0.02,
        Fault.OVERTAKE: 0.05,
        Fault.REPEAT: 0.05,
        Fault.LOSE_CHUNK: 0.1,
        Fault.FULL_DISK: 0.002,
    }
    first = 4_000 + shard * SEEDS_OF_SHARD
    found = [run_seed(seed, faults=faults) for seed in range(first, first + SEEDS_OF_SHARD)]
    assert [one for one in found if not one.is_sound] == []
