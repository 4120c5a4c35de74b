"""A certificate that ends in the middle of a round, and the one that takes its place."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.hub.enrolment import Enrolment
from fedmq.hub.keyring import CERTIFICATE
from fedmq.hub.members import Hub
from fedmq.security.certificates import certify_member
from tests.support.federation import CENTRE, LYON, PARIS, Federation, until

pytestmark = [
    pytest.mark.row("24"),
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("faults"),
]


def test_a_node_whose_certificate_ended_waits_and_goes_on_with_a_new_one(
    federation: Federation,
    undisturbed: list[str],
    held: str,
    mended: Callable[[], None],
    tmp_path: Path,
) -> None:
    """Out it is, says why, and is in again when the file is there: no program is started anew."""
    folder = federation.home(CENTRE) / "hub"
    hub, now = Hub(folder), time.time()
    own = federation.node_credentials(LYON).with_suffix(".keys") / CERTIFICATE
    request = (folder / "certified" / f"{LYON}.csr").read_text()
    ended = certify_member(
        hub.authority.certificates(), request, LYON, now=now - 3 * 86_400, days=2.0
    )
    own.write_text(ended)
    said = len(federation.programs[LYON].log())
    # Whoever is connected stays so; the broker looks at certificates when somebody comes.
    hub.broker.kill()
    federation.do(CENTRE, "hub", "up")
    until(
        lambda: "certificate" in federation.programs[LYON].log()[said:],
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
