"""Which encodings there are, and what an experiment says of the one that it wants. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """How the numbers of updates travel."""

    EXACT = "exact"
    """As they are."""
    BF16 = "bf16"
    """float32 and float64 rounded to bfloat16: their range, 8 significant bits."""
    FP16 = "fp16"
    """float32 and float64 rounded to float16: up to 65504, 11 significant bits above 6e-5."""
    INT8 = "int8"
    """Whole numbers from -127 to 127, times one scale for each 1024 of them."""
    TOP_K = "top-k"
    """The share of each 65536 numbers that is the largest, as indices and values."""


MODEL_KINDS: Final = (str(Kind.EXACT), str(Kind.BF16), str(Kind.FP16))
"""How models travel to nodes."""
KINDS: Final = tuple(str(kind) for kind in Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """A kind, and the share of the numbers that is sent where not all are."""

    kind: Kind = Kind.EXACT
    share: float = 1.0

    def __str__(self) -> str:
        is_part = self.kind is Kind.TOP_K
        return f"{self.kind} {self.share:g}" if is_part else str(self.kind)

    @property
    def has_feedback(self) -> bool:
        """Whether what was not sent is kept, and added to the next update."""
        return self.kind in {Kind.INT8, Kind.TOP_K}


EXACT: Final = Encoding()


def parse_model_kind(word: str) -> Kind | None:
    """Return how models travel, None where this version knows no such way."""
    return Kind(word) if word in MODEL_KINDS else None


def parse_encoding(word: str, top_k_share: float) -> Encoding | None:
    """Return the encoding of that name, None where this version knows none."""
    if word not in KINDS:
        return None
    kind = Kind(word)
    return Encoding(kind=kind, share=top_k_share if kind is Kind.TOP_K else 1.0)
