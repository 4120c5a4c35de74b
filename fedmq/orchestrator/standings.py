"""Standings: how each node that was asked stands to an experiment, for its researcher. Pure."""

from fedmq.messages.submissions import NodeStanding, Stand
from fedmq.orchestrator.collection import Verdict
from fedmq.orchestrator.state import Experiment
from fedmq.types import NodeId


def standings(state: Experiment) -> list[NodeStanding]:
    """Return the standing of every node that was asked, by name."""
    return [_standing(state, node) for node in sorted(state.asked)]


def _standing(state: Experiment, node: NodeId) -> NodeStanding:
    declined = state.declined.get(node)
    if declined is not None:
        stand = Stand.REFUSED if declined.is_final else Stand.WAITS
        return NodeStanding(node=node, stand=stand, code=declined.code, retry_at=declined.retry_at)
    if node not in state.members:
        return NodeStanding(node=node, stand=Stand.SILENT)
    leg = state.leg
    wait = None if leg is None or not leg.is_missing(node) else leg.waits.get(node)
    if wait is not None:
        return NodeStanding(node=node, stand=Stand.WAITS, code=wait.code, retry_at=wait.retry_at)
    answer = None if leg is None else leg.answers.get(node)
    if answer is None or answer.verdict is Verdict.YES:
        return NodeStanding(node=node, stand=Stand.TAKES_PART)
    is_refusal = answer.verdict is Verdict.REFUSED
    stand = Stand.REFUSED if is_refusal else Stand.FAILED
    return NodeStanding(node=node, stand=stand, code=answer.code)
