"""What a node tells of its data: counts and ranges, of no case and of no small group of cases."""

from typing import Annotated, Final

from pydantic import Field

from fedmq.messages.fields import Count, DictionaryReference, Seconds, ShortText, Value
from fedmq.types import ID_PATTERN

Millimetres = Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)]
Spacing = Annotated[list[Millimetres], Field(min_length=3, max_length=3)]
Modality = Annotated[str, Field(pattern=r"^[A-Z]{1,16}$")]


class ModalitySummary(Value):
    """How many cases of a dataset have a modality, and between which spacings their voxels lie."""

    modality: Modality
    num_cases: Count | None
    """None: too few have it, or too few lack it, to be told."""
    least_mm: Spacing | None
    """By axis (right, anterior, superior); None where the number is not told, or a case was
    withdrawn since the last check."""
    most_mm: Spacing | None


class DatasetSummary(Value):
    """One dataset of a node, as researchers see it."""

    dataset: ShortText
    num_cases: Count | None
    """None: too few to be told."""
    least_cell: Count
    """Smaller groups are not told of."""
    modalities: Annotated[list[ModalitySummary], Field(max_length=16)]
    dictionary: DictionaryReference | None
    """By which its clinical table is read."""


MAX_SUMMARIES: Final = 100
Summaries = Annotated[list[DatasetSummary], Field(max_length=MAX_SUMMARIES)]


class KnownNode(Value):
    """A node as an orchestrator knows it."""

    node: Annotated[str, Field(pattern=rf"^{ID_PATTERN}$")]
    heard_at: Seconds
    datasets: Summaries
    """As the node told of them last; empty where it tells nothing, or has none."""
