"""Two orchestrators with an experiment each on the same nodes, from a seed: both are right."""

import pytest
import structlog

from fedmq.simulation.checks import run_seed
from fedmq.simulation.faults import Fault
from fedmq.simulation.members import UNDERTAKINGS

SHARDS = 4
SEEDS_OF_SHARD = 6


@pytest.fixture(autouse=True)
def silence() -> None:
    """Services log what happens to them; here that is a great deal."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


@pytest.mark.parametrize("shard", range(SHARDS))
def test_two_experiments_of_two_orchestrators_spoil_each_other_nothing(shard: int) -> None:
    """Kills, cuts, lost chunks, clocks that are set, full disks, a broker that is wiped."""
    first = 9_000 + shard * SEEDS_OF_SHARD
    found = [
        run_seed(seed, undertakings=UNDERTAKINGS) for seed in range(first, first + SEEDS_OF_SHARD)
    ]
    assert [one for one in found if not one.is_sound] == []
    assert sum(sum(one.mishaps.values()) for one in found) > 0


def test_stores_that_are_taken_over_beside_each_other_spoil_nothing() -> None:
    """Each orchestrator has epochs of its own."""
    faults = {Fault.TAKE_OVER: 0.03, Fault.CRASH: 0.01}
    found = [
        run_seed(seed, faults=faults, undertakings=UNDERTAKINGS) for seed in range(9_500, 9_504)
    ]
    assert [one for one in found if not one.is_sound] == []
    assert all(one.mishaps[Fault.TAKE_OVER] for one in found)
