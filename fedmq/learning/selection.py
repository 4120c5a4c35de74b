"""Selection: the cases that a plan on images and outcomes learns from; the others are counted.

A case is left out for the first of these reasons: there is nothing to see of it, its outcome is not
known, or it lacks something and only whole cases were asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedmq.imaging.cases import Case
from fedmq.imaging.preprocessing import CHANNELS
from fedmq.learning.clinical_features import Scaling, read_features
from fedmq.learning.outcomes import Outcomes, check_columns, read_outcomes
from fedmq.learning.plan import Metrics, Ratio
from fedmq.learning.presence import Presence, count_present, find_presence


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What cases are selected by."""

    time_column: str
    event_column: str
    features: Scaling
    """Clinical columns; none: images alone are looked at."""
    needs_all: bool = False
    """Whether a case without PET, CT or one of the features is left out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selection:
    """Cases with their outcomes, and what a report says of them."""

    outcomes: Outcomes
    counts: Metrics
    """`with_*`: of the cases selected; `left_out_*`: of all."""


def select_cases(cases: Sequence[Case], wanted: Wanted) -> Selection:
    """Return those of `cases` that can be learnt from, in their order.

    Raises:
        DatasetError: code no_column or bad_value.
    """
    check_columns(cases, wanted.features.columns)
    everything = zip(cases, _presence(cases, wanted.features), strict=True)
    seen = [case for case, has in everything if has.any()]
    known = read_outcomes(seen, time_column=wanted.time_column, event_column=wanted.event_column)
    presence = _presence(known.cases, wanted.features)
    chosen = np.array([has.all() or not wanted.needs_all for has in presence], dtype=np.bool_)
    selected, presence = known.select(chosen), presence[chosen]
    left_out = {
        "no_image_nor_feature" if wanted.features.columns else "no_image": len(cases) - len(seen),
        "no_outcome": len(seen) - len(known.cases),
        "incomplete": len(known.cases) - len(selected.cases),
    }
    num_images = len(CHANNELS)
    counts = count_present(presence[:, :num_images], CHANNELS)
    if wanted.features.columns:
        has_all = [[bool(has[num_images:].all())] for has in presence]
        counts |= count_present(np.array(has_all).reshape(-1, 1), ("clinical",))
    for reason, count in left_out.items():
        counts[f"left_out_{reason}"] = Ratio(numerator=float(count), denominator=float(len(cases)))
    return Selection(outcomes=selected, counts=counts)


def _presence(cases: Sequence[Case], features: Scaling) -> Presence:
    """Return what is there of each case: PET, CT, then the features."""
    return np.hstack([find_presence(cases, CHANNELS), read_features(cases, features).presence])
