"""Keys that change: asked for at a site, admitted at the hub, killed in between."""

from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from fedmq.errors import ConfigurationError
from fedmq.hub.keyring import KeptWire, Keyring
from fedmq.hub.local import enrol_here
from fedmq.hub.members import Hub
from fedmq.hub.membership import read_membership
from fedmq.hub.requests import Requests
from fedmq.hub.rotations import Rotations
from fedmq.messages.notices import RosterNotice
from fedmq.security.identities import Identity
from fedmq.security.revocation import serial_of
from fedmq.security.roster import Roster, without_member
from fedmq.security.rotation import RotationRequest, make_rotation_request
from fedmq.types import Role
from tests.unit.hub.killing import killed

LYON = "chu-lyon"


class Place:
    """A hub that does not run, and a site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "hub"
        self.hub = Hub(self.folder)
        self.hub.make("trial")
        enrol_here(self.folder, LYON, Role.NODE, folder / "site" / "credentials.toml")
        self.keyring = read_membership(folder / "site" / "credentials.toml").keyring
        self.rotations = Rotations(self.hub, self.folder)

    def ask(self) -> RotationRequest:
        """Return the request of the site."""
        return make_rotation_request(*self.keyring.prepare())

    def admit(self, request: RotationRequest, *, stolen: bool = False) -> RosterNotice:
        """Return the roster with the keys of a request."""
        print_ = request.public.fingerprint
        return self.rotations.admit(request, print_, are_stolen=stolen).notice


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a hub and a site."""
    return Place(tmp_path)


def test_new_keys_are_used_once_the_roster_names_them(place: Place) -> None:
    """By a program that runs, and by the next one; what was sealed before can still be read."""
    heard: list[str] = []
    wire = KeptWire(place.keyring, lambda what, _version, _name: heard.append(what))
    before = wire.identity
    request = place.ask()
    assert place.ask() == request, "asked again it is the same keys"
    assert wire.identity == KeptWire(place.keyring).identity == before
    wire.learn(place.admit(request))
    assert heard == ["keys_changed", "roster_learnt"]
    assert wire.identity.public == request.public
    assert wire.identity.retired == (before.sealing,)
    assert wire.identity.payloads != before.payloads
    assert KeptWire(place.keyring).identity == wire.identity
    assert place.keyring.upcoming() is None
    second = place.ask()
    wire.learn(place.admit(second))
    assert wire.identity.public == second.public
    assert before.sealing not in wire.identity.retired, "the one before and none older"


def test_the_hubs_own_orchestrator_takes_them_from_its_folder(place: Place) -> None:
    """Its roster is written by the hub."""
    keyring = read_membership(place.hub.credentials_path("orchestrator")).keyring
    wire = KeptWire(keyring)
    request = make_rotation_request(*keyring.prepare())
    place.admit(request)
    wire.review()
    assert wire.identity.public == request.public
    lyon = KeptWire(place.keyring)
    notice = wire.notice()
    assert notice is not None
    lyon.learn(notice)
    assert lyon.version == wire.version, "the earlier keys vouch for these: nobody has to look"
    assert place.keyring.held_roster() is None


def test_keys_that_wait_may_be_made_anew(place: Place) -> None:
    """Who took a copy of the folder has those that waited, too."""
    waited = place.ask()
    fresh = make_rotation_request(*place.keyring.prepare(is_fresh=True))
    assert fresh.public != waited.public
    assert place.ask() == fresh


def test_a_roster_that_is_written_while_another_is_taken_is_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub may put somebody out right behind a change of keys."""
    wire, settle = KeptWire(place.keyring), Keyring.settle
    notice = place.admit(place.ask())

    def slow(keyring: Keyring, roster: Roster) -> Identity:
        found = settle(keyring, roster)
        if roster.version == wire.version + 1:
            place.hub.authority.change(
                lambda known, at: without_member(known, "nobody", "left", at=at),
                [place.keyring],
            )
        return found

    monkeypatch.setattr(Keyring, "settle", slow)
    before = wire.version
    wire.learn(notice)
    assert wire.version == before + 1
    wire.review()
    assert wire.version == before + 2


def test_nobody_gets_keys_whose_fingerprint_was_not_read_out(place: Place) -> None:
    """Who has stolen the keys can ask with them; the site does not read out the thief's."""
    thief = Keyring(place.keyring.folder.with_name("thief"))
    thief.write_identity(place.keyring.identity())
    stolen = make_rotation_request(*thief.prepare())
    own = place.ask()
    before = place.hub.authority.signed_roster()
    with pytest.raises(ConfigurationError, match="not that of the request"):
        place.rotations.admit(stolen, own.public.fingerprint)
    assert place.hub.authority.signed_roster() == before
    place.admit(own)
    roster = place.admit(own, stolen=True)
    assert "stolen" in roster.content, "said late, it still holds"
    with pytest.raises(ConfigurationError, match="not those of the roster"):
        place.rotations.admit(stolen, stolen.public.fingerprint)


