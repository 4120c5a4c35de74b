"""The client against an orchestrator on the memory broker, each with threads of their own."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fedmq.errors import (
    BrokerRefused,
    BrokerUnavailable,
    ConfigurationError,
    StorageError,
    TransportError,
)
from fedmq.hub.credentials import Credentials, write_credentials
from fedmq.messages.payloads import CHUNK_BYTES
from fedmq.parameters import load_parameters, parameters_bytes
from fedmq.researcher.client import Client
from fedmq.researcher.mailbox import Mailbox
from fedmq.researcher.nodes import KnownNodes
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport import topology
from fedmq.transport.home import Home, LocalHome
from fedmq.transport.machine import LocalMachine
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import Disconnected, Sink
from fedmq.types import ORCHESTRATOR, ResearcherId, Role
from tests.support.keys import Keys
from tests.unit.researcher.federation import ANNA, Federation, experiment, wait_until

LARGE = {"weight": np.arange(CHUNK_BYTES // 2, dtype=np.float32)}
"""Two chunks and a header."""


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """Return a federation without an orchestrator yet."""
    with Federation(tmp_path) as made:
        yield made


def look(client: Client, question: Callable[[Mailbox], int]) -> int:
    """Return what the client's mailbox says."""
    return client._session._call(question)


def test_an_experiment_is_submitted_seen_fetched_and_stopped(federation: Federation) -> None:
    """The whole way, with the initial model as the only one: no node answers."""
    federation.start_orchestrator()
    client = federation.client()
    wanted = experiment()
    run = client.submit(wanted)
    assert run.id.startswith("lung-")
    assert (run.report().state, run.report().round) == ("preparing", 0)
    assert [report.experiment for report in client.experiments()] == [run.id]
    assert client.experiment(run.id).report().spec == wanted.to_spec()[0]
    path = run.download(federation.folder / "models" / "model.safetensors")
    plan_class = wanted.to_spec()[2]
    assert path.read_bytes() == parameters_bytes(wanted.initial_parameters(plan_class))
    assert sorted(run.parameters()) == sorted(load_parameters(path))
    assert run.stop().state == "stopped"
    assert run.wait().state == "stopped"
    assert federation.depth(topology.DEAD_QUEUE) == 0


def test_parameters_of_many_chunks_reach_the_orchestrator(federation: Federation) -> None:
    """Chunks of a submission go under the experiment's own key: no other queue takes them."""
    federation.start_orchestrator()
    client = federation.client()
    run = client.submit(experiment(), initial=LARGE)
    kept = federation.folder / "orchestrator" / "payloads"
    assert [path.read_bytes() for path in kept.iterdir()] == [parameters_bytes(LARGE)]
    assert parameters_bytes(run.parameters()) == parameters_bytes(LARGE)
    # What was sent is not kept at home; what was fetched is.
    wait_until(lambda: look(client, lambda m: m._courier.num_unsent) == 0, "all receipted")


def test_what_was_sent_is_not_kept_at_home(federation: Federation) -> None:
    """A hundred experiments of a gigabyte are no hundred gigabytes on a laptop."""
    federation.start_orchestrator()
    federation.client().submit(experiment(), initial=LARGE)
    assert list((federation.folder / "home" / "payloads").iterdir()) == []


def test_without_an_orchestrator_the_submission_waits_and_is_run_later(
    federation: Federation,
) -> None:
    """The error says under which id; the client's end changes nothing."""
    with (
        federation.client(timeout_s=0.3) as client,
        pytest.raises(TransportError, match=r"waits as lung-[0-9a-f]{6}") as caught,
    ):
        client.submit(experiment(), initial=LARGE)
    assert type(caught.value) is TransportError
    assert federation.depth(topology.orchestrator_inbox(ORCHESTRATOR)) == 1
    identifier = caught.value.fix.partition("waits as ")[2].partition(",")[0]
    federation.start_orchestrator()
    # The orchestrator needs the parameters, and these are at home: with the next client.
    client = federation.client()
    wait_until(lambda: _is_led(client, identifier), "the experiment is led")
    assert parameters_bytes(client.experiment(identifier).parameters()) == parameters_bytes(LARGE)


def test_what_a_client_could_not_send_the_next_one_sends(
    federation: Federation, tmp_path: Path
) -> None:
    """Without any broker: the outbox on the disk is what counts."""
    nowhere = MemoryTransport(
        MemoryBroker(topology.federation(nodes=[], researchers=[])), ANNA, _no
    )
    with (
        Client(
            researcher=ANNA,
            home=LocalHome(tmp_path / "home"),
            make_transport=lambda _: nowhere,
            wire=PlainWire(),
            timeout_s=0.2,
        ) as client,
        pytest.raises(BrokerUnavailable, match="waits as lung-") as caught,
    ):
        client.submit(experiment())
    federation.start_orchestrator()
    identifier = caught.value.fix.partition("waits as ")[2].partition(",")[0]
    client = federation.client()
    wait_until(lambda: _is_led(client, identifier), "the experiment is led")


