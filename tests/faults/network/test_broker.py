"""A broker that dies, loses its disk or takes nothing: nothing is lost, and people are told why."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.cluster import control
from tests.support.federation import CENTRE, LYON, PARIS, Federation, until

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("faults"),
]


def status(federation: Federation) -> dict[str, Any]:
    """Return what `fedmq status` shows."""
    shown: dict[str, Any] = federation.do(CENTRE, "status", "--json").json
    return shown


def waiting(federation: Federation, node: str) -> int:
    """Return how many messages wait for a node."""
    return sum(one["waiting"] for one in status(federation)["nodes"] if one["node"] == node)


@pytest.mark.parametrize(
    "is_emptied",
    [
        pytest.param(False, marks=[pytest.mark.row("3"), pytest.mark.long]),
        pytest.param(True, marks=pytest.mark.row("4")),
    ],
)
def test_messages_that_wait_in_a_broker_that_is_killed_come_all_the_same(
    federation: Federation,
    undisturbed: list[str],
    held: str,
    mended: Callable[[], None],
    *,
    is_emptied: bool,
) -> None:
    """Killed, or emptied too: who sent them sends them again, and the model with them."""
    federation.handed_over(PARIS, held, 1)
    federation.programs[PARIS].kill()
    federation.release()
    until(lambda: waiting(federation, PARIS) > 0, "work for the node that is away")
    federation.broker.kill()
    if is_emptied:
        shutil.rmtree(federation.broker.definitions.parent / "data")
    mended()
    federation.do(CENTRE, "hub", "up")
    federation.start_node(PARIS)
    assert federation.digests(held) == undisturbed


@pytest.mark.row("22")
@pytest.mark.parametrize(
    "illness",
    [
        (
            ("set_vm_memory_high_watermark", "absolute", "1MB"),
            ("set_vm_memory_high_watermark", "0.4"),
            "its memory is full",
        ),
        pytest.param(
            (
                ("set_disk_free_limit", "900000GB"),
                ("set_disk_free_limit", "50MB"),
                "its disk is nearly full",
            ),
            marks=pytest.mark.long,
        ),
    ],
    ids=["memory", "disk"],
)
def test_a_broker_with_an_alarm_holds_a_round_up_and_everybody_says_why(
    federation: Federation,
    undisturbed: list[str],
    held: str,
    illness: tuple[tuple[str, ...], tuple[str, ...], str],
    mended: Callable[[], None],
) -> None:
    """Nobody publishes, everybody stays connected; afterwards the round goes on."""
    alarm, end, words = illness
    lyon = federation.programs[LYON]
    federation.handed_over(PARIS, held, 1)
    before = lyon.log().count("broker_link_changed")
    control(federation.broker, *alarm)
    try:
        federation.release()
        lyon.expect("the broker takes no messages now")
        until(lambda: federation.status(LYON)["unsent"] == 1, "the update that waits")
        shown = until(
            lambda: (found := status(federation))["hindrances"] and found, "the reason in status"
        )
        (hindrance,) = shown["hindrances"]
        assert words in hindrance["why"]
        assert "operator" in hindrance["fix"]
        assert [node["online"] for node in shown["nodes"]] == [True, True]
        assert words in federation.do(CENTRE, "status").talk
        assert federation.status(LYON)["unsent"] == 1
    finally:
        mended()
        control(federation.broker, *end)
    assert federation.digests(held) == undisturbed
    # The broker's management looks at its nodes every few seconds.
    until(lambda: status(federation)["hindrances"] == [], "a status without the reason")
    changes = lyon.log().split("broker_link_changed")[before + 1 :]
    assert ["takes no messages" in changes[0], "none" in changes[1]] == [True, True]
    assert len(changes) == 2, "blocked, unblocked, and no connection was lost"
