"""Orchestrators that are added: as the one that every hub has, but for their name and their end."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError, StorageError
from fedmq.hub.credentials import read_credentials
from fedmq.hub.enrolment import Enrolment
from fedmq.hub.lifecycle import external
from fedmq.hub.local import enrol_here
from fedmq.hub.members import Hub
from fedmq.hub.membership import Membership, read_membership
from fedmq.hub.orchestrators import add_orchestrator
from fedmq.hub.register import Member
from fedmq.hub.rotations import Rotations
from fedmq.security.revocation import serial_of
from fedmq.security.rotation import make_rotation_request
from fedmq.types import Role
from tests.unit.hub.external import a_broker
from tests.unit.hub.killing import killed

NORTH, LYON = "centre-north", "chu-lyon"
DAY_S = 86_400.0
NOW = 1_800_000_000.0


class Place:
    """A hub that does not run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "hub"
        self.hub = Hub(self.folder)
        self.enrolment = Enrolment(self.hub, self.folder, lambda: NOW)

    @property
    def member(self) -> Member:
        """The orchestrator that was added."""
        found = self.hub.register().find(NORTH)
        assert found is not None
        return found

    def copied(self, folder: Path) -> "Place":
        """Return the same hub in another folder."""
        shutil.copytree(self.folder, folder / "hub")
        return Place(folder)

    def files(self) -> dict[str, bytes]:
        """Return what lies in the hub's folder."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in paths}

    def membership(self, folder: Path | None = None) -> Membership:
        """Return what its credentials say, in the hub's folder or where they were moved to."""
        path = self.hub.credentials_path(NORTH)
        return read_membership(path if folder is None else folder / path.name, Role.ORCHESTRATOR)

    def move_to(self, folder: Path) -> Membership:
        """Return its membership once its files are on another machine."""
        path = self.hub.credentials_path(NORTH)
        folder.mkdir()
        for one in (path, path.with_suffix(".keys")):
            shutil.move(one, folder)
        return self.membership(folder)

    def shown(self, membership: Membership) -> str:
        """Return the serial number of the certificate that it shows."""
        return serial_of((membership.keyring.folder / "certificate.pem").read_text())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a hub with its own members."""
    place = Place(tmp_path)
    place.hub.make("trial", ["broker.example.org"])
    return place


def test_it_has_all_that_the_first_one_has(place: Place) -> None:
    """Credentials for one user, a certificate, a login with the rights of its role, its keys."""
    assert add_orchestrator(place.hub, NORTH)
    first, added = place.hub.credentials_path("orchestrator"), place.hub.credentials_path(NORTH)
    known, given = read_credentials(first), read_credentials(added)
    assert (given.url, given.password, given.role) == (known.url, "", Role.ORCHESTRATOR)
    assert (given.user, given.identity) == (NORTH, f"{NORTH}.keys")
    names = {path.name for path in first.with_suffix(".keys").iterdir()}
    assert {path.name for path in added.with_suffix(".keys").iterdir()} == names
    assert added.stat().st_mode & 0o777 == 0o600
    assert place.member.serials == (place.shown(place.membership()),)
    wire = place.membership().wire()
    found = wire.roster.find(NORTH)
    assert found is not None
    assert (found.role, found.public) == (Role.ORCHESTRATOR, wire.identity.public)
    assert f'"{NORTH}"' in place.hub.broker.definitions.read_text()


def test_the_first_one_knows_it_and_a_node_waits_for_a_person(place: Place, tmp_path: Path) -> None:
    """Whoever took the governance over could add one, too."""
    enrol_here(place.folder, LYON, Role.NODE, tmp_path / "site" / "credentials.toml")
    node = read_membership(tmp_path / "site" / "credentials.toml")
    at_node = node.wire()
    first = read_membership(place.hub.credentials_path("orchestrator")).wire()
    add_orchestrator(place.hub, NORTH)
    first.review()
    assert first.roster.find(NORTH) is not None
    notice = first.notice()
    assert notice is not None
    at_node.learn(notice)
    assert at_node.roster.find(NORTH) is None
    held = node.keyring.held_roster()
    assert held is not None
    node.keyring.write_roster(held)
    at_node.review()
    assert at_node.roster.find(NORTH) is not None


def test_once_it_is_revoked_nobody_waits_any_more(place: Place, tmp_path: Path) -> None:
    """While a roster waits, so do all that come after it; who was put out meanwhile is out."""
    enrol_here(place.folder, LYON, Role.NODE, tmp_path / "site" / "credentials.toml")
    enrol_here(place.folder, "gone", Role.NODE, tmp_path / "gone" / "credentials.toml")
    node = read_membership(tmp_path / "site" / "credentials.toml")
    node.keyring.write_roster(place.hub.authority.signed_roster())
    wire = node.wire()
    add_orchestrator(place.hub, NORTH)
    version = wire.version
    wire.learn(place.enrolment.revoke("gone", "").notice)
    enrol_here(place.folder, "late", Role.NODE, tmp_path / "late" / "credentials.toml")
    wire.learn(place.hub.authority.signed_roster().notice)
    assert wire.version == version
    assert [wire.roster.find(name) for name in ("gone", NORTH, "late")] == [None] * 3
    wire.learn(place.enrolment.revoke(NORTH, "").notice)
    assert wire.roster.find("gone") is None
    assert wire.roster.find("late") is not None
    assert node.keyring.held_roster() is None


@pytest.mark.parametrize("is_moved", [False, True])
def test_added_again_nothing_changes(place: Place, tmp_path: Path, is_moved: bool) -> None:  # noqa: FBT001 - of a table
    """Nor are keys made for one whose files are on another machine."""
    add_orchestrator(place.hub, NORTH)
    if is_moved:
        place.move_to(tmp_path / "elsewhere")
    before = place.files()
    assert not add_orchestrator(place.hub, NORTH)
    after = place.files()
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert all("revoked" in path for path in changed), "a list of revoked certificates has a time"
    assert not add_orchestrator(place.hub, "orchestrator"), "that of every hub is there as well"


@pytest.mark.parametrize(
    ("name", "what", "why"),
    [
        ("monitor", "cannot become an orchestrator", "the name of a monitor"),
        (LYON, "cannot become an orchestrator", "the name of a node"),
        ("join-x", "cannot become an orchestrator", "who are about to join"),
        ("all", "cannot name an orchestrator", "reserved"),
        ("Centre.North", "cannot name an orchestrator", "a-z, 0-9 and -"),
        ("old", "cannot join again", "revoked"),
    ],
)
def test_a_name_that_is_not_free_is_an_error(place: Place, name: str, what: str, why: str) -> None:
    """What, why and a fix; the roster and the members stay as they are."""
    place.enrolment.invite(LYON, Role.NODE)
    add_orchestrator(place.hub, "old")
    place.enrolment.revoke("old", "")
    before = (place.hub.authority.signed_roster(), place.hub.register())
    with pytest.raises(ConfigurationError, match=what) as caught:
        add_orchestrator(place.hub, name)
    assert why in caught.value.why
    assert "name" in caught.value.fix
    assert (place.hub.authority.signed_roster(), place.hub.register()) == before


def test_without_the_authority_nobody_is_added(place: Place) -> None:
    """It may be on another machine."""
    (place.folder / "authority").rename(place.folder / "away")
    with pytest.raises(ConfigurationError, match="authority is not on this machine"):
        add_orchestrator(place.hub, NORTH)
    assert place.hub.register().find(NORTH) is None


def test_killed_at_any_step_it_is_whole_once_it_is_added_again(
    place: Place, tmp_path: Path
) -> None:
    """One certificate that counts and is known, keys that the roster names."""
    num_killed, made = 0, place
    for step in range(0, 400, 3):
        place = made.copied(tmp_path / str(step))
        act = partial(add_orchestrator, place.hub, NORTH)
        has_died = killed(act, place.folder, step)
        shown = place.hub.credentials_path(NORTH).with_suffix(".keys") / "certificate.pem"
        given = {serial_of(shown.read_text())} if shown.exists() else set()
        add_orchestrator(place.hub, NORTH)
        assert given <= set(place.member.serials), "what nobody knows, nobody can revoke"
        assert not add_orchestrator(place.hub, NORTH)
        membership = place.membership()
        assert place.shown(membership) in place.member.serials, step
        assert place.member.certified_until == membership.certified_until()
        wire = membership.wire()
        found = place.hub.authority.roster().find(NORTH)
        assert found is not None
        assert found.public == wire.identity.public, step
        num_killed += has_died
        if not has_died:
            break
    assert num_killed > 5
    assert not has_died


# Certificates.


def test_the_hub_renews_it_when_it_comes_up(place: Place, tmp_path: Path) -> None:
    """As long as its keys are in the hub's folder."""
    add_orchestrator(place.hub, NORTH)
    late = place.member.certified_until - 10 * DAY_S
    assert NORTH in place.hub.renew_own(now=late)
    assert place.membership().certified_until() == place.member.certified_until
    assert place.member.certified_until > late + 300 * DAY_S
    assert NORTH not in place.hub.renew_own(now=late), "once"
    place.move_to(tmp_path / "elsewhere")
    later = place.member.certified_until - 10 * DAY_S
    renewed = place.hub.renew_own(now=later)
    assert "orchestrator" in renewed
    assert NORTH not in renewed
    assert not place.hub.credentials_path(NORTH).with_suffix(".keys").exists()


