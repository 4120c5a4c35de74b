"""Proxies, inspections, portals and IPv6, as hospitals have them, and what a node says."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedmq.errors import WayBlocked
from fedmq.hub.enrolment import Enrolment
from fedmq.hub.joiner import Joiner
from fedmq.hub.lifecycle import make, up
from fedmq.hub.local import enrol_here
from fedmq.hub.members import Hub
from fedmq.hub.membership import Membership, read_membership
from fedmq.hub.requests import Asked, Requests
from fedmq.node.records import open_records
from fedmq.security.certificates import make_authority
from fedmq.transport.home import LocalHome
from fedmq.transport.ports import Connected, Disconnected
from fedmq.transport.proxy import read_proxy
from fedmq.transport.rabbitmq import Login
from fedmq.transport.rabbitmq_asking import see_queues
from fedmq.transport.rabbitmq_dialogue import talking
from fedmq.transport.rabbitmq_join import ask_to_join
from fedmq.transport.topology import node_tasks
from fedmq.types import NodeId, Role
from tests.integration.test_hub import ended, joined, until
from tests.support.connect_proxy import ConnectProxy, Fault
from tests.support.federation import PARIS, Outcome, running_federation
from tests.support.members import PROGRAM

pytestmark = [pytest.mark.rabbitmq, pytest.mark.hub_broker, pytest.mark.xdist_group("firewalls")]

LYON, BROKER = "chu-lyon", "broker.example.org"
WORD = "s3cret"


class Site:
    """A hospital of a hub whose name this machine cannot resolve: only a proxy leads there."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.home, self.hub = home, folder
        self.port = Hub(folder).broker.ports().amqp
        enrol_here(folder, LYON, Role.NODE, home / "node" / "credentials.toml")
        open_records(LocalHome(home / "node")).close()

    @property
    def membership(self) -> Membership:
        """Its membership."""
        return read_membership(self.home / "node" / "credentials.toml")

    @property
    def targets(self) -> dict[str, tuple[str, int]]:
        """What the hospital's proxy knows of names."""
        return {BROKER: ("127.0.0.1", self.port)}

    def login(self, proxy: ConnectProxy, user: str = "") -> Login:
        """Return the node's login through a proxy."""
        url = proxy.url.replace("//", f"//{user}@") if user else proxy.url
        return self.membership.login(PROGRAM, proxy=read_proxy(url))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a node of a hub that is up."""
    with ended(tmp_path_factory.mktemp("hub")) as folder:
        make(folder, hosts=(BROKER,))
        up(folder)
        yield Site(folder, tmp_path_factory.mktemp("lyon"))


def why_not(login: Login) -> str:
    """Return what a member's link says of its first failure."""
    with joined(login) as member:
        until(lambda: bool(member.of(Disconnected)))
        assert not member.of(Connected)
        return member.of(Disconnected)[0].why


def test_a_member_goes_through_a_proxy_that_wants_a_login(site: Site) -> None:
    """The link's two connections and a dialogue; the proxy resolves the name, TLS is end to end."""
    with ConnectProxy(login=f"op:{WORD}", targets=site.targets) as proxy:
        login = site.login(proxy, f"op:{WORD}")
        with joined(login) as member:
            until(lambda: bool(member.of(Connected)))
            assert proxy.carried == 2
            proxy.drop()  # a proxy that is started anew is an ordinary loss of the link
            until(lambda: len(member.of(Connected)) == 2)
        with talking(login) as connection:
            assert connection.is_open
        assert set(proxy.asked) == {f"CONNECT {BROKER}:{site.port} HTTP/1.1"}


def test_what_a_proxy_has_against_it_is_named_in_the_link_and_in_a_dialogue(site: Site) -> None:
    """No login, a wrong one, nobody there, a broker that it does not find, and other nonsense."""
    cases: list[tuple[ConnectProxy, str, str]] = [
        (ConnectProxy(login=f"op:{WORD}"), "", "wants a user and a password"),
        (ConnectProxy(login=f"op:{WORD}"), "op:wrong", "refuses user op or its password"),
        (ConnectProxy(targets={BROKER: ("127.0.0.1", 9)}), "", "does not reach broker.example"),
        (ConnectProxy(fault=answering(b"HTTP/1.1 403 Forbidden\r\n\r\n")), "", "not let through"),
        (ConnectProxy(fault=answering(b"X" * 100)), "", "does not behave like a proxy"),
        (ConnectProxy(fault=answering(b"")), "", "closed the connection without an answer"),
        (ConnectProxy(fault=endless), "", "no end within"),
    ]
    for proxy, user, words in cases:
        with proxy:
            login = site.login(proxy, user)
            assert words in why_not(login)
            with pytest.raises(WayBlocked) as caught, talking(login):
                raise AssertionError
            assert words in str(caught.value)
            assert "wrong" not in str(caught.value).replace("wrong name", "")
    assert "there is no proxy at" in why_not(login)


