"""Attacks on the way to the broker: each tried with what the attacker would have."""

import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from fedmq.errors import BrokerRefused, BrokerUnavailable
from fedmq.hub.enrolment import Enrolment
from fedmq.hub.joiner import Joiner, read_answer
from fedmq.hub.lifecycle import make, up
from fedmq.hub.members import Hub
from fedmq.hub.membership import Membership, read_membership
from fedmq.hub.orchestrators import add_orchestrator
from fedmq.hub.requests import Asked, Requests
from fedmq.security.certificates import KeyPair, certify, certify_broker, make_authority
from fedmq.security.joining import JoinToken
from fedmq.transport import asking, topology
from fedmq.transport.ports import Connected, Disconnected
from fedmq.transport.rabbitmq import Login
from fedmq.transport.rabbitmq_join import ask_to_join
from fedmq.transport.rabbitmq_tls import Tls
from fedmq.types import ORCHESTRATOR, Role
from tests.integration.test_hub import ended, joined, until
from tests.support.members import PROGRAM, connected, enrolled

pytestmark = [pytest.mark.rabbitmq, pytest.mark.hub_broker, pytest.mark.xdist_group("trust")]

LYON, PARIS = "chu-lyon", "ghu-paris"
WORD = "word"
CLOSED = (ChannelClosedByBroker, ConnectionClosedByBroker)