def test_it_is_renewed_where_it_is(place: Place, tmp_path: Path) -> None:
    """At the hub at once; elsewhere by a file that is no secret, since the key stays there."""
    add_orchestrator(place.hub, NORTH)
    assert place.enrolment.renew(NORTH) == ""
    assert place.membership().certified_until() == pytest.approx(NOW + 365 * DAY_S, abs=2)
    moved = place.move_to(tmp_path / "elsewhere")
    before = place.shown(moved)
    certificate = place.enrolment.renew(NORTH)
    assert "PRIVATE" not in certificate
    assert serial_of(certificate) in place.member.serials
    moved.renew(certificate)
    assert place.shown(moved) == serial_of(certificate) != before
    assert place.enrolment.renew("orchestrator") == "", "that of every hub as well"


# Keys.


@pytest.mark.parametrize("is_moved", [False, True])
def test_stolen_keys_are_changed_with_the_certificate(
    place: Place,
    tmp_path: Path,
    is_moved: bool,  # noqa: FBT001 - of a table
) -> None:
    """The new certificate and its key are at the hub, and a request for the next one."""
    add_orchestrator(place.hub, NORTH)
    membership = place.move_to(tmp_path / "elsewhere") if is_moved else place.membership()
    before, wire = place.shown(membership), membership.wire()
    request = make_rotation_request(*membership.keyring.prepare())
    signed = Rotations(place.hub, place.folder).admit(
        request, request.public.fingerprint, are_stolen=True
    )
    wire.learn(signed.notice) if is_moved else wire.review()
    assert wire.identity.public == request.public
    assert before in place.hub.register().revoked
    made = place.hub.credentials_path(NORTH).with_suffix(".keys")
    (serial,) = place.member.serials
    assert serial == serial_of((made / "certificate.pem").read_text()) != before
    for name in ("certificate.pem", "key.pem"):
        target = membership.keyring.folder / name
        target.write_bytes((made / name).read_bytes())
    if is_moved:
        membership.renew(place.enrolment.renew(NORTH))


