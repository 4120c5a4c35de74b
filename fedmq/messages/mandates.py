"""Mandates: experiments as researchers order and sign them; every request to a node carries one.

What decides about a run stands in the order alone, so that who passes it on can change nothing.
"""

import hashlib
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from fedmq.encodings.kinds import Encoding, Kind, parse_encoding, parse_model_kind
from fedmq.messages.fields import (
    Config,
    DictionaryReference,
    EncodingField,
    Id,
    Manifest,
    PlanReference,
    Seed,
    ShortText,
    Study,
    ValidationShare,
    Value,
    Word,
)

MAX_SPEC_BYTES: Final = 128 * 1024
"""As JSON. Every report repeats the spec, and every request."""
MAX_ORDER_BYTES: Final = MAX_SPEC_BYTES + 1024
Ids = Annotated[list[Id], Field(max_length=10_000)]


class LateUpdates(StrEnum):
    """What becomes of an update that comes after its round is folded."""

    DROP = "drop"
    KEEP = "keep"
    """It is kept beside the models, for the record; no model is made of it."""


class ExperimentSpec(Value):
    """An experiment, whole: what the researcher publishes and every record repeats."""

    name: Id
    purpose: ShortText
    plan: PlanReference
    dataset: ShortText
    dictionary: DictionaryReference | None = None
    """What the sites have to mean by their clinical tables; None: whatever they do."""
    config: Config = Field(default_factory=dict)
    num_rounds: Annotated[int, Field(ge=1, le=100_000)]
    nodes: Ids = Field(default_factory=list)
    """The nodes to ask; empty: every node of the federation that is heard of."""
    quorum: Annotated[int, Field(ge=1, le=10_000)]
    """Least number of nodes whose updates make a round."""
    round_deadline_s: Annotated[float, Field(gt=0, le=30 * 86_400)] = 86_400.0
    waiting_deadline_s: Annotated[float, Field(gt=0, le=365 * 86_400)] = 7 * 86_400.0
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """So often the nodes are asked that are missing from a round which has no quorum."""
    late_updates: Annotated[LateUpdates, Word] = LateUpdates.DROP
    update_encoding: EncodingField = "exact"
    """How updates travel: a word of `fedmq.encodings.kinds`. Whoever knows it not says no to it."""
    top_k_share: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Of the numbers of an update, how many `top-k` sends."""
    model_encoding: EncodingField = "exact"
    """How models travel to nodes: one of `fedmq.encodings.kinds.MODEL_KINDS`."""
    evaluate: bool = True
    seed: Seed = 0
    validation_share: ValidationShare = 0.2
    num_threads: Annotated[int, Field(ge=1, le=1_024)] = 1
    """That a node computes with, at most: fewer where its operator lets tasks have fewer."""
    study: Study | None = None

    @property
    def encoding(self) -> Encoding | None:
        """How updates travel, None where this version knows no such encoding."""
        return parse_encoding(self.update_encoding, self.top_k_share)

    @property
    def model_kind(self) -> Kind | None:
        """How models travel to nodes, None where this version knows no such way."""
        return parse_model_kind(self.model_encoding)

    @property
    def narrows_models(self) -> bool:
        """Whether models travel to nodes in another way than they are; that of round 0 never."""
        return self.model_kind not in {None, Kind.EXACT}


class Order(Value):
    """What a researcher orders: this experiment, once, of this orchestrator."""

    experiment: Id
    researcher: Id
    orchestrator: Id
    spec: ExperimentSpec
    initial: Manifest
    """The parameters of round 0."""


class Mandate(Value):
    """An order as its exact bytes, and its researcher's signature over them."""

    content: Annotated[str, Field(max_length=MAX_ORDER_BYTES)]
    """An `Order` as JSON."""
    signature: Annotated[str, Field(pattern=r"^([0-9a-f]{128})?$")]
    """Ed25519, in hexadecimal; empty in federations without keys, and nowhere else believed."""

    @cached_property
    def order(self) -> Order:
        """What is ordered; who signed it, only the wire can say."""
        return Order.model_validate_json(self.content)

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    @model_validator(mode="after")
    def _holds_an_order(self) -> Self:
        if len(self.content.encode()) > MAX_ORDER_BYTES:
            raise ValueError("an order too long to repeat")
        _ = self.order
        return self
