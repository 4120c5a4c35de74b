"""The commands for a node's policy: what is in force, what is wrong with the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.types import Role
from tests.unit.cli.line import CommandLine


@pytest.fixture
def node(fedmq: CommandLine, credentials: Callable[..., Path], home: Path) -> CommandLine:
    """Return the command line of a node."""
    credentials("chu-lyon", Role.NODE, home / "node" / "credentials.toml")
    return fedmq


def test_the_policy_in_force_is_shown(node: CommandLine, home: Path) -> None:
    """The defaults, then the file's."""
    shown = node("node", "policy", "show")
    assert "min_cases           10\n" in shown.data
    assert "there is no node/policy.toml: these are the defaults" in shown.talk
    assert shown.ends_with_next
    (home / "node" / "policy.toml").write_text('hours = ["sat-sun"]\nmin_cases = 20\n')
    shown = node("node", "policy", "show")
    assert "min_cases           20\n" in shown.data
    assert "hours               sat,sun 00:00-24:00\n" in shown.data
    assert "max_rounds_per_day  -\n" in shown.data
    policy = node("node", "policy", "show", "--json").json["policy"]
    assert (policy["min_cases"], policy["require_study"]) == (20, True)


def test_a_file_is_checked(node: CommandLine, home: Path) -> None:
    """Where it is good that is said; where not, what, why, fix, and 1."""
    path = home / "node" / "policy.toml"
    assert "node/policy.toml is not there" in node("node", "policy", "check").talk
    path.write_text("paused = true\n")
    good = node("node", "policy", "check")
    assert (good.code, good.ends_with_next) == (0, True)
    assert "node/policy.toml can be used" in good.talk
    assert node("node", "policy", "check", "--json").json["is_usable"] is True
    path.write_text("pause = true\n")
    for command in (("policy", "check"), ("policy", "show"), ("start",), ("plans", "list")):
        bad = node("node", *command)
        assert (bad.code, bad.data) == (1, "")
        assert "error: policy.toml has no key 'pause'" in bad.talk
        assert "  fix: mend the name, or leave it out" in bad.talk
