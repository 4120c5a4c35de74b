"""A queue in the process: topic keys, and queues that drop their head."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fedmq.transport import topology
from fedmq.transport.declarations import Binding, Policy, Queue
from fedmq.transport.memory import MemoryBroker
from fedmq.transport.memory_queue import MemoryQueue, Stored, key_matches
from fedmq.transport.ports import Properties, Publication
from fedmq.transport.topology import EVENTS, TASKS, federation, orchestrator_events
from fedmq.types import ORCHESTRATOR, NodeId


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("*.e-1.control", "chu-lyon.e-1.control", True),
        ("*.e-1.control", "chu-lyon.e-2.control", False),
        ("*.e-1.control", "e-1.control", False),
        ("*.-.control", "chu-lyon.-.control", True),
        ("#", "any.thing", True),
        ("#.control", "control", True),
        ("a.#.b", "a.b", True),
        ("a.#.b", "a.x.y.b", True),
        ("a.#.b", "a.x.y", False),
    ],
)
def test_topic_keys_match_as_amqp_says(pattern: str, key: str, *, matches: bool) -> None:
    """`*` stands for one word, `#` for any number of them; AMQP 0-9-1, section 3.1.3.3."""
    assert key_matches(pattern, key) is matches


def a_message(body: bytes) -> Stored:
    """Return a message as a queue has it."""
    return Stored(
        publication=Publication(exchange="x", routing_key="k", body=body, properties=Properties())
    )


def test_a_bulk_queue_drops_its_oldest_chunks_beyond_its_bytes() -> None:
    """A node that is away finds the newest model; older chunks are asked for by digest."""
    policy = Policy(
        name="bulk",
        pattern="payloads",
        definition={"max-length-bytes": 10, "overflow": "drop-head"},
    )
    queue = MemoryQueue(Queue(name="node.a.payloads", arguments={}, bindings=()), [policy])
    for body in (b"1111", b"2222", b"3333"):
        queue.store(a_message(body))
    assert [stored.publication.body for stored in queue.ready] == [b"2222", b"3333"]
    assert not queue.is_full


def test_a_queue_that_refuses_counts_the_bytes_of_what_waits_in_it() -> None:
    """Taken out, put back, or poisonous: the count is that of the messages in it."""
    policy = Policy(
        name="control",
        pattern="tasks",
        definition={"max-length-bytes": 8, "delivery-limit": 0, "overflow": "reject-publish"},
    )
    queue = MemoryQueue(Queue(name="node.a.tasks", arguments={}, bindings=()), [policy])
    queue.store(a_message(b"1111"))
    assert not queue.is_full
    queue.store(a_message(b"2222"))
    assert queue.is_full
    taken = queue.take()
    assert not queue.is_full
    queue.put_back(taken)
    assert queue.is_full
    assert [one.publication.body for one in queue.take_poisonous()] == [b"1111"]
    assert not queue.is_full
    queue.store(a_message(b"3333"))
    assert queue.is_full


def test_streams_are_left_out_of_the_broker_in_the_process() -> None:
    """They are for watchers alone: what is published reaches those who have to deal with it."""
    layout = federation(nodes=[], researchers=[])
    assert any(queue.is_stream for queue in layout.queues)
    broker = MemoryBroker(layout)
    for queue in layout.queues:
        assert (broker.queue(queue.name) is None) is queue.is_stream
    event = Publication(
        exchange=EVENTS, routing_key="-.chu-lyon.heartbeat", body=b"", properties=Properties()
    )
    assert broker.accept(event) == "confirmed"
    assert [queue.declared.name for queue in broker.route(event)] == [
        orchestrator_events(ORCHESTRATOR)
    ]


class Read(tuple[Binding, ...]):
    """Bindings that count how often they are gone through."""

    __slots__ = ()
    num_times = 0

    def __iter__(self) -> Iterator[Binding]:
        """Count, and go through them."""
        Read.num_times += 1
        return super().__iter__()


def test_a_queue_is_found_by_its_key_without_a_look_at_all_others() -> None:
    """A thousand nodes have two thousand queues, and each has keys of its own."""
    layout = federation(nodes=[NodeId(f"n{number}") for number in range(50)], researchers=[])
    queues = tuple(replace(queue, bindings=Read(queue.bindings)) for queue in layout.queues)
    broker = MemoryBroker(replace(layout, queues=queues))
    Read.num_times = 0
    for key in ("n7.control", "n8.control", "n9.bulk"):
        publication = Publication(
            exchange=TASKS, routing_key=key, also_to=("n3.bulk",), body=b"", properties=Properties()
        )
        assert len(broker.route(publication)) == 2
    assert Read.num_times == 0
    broker.delete(topology.node_tasks(NodeId("n7")))
    gone = Publication(exchange=TASKS, routing_key="n7.control", body=b"", properties=Properties())
    assert broker.route(gone) == []


class Looked(deque[Stored]):
    """What waits, counting how often it is gone through."""

    num_times = 0

    def __iter__(self) -> Iterator[Stored]:
        """Count, and go through it."""
        Looked.num_times += 1
        return super().__iter__()


def test_what_was_never_given_back_is_not_searched_for_poison() -> None:
    """A thousand answers may wait in a queue, and each that is taken is a look at it."""
    tasks = topology.node_tasks(NodeId("n1"))
    layout = federation(nodes=[NodeId("n1")], researchers=[])
    queue = MemoryQueue(Queue(name=tasks, arguments={}, bindings=()), layout.policies)
    queue.ready = Looked([a_message(b"one"), a_message(b"two")])
    assert queue.take_poisonous() == []
    assert Looked.num_times == 0
    given_back = queue.take()
    for _ in range(topology.DELIVERY_LIMIT + 1):
        queue.put_back(given_back)
        given_back = queue.take()
    queue.put_back(given_back)
    assert [one.publication.body for one in queue.take_poisonous()] == [b"one"]
