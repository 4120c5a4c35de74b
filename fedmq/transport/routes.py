"""Routes: under which exchange and keys one member of the federation reaches another. Pure."""

from dataclasses import dataclass

from fedmq.errors import ProtocolError
from fedmq.transport import topology
from fedmq.transport.ports import Delivery
from fedmq.transport.topology import Lane, desk, key
from fedmq.types import NOWHERE, ExperimentId, NodeId, ResearcherId


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way to one member; both lanes of an exchange have keys of their own."""

    exchange: str
    prefix: str
    reader: str
    """Who reads what goes this way."""

    def key(self, lane: Lane) -> str:
        """Return the routing key of a lane."""
        return key(self.prefix, lane)


def to_node(node: NodeId) -> Route:
    """Return an orchestrator's way to a node."""
    return Route(exchange=topology.TASKS, prefix=node, reader=node)


def to_researcher(researcher: ResearcherId) -> Route:
    """Return an orchestrator's way to a researcher."""
    return Route(exchange=topology.ANSWERS, prefix=researcher, reader=researcher)


def from_node(node: NodeId, orchestrator: str, experiment: str = NOWHERE) -> Route:
    """Return a node's way to an orchestrator: to an experiment that it leads, or outside any."""
    prefix = key(node, desk(experiment, orchestrator))
    return Route(exchange=topology.REPLIES, prefix=prefix, reader=orchestrator)


def from_researcher(
    researcher: ResearcherId, orchestrator: str, experiment: str = NOWHERE
) -> Route:
    """Return a researcher's way to an orchestrator; chunks go to an experiment that it leads."""
    prefix = key(researcher, desk(experiment, orchestrator))
    return Route(exchange=topology.SUBMISSIONS, prefix=prefix, reader=orchestrator)


def sender_word(exchange: str, routing_key: str) -> str | None:
    """Return the word of a key that must name its sender; None where keys name the recipient."""
    words = routing_key.split(".")
    match exchange:
        case topology.REPLIES | topology.SUBMISSIONS:
            return words[0]
        case topology.EVENTS:
            return words[1] if len(words) > 1 else ""
        case _:
            return None


def is_own_queue(delivery: Delivery) -> bool:
    """Return whether what is for an orchestrator came in the queue of its key.

    Brokers let senders name more keys.
    """
    if delivery.exchange not in {topology.REPLIES, topology.SUBMISSIONS}:
        return True
    _, own, *_ = [*delivery.routing_key.split("."), ""]
    experiment, _, orchestrator = own.partition("@")
    if experiment == NOWHERE:
        return delivery.queue == topology.orchestrator_inbox(orchestrator)
    names = topology.experiment_replies, topology.experiment_payloads
    return delivery.queue in {name(ExperimentId(experiment), orchestrator) for name in names}


def way_back(
    exchange: str, *, me: str, sender: str, experiment: str, lane: Lane = Lane.CONTROL
) -> Route:
    """Return the way for messages of a lane to the sender of what came through `exchange`.

    Raises:
        ProtocolError: nothing is answered on that exchange.
    """
    match exchange:
        case topology.REPLIES:
            return to_node(NodeId(sender))
        case topology.SUBMISSIONS:
            return to_researcher(ResearcherId(sender))
        case topology.TASKS:
            return from_node(NodeId(me), sender, experiment)
        case topology.ANSWERS if lane is Lane.BULK:
            return from_researcher(ResearcherId(me), sender, experiment)
        case topology.ANSWERS:
            return from_researcher(ResearcherId(me), sender)
        case _:
            raise ProtocolError("wrong_exchange", f"{exchange or 'no exchange'} is not answered")


def event_key(experiment: str, sender: str, kind: str) -> str:
    """Return the key of an event."""
    return key(experiment, sender, kind)
