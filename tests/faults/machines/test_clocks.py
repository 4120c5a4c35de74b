"""Clocks that are wrong by a day or ten years, and are set in the middle: no model changes."""

import re
import time
from collections.abc import Callable

import pytest

from tests.faults.machines.conftest import Small, begin_held
from tests.support.federation import LYON

pytestmark = [
    pytest.mark.row("12"),
    pytest.mark.rabbitmq,
    pytest.mark.small_disks,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("machines"),
]

DAY_S = 86_400.0
YEARS_S = 3_652 * DAY_S


def year(wrong_s: float) -> str:
    """Return the year that a wrong clock shows, or showed a minute ago."""
    return time.strftime("%Y", time.localtime(time.time() + wrong_s))


@pytest.mark.parametrize(
    ("node", "orchestrator"),
    [((YEARS_S, -YEARS_S), (-DAY_S, DAY_S)), ((-DAY_S, DAY_S), (YEARS_S, -YEARS_S))],
    ids=["node by ten years", "orchestrator by ten years"],
)
def test_clocks_that_are_wrong_and_set_in_a_round_change_no_model(
    small: Small, node: tuple[float, float], orchestrator: tuple[float, float]
) -> None:
    """Each is wrong before the experiment begins, and then by as much to the other side."""
    machines, federation = small.machines, small.federation
    machines[LYON].set_clock(node[0])
    machines["orchestrator"].set_clock(orchestrator[0])
    identifier = begin_held(small, LYON)
    machines[LYON].set_clock(node[1])
    machines["orchestrator"].set_clock(orchestrator[1])
    federation.release()
    assert federation.digests(identifier) == small.undisturbed
    for name, wrong_s in ((LYON, node), ("orchestrator", orchestrator)):
        said = federation.programs[name].log()
        assert {year(one) for one in wrong_s} <= set(re.findall(r"(?m)^\d{4}", said))
    assert all(federation.programs[name].is_running for name in machines)


def test_a_node_that_starts_with_a_wrong_clock_takes_up_its_task(
    small: Small, mended: Callable[[], None]
) -> None:
    """Ten years ahead, every order would have expired by its own clock."""
    federation, machine = small.federation, small.machines[LYON]
    identifier = begin_held(small, LYON)
    federation.programs[LYON].kill()
    machine.set_clock(YEARS_S)
    mended()
    federation.start_node(LYON)
    federation.reached(LYON, 2)
    federation.release()
    assert federation.digests(identifier) == small.undisturbed