@dataclass(frozen=True, slots=True)
class Place:
    """A hub that is up, with a node, and room for what attackers make."""

    folder: Path
    lyon: Membership

    @property
    def hub(self) -> Hub:
        """The hub."""
        return Hub(self.folder)

    @property
    def enrolment(self) -> Enrolment:
        """Its comings and goings."""
        return Enrolment(self.hub, self.folder)

    @property
    def port(self) -> int:
        """Where the broker listens."""
        return self.hub.broker.ports().amqp

    def login(self, pair: KeyPair | None, user: str = LYON) -> Login:
        """Return a login with some other certificate, or none."""
        folder = self.folder / "attackers"
        folder.mkdir(exist_ok=True)
        tls = Tls(authority=self.lyon.keyring.folder / "authority.pem")
        if pair is not None:
            (folder / "certificate.pem").write_text(pair.certificate)
            (folder / "key.pem").write_text(pair.key)
            tls = replace(tls, certificate=folder / "certificate.pem", key=folder / "key.pem")
        return replace(self.lyon.login(PROGRAM), tls=tls, user=user, password=WORD)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Return a hub with a node."""
    with ended(tmp_path_factory.mktemp("hub")) as folder:
        up(folder)
        yield Place(folder, enrolled(folder, LYON, Role.NODE))


def is_refused(login: Login) -> bool:
    """Return whether nobody gets in so; the words say what to look at."""
    with joined(login) as member:
        until(lambda: bool(member.of(Disconnected)) or bool(member.of(Connected)))
        assert all(event.why for event in member.of(Disconnected))
        return not member.of(Connected)


# Certificates.


def test_the_right_certificate_gets_in(place: Place) -> None:
    """Else the rest would show nothing."""
    assert not is_refused(place.lyon.login(PROGRAM))


def test_an_expired_certificate_does_not_get_in(place: Place) -> None:
    """It ended a day ago; a new one, and the member is in again."""
    authority = place.hub.authority.certificates()
    old = certify(authority, LYON, now=time.time() - 2 * 86_400, days=1.0)
    assert is_refused(place.login(old))
    assert not is_refused(place.login(certify(authority, LYON, now=time.time())))


def test_a_certificate_that_was_taken_back_does_not_get_in(place: Place, tmp_path: Path) -> None:
    """Who is in by it is cut off; the next one is good, and so are those of others."""
    path = place.hub.credentials_path("orchestrator")
    own, folder = read_membership(path), tmp_path / "thief"
    shutil.copytree(own.keyring.folder, folder / own.credentials.identity)
    thief = replace(own, folder=folder).login(PROGRAM)
    with joined(thief) as inside:
        until(lambda: bool(inside.of(Connected)))
        place.hub.replace_certificate("orchestrator")
        until(lambda: bool(inside.of(Disconnected)))
        until(lambda: inside.of(Disconnected)[-1].refused)
        assert "telephone" in inside.of(Disconnected)[-1].why
        assert len(inside.of(Connected)) == 1
    with pytest.raises(BrokerRefused, match="has taken this login's certificate back"):
        ask_to_join(thief, "thief", b"{}", take=lambda _body: True, wait_s=0.0)
    assert not is_refused(own.login(PROGRAM)), "its own program has the next one"
    assert not is_refused(place.lyon.login(PROGRAM))
    place.hub.replace_certificate("orchestrator")
    assert is_refused(thief)
    assert not is_refused(own.login(PROGRAM))


def test_nor_does_one_of_who_was_put_out(place: Place) -> None:
    """It ends at TLS: not even the name is asked for."""
    nice = enrolled(place.folder, "chu-nice", Role.NODE)
    login = nice.login(PROGRAM)
    assert not is_refused(login)
    place.enrolment.revoke("chu-nice", "left")
    with pytest.raises(BrokerRefused, match="has taken this login's certificate back"):
        ask_to_join(login, "chu-nice", b"{}", take=lambda _body: True, wait_s=0.0)


def test_an_orchestrator_that_was_added_is_in_at_once_and_out_when_it_is_revoked(
    place: Place, tmp_path: Path
) -> None:
    """While the broker runs: who has a copy of its files is cut off, too."""
    name = "centre-north"
    add_orchestrator(place.hub, name)
    own = read_membership(place.hub.credentials_path(name), Role.ORCHESTRATOR)
    shutil.copytree(own.keyring.folder, tmp_path / own.credentials.identity)
    login = replace(own, folder=tmp_path).login(PROGRAM)
    management = place.hub.management(place.hub.register())
    assert management is not None
    assert asking.hub_requests(name) in management.names("queues", "fedmq")
    with joined(login) as inside:
        until(lambda: bool(inside.of(Connected)))
        place.enrolment.revoke(name, "left")
        until(lambda: bool(inside.of(Disconnected)))
        until(lambda: inside.of(Disconnected)[-1].refused)
    assert is_refused(login)
    assert name not in management.names("users")
    assert not [one for one in management.names("queues", "fedmq") if name in one]


def test_a_certificate_of_another_authority_does_not_get_in(place: Place) -> None:
    """Whatever name is in it."""
    rogue = make_authority("fedmq authority", now=time.time())
    assert is_refused(place.login(certify(rogue, LYON, now=time.time())))


def test_without_a_certificate_nobody_gets_in(place: Place) -> None:
    """Nor with a password: the broker does not ask for any."""
    assert is_refused(place.login(None))
    monitor = read_membership(place.hub.credentials_path("monitor"))
    known = monitor.credentials
    assert known.password
    login = place.login(None, user="monitor")
    assert is_refused(replace(login, password=known.password))


def test_a_certificate_is_of_one_name(place: Place) -> None:
    """The login is that of the certificate, and what is sent under another one's is refused."""
    with connected(place.lyon.login(PROGRAM)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        key, forged = (
            topology.key(LYON, "-@orchestrator", "control"),
            pika.BasicProperties(user_id="orchestrator"),
        )
        with pytest.raises(CLOSED, match="user_id"):
            channel.basic_publish(topology.REPLIES, key, b"", forged)


def spoken(membership: Membership, port: int, newest: ssl.TLSVersion) -> str:
    """Return the version that the broker speaks to who knows none above `newest`; empty: none."""
    keys = membership.keyring.folder
    context = ssl.create_default_context(cafile=keys / "authority.pem")
    context.load_cert_chain(keys / "certificate.pem", keys / "key.pem")
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else OpenSSL itself would not speak 1.1
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = newest
    with socket.create_connection(("127.0.0.1", port)) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as line:
                return line.version() or ""
        except (ssl.SSLError, ConnectionError):
            return ""


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_older_tls_is_not_spoken(place: Place) -> None:
    """Somebody between could ask for it; the broker does not answer to 1.2."""
    versions = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1)
    found = [spoken(place.lyon, place.port, newest) for newest in versions]
    assert found == ["TLSv1.3", "", ""]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_1_2_is_spoken_where_the_hub_was_made_so_and_nothing_older(tmp_path: Path) -> None:
    """A member has to allow it too: it asks for 1.3 and nothing else unless told."""
    with ended(tmp_path) as folder:
        make(folder, allows_tls_1_2=True)
        up(folder)
        lyon, port = enrolled(folder, LYON, Role.NODE), Hub(folder).broker.ports().amqp
        versions = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1)
        found = [spoken(lyon, port, newest) for newest in versions]
        assert found == ["TLSv1.3", "TLSv1.2", ""]
        assert not is_refused(lyon.login(PROGRAM, allows_tls_1_2=True))
    oldest = lyon.login(PROGRAM).tls
    assert oldest is not None
    assert oldest.context().minimum_version is ssl.TLSVersion.TLSv1_3