def test_a_broker_that_refuses_is_told_at_once(tmp_path: Path) -> None:
    """No waiting for a password to become right."""

    def refusing(sink: Sink) -> MemoryTransport:
        class Refused(MemoryTransport):
            def start(self) -> None:
                sink(Disconnected(why="wrong password", refused=True, retry_in_s=60.0))

        return Refused(MemoryBroker(topology.federation(nodes=[], researchers=[])), ANNA, sink)

    with (
        Client(
            researcher=ANNA,
            home=LocalHome(tmp_path / "home"),
            make_transport=refusing,
            wire=PlainWire(),
            timeout_s=3600.0,
        ) as client,
        pytest.raises(BrokerRefused, match="wrong password"),
    ):
        client.experiments()


def test_an_experiment_that_nobody_knows_is_said_to_be_unknown(federation: Federation) -> None:
    """With the orchestrator's words, and the next command."""
    federation.start_orchestrator()
    with pytest.raises(ConfigurationError, match=r"no experiment lung-000000.*experiments list"):
        federation.client().experiment("lung-000000")


def test_nodes_are_asked_for_before_any_was_heard_of(federation: Federation) -> None:
    """The answer is taken, not turned away; nobody is silent."""
    federation.start_orchestrator()
    assert federation.client().nodes() == KnownNodes()
    assert federation.depth(topology.DEAD_QUEUE) == 0


def test_two_programs_of_one_home_get_each_its_answers_and_models(federation: Federation) -> None:
    """The broker hands everything to one of them; none asks on for what is there."""
    federation.start_orchestrator()
    first, second = federation.client(), federation.client()
    run = first.submit(experiment(), initial=LARGE)
    again = second.experiment(run.id)
    assert again.report() == run.report()
    assert parameters_bytes(again.parameters()) == parameters_bytes(LARGE)
    assert [look(one, lambda m: m._courier.num_awaited) for one in (first, second)] == [0, 0]
    other = second.submit(experiment(name="liver"), initial=LARGE)
    assert {report.experiment for report in first.experiments()} == {run.id, other.id}


def test_a_session_ends_with_the_disk_and_says_so(federation: Federation) -> None:
    """A home that is a file is no home; nobody waits for a thread that has ended."""
    (federation.folder / "home").write_text("")
    client = federation.client()
    for _ in range(2):
        with pytest.raises(StorageError):
            client.experiments()


def test_a_closed_client_says_so(federation: Federation) -> None:
    """At once, whether it was used before or not."""
    client = federation.client()
    client.close()
    with pytest.raises(TransportError, match="closed"):
        client.experiments()


def test_nothing_is_connected_or_written_before_first_use(federation: Federation) -> None:
    """Making a client is free."""
    before = threading.active_count()
    with federation.client():
        assert threading.active_count() == before
        assert not (federation.folder / "home").exists()


def test_credentials_of_another_role_are_refused(tmp_path: Path) -> None:
    """A node's login cannot submit; the error says whose it is."""
    path = tmp_path / "credentials.toml"
    login = _login("chu-lyon", Role.NODE)
    write_credentials(path, login)
    for given in (path, str(path)):
        with pytest.raises(ConfigurationError, match="role researcher; got: role node"):
            Client.from_credentials(given)


def test_credentials_of_a_researcher_make_a_client_with_a_home_beside_them(tmp_path: Path) -> None:
    """Nothing connects yet."""
    path = tmp_path / "credentials.toml"
    keys = Keys({ANNA: Role.RESEARCHER})
    keys.write_keyring(tmp_path / "anna.keys", keys.identities[ANNA])
    write_credentials(path, _login(ANNA, Role.RESEARCHER))
    asked: list[Path] = []

    class Noted(LocalMachine):
        def home(self, folder: Path) -> Home:
            asked.append(folder)
            return super().home(folder)

    with Client.from_credentials(path, machine=Noted()) as client:
        assert client._session.researcher == ResearcherId(ANNA)
    assert asked == [tmp_path / "anna-files"]


def _login(user: str, role: Role) -> Credentials:
    return Credentials(
        url="amqp://127.0.0.1:1/x", user=user, password=user, role=role, identity=f"{user}.keys"
    )


def _no(_event: object) -> None:
    """Hear nothing."""


def _is_led(client: Client, identifier: str) -> bool:
    try:
        client.experiment(identifier)
    except ConfigurationError:
        return False
    return True
