"""Who gets in, and every way in which one does not; no broker runs."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.hub.credentials import read_credentials
from fedmq.hub.enrolment import Enrolment
from fedmq.hub.joiner import Joiner, federation_fingerprint, read_answer
from fedmq.hub.keyring import KeptWire, Keyring, new_identity
from fedmq.hub.local import enrol_here
from fedmq.hub.members import Hub
from fedmq.hub.membership import read_membership
from fedmq.security.certificates import make_authority
from fedmq.security.joining import JoinToken, read_token
from fedmq.security.revocation import serial_of
from fedmq.security.roster import (
    Roster,
    enrolled,
    governance_fingerprint,
    sign_roster,
    with_member,
)
from fedmq.types import Role
from tests.unit.hub.killing import killed

LYON = "chu-lyon"
DAY_S = 86_400.0


class _KilledError(Exception):
    """Stands for a kill."""


class Place:
    """A hub, a site, and the time."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_800_000_000.0
        self.hub = Hub(folder / "hub")
        self.hub.make("trial")
        self.enrolment = Enrolment(self.hub, folder / "hub", lambda: self.now)
        self.credentials = folder / "site" / "credentials.toml"
        self.joiner = Joiner(self.credentials)
        self.token: JoinToken | None = None

    def admit_another(self) -> None:
        """Somebody else joins with the site's token."""
        assert self.token is not None
        request = Joiner(self.credentials.parent / "other" / "credentials.toml").begin(self.token)
        self.enrolment.admit(request, request.public.fingerprint)

    def invite(self) -> JoinToken:
        """Return a token for Lyon, as it is handed over."""
        self.token = read_token(self.enrolment.invite(LYON, Role.NODE).text)
        return self.token


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a hub and a site."""
    return Place(tmp_path)


def test_a_site_joins_with_keys_that_stay_there(place: Place) -> None:
    """Its own half never leaves; the roster has the public one, and the site believes it."""
    token = place.invite()
    request = place.joiner.begin(token)
    answer = place.enrolment.admit(request, request.public.fingerprint.upper())
    place.joiner.finish(token, read_answer(answer.model_dump_json()))
    member = read_membership(place.credentials, Role.NODE)
    assert member.credentials.password == ""
    wire = member.wire()
    found = wire.roster.find(LYON)
    assert found is not None
    assert found.public == wire.identity.public == request.public
    secrets = [wire.identity.signing, wire.identity.sealing, wire.identity.payloads]
    held = b"".join(p.read_bytes() for p in (place.hub._folder).rglob("*") if p.is_file())
    for secret in secrets:
        assert secret.hex().encode() not in held
        assert secret not in held
    assert token.secret.encode() not in held, "it is hashed at rest"
    assert not place.joiner.folder.exists()
    for path in place.credentials.parent.rglob("*"):
        assert path.is_dir() or path.stat().st_mode & 0o777 == 0o600


def test_both_sides_see_the_same_fingerprint_of_the_federation(place: Place) -> None:
    """The token's is that which the hub's operator reads out."""
    key = bytes.fromhex(place.hub.authority.trust().governance)
    assert federation_fingerprint(place.invite()) == governance_fingerprint(key)


def test_begun_again_it_goes_on_with_the_same_keys(place: Place) -> None:
    """Another token makes other keys."""
    token = place.invite()
    assert place.joiner.begin(token) == place.joiner.begin(token)
    other = place.invite()
    assert place.joiner.begin(other).signing != place.joiner.begin(token).signing


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda place, _: place.invite(), "not the newest one"),
        (lambda place, _: setattr(place, "now", place.now + 1.1 * DAY_S), "too old"),
        (lambda place, _: place.admit_another(), "used already"),
        (lambda place, _: place.enrolment.revoke(LYON, ""), "nobody of that name"),
    ],
    ids=["replaced", "old", "used", "revoked"],
)
def test_a_token_that_is_void_lets_nobody_in(
    place: Place, spoil: Callable[[Place, object], object], why: str
) -> None:
    """The roster stays as it is; the error says how to invite again."""
    request = place.joiner.begin(place.invite())
    spoil(place, request)
    before = place.hub.authority.signed_roster()
    with pytest.raises(ConfigurationError, match=why) as caught:
        place.enrolment.admit(request, request.public.fingerprint)
    assert f"fedmq hub add-node {LYON}" in caught.value.fix
    assert place.hub.authority.signed_roster() == before


def test_killed_at_any_step_of_the_hub_the_site_is_in_once_it_is_admitted_again(
    tmp_path: Path,
) -> None:
    """There is one member, with the keys that it made and a certificate that the hub knows."""
    num_killed = 0
    for step in range(0, 300, 3):
        place = Place(tmp_path / str(step))
        token = place.invite()
        request = place.joiner.begin(token)
        read_out = request.public.fingerprint
        folder = tmp_path / str(step) / "hub"
        has_died = killed(partial(place.enrolment.admit, request, read_out), folder, step)
        answer = place.enrolment.admit(request, read_out)
        version = place.hub.authority.roster().version
        assert place.enrolment.admit(request, read_out) == answer, "once more is the same"
        assert place.hub.authority.roster().version == version
        place.joiner.finish(token, answer)
        member = place.hub.register().find(LYON)
        assert member is not None
        assert serial_of(answer.certificate) in member.serials, step
        assert read_membership(place.credentials).wire().identity.public == request.public
        num_killed += has_died
        if not has_died:
            break
    assert num_killed > 5
    assert not has_died


def test_a_stolen_token_is_found_by_its_fingerprint(place: Place, tmp_path: Path) -> None:
    """The thief asks with keys of their own; what the site reads out is not theirs."""
    token = place.invite()
    site = place.joiner.begin(token)
    thief = Joiner(tmp_path / "thief" / "credentials.toml").begin(token)
    with pytest.raises(ConfigurationError, match="not that of the request"):
        place.enrolment.admit(thief, site.public.fingerprint)
    assert place.hub.authority.roster().find(LYON) is None


def test_a_request_that_somebody_altered_lets_nobody_in(place: Place) -> None:
    """With the fingerprint of the keys that were put in."""
    request = place.joiner.begin(place.invite())
    mallory = new_identity(LYON, Role.NODE)
    forged = request.model_copy(update={"signing": mallory.public.signing.hex()})
    with pytest.raises(ConfigurationError, match="does not have the keys"):
        place.enrolment.admit(forged, forged.public.fingerprint)


def test_an_answer_of_another_federation_is_not_believed(place: Place, tmp_path: Path) -> None:
    """Whoever sends it; the site is no member."""
    token = place.invite()
    place.joiner.begin(token)
    rogue = Place(tmp_path / "rogue")
    theirs = Joiner(tmp_path / "x" / "credentials.toml").begin(rogue.invite())
    answer = rogue.enrolment.admit(theirs, theirs.public.fingerprint)
    with pytest.raises(ConfigurationError, match="is not believed"):
        place.joiner.finish(token, answer)
    assert not place.credentials.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"url": "amqps://evil.example:443/fedmq"},
        {"authority": "", "certificate": ""},
        {"certificate": ""},
        {"password": "00" * 64},
        {"signature": "00" * 64},
    ],
)
def test_an_answer_that_somebody_altered_is_not_believed(
    place: Place, change: dict[str, str]
) -> None:
    """Another broker, no certificate: the roster in it is the federation's all the same."""
    token = place.invite()
    request = place.joiner.begin(token)
    answer = place.enrolment.admit(request, request.public.fingerprint)
    with pytest.raises(ConfigurationError, match="governance has not signed"):
        place.joiner.finish(token, answer.model_copy(update=change))
    assert not place.credentials.exists()
    place.joiner.finish(token, answer)
    assert read_membership(place.credentials).credentials.url == answer.url


