"""Services and the home that they run in: one of a kind at a time."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.hub.credentials import Credentials, write_credentials
from fedmq.types import Role
from tests.support.federation import LYON, Federation
from tests.support.keys import Keys, move_in

NOBODY = "amqp://127.0.0.1:1/nowhere"
"""Services wait for a broker that does not answer: none is needed here."""
SERVICES = {"node": ("a node", LYON), "orchestrator": ("an orchestrator", "orchestrator")}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Federation]:
    """Return a home for a node and an orchestrator, called `both`."""
    place = Federation(tmp_path / "f")
    both = place.home("both")
    folder = both / "hub" / "credentials"
    folder.mkdir(parents=True)
    roles = {LYON: Role.NODE, "orchestrator": Role.ORCHESTRATOR}
    keys = Keys(roles)
    for name, role in roles.items():
        login = Credentials(
            url=NOBODY,
            user=name,
            password="p",  # noqa: S106 - invented
            role=role,
            identity=f"{name}.keys",
        )
        keys.write_keyring(folder / f"{name}.keys", keys.identities[name])
        write_credentials(folder / f"{name}.toml", login)
    move_in(folder / f"{LYON}.toml", both / "node" / "credentials.toml")
    yield place
    place.close()


@pytest.mark.parametrize("service", SERVICES)
def test_a_second_service_in_one_home_is_refused(place: Federation, service: str) -> None:
    """It names the process that runs; that one runs on, and a kill leaves the home free."""
    what, user = SERVICES[service]
    first = place.start("first", "both", service, "start")
    first.expect(f"{service} {user} at {NOBODY}")
    second = place.fedmq("both", service, "start")
    assert second.code == 1
    assert f"error: {what} runs already in {place.home('both') / service}" in second.talk
    assert f"why: the process {first.pid} has the folder" in second.talk
    assert f"fix: end it with: kill {first.pid}" in second.talk
    assert first.is_running

    first.kill()
    third = place.start("third", "both", service, "start")
    third.expect(f"{service} {user} at {NOBODY}")
    assert third.end(signal.SIGINT) == 0
    assert f"next: fedmq {service} start" in third.log()


def test_a_node_and_an_orchestrator_may_share_a_home(place: Federation) -> None:
    """The hub's operator may run a node on the same machine."""
    programs = [place.start(service, "both", service, "start") for service in SERVICES]
    for program, (service, (_, user)) in zip(programs, SERVICES.items(), strict=True):
        program.expect(f"{service} {user} at {NOBODY}")
        assert program.is_running
