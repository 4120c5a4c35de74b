"""The client on a real broker, with the rights that the hub gives a researcher."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fedmq.clocks import SystemClock
from fedmq.errors import BrokerRefused, BrokerUnavailable, TransportError
from fedmq.hub.credentials import Credentials, write_credentials
from fedmq.messages.payloads import CHUNK_BYTES
from fedmq.orchestrator.service import OrchestratorService
from fedmq.parameters import parameters_bytes
from fedmq.researcher.client import Client
from fedmq.transport import topology
from fedmq.transport.home import LocalHome
from fedmq.transport.rabbitmq import RabbitTransport
from fedmq.types import NodeId, ResearcherId, Role
from tests.support.broker import TestBroker, federation_rights
from tests.support.keys import Keys
from tests.unit.researcher.federation import ANNA, LYON, experiment

pytestmark = pytest.mark.rabbitmq

LARGE = {"weight": np.arange(CHUNK_BYTES, dtype=np.float32)}
"""Four chunks and a header."""


def write(path: Path, url: str, password: str, keys: Keys) -> Path:
    """Return the file of anna's credentials, with her keys beside it."""
    login = Credentials(
        url=url, user=ANNA, role=Role.RESEARCHER, password=password, identity="anna.keys"
    )
    keys.write_keyring(path.parent / "anna.keys", keys.identities[ANNA])
    write_credentials(path, login)
    return path


@dataclass(frozen=True)
class Place:
    """A vhost in which an orchestrator serves."""

    broker: TestBroker
    vhost: str
    folder: Path
    keys: Keys
    stop_orchestrator: Callable[[], None]

    @property
    def url(self) -> str:
        """The address that the hub would write down."""
        return self.broker.url(self.vhost)

    def client(
        self, password: str | None = None, home: str = "home", timeout_s: float = 60.0
    ) -> Client:
        """Return a client of anna's."""
        path = write(
            self.folder / "credentials.toml", self.url, password or self.broker.password, self.keys
        )
        return Client.from_credentials(path, home=self.folder / home, timeout_s=timeout_s)


@pytest.fixture
def place(broker: TestBroker, tmp_path: Path) -> Iterator[Place]:
    """Return a federation with an orchestrator."""
    layout = topology.federation(
        nodes=[NodeId(LYON)], researchers=[ResearcherId(ANNA)], profile=broker.profile
    )
    vhost = broker.make_vhost(layout, federation_rights([LYON], [ANNA]))
    keys = Keys({ANNA: Role.RESEARCHER, "orchestrator": Role.ORCHESTRATOR})
    services: list[OrchestratorService] = []
    ready = threading.Event()

    def serve() -> None:
        login = broker.login(vhost, "orchestrator")
        service = OrchestratorService(
            name="orchestrator",
            home=LocalHome(tmp_path / "orchestrator"),
            make_transport=lambda sink: RabbitTransport(login, sink),
            wire=keys.wire("orchestrator"),
            clock=SystemClock(),
            version="0",
        )
        services.append(service)
        ready.set()
        service.run()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(30.0)

    def stop() -> None:
        services[0].loop.stop()
        thread.join()

    yield Place(broker, vhost, tmp_path, keys, stop)
    stop()
    broker.remove_vhost(vhost)


def test_an_experiment_goes_out_and_its_model_comes_back(place: Place) -> None:
    """Parameters of several chunks up and down; two programs of one home at once."""
    with place.client() as first, place.client() as second:
        run = first.submit(experiment(), initial=LARGE)
        path = second.experiment(run.id).download(place.folder / "model.safetensors")
        assert path.read_bytes() == parameters_bytes(LARGE)
        assert run.stop().state == "stopped"
        assert [report.state for report in second.experiments()] == ["stopped"]


def test_a_second_home_is_told_that_the_first_one_gets_the_answers(place: Place) -> None:
    """Two machines with one login: the orchestrator runs, so to start it would mend nothing.

    A cluster does not count who waits behind the active reader: there it is one of two reasons.
    """
    with place.client() as first:
        assert list(first.experiments()) == []
        with (
            place.client(home="elsewhere", timeout_s=3.0) as second,
            pytest.raises(TransportError) as caught,
        ):
            second.experiments()
        assert "reads your answers" in caught.value.why
        assert "use the same home" in caught.value.fix
        if place.broker.profile is topology.Profile.SINGLE:
            assert "the answer did not come here" in str(caught.value)
            assert "fedmq hub add-researcher NAME" in caught.value.fix
            assert "orchestrator start" not in caught.value.fix
        assert list(first.experiments()) == []
    # The fix, followed.
    with place.client(home="elsewhere") as second:
        assert list(second.experiments()) == []


def test_an_orchestrator_that_does_not_run_is_told_as_such(place: Place) -> None:
    """Also where two programs share a home, as a notebook and a terminal do."""
    place.stop_orchestrator()
    with place.client(timeout_s=3.0) as notebook, place.client(timeout_s=3.0) as terminal:
        for client in (notebook, terminal):
            with pytest.raises(TransportError, match="it is not running: nobody reads") as caught:
                client.experiments()
            assert "fedmq orchestrator start" in caught.value.fix


def test_a_wrong_password_is_told_at_once(place: Place) -> None:
    """Long before the time for an answer is over."""
    began = time.monotonic()
    with (
        place.client(password="no") as client,  # noqa: S106 - wrong
        pytest.raises(BrokerRefused, match="refuses anna"),
    ):
        client.experiments()
    assert time.monotonic() - began < 30.0


def test_no_broker_is_told_after_the_time_for_an_answer(tmp_path: Path) -> None:
    """With the id under which the submission is kept."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"amqp://127.0.0.1:{closed.getsockname()[1]}/fedmq"
        keys = Keys({ANNA: Role.RESEARCHER, "orchestrator": Role.ORCHESTRATOR})
        path = write(tmp_path / "credentials.toml", url, ANNA, keys)
        with (
            Client.from_credentials(path, home=tmp_path, timeout_s=0.5) as client,
            pytest.raises(BrokerUnavailable, match="waits as lung-"),
        ):
            client.submit(experiment())
