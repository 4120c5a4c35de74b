"""Dead letters are looked at only where a look does no harm, whichever broker it is."""

import base64
from typing import Any

import pytest

from fedmq.errors import TransportError
from fedmq.hub.management import Management
from fedmq.monitor.letters import MIN_LIMIT, peek_dead

ENTRY = {"payload": base64.b64encode(b"x").decode(), "payload_bytes": 70, "properties": []}


class FakeManagement(Management):
    """A management that answers from a script, and counts the looks."""

    __slots__ = ("looks", "queue", "version")

    def __init__(self, version: str, queue: dict[str, Any]) -> None:
        super().__init__(url="", user="", password="")
        object.__setattr__(self, "version", version)
        object.__setattr__(self, "queue", queue)
        object.__setattr__(self, "looks", [])

    def get(self, *path: str) -> object:
        """Say what the broker or its queue is."""
        return {"rabbitmq_version": self.version} if path == ("overview",) else self.queue

    def post(self, *path: str, content: object) -> object:
        """Hand over one message."""
        self.looks.append((path, content))
        return [ENTRY]


def limited(**limits: int) -> dict[str, Any]:
    """Return a queue with messages, with the limits of its arguments and its policy."""
    return {
        "messages": 3,
        "arguments": {"x-delivery-limit": limits["own"]} if "own" in limits else {},
        "effective_policy_definition": (
            {"delivery-limit": limits["policy"]} if "policy" in limits else []
        ),
    }


@pytest.mark.parametrize(
    ("version", "queue"),
    [
        ("3.10.8", limited()),
        ("3.13.7", {"messages": 3}),
        ("3.10.8", limited(policy=MIN_LIMIT)),
        ("4.1.0", limited(policy=-1)),
        ("4.1.0", limited(own=-1, policy=1_000_000)),
        ("4.1.0", limited(policy=1_000_000)),
    ],
)
def test_without_a_limit_that_matters_the_dead_are_looked_at(
    version: str, queue: dict[str, Any]
) -> None:
    """Before RabbitMQ 4 there is none by default; a high one, or -1, does no harm."""
    management = FakeManagement(version, queue)
    (letter,) = peek_dead(management, "v")
    assert (letter.size_bytes, letter.queue, letter.at) == (70, "", 0.0)


@pytest.mark.parametrize(
    ("version", "queue", "limit"),
    [
        ("4.1.0", limited(), 20),
        ("4.3.0-beta.1", {"messages": 1}, 20),
        ("3.10.8", limited(own=5), 5),
        ("3.10.8", limited(policy=MIN_LIMIT - 1), MIN_LIMIT - 1),
        ("4.1.0", limited(own=7, policy=1_000_000), 7),
    ],
)
def test_with_a_limit_they_are_not(version: str, queue: dict[str, Any], limit: int) -> None:
    """The error says after how many looks they would be gone, and who mends it."""
    management = FakeManagement(version, queue)
    with pytest.raises(TransportError, match="without harm") as caught:
        peek_dead(management, "v")
    assert f"after {limit} looks" in caught.value.why
    assert "hub's operator" in caught.value.fix
    assert management.looks == []


def test_an_empty_queue_is_empty_whatever_its_limit() -> None:
    """There is nothing to harm, and nothing to say."""
    management = FakeManagement("4.1.0", {"messages": 0})
    assert peek_dead(management, "v") == []