def test_bytes_as_they_are_are_not_understood(place: Place) -> None:
    """There is no plain listener beside the one for TLS."""
    login = replace(place.lyon.login(PROGRAM), tls=None, password=WORD)
    assert is_refused(login)


# A rogue broker.


def test_a_rogue_broker_is_told_nothing(place: Place, tmp_path: Path) -> None:
    """Neither one that nobody vouches for, nor one whose certificate is for another name."""
    rogue = make_authority("rogue", now=time.time())
    ours = place.hub.authority.certificates()
    for pair in (
        certify_broker(rogue, ["127.0.0.1"], now=time.time()),
        certify_broker(ours, ["broker.example.org"], now=time.time()),
        certify_broker(ours, ["127.0.0.1"], now=time.time() - 9 * 86_400, days=2.0),
    ):
        heard: list[bytes] = []
        with _false_broker(tmp_path, pair, heard) as port:
            login = replace(
                place.lyon.login(PROGRAM),
                addresses=(place.lyon.login(PROGRAM).addresses[0]._replace(port=port),),
            )
            assert is_refused(login)
        assert b"AMQP" not in b"".join(heard)


# Joining.


def asked_by(place: Place, name: str) -> list[Asked]:
    """Return the request of a name, if there is one."""
    return [one for one in Requests(place.hub, place.folder).waiting() if one.request.name == name]


def invite(place: Place, name: str) -> JoinToken:
    """Return a token for a node."""
    return place.enrolment.invite(name, Role.NODE)


def test_an_answer_that_was_just_given_is_there_whatever_the_hub_does_next(
    place: Place, tmp_path: Path
) -> None:
    """Until it was fetched; the broker's own counts are older than it."""
    token = invite(place, "umc-basel-2")
    joiner = Joiner(tmp_path / "credentials.toml")
    request = joiner.begin(token)
    login, body = joiner.way(token).login(PROGRAM), request.model_dump_json().encode()
    came: list[bytes] = []

    def take(body: bytes) -> bool:
        came.append(body)
        return True

    assert not ask_to_join(login, token.name, body, take=take, wait_s=0.0)
    answer = place.enrolment.admit(request, request.public.fingerprint)
    place.enrolment.tidy()
    assert ask_to_join(login, token.name, body, take=take, wait_s=0.0)
    assert read_answer(came[0].decode()) == answer
    place.enrolment.tidy()
    assert is_refused(login), "it is over once the answer was fetched"
    known = place.enrolment.admitted(token.name)
    assert known is not None
    assert place.enrolment.admit(request, known.fingerprint) == answer, "for a file"


def test_a_site_joins_through_the_broker_and_its_token_is_void_then(
    place: Place, tmp_path: Path
) -> None:
    """Asked, admitted, answered; afterwards the token's login does not exist."""
    token = invite(place, PARIS)
    joiner = Joiner(tmp_path / "credentials.toml")
    request = joiner.begin(token)
    way = shutil.copytree(tmp_path / "credentials.joining", tmp_path / "stolen") / "way"
    thief = replace(
        joiner.way(token).login(PROGRAM),
        tls=Tls(
            authority=way / "authority.pem",
            certificate=way / "certificate.pem",
            key=way / "key.pem",
        ),
    )
    login = joiner.way(token).login(PROGRAM)
    came: list[bool] = []

    def ask() -> None:
        came.append(
            ask_to_join(
                login,
                PARIS,
                request.model_dump_json().encode(),
                take=lambda body: _finish(joiner, token, body),
                wait_s=60.0,
            )
        )

    site = threading.Thread(target=ask)
    site.start()
    until(lambda: bool(asked_by(place, PARIS)))
    (asked,) = asked_by(place, PARIS)
    assert asked.fingerprint == request.public.fingerprint
    place.enrolment.admit(asked.request, asked.fingerprint)
    site.join()
    assert came == [True]
    assert not is_refused(read_membership(tmp_path / "credentials.toml").login(PROGRAM))
    until(lambda: place.enrolment.is_over(PARIS))
    assert is_refused(thief)
    assert asked_by(place, PARIS) == []


