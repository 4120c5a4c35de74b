"""A certificate that counts no more in the middle of a round, and the one in its place."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest

from fedmq.hub.enrolment import Enrolment
from fedmq.hub.keyring import CERTIFICATE
from fedmq.hub.members import Hub
from fedmq.hub.ports import LOOPBACK
from fedmq.hub.register import Register
from fedmq.security.certificates import DAY_S, certify_broker, certify_member
from tests.support.federation import CENTRE, LYON, PARIS, Federation, until

pytestmark = [
    pytest.mark.row("24"),
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("faults"),
]


ENDED: Final = "this login's certificate has ended or not begun"


def _show_another(federation: Federation, begins_in_days: int) -> None:
    """Lyon shows a certificate of another time from now on."""
    folder = federation.home(CENTRE) / "hub"
    authority = Hub(folder).authority.certificates()
    request = (folder / "certified" / f"{LYON}.csr").read_text()
    begins_at = time.time() + begins_in_days * DAY_S
    own = federation.node_credentials(LYON).with_suffix(".keys") / CERTIFICATE
    own.write_text(certify_member(authority, request, LYON, now=begins_at, days=2.0))


def _revoke(federation: Federation) -> None:
    """The certificate that Lyon shows counts no more."""

    def without(register: Register) -> Register:
        lyon = register.find(LYON)
        assert lyon is not None
        assert lyon.serials
        return register.without_certificates(lyon)

    Hub(federation.home(CENTRE) / "hub").change(without)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(partial(_show_another, begins_in_days=-3), ENDED, id="ended"),
        pytest.param(_revoke, "has taken this login's certificate back", id="revoked"),
        pytest.param(
            partial(_show_another, begins_in_days=730),
            ENDED,
            id="not begun",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_node_whose_certificate_counts_no_more_waits_and_goes_on_with_a_new_one(
    federation: Federation,
    undisturbed: list[str],
    held: str,
    mended: Callable[[], None],
    spoil: Callable[[Federation], None],
    words: str,
) -> None:
    """Out it is, says why, and is in again when the file is there: no program is started anew."""
    folder = federation.home(CENTRE) / "hub"
    hub = Hub(folder)
    spoil(federation)
    said = len(federation.programs[LYON].log())
    # Whoever is connected stays so; the broker looks at certificates when somebody comes.
    hub.broker.kill()
    federation.do(CENTRE, "hub", "up")
    until(
        lambda: words in federation.programs[LYON].log()[said:],
        "word of the certificate",
    )
    assert federation.programs[LYON].is_running
    renewed = federation.folder / "renewed.pem"
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
        pytest.param(-3650, "certificate is over", id="ten years ahead", marks=pytest.mark.long),
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