def test_admitted_twice_is_admitted_once(place: Place) -> None:
    """As after a kill between the roster and the rest: the orchestrator's folder has it then."""
    request = place.ask()
    Requests(place.hub, place.folder).keep(request)
    first = place.admit(request)
    assert Requests(place.hub, place.folder).waiting() == ()
    orchestrator = read_membership(place.hub.credentials_path("orchestrator")).keyring
    (orchestrator.folder / "roster.json").write_text("{}")
    assert place.admit(request) == first
    assert orchestrator.signed_roster().notice == first


def _learn(keyring: Keyring, notice: RosterNotice) -> None:
    KeptWire(keyring).learn(notice)


def test_killed_at_any_step_a_site_has_the_keys_that_its_roster_names(place: Place) -> None:
    """Asking and taking, each begun again: one set of keys, and no step at which there is none."""
    num_killed, keyring = 0, place.keyring
    for step in range(200):
        has_died = killed(place.ask, keyring.folder, step)
        assert KeptWire(keyring).identity == keyring.identity(), "the old ones are good"
        request = place.ask()
        notice = place.admit(request)
        has_died |= killed(partial(_learn, keyring, notice), keyring.folder, step)
        wire = KeptWire(keyring)
        member = wire.roster.find(LYON)
        assert member is not None
        assert wire.identity.public == member.public, step
        wire.learn(notice)
        assert wire.identity.public == request.public, step
        assert keyring.upcoming() is None
        num_killed += has_died
        if not has_died:
            break
    assert num_killed > 10
    assert not has_died


def test_killed_at_any_step_the_hub_admits_whole_or_not_at_all(place: Place) -> None:
    """Done again it is one roster more, which the hub's own members have too."""
    num_killed = 0
    orchestrator = read_membership(place.hub.credentials_path("orchestrator")).keyring
    for step in range(200):
        request = place.ask()
        version = place.hub.authority.roster().version
        has_died = killed(partial(place.admit, request), place.folder, step)
        assert place.hub.authority.roster().version in {version, version + 1}
        notice = place.admit(request)
        assert place.hub.authority.roster().version == version + 1
        assert orchestrator.signed_roster().notice == notice
        KeptWire(place.keyring).learn(notice)
        num_killed += has_died
        if not has_died:
            break
    assert num_killed > 10
    assert not has_died


def test_killed_at_any_step_the_orchestrator_has_one_certificate_that_counts(place: Place) -> None:
    """Done again, that is the one in its folder; every earlier one is on the list."""
    num_killed, seen = 0, set[str]()
    keyring = read_membership(place.hub.credentials_path("orchestrator")).keyring

    def shown() -> str:
        return serial_of((keyring.folder / "certificate.pem").read_text())

    for step in range(0, 400, 3):
        request = make_rotation_request(*keyring.prepare())
        seen.add(shown())
        has_died = killed(partial(place.admit, request, stolen=True), place.folder, step)
        seen.add(shown())
        place.admit(request, stolen=True)
        KeptWire(keyring)
        register = place.hub.register()
        member = register.find("orchestrator")
        assert member is not None
        assert member.serials == (shown(),)
        assert set(register.revoked) >= seen - {shown()}
        assert shown() not in register.revoked
        (path,) = (place.folder / "broker" / "tls" / "revoked").glob("*.r0")
        listed = {f"{one.serial_number:x}" for one in x509.load_pem_x509_crl(path.read_bytes())}
        assert listed == set(register.revoked)
        num_killed += has_died
        if not has_died:
            break
    assert num_killed > 10
    assert not has_died
