"""The researcher's commands, with a federation that tells what it is told to tell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fedmq as package
from fedmq.learning.catalogue import CATALOGUE, plan_digest, plan_source
from fedmq.parameters import load_parameters
from fedmq.types import Role
from tests.unit.cli.line import CommandLine
from tests.unit.cli.reports import LUNG, Told, make_record, make_report

FIRST, SECOND = make_record(1), make_record(2)
TOML = """
[experiment]
name = "lung-pfs"
plan = "clinical-logistic"
dataset = "lung-petct"
rounds = 2
quorum = 3
"""


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch, home: Path) -> Callable[..., Told]:
    """Return what makes the federation tell reports, one after the other."""

    def prepare(*reports: object, **federation: Any) -> Told:  # noqa: ANN401 - as Told
        told = Told(home, reports, **federation)  # type: ignore[arg-type]
        monkeypatch.setattr(package.Client, "from_credentials", lambda _path, **_ports: told)
        return told

    return prepare


def test_an_experiment_is_run_to_its_model(
    fedmq: CommandLine, tell: Callable[..., Told], home: Path
) -> None:
    """Rows are the data; the talk says where the model is, and what comes next."""
    told = tell(make_report("training", [FIRST]), make_report("finished", [FIRST, SECOND]))
    (home / "experiment.toml").write_text(TOML)
    outcome = fedmq("run", "experiment.toml", "--output", "models/lung.safetensors")
    assert outcome.code == 0
    assert [one.name for one in told.submitted] == ["lung-pfs"]
    assert [line.split()[0] for line in outcome.data.splitlines()] == ["round", "1", "2"]
    assert outcome.talk.splitlines() == [
        f"the orchestrator leads {LUNG}; you may leave, it goes on",
        "model of round 2: models/lung.safetensors",
        f"{LUNG} finished",
        f"next: fedmq experiments show {LUNG}",
    ]
    assert load_parameters(home / "models" / "lung.safetensors")["w"].tolist() == [1.0, 1.0]
    assert told.is_closed


def test_who_detaches_gets_the_id_alone(
    fedmq: CommandLine, tell: Callable[..., Told], home: Path
) -> None:
    """A script goes on with it."""
    tell(make_report("training"))
    (home / "experiment.toml").write_text(TOML)
    outcome = fedmq("run", "experiment.toml", "--detach")
    assert (outcome.code, outcome.data) == (0, f"{LUNG}\n")
    assert outcome.ends_with_next


def test_where_there_are_several_orchestrators_it_is_said_which_one_leads(
    fedmq: CommandLine, tell: Callable[..., Told], home: Path
) -> None:
    """And of a list, who did not answer."""
    told = tell(make_report("training"), leader="hub-b", silent=("hub-a",))
    (home / "experiment.toml").write_text(TOML)
    outcome = fedmq("run", "experiment.toml", "--detach", "--orchestrator", "hub-b")
    assert told.wanted == ["hub-b"]
    assert f"the orchestrator hub-b leads {LUNG}" in outcome.talk
    missing = "without those that hub-a may lead: no answer"
    assert missing in fedmq("experiments", "list").talk
    assert fedmq("experiments", "list", "--json").json["no_answer_from"] == ["hub-a"]
    tell(silent=("hub-a",))
    nothing = fedmq("experiments", "list")
    assert (nothing.code, nothing.data) == (0, "")
    assert nothing.talk.startswith(f"{missing}\nnext: ")


def test_a_faulty_experiment_is_refused_before_the_federation_is_asked(
    fedmq: CommandLine, tell: Callable[..., Told], home: Path
) -> None:
    """What, why and fix."""
    told = tell(make_report())
    (home / "experiment.toml").write_text(TOML.replace("quorum", "quorun"))
    outcome = fedmq("run", "experiment.toml")
    assert (outcome.code, outcome.data, told.submitted) == (1, "", [])
    assert [line.split(":")[0].strip() for line in outcome.talk.splitlines()] == [
        "error",
        "why",
        "fix",
    ]


def test_experiments_are_listed_with_their_reasons_below(
    fedmq: CommandLine, tell: Callable[..., Told]
) -> None:
    """Rows line up; none is no error."""
    reason = "0 of at least 3 nodes take part; no answer yet from chu-lyon, ghu-paris"
    tell(
        make_report("finished", [FIRST, SECOND]),
        make_report("preparing", experiment="liver-1", reason=reason),
    )
    outcome = fedmq("experiments", "list")
    assert outcome.data.splitlines() == [
        "experiment       state      round",
        f"{LUNG}  finished   2 of 2",
        "liver-1          preparing  0 of 2",
        "    " + reason,
    ]
    assert "next: fedmq experiments show liver-1" in outcome.talk
    shown = fedmq("experiments", "list", "--json").json
    assert shown["schema_version"] == 1
    assert [one["experiment"] for one in shown["experiments"]] == [LUNG, "liver-1"]
    tell()
    nothing = fedmq("experiments", "list")
    assert (nothing.code, nothing.data) == (0, "")
    assert nothing.talk.startswith("you have no experiment\nnext: ")


@pytest.mark.parametrize(
    ("state", "command"),
    [
        ("training", f"fedmq experiments follow {LUNG}"),
        ("finished", f"fedmq experiments fetch {LUNG} model.safetensors"),
    ],
)
def test_an_experiment_is_shown_with_its_rounds(
    state: str, command: str, fedmq: CommandLine, tell: Callable[..., Told]
) -> None:
    """What comes next depends on whether it runs."""
    report = make_report(state, [FIRST])
    tell(report)
    outcome = fedmq("experiments", "show", LUNG)
    assert outcome.data.splitlines()[:5] == [
        f"experiment  {LUNG}",
        f"state       {state}",
        "plan        petct-survival abababababab on lung-petct",
        "nodes       all that are heard of; quorum 3",
        "round       1 of 2",
    ]
    assert outcome.talk == f"next: {command}\n"
    shown = fedmq("experiments", "show", LUNG, "--json").json
    assert shown == {"schema_version": 1, **report.model_dump(mode="json")}


@pytest.mark.parametrize(
    ("state", "records", "code"),
    [("finished", 2, 0), ("failed", 1, 3), ("failed", 0, 1)],
)
def test_following_ends_as_the_experiment_does(
    state: str, records: int, code: int, fedmq: CommandLine, tell: Callable[..., Told]
) -> None:
    """As rows and as JSON lines: the same exit codes."""
    for words in ((), ("--json",)):
        tell(make_report(state, [FIRST, SECOND][:records], reason="why"))
        outcome = fedmq("experiments", "follow", LUNG, *words)
        assert outcome.code == code
        assert f"{LUNG} {state}: why" in outcome.talk
        assert outcome.ends_with_next


def test_who_leaves_is_told_how_to_come_back(fedmq: CommandLine, tell: Callable[..., Told]) -> None:
    """130; the experiment goes on."""
    told = tell(make_report("training", [FIRST]))
    told.leaves_at = 1
    outcome = fedmq("experiments", "follow", LUNG)
    assert outcome.code == 130
    assert outcome.talk.splitlines() == [
        f"you left; {LUNG} goes on",
        f"next: fedmq experiments follow {LUNG}",
        f"      fedmq experiments stop {LUNG}",
    ]
    assert told.is_closed


def test_an_experiment_is_stopped_and_its_model_fetched(
    fedmq: CommandLine, tell: Callable[..., Told], home: Path
) -> None:
    """The path is the data."""
    tell(make_report("training", [FIRST]))
    stopped = fedmq("experiments", "stop", LUNG)
    assert stopped.talk.splitlines()[0] == f"{LUNG} stopped: stopped by the researcher"
    assert stopped.ends_with_next
    fetched = fedmq("experiments", "fetch", LUNG, str(home / "m.safetensors"))
    assert fetched.data == "m.safetensors\n"
    assert (home / "m.safetensors").exists()
    assert fetched.ends_with_next


def test_an_experiment_is_paused_and_resumed(fedmq: CommandLine, tell: Callable[..., Told]) -> None:
    """Each names the other, or what to do next."""
    tell(make_report("training", [FIRST]))
    paused = fedmq("experiments", "pause", LUNG)
    assert paused.talk.splitlines() == [
        f"{LUNG} paused: paused by the researcher",
        f"next: fedmq experiments resume {LUNG}",
    ]
    resumed = fedmq("experiments", "resume", LUNG)
    assert resumed.talk.startswith(f"{LUNG} training")
    assert resumed.ends_with_next


def test_an_experiment_of_nobody_is_an_error(fedmq: CommandLine, tell: Callable[..., Told]) -> None:
    """With the command that lists those that are."""
    tell(make_report())
    outcome = fedmq("experiments", "show", "no-such", "--json")
    assert (outcome.code, outcome.data) == (1, "")
    assert outcome.talk == (
        "error: you have no experiment no-such\n  fix: see: fedmq experiments list\n"
    )


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.RESEARCHER])
def test_the_file_of_another_role_is_refused(
    role: Role, fedmq: CommandLine, credentials: Callable[..., Path], home: Path
) -> None:
    """For every command that speaks to the federation; nobody is asked for a connection."""
    path = str(credentials("somebody", role))
    (home / "experiment.toml").write_text(TOML)
    for words in (
        ("run", "experiment.toml"),
        ("experiments", "list"),
        ("experiments", "show", LUNG),
        ("experiments", "follow", LUNG),
        ("experiments", "stop", LUNG),
        ("experiments", "fetch", LUNG, "model"),
    ):
        outcome = fedmq(*words, "--credentials", path)
        assert (outcome.code, outcome.data) == (1, "")
        assert outcome.talk.splitlines() == [
            "error: the credentials of somebody are not a researcher's",
            f"  why: expected: role researcher; got: role {role}",
            "  fix: join as a researcher: fedmq join TOKEN",
        ]


def test_the_catalogue_is_listed_with_the_digests_that_are_approved(fedmq: CommandLine) -> None:
    """Without any federation."""
    digests = {name: plan_digest(plan_source(name)) for name in sorted(CATALOGUE)}
    outcome = fedmq("plans")
    assert [line.split() for line in outcome.data.splitlines()[1:]] == [
        [name, digest] for name, digest in digests.items()
    ]
    assert outcome.ends_with_next
    assert fedmq("plans", "--json").json == {
        "schema_version": 1,
        "plans": [{"name": name, "digest": digest} for name, digest in digests.items()],
    }


def test_nodes_are_listed_with_what_they_tell_of_their_data(
    fedmq: CommandLine, tell: Callable[..., Told]
) -> None:
    """Counts and ranges; what is not told is said to be so."""
    tell(silent=("hub-b",))
    plain = fedmq("nodes")
    assert plain.data.splitlines() == [
        "node       last heard",
        "chu-lyon   2027-01-15 08:00 UTC",
        "ghu-paris  2027-01-15 08:00 UTC",
    ]
    assert "without what hub-b alone may know: no answer" in plain.talk
    assert plain.ends_with_next
    lines = [line.strip() for line in fedmq("nodes", "--data").data.splitlines()]
    assert lines[2:] == [
        "lung-petct: 40 cases, read by lung-io 1.0 abababababab",
        "CT: 30, voxels 1 to 1.5 x 1 to 1.5 x 2.5 to 3 mm",
        "PET: too few have it, or lack it, to be told",
        "ghu-paris  2027-01-15 08:00 UTC",
        "tells of no data",
    ]
    content = fedmq("nodes", "--json").json
    assert content["no_answer_from"] == ["hub-b"]
    assert [one["node"] for one in content["nodes"]] == ["chu-lyon", "ghu-paris"]
