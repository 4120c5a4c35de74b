"""What is odd about a case beside the other cases of its site. Pure.

A weight in pounds, or a dose in other units, gives a PET that looks right by itself, and takes up
twice or a tenth of what the others do.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from fedmq.imaging.findings import Finding
from fedmq.imaging.report.facts import CaseFacts

MIN_CASES: Final = 5
"""With fewer, there is no telling which one is odd."""
ODD_SPACING: Final = 1.25
ODD_SCALE: Final = 2.0
"""Between patients the body's median uptake differs by less, within one protocol."""
_WIDE: Final = 4.0
"""Of the usual deviation from the median, on the logarithm's scale: wider is odd there too."""
_TO_SIGMA: Final = 1.4826
"""Median absolute deviation to standard deviation, of a normal distribution."""


def doubts_of_site(
    facts: Sequence[CaseFacts], found: Sequence[Finding] = ()
) -> tuple[Finding, ...]:
    """Return what is odd about some cases, by case: spacings, and the scale of their uptake.

    The scale of a PET that was `found` unfit is known to be wrong, and is not compared.
    """
    unfit = {one.case_id for one in found if "PET" in one.spoils}
    doubts = [
        *_odd_scales([one for one in facts if one.case_id not in unfit]),
        *(doubt for modality in ("PET", "CT") for doubt in _odd_spacings(facts, modality)),
    ]
    return tuple(sorted(doubts, key=lambda doubt: (doubt.case_id, doubt.code)))


def _odd_spacings(facts: Sequence[CaseFacts], modality: str) -> list[Finding]:
    known = {
        one.case_id: np.array(one.extents[modality].spacing_mm)
        for one in facts
        if modality in one.extents
    }
    if len(known) < MIN_CASES:
        return []
    # The commonest, not a median: between two scanners lies a spacing that none has.
    counts = Counter(_words(spacing) for spacing in known.values())
    usual = next(one for one in known.values() if _words(one) == counts.most_common(1)[0][0])
    doubts = []
    for case_id, spacing in known.items():
        ratio = np.maximum(spacing / usual, usual / spacing).max()
        if ratio > ODD_SPACING:
            text = (
                f"the {modality}'s voxels measure {_words(spacing)} mm, those of most cases here "
                f"{_words(usual)}: another scanner, or another series?"
            )
            doubts.append(Finding(case_id=case_id, code="odd_spacing", text=text, is_doubt=True))
    return doubts


def _odd_scales(facts: Sequence[CaseFacts]) -> list[Finding]:
    known = {one.case_id: one.body_suv for one in facts if one.body_suv and one.body_suv > 0.0}
    if len(known) < MIN_CASES:
        return []
    logs = np.log(list(known.values()))
    middle = float(np.median(logs))
    usual = _TO_SIGMA * float(np.median(np.abs(logs - middle)))
    limit = max(np.log(ODD_SCALE), _WIDE * usual)
    doubts = []
    for case_id, log in zip(known, logs, strict=True):
        if abs(log - middle) > limit:
            times = np.exp(abs(log - middle))
            text = (
                f"the body's median SUV is {np.exp(log):.3g}, that of most cases here "
                f"{np.exp(middle):.3g}: {times:.3g} times {'more' if log > middle else 'less'}; "
                "weight, dose or times of the injection may be wrong"
            )
            doubts.append(Finding(case_id=case_id, code="odd_scale", text=text, is_doubt=True))
    return doubts


def _words(spacing: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    return " x ".join(f"{one:.3g}" for one in spacing)