def _finish(joiner: Joiner, token: JoinToken, body: bytes) -> bool:
    joiner.finish(token, read_answer(body))
    return True


def test_a_token_can_ask_and_nothing_else(place: Place, tmp_path: Path) -> None:
    """Whoever stole it reads no queue, writes nowhere else, and asks under no other name."""
    token = invite(place, "umc-basel")
    joiner = Joiner(tmp_path / "credentials.toml")
    joiner.begin(token)
    login = joiner.way(token).login(PROGRAM)

    def attempt(act: str, *words: str) -> None:
        with connected(login) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            if act == "read":
                channel.basic_get(*words)
            elif act == "write":
                channel.basic_publish(*words, b"x", pika.BasicProperties(user_id=login.user))
            else:
                channel.queue_declare(*words)

    attempt("read", asking.join_answers("umc-basel"))
    attempt("write", asking.join_exchange("umc-basel"), "umc-basel")
    for words in (
        ("read", topology.node_tasks(LYON)),  # type: ignore[arg-type]
        ("read", topology.node_tasks("umc-basel")),  # type: ignore[arg-type]
        ("read", asking.hub_requests("umc-basel")),
        ("read", asking.join_answers(PARIS)),
        ("read", topology.orchestrator_inbox(ORCHESTRATOR)),
        ("write", asking.join_exchange(PARIS), PARIS),
        ("write", "", asking.join_answers("umc-basel")),
        ("write", topology.REPLIES, "umc-basel.-@orchestrator.control"),
        ("write", topology.EVENTS, "-.umc-basel.heartbeat"),
        ("write", "", asking.hub_requests("umc-basel")),
        ("declare", "mine"),
    ):
        with pytest.raises(CLOSED, match=r"ACCESS_REFUSED|access to"):
            attempt(*words)


def test_copies_of_a_request_go_nowhere_else(place: Place, tmp_path: Path) -> None:
    """The broker does not compare the keys of copies with rights: nothing may depend on them."""
    token = invite(place, "umc-groningen")
    joiner = Joiner(tmp_path / "credentials.toml")
    joiner.begin(token)
    joining, node = joiner.way(token).login(PROGRAM), place.lyon.login(PROGRAM)
    management = place.hub.management(place.hub.register())
    assert management is not None
    others = [asking.hub_requests("orchestrator"), asking.join_answers("umc-groningen")]
    for login, name in ((joining, "umc-groningen"), (node, LYON)):
        with connected(login) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for word in ("CC", "BCC"):
                keys = [*others, "orchestrator", "umc-groningen.answer"]
                said = pika.BasicProperties(user_id=login.user, headers={word: keys})
                channel.basic_publish(asking.join_exchange(name), name, b"x", said)
        found = management.look("fedmq", asking.hub_requests(name), max_bytes=9)
        assert found == (login.user, b"x"), "it came where it may"
    for queue in others:
        assert management.look("fedmq", queue, max_bytes=9) is None, queue


def test_an_answer_that_is_not_believed_is_thrown_away(place: Place, tmp_path: Path) -> None:
    """The site waits on, and has the hub's own."""
    token = invite(place, "umc-nijmegen")
    joiner = Joiner(tmp_path / "credentials.toml")
    request = joiner.begin(token)
    management = place.hub.management(place.hub.register())
    assert management is not None
    assert management.publish("fedmq", asking.join_answers(token.name), b"junk")
    answer = place.enrolment.admit(request, request.public.fingerprint)
    heard: list[bytes] = []

    def take(body: bytes) -> bool:
        heard.append(body)
        return len(heard) > 1

    login, body = joiner.way(token).login(PROGRAM), request.model_dump_json().encode()
    assert ask_to_join(login, token.name, body, take=take, wait_s=10.0)
    assert heard == [b"junk", answer.model_dump_json().encode()]


