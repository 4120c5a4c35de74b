"""The whole command line: every command that shows has JSON; every end has its exit code."""

from collections.abc import Iterator

import pytest
import typer

import fedmq as package
from fedmq.cli.main import app
from tests.unit.cli.line import CommandLine

CHANGING = frozenset(
    {
        *("demo", "down", "run"),
        *("experiments fetch", "experiments pause", "experiments resume", "experiments stop"),
        *(
            "hub add-node",
            "hub add-orchestrator",
            "hub add-researcher",
            "hub admit",
            "hub down",
            "hub init",
        ),
        *(
            "hub renew",
            "hub revoke",
            "hub up",
            "join",
            "node join",
            "node renew",
            "node rotate",
            "orchestrator renew",
            "orchestrator rotate",
            "rotate",
            "renew",
            "node leave",
            "node audit export",
            "orchestrator audit export",
        ),
        *("node start", "node data remove"),
        *("node plans approve", "node plans reject", "orchestrator start"),
        "hub fingerprint",  # one line, to be read out
    }
)
"""The commands that change something; what they print is for people."""


def commands(command: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield every command under its name."""
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    for word, child in children.items():
        yield from commands(child, f"{name} {word}".strip())


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_that_only_shows_has_json(name: str) -> None:
    """Programs need not read what is laid out for people."""
    options = {option for one in ALL[name].params for option in one.opts}  # type: ignore[attr-defined]
    assert ("--json" in options) == (name not in CHANGING)


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_says_in_a_line_what_it_does(name: str, fedmq: CommandLine) -> None:
    """Help is there for each, and no line of it is cut."""
    outcome = fedmq(*name.split(), "--help")
    assert outcome.code == 0
    assert ALL[name].help.splitlines()[0].rstrip(".") in " ".join(outcome.data.split())  # type: ignore[attr-defined]


def test_the_version_is_said(fedmq: CommandLine) -> None:
    """On stdout, alone."""
    outcome = fedmq("--version")
    assert (outcome.code, outcome.data, outcome.talk) == (0, f"{package.__version__}\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ("nosuch",),
        ("node", "nosuch"),
        ("node", "join"),
        ("plans", "--nosuch"),
        ("demo", "--rounds", "0"),
        ("experiments", "show"),
    ],
)
def test_wrong_usage_ends_with_2(words: tuple[str, ...], fedmq: CommandLine) -> None:
    """The talk says how it is used; there are no data."""
    outcome = fedmq(*words)
    assert (outcome.code, outcome.data) == (2, "")
    assert "Usage:" in outcome.talk


def test_a_setting_that_cannot_be_used_is_an_error_like_others(
    fedmq: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What, why, fix, and 1."""
    monkeypatch.setenv("FEDMQ_BROKER_URL", "amqp://127.0.0.1/fedmq")
    outcome = fedmq("hub", "status", "--json")
    assert (outcome.code, outcome.data) == (1, "")
    labels = [line.split(":")[0].strip() for line in outcome.talk.splitlines()]
    assert labels == ["error", "why", "fix"]


def test_who_leaves_by_ctrl_c_gets_130(fedmq: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As shells expect."""

    def leave() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fedmq.settings.read_settings", leave)
    outcome = fedmq("hub", "status")
    assert (outcome.code, outcome.data) == (130, "")
