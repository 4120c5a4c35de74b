"""The kinds of fields that messages are made of, each with its limit."""

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedmq.types import DIGEST_PATTERN, ID_PATTERN, Digest

MAX_SOURCE_BYTES: Final = 256 * 1024
MAX_METRICS: Final = 20
METRIC_PATTERN: Final = r"[a-z][a-z0-9_]{0,39}"
"""Plans choose names of metrics: a word has no room for names of cases or text of a table."""
MAX_CASES: Final = 10_000_000
MAX_PAYLOAD_BYTES: Final = 64 * 2**30
MAX_CHUNKS: Final = 100_000
MAX_CHUNK_BYTES: Final = 4 * 2**20
"""RabbitMQ 4 takes bodies up to 16 MiB; 1 to 2 MiB is fastest (docs/adr/0003-payloads.md)."""

Id = Annotated[str, Field(pattern=rf"^{ID_PATTERN}$")]
DigestField = Annotated[Digest, Field(pattern=rf"^{DIGEST_PATTERN}$")]
MessageIdField = Annotated[str, Field(pattern=r"^[a-z0-9.:-]{1,200}$")]
ShortText = Annotated[str, Field(max_length=200)]
LongText = Annotated[str, Field(max_length=2_000)]
Source = Annotated[str, Field(max_length=MAX_SOURCE_BYTES)]
Count = Annotated[int, Field(ge=0, le=MAX_CASES)]
Round = Annotated[int, Field(ge=0, le=1_000_000)]
Rounds = Annotated[int, Field(ge=0, le=100_000)]
Quorum = Annotated[int, Field(ge=0, le=10_000)]
Seconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
StreamField = Annotated[str, Field(pattern=r"^(-|[0-9a-f]{16})$")]
RosterHashField = Annotated[str, Field(pattern=r"^(-|[0-9a-f]{64})$")]
Counter = Annotated[int, Field(ge=0, lt=2**63)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
EncodingField = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,20}$")]
"""A name of an encoding: one that is not known here is refused by who would use it."""
ValidationShare = Annotated[float, Field(ge=0, lt=1)]
"""Of each node's cases; the rest train."""
Number = Annotated[float, Field(allow_inf_nan=False)]
Day = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
"""A date as ISO 8601 writes it: later days are later as text, too."""

Word: Final = Field(strict=False)
"""On an enumeration: it comes as its word, and only as one of its words."""

Scalar = bool | int | Number | ShortText
ConfigValue = Scalar | Annotated[list[Scalar], Field(max_length=1_000)]
Config = Annotated[dict[ShortText, ConfigValue], Field(max_length=200)]
"""What an experiment sets of a plan's config; the plan itself checks names and types."""


class Value(BaseModel):
    """A frozen part of a message: strict types, no unknown fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class RatioField(Value):
    """A metric as a sum over a count; the federation's is the sum of both."""

    numerator: Number
    denominator: Annotated[float, Field(ge=0, allow_inf_nan=False)]


MetricName = Annotated[str, Field(pattern=rf"^{METRIC_PATTERN}$")]
MetricsField = Annotated[dict[MetricName, RatioField], Field(max_length=MAX_METRICS)]


class Manifest(Value):
    """What a payload is, before its first byte: `digest` is its address everywhere.

    The digest is the SHA-256 of the concatenated SHA-256 of its chunks, so that each byte is
    hashed once and a chunk can be checked alone.
    """

    digest: DigestField
    size_bytes: Annotated[int, Field(ge=1, le=MAX_PAYLOAD_BYTES)]
    chunk_bytes: Annotated[int, Field(ge=1, le=MAX_CHUNK_BYTES)]

    @model_validator(mode="after")
    def _has_few_chunks(self) -> Self:
        # Each chunk costs its receiver a hash in memory: one message must not ask for billions.
        if self.num_chunks > MAX_CHUNKS:
            raise ValueError("a payload in too many chunks")
        return self

    @property
    def num_chunks(self) -> int:
        """How many chunks the payload is cut into."""
        return -(-self.size_bytes // self.chunk_bytes)


class PlanReference(Value):
    """A training plan by name and by the digest of its exact bytes."""

    name: Id
    digest: DigestField
    is_shipped: bool
    """False: the plan is in the catalogue installed with fedmq. True: its source is sent along."""


class DictionaryReference(Value):
    """A data dictionary by name, version and the digest of what it says."""

    name: Id
    version: ShortText
    digest: DigestField


class Study(Value):
    """The study that an experiment belongs to: what an ethics committee has agreed to."""

    protocol: Annotated[str, Field(min_length=1, max_length=200)]
    ethics: Annotated[str, Field(min_length=1, max_length=200)]
    """Reference of the committee's vote."""
    end: Day
    """The last day on which data may be read for it."""
