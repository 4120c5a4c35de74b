"""Requests: what the orchestrator asks of nodes, made from an experiment and its actions. Pure."""

from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.messages.submissions import ExperimentSpec
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


def make_prepare(spec: ExperimentSpec, plan_source: str | None, researcher: str) -> PrepareRequest:
    """Return the question whether a node takes part."""
    return PrepareRequest(
        plan=spec.plan,
        plan_source=plan_source,
        dataset=spec.dataset,
        config=spec.config,
        split_seed=spec.seed,
        validation_share=spec.validation_share,
        researcher=researcher,
        purpose=spec.purpose,
        study=spec.study,
        num_rounds=spec.num_rounds,
        quorum=spec.quorum,
    )


def make_work(
    spec: ExperimentSpec, ask: AskWork, researcher: str
) -> TrainRequest | EvaluateRequest:
    """Return the order to train or to evaluate: all that decides the result."""
    body_class = TrainRequest if ask.leg == "train" else EvaluateRequest
    return body_class(
        plan=spec.plan,
        dataset=spec.dataset,
        config=spec.config,
        parameters=ask.model,
        seed=spec.seed,
        split_seed=spec.seed,
        validation_share=spec.validation_share,
        num_threads=spec.num_threads,
        researcher=researcher,
        study=spec.study,
        quorum=spec.quorum,
    )