def test_an_answer_is_for_one_request(place: Place, tmp_path: Path) -> None:
    """One that the governance gave to somebody else is none."""
    token = place.invite()
    request = place.joiner.begin(token)
    other = Joiner(tmp_path / "other" / "credentials.toml")
    other.begin(token)
    answer = place.enrolment.admit(request, request.public.fingerprint)
    with pytest.raises(ConfigurationError, match="governance has not signed"):
        other.finish(token, answer)


def test_a_token_with_another_broker_in_it_is_found_out(place: Place) -> None:
    """Its fingerprint is the federation's: the authority in it is not what the hub answers."""
    token = place.invite()
    rogue = make_authority("fedmq authority", now=time.time())
    way = token.way.model_copy(update={"authority": rogue.certificate})
    altered = token.model_copy(update={"way": way})
    request = place.joiner.begin(altered)
    answer = place.enrolment.admit(request, request.public.fingerprint)
    with pytest.raises(ConfigurationError, match="another authority"):
        place.joiner.finish(altered, answer)


def test_a_site_that_is_killed_as_it_becomes_a_member_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two of its steps, with the keys that were admitted."""
    token = place.invite()
    request = place.joiner.begin(token)
    answer = place.enrolment.admit(request, request.public.fingerprint)

    def die(*_args: object) -> None:
        raise _KilledError

    with monkeypatch.context() as dying:
        dying.setattr("fedmq.hub.joiner.write_credentials", die)
        with pytest.raises(_KilledError):
            place.joiner.finish(token, answer)
    assert place.joiner.begin(token) == request
    place.joiner.finish(token, answer)
    assert read_membership(place.credentials).wire().identity.public == request.public


def test_the_certificate_of_a_token_counts_until_it_was_used_or_replaced(place: Place) -> None:
    """What nobody can revoke would let a thief in until the day is over."""
    first = place.invite()
    serial = serial_of(first.way.certificate)
    assert serial not in place.hub.register().revoked
    second = place.invite()
    assert serial in place.hub.register().revoked
    place.enrolment.close(LYON)
    assert serial_of(second.way.certificate) in place.hub.register().revoked


def test_a_revoked_name_is_not_given_again(place: Place, tmp_path: Path) -> None:
    """What it did is to stay told apart."""
    enrol_here(tmp_path / "hub", LYON, Role.NODE, place.credentials)
    place.enrolment.revoke(LYON, "stolen laptop")
    roster = place.hub.authority.roster()
    assert roster.find(LYON) is None
    assert [one.reason for one in roster.revoked] == ["stolen laptop"]
    with pytest.raises(ConfigurationError, match="cannot join again"):
        place.enrolment.invite(LYON, Role.NODE)
    with pytest.raises(ConfigurationError, match="the hub itself needs it"):
        place.enrolment.revoke("orchestrator", "")


def test_a_member_is_not_invited_twice(place: Place, tmp_path: Path) -> None:
    """Its keys are good."""
    enrol_here(tmp_path / "hub", LYON, Role.NODE, place.credentials)
    with pytest.raises(ConfigurationError, match="has joined already"):
        place.enrolment.invite(LYON, Role.NODE)
    with pytest.raises(ConfigurationError, match="has joined already"):
        place.joiner.begin(place.enrolment.invite("ghu-paris", Role.NODE))
    assert read_credentials(place.credentials).user == LYON


def test_an_invitation_that_is_over_leaves_no_login(place: Place) -> None:
    """Its login and its queue go when the hub is next asked anything."""
    place.invite()
    assert "join-chu-lyon" in place.hub.broker.definitions.read_text()
    place.now += 1.1 * DAY_S
    place.enrolment.tidy()
    assert "join-chu-lyon" not in place.hub.broker.definitions.read_text()


# Certificates that end.


def test_a_certificate_is_renewed_for_the_same_key(place: Place, tmp_path: Path) -> None:
    """The hub makes it, any way brings it, and the member takes none but its own."""
    enrol_here(tmp_path / "hub", LYON, Role.NODE, place.credentials)
    enrol_here(tmp_path / "hub", "ghu-paris", Role.NODE, tmp_path / "p" / "credentials.toml")
    member = read_membership(place.credentials)
    before = member.certified_until()
    assert before is not None
    place.now = before
    until = member.renew(place.enrolment.renew(LYON))
    assert until == member.certified_until() == pytest.approx(before + 365 * DAY_S, abs=2)
    assert place.hub.register().find(LYON).certified_until == until  # type: ignore[union-attr]
    for wrong in (place.enrolment.renew("ghu-paris"), "nonsense"):
        with pytest.raises(ConfigurationError, match="cannot be used"):
            member.renew(wrong)
    assert member.certified_until() == until
    with pytest.raises(ConfigurationError, match="no certificate to renew"):
        place.enrolment.renew("umc-basel")


def test_the_hub_renews_its_own_when_it_comes_up(place: Place) -> None:
    """A month before they end: the broker's and those of its own members."""
    assert place.hub.renew_own(now=time.time()) == ()
    late = time.time() + 340 * DAY_S
    renewed = place.hub.renew_own(now=late)
    assert set(renewed) == {"the broker", "hub-admin", "monitor", "orchestrator"}
    member = read_membership(place.hub.credentials_path("orchestrator"))
    assert (member.certified_until() or 0) > late + 300 * DAY_S


