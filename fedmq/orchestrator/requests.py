"""Requests: what the orchestrator asks of nodes, made from an experiment and its actions. Pure."""

from fedmq.messages.mandates import Mandate
from fedmq.messages.requests import EvaluateRequest, TrainRequest
from fedmq.orchestrator.events import AskWork
from fedmq.types import ExperimentId, MessageId, NodeId


def prepare_id(experiment: ExperimentId, node: NodeId) -> MessageId:
    """Return the id under which a node is asked to take part."""
    return MessageId(f"{experiment}.prepare.{node}")


def work_id(experiment: ExperimentId, ask: AskWork, node: NodeId) -> MessageId:
    """Return the id of one node's work in one leg."""
    return MessageId(f"{experiment}.{ask.round}.{ask.attempt}.{ask.leg}.{node}")


def over_id(experiment: ExperimentId, node: NodeId) -> MessageId:
    """Return the id under which a node hears that an experiment is over."""
    return MessageId(f"{experiment}.over.{node}")


def make_work(mandate: Mandate, ask: AskWork, node: NodeId) -> TrainRequest | EvaluateRequest:
    """Return the order for a node to train or to evaluate."""
    if ask.leg == "evaluate":
        return EvaluateRequest(mandate=mandate, parameters=ask.model)
    return TrainRequest(mandate=mandate, parameters=ask.model, counted=ask.counted.get(node))
