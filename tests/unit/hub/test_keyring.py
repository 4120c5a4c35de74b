"""A roster that waits for a person: what it takes away counts at once, what it adds does not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.hub.keyring import KeptWire, Keyring, new_identity
from fedmq.messages.notices import RosterNotice
from fedmq.security.roster import (
    Enrolled,
    Roster,
    enrolled,
    read_notice,
    sign_roster,
    with_member,
    with_next_keys,
    without_member,
)
from fedmq.security.rotation import make_rotation_request
from fedmq.types import Role
from tests.support.keys import Keys
from tests.unit.hub.killing import killed
from tests.unit.security.test_mandates import ORDER
from tests.unit.security.test_wire import PREPARE, message

LYON, PARIS, CENTRE, ADA = "chu-lyon", "ghu-paris", "orchestrator", "ada"
ROLES = {LYON: Role.NODE, PARIS: Role.NODE, CENTRE: Role.ORCHESTRATOR, ADA: Role.RESEARCHER}
NORTH = "centre-north"


class Place:
    """A member's keyring, and the governance that signs rosters for it."""

    def __init__(self, folder: Path, name: str = LYON) -> None:
        self.keys = Keys(ROLES)
        self.newest = self.keys.roster
        self.keyring = self.keys.write_keyring(folder / name, self.keys.identities[name])
        self.heard: list[str] = []

    def live(self) -> KeptWire:
        """Return the wire of a program that starts."""
        return KeptWire(
            self.keyring, lambda what, version, _: self.heard.append(f"{what} {version}")
        )

    def sign(self, roster: Roster) -> RosterNotice:
        """Return a roster as the governance tells it."""
        return sign_roster(roster, self.keys.governance).notice

    def next(self, change: Callable[[Roster], Roster]) -> RosterNotice:
        """Return the next roster of the governance."""
        self.newest = change(self.newest)
        return self.sign(self.newest)

    def stranger(self) -> RosterNotice:
        """Return the next roster, in which there is an orchestrator that nobody knows."""
        north = enrolled(new_identity(NORTH, Role.ORCHESTRATOR).public)
        return self.next(lambda roster: with_member(roster, north, at=2.0))

    def without(self, name: str) -> RosterNotice:
        """Return the next roster, in which somebody is out."""
        return self.next(lambda roster: without_member(roster, name, "left", at=3.0))

    def accept(self) -> None:
        """A person agrees, in another program, as `fedmq node roster --accept` does."""
        held = Keyring(self.keyring.folder).held_roster()
        assert held is not None
        Keyring(self.keyring.folder).write_roster(held)

    def says(self, sender: str) -> bytes:
        """Return a message of somebody to Lyon."""
        return self.keys.wire(sender).seal(message(PREPARE, sender, LYON), [LYON])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return Lyon's keyring."""
    return Place(tmp_path)


def reason_of(wire: KeptWire, sent: bytes) -> str:
    """Return why a message is not believed, nothing where it is."""
    try:
        wire.open(sent)
    except ProtocolError as error:
        return error.reason
    return ""


def out_of(wire: KeptWire) -> set[str]:
    """Return whose word counts no more, by all ways in which it could."""
    assert wire.version == 1, "the accepted roster is what messages name"
    assert wire.roster_hash == wire._signed.hash
    assert wire.notice() == wire._signed.notice
    known = {name for role in Role for name in wire.members(role)}
    assert NORTH not in known
    assert known == {name for name in (*ROLES, NORTH) if wire.roster.find(name)}
    return set(ROLES) - known


