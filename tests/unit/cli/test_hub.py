"""The hub's commands, as far as they need no broker."""

import shutil
import time
from pathlib import Path

import pytest

from fedmq.hub.local import enrol_here
from fedmq.hub.members import Hub
from fedmq.hub.membership import read_membership
from fedmq.hub.requests import Requests
from fedmq.security.certificates import DAY_S, certify_broker
from fedmq.security.rotation import make_rotation_request
from fedmq.types import Role
from tests.unit.cli.line import CommandLine


def test_a_hub_that_never_was_is_down(fedmq: CommandLine) -> None:
    """The next command is the one that makes it."""
    shown = fedmq("hub", "status")
    assert (shown.code, shown.data) == (0, "hub      down\n")
    assert shown.talk == "next: fedmq hub up\n"
    assert fedmq("hub", "status", "--json").json == {
        "schema_version": 1,
        "running": False,
        "url": "",
        "admin_url": "",
        "members": {},
        "roster": None,
        "broker_certified_until": None,
    }


def test_members_are_invited_shown_and_revoked(fedmq: CommandLine, home: Path) -> None:
    """The token is the data, and in a file; no secret is in what is shown later."""
    made = fedmq("hub", "init", "trial", "--host", "broker.example.org")
    assert len(made.data.split()) == 8
    assert "amqps://broker.example.org:" in made.talk
    assert fedmq("hub", "fingerprint").data == made.data
    added = fedmq("hub", "add-node", "chu-lyon")
    assert added.data.startswith("fedmq-join-1.")
    assert (home / "chu-lyon.token").read_text() == added.data
    assert (home / "chu-lyon.token").stat().st_mode & 0o777 == 0o600
    assert added.talk.splitlines()[-2:] == [
        "next: at the hospital: fedmq node join chu-lyon.token",
        "      then here: fedmq hub joins",
    ]
    assert fedmq("hub", "add-researcher", "ada").ends_with_next
    lines = fedmq("hub", "status").data.splitlines()
    assert [line.split()[:2] for line in lines[-6:-3]] == [
        ["member", "role"],
        ["ada", "researcher"],
        ["chu-lyon", "node"],
    ]
    assert "until 20" in lines[-1]
    shown = fedmq("hub", "status", "--json")
    assert shown.json["members"]["chu-lyon"] == "node"
    assert "password" not in shown.data
    removed = fedmq("hub", "revoke", "ada")
    assert (removed.code, removed.ends_with_next) == (0, True)
    assert "ada" not in fedmq("hub", "status", "--json").json["members"]


def test_a_second_hub_in_a_home_is_refused(fedmq: CommandLine, home: Path) -> None:
    """Its authority would be lost, and with it every member."""
    fedmq("hub", "init", "trial")
    before = (home / "hub" / "authority" / "keys.json").read_bytes()
    again = fedmq("hub", "init", "trial")
    assert (again.code, again.data) == (1, "")
    assert "error: there is a hub already" in again.talk
    assert (home / "hub" / "authority" / "keys.json").read_bytes() == before


def test_without_its_authority_a_hub_is_the_same_and_takes_nobody(
    fedmq: CommandLine, home: Path
) -> None:
    """It may lie on another machine: what needs it says so, and no second one is made."""
    fedmq("hub", "init", "trial")
    fedmq("hub", "add-node", "chu-lyon")
    before = fedmq("hub", "status", "--json").json
    (home / "hub" / "authority").rename(home / "away")
    assert fedmq("hub", "status", "--json").json == before
    for words in (("add-node", "ghu-paris"), ("revoke", "chu-lyon"), ("init", "other")):
        outcome = fedmq("hub", *words)
        assert (outcome.code, outcome.data) == (1, "")
        assert ("authority is not on this machine" in outcome.talk) is (words[0] != "init")
    assert not (home / "hub" / "authority" / "ca.pem").exists()
    assert fedmq("hub", "status", "--json").json == before
    Hub(home / "hub").renew_own(now=time.time())
    (home / "away").rename(home / "hub" / "authority")
    assert fedmq("hub", "revoke", "chu-lyon").code == 0


