"""Certificates near their end: who is told, how often, and until when."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

import fedmq as package
from fedmq.cli.expiry import REMIND_S, Reminder
from fedmq.hub.enrolment import Enrolment
from fedmq.hub.keyring import CERTIFICATE
from fedmq.hub.local import enrol_here
from fedmq.hub.members import Hub
from fedmq.hub.membership import Membership, read_membership
from fedmq.security.certificates import DAY_S
from fedmq.types import Role
from tests.support.clock import FakeClock
from tests.unit.cli.line import CommandLine
from tests.unit.cli.reports import Told, make_report

LYON, ADA = "chu-lyon", "ada"


@pytest.fixture
def member(home: Path) -> Callable[[str, Role], Membership]:
    """Return what makes a member of a hub, with a certificate that is good for a year."""
    hub = Hub(home / "hub")
    hub.make("trial")

    def make(name: str, role: Role) -> Membership:
        path = home / ("credentials.toml" if role is Role.RESEARCHER else f"{name}/{name}.toml")
        enrol_here(home / "hub", name, role, path)
        return read_membership(path)

    return make


def with_days_left(home: Path, member: Membership, days: float) -> float:
    """Return the second at which the member's certificate now ends, so many days from now."""
    end = time.time() + days * DAY_S
    enrolment = Enrolment(Hub(home / "hub"), home / "hub", lambda: end - 365 * DAY_S)
    return member.renew(enrolment.renew(member.credentials.user))


def test_what_runs_for_long_says_it_every_day_until_another_certificate_is_there(
    home: Path, member: Callable[[str, Role], Membership]
) -> None:
    """Not before it is near, and not at start: that is said there; by the service's own clock."""
    lyon = member(LYON, Role.NODE)
    until = lyon.certified_until()
    assert until is not None
    now = until - 32 * DAY_S
    told: list[tuple[str, str]] = []
    reminder = Reminder(lyon, FakeClock(lambda: now), lambda what, fix: told.append((what, fix)))

    def pass_days(number: int) -> None:
        nonlocal now
        for _ in range(number * 24):
            now += REMIND_S / 24
            reminder.tick()

    pass_days(1)
    assert told == []
    pass_days(3)
    day = time.strftime("%Y-%m-%d", time.localtime(until))
    words = f"the certificate of {LYON} ends on {day}; then the broker lets it in no more"
    fix = f"ask the hub's operator for: fedmq hub renew {LYON}"
    assert told == [(words, fix)] * 3
    pass_days(30)
    assert told[-1] == (words.replace("ends", "ended"), fix)
    enrolment = Enrolment(Hub(home / "hub"), home / "hub", lambda: now)
    lyon.renew(enrolment.renew(LYON))
    told.clear()
    pass_days(3)
    assert told == []


def test_a_certificate_that_cannot_be_read_ends_no_service(
    member: Callable[[str, Role], Membership],
) -> None:
    """It is connected; who connects with that file is told then."""
    lyon = member(LYON, Role.NODE)
    (lyon.keyring.folder / CERTIFICATE).write_text("nonsense")
    now, told = 0.0, []
    reminder = Reminder(lyon, FakeClock(lambda: now), lambda what, _fix: told.append(what))
    now = 2 * REMIND_S
    reminder.tick()
    assert told == []


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["people", "programs"])
def test_a_researcher_who_connects_is_warned_beside_the_data(
    fedmq: CommandLine,
    home: Path,
    member: Callable[[str, Role], Membership],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    """On stderr, also where programs read the data; one that is good for long is no word."""
    ada = member(ADA, Role.RESEARCHER)
    monkeypatch.setattr(
        package.Client, "from_credentials", lambda _path, **_ports: Told(home, [make_report()])
    )
    plain = fedmq("experiments", "list", *words)
    assert "certificate" not in plain.talk
    end = with_days_left(home, ada, 10.0)
    warned = fedmq("experiments", "list", *words)
    day = time.strftime("%Y-%m-%d", time.localtime(end))
    assert warned.talk.splitlines()[:2] == [
        f"the certificate of {ADA} ends on {day}; then the broker lets it in no more",
        f"  fix: ask the hub's operator for: fedmq hub renew {ADA}",
    ]
    assert (warned.code, warned.data) == (plain.code, plain.data)
