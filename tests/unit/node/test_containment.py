"""What a machine has to contain plans with, in words, and when that is not enough."""

import pytest

from fedmq.containment.cell import Means
from fedmq.containment.probe import TOGETHER
from fedmq.errors import ConfigurationError
from fedmq.node.containment import find_containment, read_findings, require_containment


@pytest.mark.parametrize(
    ("faults", "level", "begin"),
    [
        ({}, "full", "full (namespaces, Landlock, seccomp, limits)"),
        (
            {Means.LANDLOCK: "version 0"},
            "partial",
            "partial (namespaces, seccomp, limits); no Land",
        ),
        (
            {Means.NAMESPACES: "forbidden"},
            "partial",
            "partial (Landlock, seccomp, limits); no names",
        ),
        ({Means.SECCOMP: "old"}, "insufficient", "insufficient (namespaces, Landlock, limits)"),
        (
            {Means.LANDLOCK: "version 0", Means.NAMESPACES: "forbidden"},
            "insufficient",
            "insufficient (seccomp, limits); no namespaces: forbidden; no Landlock: version 0",
        ),
        (
            {TOGETHER: "a file could be read"},
            "insufficient",
            "insufficient (limits); no means: tog",
        ),
    ],
)
def test_the_level_says_what_is_there(faults: dict[str, str], level: str, begin: str) -> None:
    """Enough are seccomp and one of the two that keep files."""
    found = read_findings(faults)
    assert found.level == level
    assert found.line.startswith(begin)
    if found.is_enough:
        require_containment(found, is_uncontained_allowed=False)
        return
    require_containment(found, is_uncontained_allowed=True)
    with pytest.raises(ConfigurationError, match="cannot be kept") as caught:
        require_containment(found, is_uncontained_allowed=False)
    assert caught.value.why == f"containment: {found.line}"
    assert "FEDMQ_ALLOW_UNCONTAINED" in caught.value.fix


def test_this_machine_is_tried() -> None:
    """Whatever it has, it answers; nothing is taken that did not hold."""
    found = find_containment()
    assert "nothing could be tried" not in found.line
    assert TOGETHER not in found.line