def test_a_proxy_that_says_nothing_is_not_waited_for(site: Site) -> None:
    """It is named, and not the broker, of whom nothing is known."""
    is_over = threading.Event()
    with ConnectProxy(fault=lambda _line: is_over.wait(60.0)) as proxy:
        login = site.login(proxy)
        said = why_not(login)
        assert f"the proxy {login.proxy.address} does not answer" in said  # type: ignore[union-attr]
        assert f"whether the proxy reaches {BROKER}:{site.port}" in said
        is_over.set()


def answering(text: bytes) -> Fault:
    """Return a fault that says a text and hangs up."""

    def fault(line: socket.socket) -> None:
        line.sendall(text)
        line.shutdown(socket.SHUT_RDWR)

    return fault


def endless(line: socket.socket) -> None:
    """Say headers without an end, as long as somebody listens."""
    line.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        line.sendall(b"X: y\r\n" * 100)


def test_an_inspecting_proxy_is_named_by_its_certificate(site: Site, tmp_path: Path) -> None:
    """Nothing is told to it; the operator reads who it is and whom to ask."""
    inspector = make_authority("Hospital Proxy CA", now=time.time())
    with ConnectProxy(targets=site.targets, inspector=inspector, folder=tmp_path) as proxy:
        login = site.login(proxy)
        for said in (why_not(login), str(blocked(login))):
            assert "issued by 'Hospital Proxy CA', not by 'fedmq authority'" in said
            assert f"exempt {BROKER}:{site.port} from TLS inspection" in said
        assert blocked(login).code == "intercepted"


