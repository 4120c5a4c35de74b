"""The watchers' screens; what they show of a real broker is tested in integration."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from fedmq.cli.tables import below, lay_out
from fedmq.cli.watch import NODE_TITLES, node_rows, print_dead, print_status, reasons_are_at
from fedmq.messages.notices import ExperimentOverview
from fedmq.monitor.letters import DeadLetter, DeadLetters
from fedmq.monitor.status import FederationStatus, NodeStatus, OrchestratorHeard
from fedmq.types import Role
from tests.unit.cli.line import CommandLine

REASON = "2 of 4; waiting for chu-lyon, ico-nantes; ghu-paris failed: update_not_finite"
LYON = NodeStatus(
    node="chu-lyon",
    online=True,
    heard_at=1.0,
    waiting=2,
    in_hand=0,
    redelivered=0,
    dead=1,
    doing="training round 3 (50%) of lung-1",
)
PARIS = NodeStatus(
    node="ghu-paris",
    online=False,
    heard_at=None,
    waiting=7,
    in_hand=0,
    redelivered=0,
    dead=0,
    doing="not heard of",
)
LUNG = ExperimentOverview(
    experiment="lung-1", state="training", round=3, num_rounds=10, reason=REASON
)
LEADER: Final = OrchestratorHeard(name="orchestrator", heard_at=5.0, is_away=False, stand_bys=0)
FEDERATION: Final = FederationStatus(
    nodes=(LYON, PARIS),
    experiments=(LUNG,),
    num_dead=1,
    has_all_dead=True,
    orchestrators=(LEADER,),
)
EMPTY: Final = FederationStatus(
    nodes=(), experiments=(), num_dead=0, has_all_dead=True, orchestrators=()
)
LETTER: Final = DeadLetter(
    queue="node.chu-lyon.tasks",
    reason="rejected",
    user="orchestrator",
    type="garbage",
    size_bytes=12,
    sent_at=None,
)

Capture = pytest.CaptureFixture[str]


def test_status_has_a_row_for_each_node_and_experiment(capsys: Capture) -> None:
    """With what an experiment waits for below it, and the next command where letters are dead."""
    print_status(FEDERATION)
    shown = capsys.readouterr()
    rows = [line.split() for line in shown.out.splitlines()]
    assert rows[0][:3] == ["node", "online", "last"]
    assert rows[1][:2] == ["chu-lyon", "yes"]
    assert rows[1][-10:-6] == ["2", "0", "0", "1"]
    assert " ".join(rows[1][-6:]) == "training round 3 (50%) of lung-1"
    assert rows[2] == ["ghu-paris", "no", "never", "7", "0", "0", "0", "not", "heard", "of"]
    assert rows[4:6] == [
        ["experiment", "state", "round"],
        ["lung-1", "training", "3", "of", "10"],
    ]
    assert shown.out.splitlines()[6] == "    " + REASON
    assert shown.err.splitlines() == [
        "the queue `dead` holds 1, until the hub's operator deals with them",
        "next: fedmq dead",
    ]


def test_programs_get_the_status_whole(capsys: Capture) -> None:
    """Nodes, experiments, the number of dead letters, who leads."""
    print_status(FEDERATION, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == [
        "schema_version",
        "nodes",
        "experiments",
        "dead",
        "has_all_dead",
        "orchestrators",
        "hindrances",
    ]
    assert shown["nodes"][0] == {name: getattr(LYON, name) for name in NodeStatus.__slots__}
    assert shown["experiments"] == [LUNG.model_dump(mode="json")]
    assert (shown["dead"], shown["orchestrators"]) == (
        1,
        [{"name": "orchestrator", "heard_at": 5.0, "is_away": False, "stand_bys": 0}],
    )


def test_an_empty_federation_says_so(capsys: Capture) -> None:
    """No node, no experiment, no orchestrator: nothing fails."""
    print_status(EMPTY)
    assert capsys.readouterr().err.splitlines() == [
        "no experiment runs",
        "no orchestrator was heard in the last minute",
        "next: fedmq status --json",
    ]


def test_who_would_take_over_is_told_and_that_nobody_leads(capsys: Capture) -> None:
    """Of an orchestrator that is away its experiments say what they wait for."""
    print_status(replace(EMPTY, orchestrators=(replace(LEADER, stand_bys=1),)))
    assert capsys.readouterr().err.splitlines()[1] == (
        "orchestrator leads; 1 program would take over its experiments"
    )
    print_status(replace(EMPTY, orchestrators=(replace(LEADER, is_away=True, stand_bys=1),)))
    assert capsys.readouterr().err.splitlines()[1] == "no orchestrator was heard in the last minute"


def test_where_not_all_could_be_read_the_count_is_at_least_that(capsys: Capture) -> None:
    """A plus says so, beside every node."""
    print_status(
        FederationStatus(
            nodes=(LYON,),
            experiments=(),
            num_dead=0,
            has_all_dead=False,
            orchestrators=(LEADER,),
        )
    )
    assert "1+" in capsys.readouterr().out.split()


def test_dead_letters_say_where_why_and_whose(capsys: Capture) -> None:
    """In a row and as JSON."""
    found = DeadLetters(letters=(LETTER,), is_complete=True)
    print_dead(found, hours=168)
    shown = capsys.readouterr()
    row = shown.out.splitlines()[1].split()
    assert row == [
        "no",
        "time",
        "node.chu-lyon.tasks",
        "rejected",
        "orchestrator",
        "garbage",
        "12",
        "B",
    ]
    assert shown.err == "next: at chu-lyon: fedmq node status, which says why\n"
    print_dead(found, hours=168, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "schema_version": 1,
        "letters": [{name: getattr(LETTER, name) for name in DeadLetter.__slots__}],
        "is_complete": True,
    }


@pytest.mark.parametrize(
    ("queues", "commands"),
    [
        (
            ["node.ghu-paris.tasks", "node.chu-lyon.tasks", "node.ghu-paris.tasks"],
            ["at chu-lyon, ghu-paris: fedmq node status, which says why"],
        ),
        (
            ["experiment.lung-1@orchestrator.replies"],
            ["at the orchestrator: fedmq orchestrator status, which says why"],
        ),
        (
            ["orchestrator.orchestrator.inbox", "node.chu-lyon.tasks"],
            [
                "at chu-lyon: fedmq node status, which says why",
                "at the orchestrator: fedmq orchestrator status, which says why",
            ],
        ),
        (["researcher.ada.inbox", ""], ["fedmq status"]),
    ],
)
def test_the_reason_of_a_death_is_where_the_message_died(
    queues: list[str], commands: list[str]
) -> None:
    """The broker knows only that it was rejected; who rejected it has the reason."""
    assert reasons_are_at(queues) == commands


def test_no_dead_letter_is_good_news(capsys: Capture) -> None:
    """Within the hours that were asked for."""
    print_dead(DeadLetters(letters=(), is_complete=False), hours=24)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "there are more than could be read in time; ask for fewer --hours",
        "no message died in the last 24 h",
        "next: fedmq status",
    ]


@pytest.mark.parametrize("command", ["status", "dead"])
def test_the_file_of_another_role_is_refused(
    command: str, fedmq: CommandLine, credentials: Callable[..., Path]
) -> None:
    """A node's login sees no queue but its own: the error says what to use."""
    path = credentials("chu-lyon", Role.NODE)
    outcome = fedmq(command, "--credentials", str(path))
    assert (outcome.code, outcome.data) == (1, "")
    assert outcome.talk.splitlines() == [
        "error: the credentials of chu-lyon are not a monitor's",
        "  why: expected: role monitor; got: role node",
        "  fix: use the hub's hub/credentials/monitor.toml",
    ]


