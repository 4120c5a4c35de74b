"""What an audit log tells, kind by kind: codes, counts, digests; nothing about a patient. Pure.

A kind that is not known here, of a later version, is part of the chain as any other; what a round
spends of a privacy budget will be one.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from fedmq.audit.facts import Digits, EntriesPruned, HeadObjected, MessagesTurnedAway


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMade:
    """This machine became a node."""

    KIND: ClassVar = "node_made"

    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStarted:
    """The node began to serve."""

    KIND: ClassVar = "node_started"

    node: str
    version: str
    containment: str = ""
    """Of plans: full, partial, insufficient (the operator allowed that); empty: nobody said."""
    lacks: tuple[str, ...] = ()
    """The means that this machine has not."""
    policy: Digits = ""
    """Of the bytes of the policy file; empty where there is none, and the strict one holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChanged:
    """Another policy is in force, from here on."""

    KIND: ClassVar = "policy_changed"

    policy: Digits
    before: Digits
    """Of the file's bytes, as in `NodeStarted`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReceived:
    """The orchestrator asked for something."""

    KIND: ClassVar = "request_received"

    type: str
    sender: str
    researcher: str
    """Empty where the request is no work."""
    mandate: Digits
    """Of what the researcher signed; empty where the request is no work."""
    experiment: str
    round: int
    attempt: int
    plan: Digits
    dataset: str
    model: Digits
    """The model to begin with; empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The node's policy said yes or no to a request."""

    KIND: ClassVar = "decision"

    type: str
    experiment: str
    round: int
    attempt: int
    decision: Literal["accepted", "refused"]
    code: str
    """Why it was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDecided:
    """The operator said what may run."""

    KIND: ClassVar = "plan_decision"

    plan: Digits
    name: str
    decision: str
    by: str
    terms: Digits = ""
    """Of all that was agreed to, as the journal keeps it; this and the rest not of a rejection."""
    researcher: str = ""
    protocol: str = ""
    """Of the study; empty where the approval names none."""
    ethics: str = ""
    study_end: str = ""
    datasets: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    """Of settings: `key=low..high`, or `key=word,word`."""
    until: str = ""
    """The last day."""
    max_rounds: int = 0
    """0: as many as are ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetChanged:
    """A dataset was added, is another than it was, or was removed."""

    KIND: ClassVar = "dataset"

    change: Literal["added", "changed", "removed"]
    dataset: str
    num_cases: int
    cases: Digits
    """Of the list of its cases; empty where nobody read it."""
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CasesCounted:
    """The node answered how many cases would train and validate."""

    KIND: ClassVar = "cases_counted"

    experiment: str
    dataset: str
    num_training_cases: int
    num_validation_cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDone:
    """An update was made, and is to be sent until its receipt comes."""

    KIND: ClassVar = "training_done"

    experiment: str
    round: int
    attempt: int
    plan: Digits
    dataset: str
    cases: Digits
    """Of the list of cases that the plan could read, to train on or not."""
    num_cases: int
    model: Digits
    model_bytes: int
    update: Digits
    update_bytes: int
    encoding: str = "exact"
    """How the update travels; a share of its numbers behind `top-k`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSent:
    """The orchestrator has the update: its receipt came."""

    KIND: ClassVar = "update_sent"

    experiment: str
    round: int
    update: Digits


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationAnswered:
    """Metrics of a model were given out."""

    KIND: ClassVar = "evaluation_answered"

    experiment: str
    round: int
    attempt: int
    plan: Digits
    dataset: str
    cases: Digits
    num_cases: int
    model: Digits


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentEnded:
    """The orchestrator said that an experiment is over."""

    KIND: ClassVar = "experiment_over"

    experiment: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentHappened:
    """Something broke; the incident's number finds the words in the site's own log."""

    KIND: ClassVar = "incident"

    type: str
    experiment: str
    round: int
    attempt: int
    code: str
    incident: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A model that a case had entered."""

    experiment: str
    round: int
    update: Digits
    """What this node made of it."""
    model: Digits
    """The round's, as the node was sent it afterwards; empty where it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseWithdrawn:
    """A case is out of every later round."""

    KIND: ClassVar = "case_withdrawn"

    dataset: str
    case: Digits
    """A keyed hash of its name: who has the node's key can say which case it was."""
    models: tuple[Entered, ...]
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLeft:
    """The node left the federation; its log is closed."""

    KIND: ClassVar = "node_left"

    num_experiments: int
    num_rounds: int
    num_updates_sent: int
    num_datasets: int
    head_number: int
    """Of the chain before this entry; its hash is this entry's `previous`."""
    by: str


Fact = (
    NodeMade
    | NodeStarted
    | PolicyChanged
    | RequestReceived
    | Decided
    | PlanDecided
    | DatasetChanged
    | CasesCounted
    | TrainingDone
    | UpdateSent
    | EvaluationAnswered
    | ExperimentEnded
    | MessagesTurnedAway
    | HeadObjected
    | IncidentHappened
    | CaseWithdrawn
    | EntriesPruned
    | NodeLeft
)