def test_a_look_that_breaks_ends_the_link_all_the_same(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever somebody shows, the member says that nobody was reached, and tries again."""

    def fail(*_: object) -> None:
        raise RuntimeError("a certificate that nobody has thought of")

    monkeypatch.setattr("fedmq.transport.rabbitmq_link.find_obstacle", fail)
    inspector = make_authority("Hospital Proxy CA", now=time.time())
    with ConnectProxy(targets=site.targets, inspector=inspector, folder=tmp_path) as proxy:
        assert why_not(site.login(proxy))


def test_an_authority_of_the_same_name_is_told_apart_from_an_inspection(
    site: Site, tmp_path: Path
) -> None:
    """A hub that was made anew, or somebody who imitates it."""
    rogue = make_authority("fedmq authority", now=time.time())
    with ConnectProxy(targets=site.targets, inspector=rogue, folder=tmp_path) as proxy:
        assert blocked(site.login(proxy)).code == "other_authority"


def test_a_name_for_which_the_brokers_certificate_is_not_is_told(site: Site) -> None:
    """The broker is the right one, and the name is not."""
    with ConnectProxy(targets={"other.example.org": ("127.0.0.1", site.port)}) as proxy:
        login = site.login(proxy)
        address = login.addresses[0]._replace(host="other.example.org")
        error = blocked(replace(login, addresses=(address,)))
    assert error.code == "wrong_name"
    assert BROKER in error.why


def test_a_portal_is_no_broker(site: Site) -> None:
    """It answers to TLS with a page."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                line.recv(4096)
                line.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    with ConnectProxy(targets={BROKER: ("127.0.0.1", listener.getsockname()[1])}) as proxy:
        login = site.login(proxy)
        assert "a web page answers and not the broker" in why_not(login)
        found = blocked(login)
        assert found.code == "not_tls"
        assert "it said 'HTTP/1.1 302 Found'" in found.why
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def blocked(login: Login) -> WayBlocked:
    """Return what a dialogue says stands in its way."""
    with pytest.raises(WayBlocked) as caught, talking(login):
        raise AssertionError
    return caught.value


# fedmq node check.


def checked(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Any, **settings: str) -> Outcome:  # noqa: ANN401
    """Return how `fedmq node check --json` ends at the site."""
    return said_by(site.home, monkeypatch, capsys, "--json", **settings)


def said_by(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,  # noqa: ANN401
    *words: str,
    command: str = "check",
    **settings: str,
) -> Outcome:
    """Return how `fedmq node check`, or another command of a node, ends in a home."""
    from fedmq.cli.main import main

    monkeypatch.setenv("FEDMQ_HOME", str(home))
    monkeypatch.setattr("sys.argv", ["fedmq", "node", command, *words])
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return Outcome(code=int(ended.value.code or 0), data=said.out, talk=said.err)


def states(outcome: Outcome) -> dict[str, str]:
    """Return how each step went."""
    return {one["step"]: one["code"] or one["state"] for one in json.loads(outcome.data)["steps"]}


def test_check_finds_everything_well_while_a_node_reads_its_queue(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,  # noqa: ANN401
) -> None:
    """It takes nothing from the reader, and shows no password."""
    word = site.home / "word"
    word.write_text(WORD)
    word.chmod(0o600)
    with ConnectProxy(login=f"op:{WORD}", targets=site.targets) as proxy:
        settings = {
            "FEDMQ_PROXY": proxy.url.replace("//", "//op@"),
            "FEDMQ_PROXY_PASSWORD_FILE": str(word),
        }
        member_login, tasks = site.login(proxy, f"op:{WORD}"), node_tasks(NodeId(LYON))
        with joined(member_login) as member:
            member.transport.consume(tasks, prefetch=1)
            until(lambda: bool(member.of(Connected)))
            until(lambda: see_queues(member_login, (tasks,))[0].readers == 1)
            outcome = checked(site, monkeypatch, capsys, **settings)
            assert len(member.of(Connected)) == 1
            assert not member.of(Disconnected)
    assert (outcome.code, set(states(outcome).values())) == (0, {"ok"}), outcome
    assert "TLSv1.3, not inspected; fedmq authority vouches" in outcome.data
    assert WORD not in outcome.data + outcome.talk


def test_check_names_the_step_that_fails_and_tries_none_that_rests_on_it(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    """Without a proxy no name; with one that wants a login; with one that inspects."""
    outcome = checked(site, monkeypatch, capsys)
    found = states(outcome)
    assert outcome.code == 1
    assert found["names"] == "names_failed"
    assert {found[one] for one in ("connection", "tls", "login", "queues")} == {"not_tried"}
    assert f"-> {BROKER}:{site.port}, TCP, outbound" in outcome.data
    with ConnectProxy(login=f"op:{WORD}", targets=site.targets) as proxy:
        found = states(checked(site, monkeypatch, capsys, FEDMQ_PROXY=proxy.url))
        assert (found["proxy"], found["connection"]) == ("proxy_wants_login", "not_tried")
    inspector = make_authority("Hospital Proxy CA", now=time.time())
    with ConnectProxy(targets=site.targets, inspector=inspector, folder=tmp_path) as proxy:
        found = states(checked(site, monkeypatch, capsys, FEDMQ_PROXY=proxy.url))
        assert (found["connection"], found["tls"]) == ("ok", "intercepted")
        assert found["login"] == "not_tried"


def test_new_keys_are_asked_for_through_the_proxy(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,  # noqa: ANN401
) -> None:
    """There is no other way to the hub; where the proxy says no, the keys wait all the same."""
    hub = Hub(site.hub)

    def rotate(**settings: str) -> Outcome:
        return said_by(site.home, monkeypatch, capsys, command="rotate", **settings)

    def waiting() -> list[Asked]:
        return [one for one in Requests(hub, site.hub).waiting() if one.request.name == LYON]

    with ConnectProxy(login=f"op:{WORD}", targets=site.targets) as proxy:
        refused = rotate(FEDMQ_PROXY=proxy.url)
        assert refused.code == 1
        assert "proxy" in refused.talk
        assert waiting() == []
        asked = rotate(FEDMQ_PROXY=proxy.url.replace("//", f"//op:{WORD}@"))
    assert asked.code == 0, asked
    (found,) = waiting()
    assert (found.request.name, found.fingerprint) == (LYON, asked.data.strip())
    assert asked.data == refused.data, "the same keys"


def test_check_names_a_queue_that_is_gone_and_a_member_who_is_out(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,  # noqa: ANN401
) -> None:
    """For neither is the network team asked."""
    with ended(tmp_path_factory.mktemp("hub")) as folder:
        up(folder)
        home = tmp_path_factory.mktemp("lyon")
        enrol_here(folder, LYON, Role.NODE, home / "node" / "credentials.toml")
        open_records(LocalHome(home / "node")).close()
        assert said_by(home, monkeypatch, capsys).code == 0
        hub = Hub(folder)
        management = hub.management(hub.register())
        assert management is not None
        management.delete("queues", hub.register().vhost, node_tasks(NodeId(LYON)))
        found = states(said_by(home, monkeypatch, capsys, "--json"))
        assert (found["login"], found["queues"]) == ("ok", "queues_failed")
        outcome = said_by(home, monkeypatch, capsys)
        assert "the hub's operator" in outcome.data
        assert "network team" not in outcome.data
        Enrolment(hub, folder).revoke(LYON, "left")
        outcome = said_by(home, monkeypatch, capsys)
        assert outcome.code == 1
        assert "has taken this login's certificate back" in outcome.data
        assert "network team" not in outcome.data


def test_before_joining_the_token_is_enough_and_is_good_afterwards(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    """Every step with the token's address, login and authority; nothing is made or used up."""
    home = tmp_path / "home"
    outcome = said_by(home, monkeypatch, capsys)
    assert outcome.code == 1
    assert "fedmq node join TOKEN" in outcome.talk
    assert "fedmq node check TOKEN" in outcome.talk
    enrolment = Enrolment(Hub(site.hub), site.hub)
    token = enrolment.invite("chu-nice", Role.NODE)
    found = states(said_by(home, monkeypatch, capsys, token.text, "--json"))
    assert (found["token"], found["names"], found["login"]) == ("ok", "names_failed", "not_tried")
    inspector = make_authority("Hospital Proxy CA", now=time.time())
    with ConnectProxy(targets=site.targets, inspector=inspector, folder=tmp_path) as proxy:
        outcome = said_by(home, monkeypatch, capsys, token.text, "--json", FEDMQ_PROXY=proxy.url)
        assert states(outcome)["tls"] == "intercepted"
        assert f"CONNECT {BROKER}:{site.port} is let through" in outcome.data
    with ConnectProxy(targets=site.targets) as proxy:
        outcome = said_by(home, monkeypatch, capsys, token.text, "--json", FEDMQ_PROXY=proxy.url)
        assert (outcome.code, set(states(outcome).values())) == (0, {"ok"}), outcome
        assert not home.exists()
        joiner = Joiner(home / "credentials.toml")
        request = joiner.begin(token)
        login = joiner.way(token).login(PROGRAM, proxy=read_proxy(proxy.url))
        body = request.model_dump_json().encode()
        assert not ask_to_join(login, token.name, body, take=lambda _: None, wait_s=0.5)
    enrolment.admit(request, request.public.fingerprint)


def test_a_member_reaches_a_hub_by_ipv6(tmp_path: Path) -> None:
    """Directly and through a proxy, by an address that is written in brackets."""
    with ended(tmp_path / "hub") as folder:
        make(folder, hosts=("::1",), address="::1")
        up(folder)
        lyon = tmp_path / "lyon" / "credentials.toml"
        enrol_here(folder, LYON, Role.NODE, lyon)
        login = read_membership(lyon).login(PROGRAM)
        assert login.addresses[0].host == "::1"
        with ConnectProxy(address=("::1", 0)) as proxy:
            for way in (None, read_proxy(proxy.url)):
                with joined(replace(login, proxy=way)) as member:
                    until(lambda: bool(member.of(Connected)))
            assert proxy.asked[0] == f"CONNECT [::1]:{login.addresses[0].port} HTTP/1.1"


@pytest.mark.long
def test_an_experiment_runs_by_ipv6(tmp_path: Path) -> None:
    """Nodes as real processes, with every connection of theirs to ::1."""
    with running_federation(tmp_path / "f", None, address="::1") as federation:
        assert "//[::1]:" in federation.node_credentials(LYON).read_text()
        identifier = federation.submit(federation.write_experiment(rounds=2))
        federation.approve(LYON, PARIS)
        assert len(set(federation.digests(identifier))) == 2
        shown = federation.do(LYON, "node", "check")
        assert "names         ::1: ::1" in shown.data