def test_what_a_held_roster_takes_away_counts_at_once(place: Place) -> None:
    """Messages, orders, seals; what it adds waits, and the version stays."""
    wire = place.live()
    given = place.keys.wire(ADA).sign(ORDER)
    sent = place.says(PARIS)
    wire.learn(place.stranger())
    assert (reason_of(wire, sent), wire.is_given(given), out_of(wire)) == ("", True, set())
    place.without(PARIS)
    wire.learn(place.without(ADA))
    assert reason_of(wire, sent) == "revoked_sender"
    assert reason_of(wire, place.says(CENTRE)) == ""
    assert not wire.is_given(given)
    assert wire.is_revoked(given)
    assert out_of(wire) == {PARIS, ADA}
    for reader in (PARIS, NORTH):
        with pytest.raises(ProtocolError) as caught:
            wire.seal(message(PREPARE, LYON, reader), [reader])
        assert caught.value.reason == "unknown_reader"
    sealed = wire.seal(message(PREPARE, LYON, "-"), [PARIS, CENTRE])
    assert place.keys.wire(CENTRE).open(sealed).body == PREPARE
    with pytest.raises(ProtocolError) as caught:
        place.keys.wire(PARIS).open(sealed)
    assert caught.value.reason == "wrong_recipient"
    assert place.heard == ["roster_held 2", "roster_held 4"]


def test_it_counts_in_the_next_life_too(place: Place) -> None:
    """The held roster lies on the disk."""
    wire = place.live()
    place.stranger()
    wire.learn(place.without(ADA))
    assert out_of(place.live()) == {ADA}


def test_another_program_of_the_machine_sees_it(place: Place) -> None:
    """And that it has been replaced; the roster that is accepted did not change by that."""
    first, second = place.live(), place.live()
    first.learn(place.stranger())
    second.review()
    assert out_of(second) == set()
    for name, out in ((ADA, {ADA}), (PARIS, {ADA, PARIS})):
        first.learn(place.without(name))
        second.review()
        assert out_of(second) == out


@pytest.mark.parametrize("newer", ["taken", "replaced"])
def test_it_ends_when_the_roster_is_accepted_or_one_comes_that_waits_nowhere(
    place: Place, newer: str
) -> None:
    """In the program that held it, and in another one."""
    wires = place.live(), place.live()
    place.stranger()
    wires[0].learn(place.without(ADA))
    if newer == "taken":
        place.accept()
    else:
        wires[0].learn(place.without(NORTH))
    for wire in (*wires, place.live()):
        wire.review()
        assert wire.roster == place.newest
        assert wire.roster.find(ADA) is None
        assert (wire.roster.find(NORTH) is None) is (newer == "replaced")
    assert place.keyring.held_roster() is None
    assert not (place.keyring.folder / "held.json").exists()


def test_an_older_held_roster_takes_the_place_of_no_newer_one(place: Place) -> None:
    """Anybody may bring it, who was put out among them: nobody is back in by that."""
    wire = place.live()
    older = place.stranger()
    wire.learn(place.without(ADA))
    wire.learn(older)
    assert out_of(wire) == {ADA}
    place.keyring.hold_roster(read_notice(older))
    assert out_of(place.live()) == {ADA}
    assert place.heard == ["roster_held 3"]


def test_one_that_is_brought_again_is_written_and_warned_of_once(place: Place) -> None:
    """Others bring it for as long as nobody has agreed: in this life, the next, another program."""
    wire, other = place.live(), place.live()
    notice = place.stranger()
    wire.learn(notice)
    stamp = place.keyring.roster_stamp()
    for one in (wire, other, place.live()):
        one.learn(notice)
    assert place.heard == ["roster_held 2"]
    assert place.keyring.roster_stamp() == stamp


def test_one_that_somebody_has_agreed_to_meanwhile_waits_no_more(place: Place) -> None:
    """In another program, a moment ago: what is brought then is compared with what is on disk."""
    wire = place.live()
    older = place.stranger()
    notice = place.without(ADA)
    wire.learn(notice)
    place.accept()
    for one in (notice, older):
        wire.learn(one)
    assert place.heard == ["roster_held 3", "roster_learnt 3"]
    assert not (place.keyring.folder / "held.json").exists()
    assert wire.roster == place.newest


def test_an_older_one_that_waits_nowhere_is_taken_and_the_newer_one_goes_on_waiting(
    place: Place,
) -> None:
    """A member that was away may hear of them in any order."""
    wire = place.live()
    between = place.next(lambda roster: with_member(roster, _basel(), at=2.0))
    place.stranger()
    wire.learn(place.without(ADA))
    assert wire.version == 1
    wire.learn(between)
    for one in (wire, place.live()):
        assert one.version == 2
        assert one.roster.find("umc-basel") is not None
        assert one.roster.find(ADA) is None
        assert one.roster.find(NORTH) is None
    assert place.keyring.held_roster() is not None
    place.accept()
    wire.review()
    assert wire.roster == place.newest