# The end.


def test_it_can_be_revoked_and_leaves_nothing(place: Place) -> None:
    """Its login, its certificate, its files; its name is not given again. The first one stays."""
    add_orchestrator(place.hub, NORTH)
    serials = place.member.serials
    roster = place.enrolment.revoke(NORTH, "moved out")
    assert NORTH in roster.content
    assert [one.name for one in place.hub.authority.roster().revoked] == [NORTH]
    assert place.hub.authority.roster().find(NORTH) is None
    assert set(serials) <= set(place.hub.register().revoked)
    assert NORTH not in place.hub.broker.definitions.read_text()
    assert not place.hub.credentials_path(NORTH).exists()
    assert not place.hub.credentials_path(NORTH).with_suffix(".keys").exists()
    with pytest.raises(ConfigurationError, match="no such member"):
        place.enrolment.revoke(NORTH, "")
    with pytest.raises(ConfigurationError, match="the hub itself needs it"):
        place.enrolment.revoke("orchestrator", "")
    assert place.hub.credentials_path("orchestrator").exists()


def test_killed_at_any_step_it_is_out_once_it_is_revoked_again(
    place: Place, tmp_path: Path
) -> None:
    """No file of it is left, and no certificate that counts."""
    num_killed, made = 0, place
    add_orchestrator(made.hub, NORTH)
    for step in range(0, 400, 2):
        place = made.copied(tmp_path / str(step))
        serials, path = place.member.serials, place.hub.credentials_path(NORTH)
        keys = path.with_suffix(".keys")
        has_died = killed(partial(place.enrolment.revoke, NORTH, ""), place.folder, step)
        if place.hub.register().find(NORTH) is not None:
            place.enrolment.revoke(NORTH, "")
        assert place.hub.register().find(NORTH) is None
        assert place.hub.authority.roster().find(NORTH) is None
        assert set(serials) <= set(place.hub.register().revoked), step
        assert not path.exists(), step
        assert not keys.exists(), step
        num_killed += has_died
        if not has_died:
            break
    assert num_killed > 3
    assert not has_died


