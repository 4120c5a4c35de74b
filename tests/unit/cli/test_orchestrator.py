"""The orchestrator's command: with its own login, or not at all."""

from collections.abc import Callable
from pathlib import Path

from fedmq.hub.credentials import Role
from tests.unit.cli.line import CommandLine


def test_the_file_of_another_role_is_refused_before_anything_is_made(
    fedmq: CommandLine, credentials: Callable[..., Path], home: Path
) -> None:
    """One error: what was expected, what came, the fix; no journal is begun."""
    path = credentials("chu-lyon", Role.NODE)
    outcome = fedmq("orchestrator", "start", "--credentials", str(path))
    assert (outcome.code, outcome.data) == (1, "")
    assert outcome.talk.splitlines() == [
        "error: the credentials of chu-lyon are not an orchestrator's",
        "  why: expected: role orchestrator; got: role node",
        "  fix: use the hub's hub/credentials/orchestrator.toml",
    ]
    assert not (home / "orchestrator").exists()


def test_where_there_is_no_hub_the_fix_is_to_ask_its_operator(fedmq: CommandLine) -> None:
    """The default is the hub's own file."""
    outcome = fedmq("orchestrator", "start")
    assert outcome.code == 1
    assert "hub/credentials/orchestrator.toml cannot be read" in outcome.talk
    assert "ask the hub's operator" in outcome.talk
