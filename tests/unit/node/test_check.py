"""The check of a node: what rests on what, and what the network team is asked for."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.errors import BrokerUnavailable, WayBlocked
from fedmq.node.check import Finding, State, Step, check, make_letter
from fedmq.transport.proxy import read_proxy
from fedmq.transport.rabbitmq import make_login
from fedmq.transport.rabbitmq_tls import Tls

BROKERS = "amqps://one.example.org:443,[fd00::1]:5671/federation"
HUBS_OWN = Tls(authority=Path("a.pem"), certificate=Path("c.pem"), key=Path("k.pem"))


def blocked() -> str:
    """Find something in the way."""
    raise WayBlocked("intercepted", "it is opened", why="by X", fix="ask Y")


def away() -> str:
    """Find nobody."""
    raise BrokerUnavailable("nobody answers", why="refused")


def test_what_rests_on_a_step_that_failed_is_not_tried() -> None:
    """Nor what rests on that; what rests on nothing is."""
    steps = (
        Step(name="a", look=blocked),
        Step(name="b", look=lambda: "well", needs=("a",)),
        Step(name="c", look=lambda: "well", needs=("b",)),
        Step(name="d", look=away),
        Step(name="e", look=lambda: "well"),
    )
    found = {one.step: one for one in check(steps)}
    assert [one.state for one in found.values()] == [
        State.FAILED,
        State.NOT_TRIED,
        State.NOT_TRIED,
        State.FAILED,
        State.OK,
    ]
    assert found["a"] == Finding(
        step="a",
        state=State.FAILED,
        words="it is opened",
        code="intercepted",
        why="by X",
        fix="ask Y",
    )
    assert found["b"].words == "not tried: it rests on a"
    assert found["d"].code == "d_failed"


def letter(url: str, tls: Tls | None = None, proxy: str = "") -> str:
    """Return the letter of a node whose broker has this address."""
    way = read_proxy(proxy) if proxy else None
    login = make_login(url, user="chu-lyon", password="", tls=tls, proxy=way)
    return "\n".join(make_letter("pc-7", login))


def test_the_network_team_is_asked_for_one_way_out_and_nothing_in() -> None:
    """For every broker; through a proxy for what the proxy has to let through."""
    direct = letter(BROKERS, HUBS_OWN)
    assert "pc-7 -> one.example.org:443, TCP, outbound" in direct
    assert "pc-7 -> [fd00::1]:5671, TCP, outbound" in direct
    assert "no inbound rule" in direct
    assert "over 30 seconds" in direct
    through = letter(BROKERS, HUBS_OWN, "http://op:s3cret@proxy.hospital:3128")
    assert "pc-7 -> proxy.hospital:3128, TCP, outbound" in through
    assert "CONNECT one.example.org:443" in through
    assert "s3cret" not in through


@pytest.mark.parametrize(
    ("tls", "versions", "shown", "harm"),
    [
        (HUBS_OWN, "TLS 1.3 with", "certificates of both ends", "an inspected one does not work"),
        (
            replace(HUBS_OWN, allows_1_2=True),
            "TLS 1.3, or 1.2 where",
            "certificates of both ends",
            "an inspected one does not work",
        ),
        (
            Tls(authority=Path("bundle.pem")),
            "TLS 1.3 with",
            "this machine shows a password",
            "an inspected one does not work",
        ),
        (None, "TLS 1.3 with", "this machine shows a password", "the password would be read"),
    ],
)
def test_the_letter_says_what_the_connection_really_is(
    tls: Tls | None, versions: str, shown: str, harm: str
) -> None:
    """TLS 1.2 where it is allowed; passwords, at a broker of others; what an inspection does."""
    said = letter(BROKERS, tls)
    assert all(words in said for words in (versions, shown, harm))
    assert ("both ends" in said) is (shown == "certificates of both ends")


@pytest.mark.parametrize("url", ["amqps://[::1]:5671/f", "amqp://127.0.0.1/f", "amqp://[::1]/f"])
def test_for_a_broker_on_this_machine_nothing_is_asked(url: str) -> None:
    """Whatever the settings say of a proxy: it is not used."""
    said = letter(url, HUBS_OWN, "http://proxy.hospital:3128")
    assert "nothing to ask of the network team" in said
    assert "->" not in said
