"""What the management API shows of alarms and limits, in words."""

import pytest

from fedmq.monitor.hindrances import find_hindrances

WELL = {"name": "hub@one", "mem_alarm": False, "disk_free_alarm": False}
FULL = {
    "name": "node.chu-lyon.tasks",
    "messages": 10,
    "effective_policy_definition": {"max-length": 10, "overflow": "reject-publish"},
}


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (
            {"mem_alarm": True, "mem_used": 90_000_000, "mem_limit": 80_000_000},
            "its memory is full: 90 MB are in use, the limit is 80 MB",
        ),
        (
            {"disk_free_alarm": True, "disk_free": 20_000_000, "disk_free_limit": 50_000_000},
            "its disk is nearly full: 20 MB are free, the limit is 50 MB",
        ),
    ],
)
def test_an_alarm_is_said_with_its_figures_and_who_mends_it(
    node: dict[str, object], why: str
) -> None:
    """Which broker, why, and that the hub's operator is asked."""
    (found,) = find_hindrances([WELL | node], [])
    assert "hub@one takes no messages" in found.what
    assert found.why == why
    assert found.fix.startswith("the hub's operator: ")


def test_a_queue_that_refuses_more_is_named() -> None:
    """With what it holds and its limit."""
    (found,) = find_hindrances([WELL], [FULL])
    assert "node.chu-lyon.tasks takes no messages" in found.what
    assert found.why == "it is full: it holds 10, its limit is 10"


def test_a_queue_that_is_full_of_few_large_messages_is_named_once() -> None:
    """Its bytes are bounded too; which of the two limits it is at is said."""
    bounds = {"max-length": 10, "max-length-bytes": 1_000, "overflow": "reject-publish"}
    large = FULL | {"messages": 2, "message_bytes": 1_010, "effective_policy_definition": bounds}
    (found,) = find_hindrances([WELL], [large])
    assert found.why == "it is full: it holds 1010 bytes, its limit is 1000"
    assert find_hindrances([WELL], [large | {"message_bytes": 999}]) == ()
    assert len(find_hindrances([WELL], [large | {"messages": 10}])) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": 9},
        {"effective_policy_definition": {"max-length": 10, "overflow": "drop-head"}},
        {"effective_policy_definition": None},
    ],
)
def test_a_queue_that_takes_more_is_no_hindrance(changes: dict[str, object]) -> None:
    """Room is left, or what is oldest goes, or there is no limit."""
    assert find_hindrances([WELL], [FULL | changes]) == ()