def test_of_held_rosters_the_newest_counts_alone(place: Place) -> None:
    """Whom one left out and the next names again is in, in this life as in the next."""
    wire = place.live()
    place.stranger()
    paris = place.newest.find(PARIS)
    assert paris is not None
    left_out = [one for one in place.newest.members if one != paris]
    wire.learn(
        place.next(lambda known: Roster(**{**dict(known), "version": 3, "members": left_out}))
    )
    assert out_of(wire) == {PARIS}
    wire.learn(place.next(lambda known: with_member(known, paris, at=4.0)))
    assert out_of(wire) == out_of(place.live()) == set()


def test_whether_one_waits_is_seen_by_the_accepted_roster(place: Place) -> None:
    """Keys that were stolen still vouch for the next ones, as where nothing had been held."""
    wire = place.live()
    place.stranger()
    upcoming = new_identity(CENTRE, Role.ORCHESTRATOR)
    asked = make_rotation_request(place.keys.identities[CENTRE], upcoming)
    wire.learn(
        place.next(
            lambda known: with_next_keys(known, asked.public, asked.proof, are_stolen=True, at=3.0)
        )
    )
    assert out_of(wire) == {CENTRE}
    wire.learn(place.without(NORTH))
    assert wire.roster == place.newest
    assert place.keyring.held_roster() is None


def test_two_rosters_of_one_version_are_found_out_where_one_is_held(place: Place) -> None:
    """Whether the other one would wait as well or not; the first stays."""
    wire = place.live()
    place.stranger()
    wire.learn(place.without(ADA))
    other = without_member(place.keys.roster, PARIS, "left", at=2.0)
    same = other.model_copy(update={"version": 3})
    with_stranger = with_member(same, enrolled(new_identity("x", Role.ORCHESTRATOR).public), at=2.0)
    for rival in (same, with_stranger.model_copy(update={"version": 3})):
        with pytest.raises(ProtocolError) as caught:
            wire.learn(place.sign(rival))
        assert caught.value.reason == "roster_forked"
    assert out_of(wire) == out_of(place.live()) == {ADA}


def _forged(place: Place) -> RosterNotice:
    roster = without_member(place.newest, ADA, "left", at=3.0)
    return sign_roster(roster, new_identity("trial", Role.ADMIN)).notice


def _old(place: Place) -> RosterNotice:
    first = without_member(place.keys.roster, ADA, "left", at=3.0)
    return place.sign(first.model_copy(update={"version": 1}))


@pytest.mark.parametrize("make", [_forged, _old], ids=["forged", "not newer"])
def test_what_lies_in_its_place_and_is_not_newer_or_not_the_governances_counts_for_nothing(
    place: Place, make: Callable[[Place], RosterNotice]
) -> None:
    """Nobody is out by it, nothing waits, and a newer one takes its place."""
    wire = place.live()
    (place.keyring.folder / "held.json").write_text(make(place).model_dump_json())
    wire.review()
    assert out_of(wire) == out_of(place.live()) == set()
    assert place.keyring.held_roster() is None
    place.stranger()
    wire.learn(place.without(PARIS))
    assert out_of(wire) == {PARIS}