def test_an_older_token_is_void_once_there_is_a_newer_one(place: Place, tmp_path: Path) -> None:
    """Whoever is in with it is cut off, and its certificate lets nobody in again."""
    first = Joiner(tmp_path / "first" / "credentials.toml")
    token = invite(place, "umc-maastricht")
    first.begin(token)
    login = first.way(token).login(PROGRAM)
    with connected(login) as connection:
        newer = invite(place, "umc-maastricht")
        until(lambda: _is_cut_off(connection))
    assert is_refused(login)
    second = Joiner(tmp_path / "second" / "credentials.toml")
    second.begin(newer)
    assert not is_refused(second.way(newer).login(PROGRAM))


def _is_cut_off(connection: pika.BlockingConnection) -> bool:
    try:
        connection.process_data_events(0)
    except pika.exceptions.AMQPError:
        return True
    return False


def test_a_token_of_yesterday_does_not_even_connect(place: Place, tmp_path: Path) -> None:
    """Its certificate is over, whatever the hub forgot to delete."""
    token = place.enrolment.invite("ico-nantes", Role.NODE, hours=-0.5)
    joiner = Joiner(tmp_path / "credentials.toml")
    joiner.begin(token)
    with pytest.raises((BrokerRefused, BrokerUnavailable)):
        ask_to_join(
            joiner.way(token).login(PROGRAM),
            "ico-nantes",
            b"{}",
            take=lambda _body: True,
            wait_s=1.0,
        )


def test_nonsense_from_who_may_ask_harms_nobody(place: Place, tmp_path: Path) -> None:
    """It is thrown away; who asks properly is listed."""
    token = invite(place, "ucl-leuven")
    joiner = Joiner(tmp_path / "credentials.toml")
    request = joiner.begin(token).model_dump_json().encode()
    login = joiner.way(token).login(PROGRAM)
    for body in (b"\xff\xfe", b"{}", request.replace(b"ucl-leuven", b"chu-lyon"), request):
        ask_to_join(login, "ucl-leuven", body, take=lambda _body: True, wait_s=0.0)
    until(lambda: bool(asked_by(place, "ucl-leuven")))
    (asked,) = asked_by(place, "ucl-leuven")
    assert asked.request.model_dump_json().encode() == request
    assert asked_by(place, LYON) == []


def test_who_asks_without_end_keeps_nobody_else_out(place: Place, tmp_path: Path) -> None:
    """Each asker has room for one request, the newest, and none for a large one."""
    token = invite(place, "ucl-leuven")
    joiner = Joiner(tmp_path / "credentials.toml")
    request = joiner.begin(token).model_dump_json().encode()
    login = joiner.way(token).login(PROGRAM)
    ask_to_join(login, "ucl-leuven", request, take=lambda _body: True, wait_s=0.0)
    flood = invite(place, "umc-utrecht")
    flooder = Joiner(tmp_path / "flooder.toml")
    flooder.begin(flood)
    with connected(flooder.way(flood).login(PROGRAM)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        asking_at = asking.join_exchange("umc-utrecht")
        said = pika.BasicProperties(user_id="join-umc-utrecht", delivery_mode=2)
        for size_bytes in [*[100] * 2_000, asking.REQUEST_BYTES + 1]:
            channel.basic_publish(asking_at, "", b"x" * size_bytes, said)
    management = place.hub.management(place.hub.register())
    assert management is not None
    (asked,) = asked_by(place, "ucl-leuven")
    assert asked.request.model_dump_json().encode() == request
    assert asked_by(place, "umc-utrecht") == []
    large = asking.hub_requests("umc-utrecht")
    until(lambda: management.look("fedmq", large, max_bytes=10) is None)
    flooder_request = flooder.begin(flood).model_dump_json().encode()
    way = flooder.way(flood).login(PROGRAM)
    ask_to_join(way, "umc-utrecht", flooder_request, take=lambda _body: True, wait_s=0.0)
    assert len(asked_by(place, "umc-utrecht")) == 1


class _false_broker:  # noqa: N801 - used as a with statement's word
    """Something that speaks TLS at a port, and notes what it is told."""

    def __init__(self, folder: Path, pair: KeyPair, heard: list[bytes]) -> None:
        (folder / "certificate.pem").write_text(pair.certificate)
        (folder / "key.pem").write_text(pair.key)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        self._heard = heard
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join(10.0)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
                with self._context.wrap_socket(line, server_side=True) as spoken:
                    self._heard.append(spoken.recv(100))
            except ssl.SSLError:
                continue
            except OSError:
                return
