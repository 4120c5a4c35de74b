"""Routes: under which exchange and keys one member of the federation reaches another. Pure."""

from dataclasses import dataclass

from fedmq.errors import ProtocolError
from fedmq.transport import topology
from fedmq.transport.ports import Delivery
from fedmq.transport.topology import Lane, key
from fedmq.types import NOWHERE, ExperimentId, NodeId, ResearcherId


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way to one member; both lanes of an exchange have keys of their own."""

    exchange: str
    prefix: str

    def key(self, lane: Lane) -> str:
        """Return the routing key of a lane."""
        return key(self.prefix, lane)

    @property
    def reader(self) -> str:
        """Who reads what goes this way; `-` stands for the orchestrators."""
        is_to_member = self.exchange in {topology.TASKS, topology.ANSWERS}
        return self.prefix if is_to_member else NOWHERE


def to_node(node: NodeId) -> Route:
    """Return the orchestrator's way to a node."""
    return Route(exchange=topology.TASKS, prefix=node)


def to_researcher(researcher: ResearcherId) -> Route:
    """Return the orchestrator's way to a researcher."""
    return Route(exchange=topology.ANSWERS, prefix=researcher)


def from_node(node: NodeId, experiment: str = NOWHERE) -> Route:
    """Return a node's way to the orchestrator that leads an experiment, or to any."""
    return Route(exchange=topology.REPLIES, prefix=key(node, experiment))


def from_researcher(researcher: ResearcherId) -> Route:
    """Return a researcher's way to the orchestrators."""
    return Route(exchange=topology.SUBMISSIONS, prefix=key(researcher, NOWHERE))


def upload_of(researcher: ResearcherId, experiment: ExperimentId) -> Route:
    """Return a researcher's way for the chunks of an experiment."""
    return Route(exchange=topology.SUBMISSIONS, prefix=key(researcher, experiment))


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
    """Return whether a reply came in the queue of its key; brokers let senders name more keys."""
    if delivery.exchange != topology.REPLIES:
        return True
    words = delivery.routing_key.split(".")
    experiment = words[1] if len(words) > 1 else ""
    if experiment == NOWHERE:
        return delivery.queue == topology.ORCHESTRATOR_INBOX
    own = ExperimentId(experiment)
    return delivery.queue in {topology.experiment_replies(own), topology.experiment_payloads(own)}


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
            return from_node(NodeId(me), experiment)
        case topology.ANSWERS if lane is Lane.BULK:
            return upload_of(ResearcherId(me), ExperimentId(experiment))
        case topology.ANSWERS:
            return from_researcher(ResearcherId(me))
        case _:
            raise ProtocolError("wrong_exchange", f"{exchange or 'no exchange'} is not answered")


def event_key(experiment: str, sender: str, kind: str) -> str:
    """Return the key of an event."""
    return key(experiment, sender, kind)
