"""A certificate that ends in the middle of a round, and the one that takes its place."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.hub.enrolment import Enrolment
from fedmq.hub.keyring import CERTIFICATE
from fedmq.hub.members import Hub
from fedmq.hub.ports import LOOPBACK
from fedmq.security.certificates import DAY_S, certify_broker, certify_member
from tests.support.federation import CENTRE, LYON, PARIS, Federation, until

pytestmark = [
    pytest.mark.row("24"),
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("faults"),
]


@pytest.mark.parametrize(
    "begins_in_days",
    [pytest.param(-3, id="ended"), pytest.param(730, id="not begun", marks=pytest.mark.long)],
)
def test_a_node_whose_certificate_ended_waits_and_goes_on_with_a_new_one(
    federation: Federation,
    undisturbed: list[str],
    held: str,
    mended: Callable[[], None],
    tmp_path: Path,
    begins_in_days: int,
) -> None:
    """Out it is, says why, and is in again when the file is there: no program is started anew."""
    folder = federation.home(CENTRE) / "hub"
    hub, now = Hub(folder), time.time()
    own = federation.node_credentials(LYON).with_suffix(".keys") / CERTIFICATE
    request = (folder / "certified" / f"{LYON}.csr").read_text()
    ended = certify_member(
        hub.authority.certificates(), request, LYON, now=now + begins_in_days * DAY_S, days=2.0
    )
    own.write_text(ended)
    said = len(federation.programs[LYON].log())
    # Whoever is connected stays so; the broker looks at certificates when somebody comes.
    hub.broker.kill()
    federation.do(CENTRE, "hub", "up")
    until(
        lambda: (
            "this login's certificate has ended or not begun"
            in federation.programs[LYON].log()[said:]
        ),
        "word of the certificate",
    )
    assert federation.programs[LYON].is_running
    renewed = tmp_path / "renewed.pem"
    renewed.write_text(Enrolment(hub, folder).renew(LYON))
    federation.do(LYON, "node", "renew", str(renewed))
    mended()
    federation.release()
    assert federation.digests(held) == undisturbed
    assert federation.programs[LYON].is_running
    assert federation.programs[PARIS].is_running


@pytest.mark.row("12")
@pytest.mark.parametrize(
    ("begins_in_days", "words"),
    [
        pytest.param(3650, "certificate is not good yet", id="ten years behind"),
        pytest.param(-3650, "certificate has ended", id="ten years ahead", marks=pytest.mark.long),
    ],
)
def test_members_whose_clocks_are_wrong_say_so_and_go_on_when_they_are_mended(
    federation: Federation,
    undisturbed: list[str],
    held: str,
    mended: Callable[[], None],
    begins_in_days: int,
    words: str,
) -> None:
    """By their clocks the broker's certificate is of another time; nothing is lost meanwhile.

    Moved is the certificate and not the clock: what is compared is the same.
    """
    hub, now = Hub(federation.home(CENTRE) / "hub"), time.time()
    authority = hub.authority.certificates()
    said = {name: len(one.log()) for name, one in federation.programs.items()}
    for days, expected in ((begins_in_days, words), (0, "broker_link_changed      trouble=none")):
        pair = certify_broker(
            authority, [LOOPBACK], now=now + days * DAY_S, days=2.0 if days else 365.0
        )
        hub.broker.kill()
        hub.broker.use_tls(authority=authority.certificate, pair=pair)
        hub.broker.start()
        if not days:
            mended()
        for name in (LYON, PARIS, "orchestrator"):
            until(
                lambda name=name: expected in federation.programs[name].log()[said[name] :],  # type: ignore[misc]  # noqa: B023
                f"word of {name}",
            )
            said[name] = len(federation.programs[name].log())
    federation.release()
    assert federation.digests(held) == undisturbed
    assert all(federation.programs[name].is_running for name in (LYON, PARIS, "orchestrator"))
