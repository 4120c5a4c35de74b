"""Counts of cases among the metrics, in words: who lacked what, and who was left out.

A plan gives them as sums like any metric: `with_X` is how many cases had X, of those that spoke;
`left_out_X` how many did not speak, because of X, of all that it was given.
"""

from collections.abc import Mapping
from typing import Final

from fedmq.messages.fields import RatioField
from fedmq.messages.submissions import RoundRecord

_WITH: Final = "with_"
_LEFT_OUT: Final = "left_out_"
_SHORT_NAMES: Final = {"pet": "PET", "ct": "CT"}


def is_count(name: str) -> bool:
    """Return whether a metric says how many cases there were, and not how good a model is."""
    return name.startswith((_WITH, _LEFT_OUT))


def describe_counts(record: RoundRecord) -> tuple[str, ...]:
    """Return a line on the training and one on the validation cases of a round, if they are told.

    `training cases: CT 112 of 144, PET 144 of 144; left out: no outcome 6 of 150`.
    """
    parts = (("training", record.train_metrics), ("validation", record.metrics))
    lines = ((part, _words(metrics)) for part, metrics in parts)
    return tuple(f"{part} cases: {words}" for part, words in lines if words)


def _words(metrics: Mapping[str, RatioField]) -> str:
    counted = sorted(metrics.items())
    had = [
        f"{_name(name.removeprefix(_WITH))} {one.numerator:.0f} of {one.denominator:.0f}"
        for name, one in counted
        if name.startswith(_WITH)
    ]
    left_out = [
        f"{_name(name.removeprefix(_LEFT_OUT))} {one.numerator:.0f} of {one.denominator:.0f}"
        for name, one in counted
        if name.startswith(_LEFT_OUT) and one.numerator
    ]
    words = [", ".join(had)] if had else []
    if left_out:
        words.append("left out: " + ", ".join(left_out))
    elif any(name.startswith(_LEFT_OUT) for name in metrics):
        # Silence would say that nobody looked.
        words.append("none left out")
    return "; ".join(words)


def _name(word: str) -> str:
    return _SHORT_NAMES.get(word, word.replace("_", " "))
