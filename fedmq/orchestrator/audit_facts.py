"""What the orchestrator's audit log tells, kind by kind: codes, counts, digests. Pure."""

from dataclasses import dataclass
from typing import ClassVar

from fedmq.audit.facts import Digits


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorStarted:
    """The orchestrator began to serve."""

    KIND: ClassVar = "orchestrator_started"

    orchestrator: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentAccepted:
    """A researcher's experiment is led from here on."""

    KIND: ClassVar = "experiment_accepted"

    experiment: str
    researcher: str
    plan: Digits
    dataset: str
    num_rounds: int
    quorum: int
    model: Digits
    """To begin with."""
    encoding: str = "exact"
    """How updates travel."""
    model_encoding: str = "exact"
    """How models travel to nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedUpdate:
    """The update of one node, as it entered a model."""

    node: str
    update: Digits
    update_bytes: int
    num_cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFolded:
    """The updates of a round were made into its model."""

    KIND: ClassVar = "round_folded"

    experiment: str
    round: int
    attempt: int
    reference: Digits
    """The model that the nodes began with."""
    model: Digits
    model_bytes: int
    updates: tuple[FoldedUpdate, ...]
    sent: Digits = ""
    """The model as it travels to nodes; empty: as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentEnded:
    """An experiment is over."""

    KIND: ClassVar = "experiment_over"

    experiment: str
    state: str
    num_rounds: int
    model: Digits


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadWitnessed:
    """A node told a head of its log, and it is signed and kept."""

    KIND: ClassVar = "head_witnessed"

    node: str
    log: Digits
    place: int
    entry: int
    head: Digits


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRefused:
    """A node told a head that does not go with those that are kept of its log."""

    KIND: ClassVar = "head_refused"

    node: str
    log: Digits
    place: int
    entry: int
    head: Digits
    code: str
    kept: int
    """The number of the newest head that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChanged:
    """A node tells of another log than before: it has a new journal, or was objected to."""

    KIND: ClassVar = "log_changed"

    node: str
    log: Digits
    before: Digits
