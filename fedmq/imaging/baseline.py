"""The baseline: which of a patient's scans is learned from. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from pydantic import ConfigDict

from fedmq.errors import ConfigurationError

_DATE: Final = re.compile(r"(?<!\d)\d{1,2}[-._ ]\d{1,2}[-._ ](\d{4}|\d{2})(?!\d)")
"""A date that ends in its year, day or month first: nobody knows which, and names sort wrongly."""
_STRICT: Final = ConfigDict(strict=True, extra="forbid")


class Pick(StrEnum):
    """Which of the scans that come into question."""

    LAST = "last"
    FIRST = "first"
    NAMED = "named"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRule:
    """How one scan of several is picked; a case whose scans do not fit has none."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    pick: Pick = Pick.LAST
    scan: str = ""
    """The scan's name, where it is picked by that."""
    window_days: tuple[int, int] | None = None
    """First and last day, relative to time zero, both included. None: scans of days after time
    zero are left out where several have days, and a single scan is taken."""

    def __post_init__(self) -> None:
        if self.window_days is not None and self.window_days[0] > self.window_days[1]:
            raise ConfigurationError(
                "the window of the baseline ends before it begins",
                why=f"it is from day {self.window_days[0]} to day {self.window_days[1]}",
                fix="name the earlier day first, such as -42 0",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedScan:
    """A scan by its name, and its day relative to time zero, if anybody wrote it down."""

    name: str
    day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The scan that was picked, or why none was."""

    scan: DatedScan | None
    why: str = ""


def choose_baseline(scans: Sequence[DatedScan], rule: BaselineRule) -> Choice:
    """Return which of a patient's scans is the baseline by `rule`.

    A scan that is known to lie outside the window is never taken, be it the only one. By days
    where all scans have one; by name, numbers by their size, where none has and no window is
    asked for. Of scans that cannot be told apart by that none is taken: nothing is guessed.
    """
    if not scans:
        return Choice(scan=None, why="it has no scan")
    if rule.pick is Pick.NAMED:
        return _named(scans, rule)
    undated = [one.name for one in scans if one.day is None]
    if len(scans) == 1 and (undated or rule.window_days is None):
        return Choice(scan=scans[0])
    if not undated:
        return _by_day(scans, rule)
    if len(undated) == len(scans) and rule.window_days is None:
        return _by_name(scans, rule)
    named = ", ".join(one or "one without a name" for one in undated)
    return Choice(scan=None, why=f"no scan_day is known of {named}")


def name_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return what names of scans are sorted by: `scan-10` comes after `scan-9`."""
    parts = re.split(r"([0-9]+)", name)
    return tuple(
        (0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts
    )


def _named(scans: Sequence[DatedScan], rule: BaselineRule) -> Choice:
    found = [one for one in scans if one.name == rule.scan]
    if not found:
        have = ", ".join(one.name or "one without a name" for one in scans)
        return Choice(scan=None, why=f"it has no scan {rule.scan}; it has {have}")
    if not _is_inside(found[0], rule.window_days):
        return Choice(scan=None, why=f"the scan {rule.scan} is of day {found[0].day}")
    return Choice(scan=found[0])


def _by_name(scans: Sequence[DatedScan], rule: BaselineRule) -> Choice:
    dates = [one.name for one in scans if _DATE.search(one.name)]
    if dates:
        why = f"the scans are named after dates that do not sort by name, such as {dates[0]}"
        return Choice(scan=None, why=f"{why}: write their scan_day")
    ranked = sorted(scans, key=lambda one: name_order(one.name))
    return Choice(scan=ranked[-1 if rule.pick is Pick.LAST else 0])


def _by_day(scans: Sequence[DatedScan], rule: BaselineRule) -> Choice:
    inside = [
        one
        for one in scans
        if (one.day or 0) <= 0 or rule.window_days is not None
        if _is_inside(one, rule.window_days)
    ]
    if not inside:
        days = ", ".join(str(one.day) for one in scans)
        return Choice(scan=None, why=f"no scan lies in the window: days {days}")
    days_inside = [one.day or 0 for one in inside]
    wanted = max(days_inside) if rule.pick is Pick.LAST else min(days_inside)
    best = [one for one in inside if one.day == wanted]
    if len(best) > 1:
        return Choice(scan=None, why=f"{len(best)} scans are of day {wanted}")
    return Choice(scan=best[0])


def _is_inside(scan: DatedScan, window: tuple[int, int] | None) -> bool:
    return window is None or scan.day is None or window[0] <= scan.day <= window[1]
