"""`fedmq hub add-orchestrator`: what it says, and what the other commands say of who was added."""

import shutil
from pathlib import Path

import pytest

from fedmq.hub.members import Hub
from fedmq.hub.membership import Membership, read_membership
from fedmq.security.rotation import make_rotation_request
from tests.unit.cli.line import CommandLine, Outcome

NORTH = "centre-north"


@pytest.fixture
def hub(fedmq: CommandLine, home: Path) -> Hub:
    """Return a hub that does not run."""
    fedmq("hub", "init", "trial")
    return Hub(home / "hub")


@pytest.fixture
def added(fedmq: CommandLine, hub: Hub) -> Outcome:
    """Return what was said when an orchestrator was added."""
    assert hub.exists
    return fedmq("hub", "add-orchestrator", NORTH)


def moved(hub: Hub, folder: Path) -> Membership:
    """Return the membership of one whose files are on another machine now."""
    folder.mkdir()
    path = hub.credentials_path(NORTH)
    for one in (path, path.with_suffix(".keys")):
        shutil.move(one, folder)
    return read_membership(folder / path.name)


def ask(membership: Membership, home: Path) -> tuple[str, str]:
    """Return the file of a request for new keys, and the fingerprint of these."""
    request = make_rotation_request(*membership.keyring.prepare())
    (home / "request.json").write_text(request.model_dump_json())
    return "request.json", request.public.fingerprint


def test_one_is_added_and_it_is_said_what_to_do(added: Outcome, hub: Hub) -> None:
    """The fingerprint is the data; how to start it, what to move, and who has to agree."""
    member = hub.authority.roster().find(NORTH)
    assert member is not None
    assert (added.code, added.data) == (0, f"{member.public.fingerprint}\n")
    assert hub.authority.signed_roster().fingerprint in added.talk.splitlines()
    assert f"hub/credentials/{NORTH}.toml; its keys are beside them" in added.talk
    assert "to run it on another machine, move both there" in added.talk
    assert added.talk.splitlines()[-3:] == [
        f"next: fedmq orchestrator start --credentials hub/credentials/{NORTH}.toml",
        "      at each node: fedmq node roster, then fedmq node roster --accept",
        "      at each researcher's: fedmq roster, then fedmq roster --accept",
    ]


def test_added_again_it_is_said_where_it_is(
    added: Outcome, fedmq: CommandLine, hub: Hub, tmp_path: Path
) -> None:
    """Nothing changes, here or elsewhere."""
    assert added.code == 0
    before = hub.authority.signed_roster()
    again = fedmq("hub", "add-orchestrator", NORTH)
    assert (again.code, again.data) == (0, "")
    assert "already; nothing has changed" in again.talk
    assert f"its credentials are hub/credentials/{NORTH}.toml" in again.talk
    moved(hub, tmp_path / "away")
    again = fedmq("hub", "add-orchestrator", NORTH)
    assert (again.code, again.ends_with_next) == (0, True)
    assert "they were moved to where it runs" in again.talk
    assert hub.authority.signed_roster() == before


def test_it_is_among_the_members(added: Outcome, fedmq: CommandLine) -> None:
    """With its role, and the end of its certificate."""
    assert added.code == 0
    (row,) = [line for line in fedmq("hub", "status").data.splitlines() if NORTH in line]
    assert row.split()[:4] == [NORTH, "orchestrator", "until", row.split()[3]]
    assert fedmq("hub", "status", "--json").json["members"][NORTH] == "orchestrator"


def test_a_name_that_is_taken_is_an_error(fedmq: CommandLine, hub: Hub) -> None:
    """What, why, fix."""
    assert fedmq("hub", "add-node", "chu-lyon").code == 0
    outcome = fedmq("hub", "add-orchestrator", "chu-lyon")
    assert (outcome.code, outcome.data) == (1, "")
    assert outcome.talk.splitlines() == [
        "error: chu-lyon cannot become an orchestrator",
        "  why: it is the name of a node of this federation",
        "  fix: choose another name, or remove that member first",
    ]
    assert hub.authority.roster().find("chu-lyon") is None


def test_without_a_hub_none_is_added(fedmq: CommandLine, home: Path) -> None:
    """The error says how to make one, and none is made."""
    outcome = fedmq("hub", "add-orchestrator", NORTH)
    assert (outcome.code, outcome.data) == (1, "")
    assert "fix: fedmq hub init NAME" in outcome.talk
    assert not (home / "hub" / "credentials").exists()


def test_its_certificate_is_renewed_in_its_place(added: Outcome, fedmq: CommandLine) -> None:
    """No file has to be brought anywhere."""
    assert added.code == 0
    renewed = fedmq("hub", "renew", NORTH)
    assert (renewed.code, renewed.ends_with_next) == (0, True)
    assert f"{NORTH} has a new certificate, beside hub/credentials/{NORTH}.toml" in renewed.talk


def test_new_keys_of_one_that_is_here_need_no_file(
    added: Outcome, fedmq: CommandLine, hub: Hub, home: Path
) -> None:
    """It reads the hub's folder."""
    assert added.code == 0
    file, read_out = ask(read_membership(hub.credentials_path(NORTH)), home)
    words = ("--request", file, "--fingerprint", read_out, "--stolen")
    admitted = fedmq("hub", "admit", NORTH, *words)
    assert admitted.talk.endswith("next: fedmq hub status\n")
    assert "move" not in admitted.talk
    assert read_membership(hub.credentials_path(NORTH)).wire().identity.public.fingerprint == (
        read_out
    )


@pytest.mark.parametrize("stolen", [False, True])
def test_new_keys_of_one_that_is_elsewhere_are_brought_to_it(
    added: Outcome,
    fedmq: CommandLine,
    hub: Hub,
    home: Path,
    tmp_path: Path,
    stolen: bool,  # noqa: FBT001 - of a table
) -> None:
    """The roster always; where they were stolen, the certificate too. What is said works."""
    assert added.code == 0
    membership = moved(hub, tmp_path / "away")
    file, read_out = ask(membership, home)
    words = ("--request", file, "--fingerprint", read_out, *(["--stolen"] if stolen else []))
    admitted = fedmq("hub", "admit", NORTH, *words)
    assert admitted.code == 0
    assert ("move certificate.pem and key.pem" in admitted.talk) is stolen
    last = admitted.talk.splitlines()[-1]
    assert last == (
        f"next: there: fedmq orchestrator rotate --answer {NORTH}.roster --credentials {NORTH}.toml"
    )
    path = str(tmp_path / "away" / f"{NORTH}.toml")
    taken = fedmq("orchestrator", "rotate", "--answer", f"{NORTH}.roster", "--credentials", path)
    assert (taken.code, taken.data) == (0, f"{read_out}\n")


def test_it_is_revoked_with_its_files(added: Outcome, fedmq: CommandLine, hub: Hub) -> None:
    """The one that every hub has is not."""
    assert added.code == 0
    assert fedmq("hub", "revoke", NORTH, "--reason", "moved out").code == 0
    assert [path.name for path in hub.credentials_path(NORTH).parent.glob(f"{NORTH}*")] == []
    assert NORTH not in fedmq("hub", "status", "--json").json["members"]
    refused = fedmq("hub", "revoke", "orchestrator")
    assert "why: the hub itself needs it" in refused.talk
    again = fedmq("hub", "add-orchestrator", NORTH)
    assert "why: it was revoked" in again.talk
