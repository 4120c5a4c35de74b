"""Real programs and a real broker, killed at random while they work."""

import pytest

from benchmarks.chaos.measuring import measure_kills

pytestmark = [pytest.mark.rabbitmq, pytest.mark.hub_broker, pytest.mark.timeout(600)]

KILLS = 12
SEED = 4
"""All kinds of programs are among them; the broker once, which takes longest to come back."""


def test_twelve_kills_at_random_change_no_model_and_leave_nothing_behind() -> None:
    """Node, orchestrator, client and broker; the models are those of an undisturbed run.

    Most kills hit a program in the middle of something: that is what the phases say.
    """
    figures = measure_kills(KILLS, SEED)
    assert figures["why"] == ""
    assert figures["kills"] == figures["survived"] == KILLS
    assert figures["digests_equal"] is True
    assert figures["messages_waiting"] == 0
    assert figures["fds_more"] == 0
    assert figures["processes_left"] == 0
    hits = {name: count for name, count in figures.items() if name.startswith("hit_")}
    idle = sum(int(str(hits[name])) for name in hits if name.endswith(("_wait", "_start")))
    assert idle <= KILLS // 3, hits
