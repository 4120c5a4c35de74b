"""Routes: every way back leads to a queue that somebody reads."""

import pytest

from fedmq.errors import ProtocolError
from fedmq.transport import topology
from fedmq.transport.memory import MemoryBroker
from fedmq.transport.ports import Properties, Publication
from fedmq.transport.routes import (
    from_node,
    from_researcher,
    to_node,
    to_researcher,
    way_back,
)
from fedmq.transport.topology import Lane
from fedmq.types import ORCHESTRATOR, ExperimentId, NodeId, ResearcherId

LUNG = ExperimentId("lung")


@pytest.mark.parametrize(
    ("exchange", "me", "sender", "lane", "queue"),
    [
        (
            topology.TASKS,
            "chu-lyon",
            "orchestrator",
            Lane.CONTROL,
            "experiment.lung@orchestrator.replies",
        ),
        (
            topology.TASKS,
            "chu-lyon",
            "orchestrator",
            Lane.BULK,
            "experiment.lung@orchestrator.payloads",
        ),
        (topology.TASKS, "chu-lyon", "hub-b", Lane.BULK, "experiment.lung@hub-b.payloads"),
        (topology.REPLIES, "orchestrator", "chu-lyon", Lane.CONTROL, "node.chu-lyon.tasks"),
        (topology.REPLIES, "orchestrator", "chu-lyon", Lane.BULK, "node.chu-lyon.payloads"),
        (topology.SUBMISSIONS, "orchestrator", "anna", Lane.CONTROL, "researcher.anna.inbox"),
        (topology.SUBMISSIONS, "orchestrator", "anna", Lane.BULK, "researcher.anna.payloads"),
        (topology.ANSWERS, "anna", "orchestrator", Lane.CONTROL, "orchestrator.orchestrator.inbox"),
        (topology.ANSWERS, "anna", "hub-b", Lane.CONTROL, "orchestrator.hub-b.inbox"),
        # A researcher's chunks go to the experiment's own queue: no other takes them.
        (
            topology.ANSWERS,
            "anna",
            "orchestrator",
            Lane.BULK,
            "experiment.lung@orchestrator.payloads",
        ),
    ],
)
def test_the_way_back_of_each_exchange_and_lane_leads_to_one_queue(
    exchange: str, me: str, sender: str, lane: Lane, queue: str
) -> None:
    """As the topology binds them."""
    both = (ORCHESTRATOR, "hub-b")
    broker = MemoryBroker(
        topology.federation(
            nodes=[NodeId("chu-lyon")], researchers=[ResearcherId("anna")], orchestrators=both
        )
    )
    for one in both:
        for declared in topology.experiment_queues(LUNG, one):
            broker.declare(declared)
    route = way_back(exchange, me=me, sender=sender, experiment=LUNG, lane=lane)
    publication = Publication(
        exchange=route.exchange,
        routing_key=route.key(lane),
        body=b"",
        properties=Properties(),
    )
    assert [found.declared.name for found in broker.route(publication)] == [queue]


def test_events_are_not_answered() -> None:
    """They may be lost, and so may whoever sent them."""
    with pytest.raises(ProtocolError, match="not answered"):
        way_back(topology.EVENTS, me="a", sender="b", experiment=LUNG)


def test_what_is_for_an_orchestrator_is_read_by_it_alone() -> None:
    """By its name things are sealed, an update of many megabytes too."""
    lyon, anna = NodeId("chu-lyon"), ResearcherId("anna")
    for route in (from_node(lyon, "hub-b", LUNG), from_node(lyon, "hub-b")):
        assert route.reader == "hub-b"
    for route in (from_researcher(anna, "hub-b", LUNG), from_researcher(anna, "hub-b")):
        assert route.reader == "hub-b"
    assert (to_node(lyon).reader, to_researcher(anna).reader) == (lyon, anna)