def test_a_thiefs_request_in_a_file_is_not_admitted_and_changes_nothing(
    fedmq: CommandLine, home: Path, tmp_path: Path
) -> None:
    """What the site reads out decides; the true request waits as before."""
    fedmq("hub", "init", "trial")
    enrol_here(home / "hub", "chu-lyon", Role.NODE, tmp_path / "site" / "credentials.toml")
    shutil.copytree(tmp_path / "site", tmp_path / "thief")
    files = {}
    for who in ("site", "thief"):
        keyring = read_membership(tmp_path / who / "credentials.toml").keyring
        files[who] = make_rotation_request(*keyring.prepare())
        (tmp_path / f"{who}.json").write_text(files[who].model_dump_json())
    hub = Hub(home / "hub")
    Requests(hub, home / "hub").keep(files["site"])
    before, read_out = hub.authority.signed_roster(), files["site"].public.fingerprint
    for name, file in (("chu-lyon", "thief"), ("ghu-paris", "site")):
        words = ("admit", name, "--request", str(tmp_path / f"{file}.json"))
        outcome = fedmq("hub", *words, "--fingerprint", read_out)
        assert outcome.code == 1
        assert "  fix: " in outcome.talk
        assert hub.authority.signed_roster() == before
        (asked,) = Requests(hub, home / "hub").waiting()
        assert asked.request == files["site"]
    admitted = fedmq("hub", "admit", "chu-lyon", "--fingerprint", read_out)
    assert admitted.code == 0
    signed = hub.authority.signed_roster()
    assert signed.fingerprint in admitted.talk.splitlines()
    assert f"roster   {hub.authority.roster().version}, hash {signed.fingerprint}" in (
        fedmq("hub", "status").data.splitlines()
    )
    assert fedmq("hub", "status", "--json").json["roster"] == {
        "version": hub.authority.roster().version,
        "hash": signed.hash,
        "fingerprint": signed.fingerprint,
    }
    member = hub.authority.roster().find("chu-lyon")
    assert member is not None
    assert member.public == files["site"].public


@pytest.mark.parametrize(("days", "word"), [(20.0, "ends on"), (-20.0, "ended on")])
def test_the_end_of_the_brokers_certificate_is_said_while_it_is_near(
    fedmq: CommandLine, home: Path, days: float, word: str
) -> None:
    """In a row always; as a warning a month before, with what makes the next one."""
    fedmq("hub", "init", "trial")
    shown = fedmq("hub", "status")
    (row,) = [line for line in shown.data.splitlines() if line.startswith("tls ")]
    assert row.startswith("tls      certificate until 20")
    assert row.endswith("; fedmq hub up renews it")
    assert "the broker's certificate" not in shown.talk
    hub, end = Hub(home / "hub"), time.time() + days * DAY_S
    authority = hub.authority.certificates()
    pair = certify_broker(authority, ["127.0.0.1"], now=end - 365 * DAY_S)
    hub.broker.use_tls(authority=authority.certificate, pair=pair)
    shown = fedmq("hub", "status")
    day = time.strftime("%Y-%m-%d", time.localtime(end))
    assert f"tls      certificate until {day}, renew it; fedmq hub up renews it" in shown.data
    assert f"the broker's certificate {word} {day}; then no member connects to it" in shown.talk
    assert "  fix: fedmq hub down, then fedmq hub up: it starts with a new one" in shown.talk
    document = fedmq("hub", "status", "--json")
    assert document.json["broker_certified_until"] == pytest.approx(end, abs=2)
    assert "the broker's certificate" not in document.talk
    assert hub.renew_own(now=time.time()) == ("the broker",)
    assert "the broker's certificate" not in fedmq("hub", "status").talk


def test_without_a_hub_nobody_is_invited(fedmq: CommandLine) -> None:
    """The error says how to make one."""
    outcome = fedmq("hub", "add-node", "chu-lyon")
    assert (outcome.code, outcome.data) == (1, "")
    assert "fix: fedmq hub init NAME" in outcome.talk


def test_a_name_that_cannot_be_one_is_an_error(fedmq: CommandLine, home: Path) -> None:
    """It says what names may be."""
    fedmq("hub", "init", "trial")
    outcome = fedmq("hub", "add-node", "CHU.Lyon")
    assert (outcome.code, outcome.data) == (1, "")
    assert "1 to 40 of a-z, 0-9 and -" in outcome.talk
    assert Hub(home / "hub").register().find("CHU.Lyon") is None


def test_the_hub_goes_down_twice_without_an_error(fedmq: CommandLine, home: Path) -> None:
    """What is down stays down."""
    Hub(home / "hub").add_member("chu-lyon", Role.NODE)
    for _ in range(2):
        outcome = fedmq("hub", "down")
        assert (outcome.code, outcome.talk) == (0, "the hub is down\nnext: fedmq hub up\n")


def test_nobody_is_added_to_a_hub_that_is_not_up_on_the_broker_that_is_named(
    fedmq: CommandLine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be a member at a private broker, and `up` would be refused from then on."""
    monkeypatch.setenv("FEDMQ_BROKER_URL", "amqp://127.0.0.1:1/fedmq")
    monkeypatch.setenv("FEDMQ_BROKER_ADMIN_URL", "http://a:b@127.0.0.1:1")
    for command in ("add-node", "add-researcher"):
        outcome = fedmq("hub", command, "chu-lyon")
        assert (outcome.code, outcome.data) == (1, "")
        assert outcome.talk.splitlines() == [
            "error: the hub cannot add chu-lyon yet",
            "  why: it is not up on the broker that FEDMQ_BROKER_URL names",
            "  fix: fedmq hub up",
        ]
    assert Hub(home / "hub").members() == ()
    assert fedmq("hub", "status").data == "hub      down\n"