@pytest.mark.parametrize("command", ["status", "dead"])
def test_a_dead_broker_is_said_by_both(
    command: str, fedmq: CommandLine, credentials: Callable[..., Path]
) -> None:
    """Nothing on stdout, the fix on stderr, and no password."""
    path = credentials("monitor", Role.MONITOR)
    outcome = fedmq(command, "--json", "--credentials", str(path))
    assert (outcome.code, outcome.data) == (1, "")
    assert "fix:" in outcome.talk
    assert "s3cret" not in outcome.talk


def test_on_a_screen_of_100_columns_nothing_wraps() -> None:
    """Long names and long doings, large numbers: the end of what a node does is cut."""
    nodes = tuple(
        NodeStatus(
            node=name,
            online=True,
            heard_at=None,
            waiting=12_345,
            in_hand=16,
            redelivered=123_456,
            dead=1_234,
            doing="evaluating round 12 (100%) of lung-pfs-of-all-sites-16bc7b",
        )
        for name in ("ico-nantes", "centre-hospitalier-de-lyon")
    )
    found = FederationStatus(
        nodes=nodes, experiments=(), num_dead=0, has_all_dead=True, orchestrators=()
    )
    lines = lay_out(NODE_TITLES, node_rows(found, now=0.0), width=100)
    lines += below(REASON * 5, width=100)
    assert max(map(len, lines)) == 100
    assert "evaluating" in lines[1]