def test_where_its_files_cannot_be_removed_it_is_out_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has stolen them is not let in for that; the error says what to remove."""
    add_orchestrator(place.hub, NORTH)
    serials, keys = place.member.serials, place.membership().keyring.folder

    def refuse(_folder: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(StorageError, match="is out, and its files are still here") as caught:
        place.enrolment.revoke(NORTH, "")
    assert str(keys) in caught.value.fix
    assert place.hub.register().find(NORTH) is None
    assert set(serials) <= set(place.hub.register().revoked)


def test_of_who_made_its_keys_here_by_joining_they_stay(place: Place) -> None:
    """They are not the hub's to remove, as on a machine for trials."""
    path = place.hub.credentials_path(LYON)
    enrol_here(place.folder, LYON, Role.NODE, path)
    place.enrolment.revoke(LYON, "")
    assert path.with_suffix(".keys").exists()


# At a broker of others.


def test_at_a_broker_of_others_it_has_a_password_and_no_certificate(
    place: Place, tmp_path: Path
) -> None:
    """A new one is written into its file; elsewhere, it comes sealed to its keys."""
    place = Place(tmp_path / "other")
    with a_broker({}) as (address, _):
        external(place.folder, amqp_url="amqps://hub.example", admin_url=f"http://a:b@{address}")
        assert add_orchestrator(place.hub, NORTH)
        first = place.membership().credentials.password
        assert first
        assert place.membership().certified_until() is None
        assert not add_orchestrator(place.hub, NORTH)
        assert place.membership().credentials.password == first
        assert place.enrolment.renew(NORTH) == ""
        second = place.membership().credentials.password
        moved = place.move_to(tmp_path / "elsewhere")
        sealed = place.enrolment.renew(NORTH)
        assert not place.hub.credentials_path(NORTH).exists()
        moved.renew(sealed)
        third = place.membership(tmp_path / "elsewhere").credentials.password
        assert len({first, second, third}) == 3
        assert third not in sealed
        place.enrolment.revoke(NORTH, "")
    assert place.hub.register().find(NORTH) is None
