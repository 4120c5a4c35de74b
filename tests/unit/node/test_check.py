"""The check of a node: what rests on what, and what the network team is asked for."""

from fedmq.errors import BrokerUnavailable, WayBlocked
from fedmq.node.check import Finding, State, Step, check, make_letter
from fedmq.transport.address import Address
from fedmq.transport.proxy import read_proxy

BROKERS = (Address("one.example.org", 443), Address("fd00::1", 5671))


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


def test_the_network_team_is_asked_for_one_way_out_and_nothing_in() -> None:
    """For every broker; through a proxy for what the proxy has to let through."""
    direct = "\n".join(make_letter("pc-7", BROKERS, None, heartbeat_s=30))
    assert "pc-7 -> one.example.org:443, TCP, outbound" in direct
    assert "pc-7 -> [fd00::1]:5671, TCP, outbound" in direct
    assert "no inbound rule" in direct
    assert "longer than 30 seconds" in direct
    proxy = read_proxy("http://op:s3cret@proxy.hospital:3128")
    through = "\n".join(make_letter("pc-7", BROKERS, proxy, heartbeat_s=30))
    assert "pc-7 -> proxy.hospital:3128, TCP, outbound" in through
    assert "CONNECT one.example.org:443" in through
    assert "s3cret" not in through