# What a member makes of rosters that come.


def next_roster(place: Place, change: Callable[[Roster], Roster]) -> Roster:
    """Return what the governance would sign next."""
    return change(place.hub.authority.roster())


def member_of(place: Place, tmp_path: Path) -> tuple[Keyring, KeptWire]:
    """Return the keyring and the wire of Lyon, a member."""
    enrol_here(tmp_path / "hub", LYON, Role.NODE, place.credentials)
    membership = read_membership(place.credentials)
    return membership.keyring, membership.wire()


def test_a_newer_roster_is_taken_and_kept(place: Place, tmp_path: Path) -> None:
    """An older one changes nothing; another program of the machine sees the new one."""
    keyring, wire = member_of(place, tmp_path)
    older, second = place.hub.authority.signed_roster(), KeptWire(keyring)
    place.enrolment.invite("ghu-paris", Role.NODE)
    request = Joiner(tmp_path / "paris" / "credentials.toml").begin(
        place.enrolment.invite("ghu-paris", Role.NODE)
    )
    place.enrolment.admit(request, request.public.fingerprint)
    newer = place.hub.authority.signed_roster()
    wire.learn(newer.notice)
    assert wire.roster.find("ghu-paris") is not None
    wire.learn(older.notice)
    assert wire.version == 4
    second.review()
    assert second.version == KeptWire(keyring).version == 4