def test_one_that_cannot_be_read_is_an_error_that_says_what_to_do(place: Place) -> None:
    """Who is out in it would else be believed, and nobody would know."""
    (place.keyring.folder / "held.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"held\.json is damaged") as caught:
        place.live()
    assert caught.value.fix == "remove it: other members bring that roster again"


def test_a_member_whose_keys_change_in_it_goes_on_with_its_present_ones(place: Place) -> None:
    """Its own, and those of others; once it is accepted they have the next ones."""
    wire = place.live()
    before = wire.identity
    place.stranger()
    asked = make_rotation_request(*place.keyring.prepare())
    paris = make_rotation_request(place.keys.identities[PARIS], new_identity(PARIS, Role.NODE))
    for request in (asked, paris):
        place.newest = with_next_keys(
            place.newest, request.public, request.proof, are_stolen=False, at=3.0
        )
    wire.learn(place.sign(place.newest))
    for one in (wire, place.live()):
        assert one.identity == before
        assert reason_of(one, place.says(PARIS)) == ""
        assert out_of(one) == set()
    assert place.keyring.upcoming() is not None
    place.accept()
    wire.review()
    assert wire.identity.public == asked.public


@pytest.mark.parametrize("how", ["revoked", "stolen"])
def test_who_is_out_in_it_itself_has_its_keys_and_its_role(tmp_path: Path, how: str) -> None:
    """Others do not believe it; the next keys, where it has some, wait for its own person."""
    place = Place(tmp_path, ADA)
    wire = place.live()
    before = wire.identity
    place.stranger()
    if how == "stolen":
        asked = make_rotation_request(*place.keyring.prepare())
        notice = place.next(
            lambda roster: with_next_keys(
                roster, asked.public, asked.proof, are_stolen=True, at=3.0
            )
        )
    else:
        notice = place.without(ADA)
    wire.learn(notice)
    for one in (wire, place.live()):
        assert one.identity == before
        assert out_of(one) == {ADA}
        assert one.role_of(ADA) is Role.RESEARCHER, "its messages go the ways of its role"
        assert one.role_of(PARIS) is Role.NODE
    place.accept()
    wire.review()
    assert (wire.identity == before) is (how == "revoked")


def test_a_roster_that_waits_is_no_more_than_one_that_does_not(place: Place) -> None:
    """An orchestrator's keys that changed without a word of the earlier ones: these go on."""
    wire = place.live()
    rogue = enrolled(new_identity(CENTRE, Role.ORCHESTRATOR).public)
    wire.learn(place.next(lambda roster: with_member(roster, rogue, at=2.0)))
    assert out_of(wire) == set()
    assert reason_of(wire, place.says(CENTRE)) == ""
    thief = Keys(ROLES)
    thief.identities[CENTRE] = new_identity(CENTRE, Role.ORCHESTRATOR)
    assert reason_of(wire, thief.wire(CENTRE).seal(message(PREPARE, CENTRE, LYON), [LYON]))


def test_somebody_agrees_while_both_rosters_are_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two files: never is there the old one without what was held."""
    wire = place.live()
    place.stranger()
    place.live().learn(place.without(ADA))
    read = Keyring._read

    def agreeing(keyring: Keyring, name: str, *rest: object) -> object:
        monkeypatch.setattr(Keyring, "_read", read)
        try:
            return read(keyring, name, *rest)  # type: ignore[arg-type]
        finally:
            place.accept()

    monkeypatch.setattr(Keyring, "_read", agreeing)
    wire.review()
    assert wire.roster.find(ADA) is None
    wire.review()
    assert wire.roster == place.newest


def test_killed_at_any_step_nobody_is_back_in(place: Place) -> None:
    """As the roster is held, and as it is accepted."""
    folder, num_killed, has_died = place.keyring.folder, 0, True
    place.stranger()
    notice, first = place.without(ADA), place.keyring.signed_roster()
    for step in range(100):
        (folder / "held.json").unlink(missing_ok=True)
        place.keyring.write_roster(first)
        has_died = killed(lambda: place.live().learn(notice), folder, step)
        wire = place.live()
        wire.learn(notice)
        assert out_of(wire) == {ADA}, step
        has_died |= killed(place.accept, folder, step)
        wire.review()
        for one in (wire, place.live()):
            assert one.roster.find(ADA) is None, step
            assert one.version in {1, 3}
        num_killed += has_died
        if not has_died:
            break
    assert num_killed > 5
    assert not has_died


def _basel() -> Enrolled:
    return enrolled(new_identity("umc-basel", Role.NODE).public)


def test_a_program_whose_keys_were_removed_is_told_that_it_may_be_revoked(place: Place) -> None:
    """At the hub they are, of an orchestrator that runs there; it cannot join with a token."""
    wire = place.live()
    shutil.rmtree(place.keyring.folder)
    with pytest.raises(ConfigurationError, match=r"keys in .* cannot be read") as caught:
        wire.review()
    assert "ask the hub's operator whether this member was revoked" in caught.value.fix
    assert "if so, end its program and keep what it stored" in caught.value.fix
