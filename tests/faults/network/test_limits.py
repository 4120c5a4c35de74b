"""Limits of queues that are reached: told in words, nothing lost, the models unchanged."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import pika
import pytest

from fedmq.hub.broker import PrivateBroker
from fedmq.transport import topology
from fedmq.types import NodeId
from tests.faults.network.conftest import SIZE
from tests.support.cluster import control
from tests.support.federation import CENTRE, LYON, Federation, until
from tests.support.members import connected, login_at

pytestmark = [
    pytest.mark.row("23"),
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("faults"),
]

TASKS: Final = topology.node_tasks(NodeId(LYON))
TO_LYON: Final = topology.key(LYON, topology.Lane.CONTROL)


def connected_as(
    federation: Federation, user: str
) -> AbstractContextManager[pika.BlockingConnection]:
    """Return a connection of a member by a program that is not fedmq."""
    return connected(login_at(federation.own_credentials(user)))


@contextmanager
def limited(federation: Federation, **limits: int) -> Iterator[None]:
    """Let Lyon's control queue have other limits for a while."""
    (usual,) = [policy for policy in topology.policies() if policy.name == "control"]
    definition = usual.definition | {name.replace("_", "-"): at for name, at in limits.items()}
    words = ["set_policy", "-p", "fedmq", "--priority", "10", "--apply-to", "queues"]
    pattern = f"^{TASKS.replace('.', '[.]')}$"
    control(federation.broker, *words, "tiny", pattern, json.dumps(definition))
    try:
        yield
    finally:
        control(federation.broker, "clear_policy", "-p", "fedmq", "tiny")


def publish_garbage(federation: Federation, count: int) -> None:
    """Put messages into Lyon's control queue that it will turn away."""
    with connected_as(federation, "orchestrator") as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for _ in range(count):
            channel.basic_publish(topology.TASKS, TO_LYON, b"garbage")


def status(federation: Federation) -> dict[str, Any]:
    """Return what `fedmq status` shows."""
    shown: dict[str, Any] = federation.do(CENTRE, "status", "--json").json
    return shown


def submit(federation: Federation) -> str:
    """Return the id of the experiment whose digests are known."""
    return federation.submit(federation.write_experiment(config=SIZE, rounds=2))


def test_what_a_full_queue_does_not_take_waits_at_its_sender(
    federation: Federation, undisturbed: list[str], mended: Callable[[], None]
) -> None:
    """The orchestrator says so, `fedmq status` names the queue; then it is sent again."""
    orchestrator = federation.programs["orchestrator"]
    federation.programs[LYON].kill()
    with limited(federation, max_length=1):
        publish_garbage(federation, 2)
        identifier = submit(federation)
        orchestrator.expect("a queue takes no message: it is full, or not ready")
        (full,) = until(lambda: status(federation)["hindrances"], "the full queue in status")
        assert TASKS in full["what"]
        assert "its limit is 1" in full["why"]
        mended()
        federation.start_node(LYON)
        assert federation.digests(identifier) == undisturbed
    assert orchestrator.log().rstrip().count("trouble=none") > 1, "and says that it is over"


@pytest.mark.long
def test_what_was_handed_over_too_often_is_a_dead_letter_and_is_sent_again(
    federation: Federation, undisturbed: list[str], mended: Callable[[], None]
) -> None:
    """A reader that dies on every message burns its limit; `fedmq dead` says what that means."""
    federation.programs[LYON].kill()
    with limited(federation, delivery_limit=2):
        identifier = submit(federation)
        for _ in range(3):
            with connected_as(federation, LYON) as connection:
                until(lambda: die_on_a_message(connection), "a message")

        def dead() -> list[dict[str, Any]]:
            letters = federation.do(CENTRE, "dead", "--json").json["letters"]
            return [one for one in letters if one["reason"] == "delivery_limit"]

        (letter,) = until(dead, "the dead letter")
        assert (letter["queue"], letter["user"]) == (TASKS, "orchestrator")
        assert "the sender sends it again until it has a receipt" in (
            federation.do(CENTRE, "dead").talk
        )
    mended()
    federation.start_node(LYON)
    # Without this the orchestrator sends it again within five minutes.
    control(federation.broker, "close_all_user_connections", "orchestrator", "a test")
    assert federation.digests(identifier) == undisturbed


def die_on_a_message(connection: pika.BlockingConnection) -> bool:
    """Return whether a message came, with which the connection ends unacknowledged."""
    channel = connection.channel()
    for method, _, _ in channel.consume(TASKS, inactivity_timeout=5.0):
        connection.close()
        return method is not None
    return False


def logs_of(broker: PrivateBroker) -> str:
    """Return what a broker has logged."""
    folder = broker.definitions.parent / "log"
    return "".join(path.read_text(errors="replace") for path in folder.glob("*.log"))


@pytest.mark.long
def test_a_reader_that_is_too_slow_for_the_brokers_patience_is_told_and_reads_again(
    federation: Federation, undisturbed: list[str], mended: Callable[[], None]
) -> None:
    """A stopped node holds a message for longer than the broker allows; awake, it goes on."""
    patience = "application:set_env(rabbit, {}, {})."
    was = {"consumer_timeout": 3_600_000, "channel_tick_interval": 60_000}
    for name in was:
        control(federation.broker, "eval", patience.format(name, 1_000))
    try:
        federation.programs[LYON].kill()
        lyon = federation.start_node(LYON)  # whose channels have the new patience
        lyon.expect("trouble=none")
        federation.hold(LYON, 1)
        config = f"{SIZE}\n{federation.hold_config}"
        identifier = federation.submit(federation.write_experiment(config=config, rounds=2))
        federation.reached(LYON, 1)
        lyon.send(signal.SIGSTOP)
        publish_garbage(federation, 1)

        until(lambda: "waiting for delivery ack" in logs_of(federation.broker), "its end")
        mended()
        lyon.send(signal.SIGCONT)
        lyon.expect(f"{TASKS} cannot be read")
        lyon.expect("delivery acknowledgement on channel")
        until(lambda: lyon.log().count("trouble=none") == 2, "the end")
    finally:
        federation.release()
        for name, usual in was.items():
            control(federation.broker, "eval", patience.format(name, usual))
    assert federation.digests(identifier) == undisturbed