def test_a_roster_that_is_not_the_governances_is_refused(place: Place, tmp_path: Path) -> None:
    """Forged, or one of two that have the same number."""
    _, wire = member_of(place, tmp_path)
    paris = enrolled(new_identity("ghu-paris", Role.NODE).public)
    later = next_roster(place, lambda roster: with_member(roster, paris, at=1.0))
    forged = sign_roster(later, new_identity("trial", Role.ADMIN))
    with pytest.raises(ProtocolError, match="did not sign"):
        wire.learn(forged.notice)
    governance = place.hub.authority.governance()
    same = later.model_copy(update={"version": wire.version})
    with pytest.raises(ProtocolError, match="two rosters"):
        wire.learn(sign_roster(same, governance).notice)
    other = later.model_copy(update={"federation": "another"})
    with pytest.raises(ProtocolError, match="another federation"):
        wire.learn(sign_roster(other, governance).notice)
    assert wire.roster.find("ghu-paris") is None


def test_a_rogue_orchestrator_waits_for_a_person(place: Place, tmp_path: Path) -> None:
    """Even where the governance signed for it: the node goes on with the roster it has."""
    keyring, wire = member_of(place, tmp_path)
    rogue = enrolled(new_identity("orchestrator", Role.ORCHESTRATOR).public)
    later = next_roster(place, lambda roster: with_member(roster, rogue, at=1.0))
    before = wire.roster
    wire.learn(sign_roster(later, place.hub.authority.governance()).notice)
    assert wire.roster == before
    held = keyring.held_roster()
    assert held is not None
    assert keyring.roster(held) == later
