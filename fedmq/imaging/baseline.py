"""The baseline: which of a patient's scans is learned from. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import ClassVar, Final

from pydantic import ConfigDict

from fedmq.errors import ConfigurationError
from fedmq.imaging.scan_names import date_in, has_unclear_date, name_order

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
    zero are left out: what is learnt from a scan under treatment knows the outcome."""

    def __post_init__(self) -> None:
        if self.window_days is not None and self.window_days[0] > self.window_days[1]:
            raise ConfigurationError(
                "the window of the baseline ends before it begins",
                why=f"it is from day {self.window_days[0]} to day {self.window_days[1]}",
                fix="name the earlier day first, such as -42 0",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedScan:
    """A scan by its name, and when it was, as far as anybody wrote it down."""

    name: str
    day: int | None = None
    """Relative to time zero."""
    acquired: date | None = None
    """Perhaps shifted, as all of a patient's are: only days between two of them mean anything."""
    is_unclear: bool = False
    """Whether something was written down that cannot be read: then no other order is believed."""


class Order(StrEnum):
    """By what the scans of a patient were put in order."""

    DAY = "scan_day"
    ACQUIRED = "acq_time"
    DATED_NAME = "the dates in their names"
    NAME = "their names"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The scan that was picked, or why none was."""

    scan: DatedScan | None
    why: str = ""
    by: Order | None = None
    """None where there was nothing to put in order."""
    is_undated: bool = False
    """It is taken, though nobody knows whether it lies in the window."""


def choose_baseline(scans: Sequence[DatedScan], rule: BaselineRule) -> Choice:
    """Return which of a patient's scans is the baseline by `rule`.

    A scan that is known to lie outside the window is never taken, be it the only one; one without
    a day is, where it is the only one or named, and the choice says so. Of several: by days
    where all have one. Where none has, and no window is asked for: by the dates of their
    acquisition where all have one; where none has, by the dates in their names, or by their names,
    numbers by their size. Of scans that cannot be told apart by that none is taken: nothing is
    guessed.
    """
    if not scans:
        return Choice(scan=None, why="it has no scan")
    if rule.pick is Pick.NAMED:
        return _named(scans, rule)
    undated = [one.name for one in scans if one.day is None]
    if len(scans) == 1 and undated:
        return _taken(scans[0], rule)
    if not undated:
        return _by_day(scans, rule)
    if len(undated) < len(scans) or rule.window_days is not None:
        return Choice(scan=None, why=f"no scan_day is known of {_named_all(undated)}")
    return _by_order(scans, rule)


def count_days(scans: Sequence[DatedScan]) -> tuple[tuple[DatedScan, ...], bool]:
    """Return a patient's scans with the days that follow from that of another one.

    And whether their days and dates agree: where they do not, nothing follows.
    """
    offsets = {
        one.day - one.acquired.toordinal()
        for one in scans
        if one.day is not None and one.acquired is not None
    }
    if len(offsets) != 1:
        return tuple(scans), not offsets
    (offset,) = offsets
    return tuple(
        replace(one, day=one.acquired.toordinal() + offset)
        if one.day is None and one.acquired is not None
        else one
        for one in scans
    ), True


def _named(scans: Sequence[DatedScan], rule: BaselineRule) -> Choice:
    found = [one for one in scans if one.name == rule.scan]
    if not found:
        have = ", ".join(one.name or "one without a name" for one in scans)
        return Choice(scan=None, why=f"it has no scan {rule.scan}; it has {have}")
    if not _is_inside(found[0], rule.window_days):
        return Choice(scan=None, why=f"the scan {rule.scan} is of day {found[0].day}")
    return _taken(found[0], rule)


def _taken(scan: DatedScan, rule: BaselineRule) -> Choice:
    return Choice(scan=scan, is_undated=rule.window_days is not None and scan.day is None)


def _named_all(names: Sequence[str]) -> str:
    return ", ".join(one or "one without a name" for one in names)


def _by_order(scans: Sequence[DatedScan], rule: BaselineRule) -> Choice:
    """Return the first or last of scans of which no day is known."""
    unclear = [one.name for one in scans if one.is_unclear]
    if unclear:
        why = f"what was written of when {_named_all(unclear)} was taken cannot be used"
        return Choice(scan=None, why=why)
    dates = [one.acquired for one in scans if one.acquired is not None]
    if len(dates) == len(scans):
        return _by_date(scans, dates, rule, Order.ACQUIRED)
    if dates:
        unknown = [one.name for one in scans if one.acquired is None]
        return Choice(scan=None, why=f"no acq_time is known of {_named_all(unknown)}")
    return _by_name(scans, rule)


def _by_name(scans: Sequence[DatedScan], rule: BaselineRule) -> Choice:
    unclear = [one.name for one in scans if has_unclear_date(one.name)]
    dates = [when for one in scans if (when := date_in(one.name)) is not None]
    if unclear:
        why = f"the scans are named after dates that do not sort by name, such as {unclear[0]}"
        return Choice(scan=None, why=f"{why}: write their scan_day")
    if len(dates) == len(scans):
        return _by_date(scans, dates, rule, Order.DATED_NAME)
    if dates:
        others = [one.name for one in scans if date_in(one.name) is None]
        why = f"some of its scans are named after dates, and {_named_all(others)} not"
        return Choice(scan=None, why=f"{why}: write their scan_day")
    ranked = sorted(scans, key=lambda one: name_order(one.name))
    return Choice(scan=ranked[-1 if rule.pick is Pick.LAST else 0], by=Order.NAME)


def _by_date(
    scans: Sequence[DatedScan], dates: Sequence[date], rule: BaselineRule, order: Order
) -> Choice:
    wanted = max(dates) if rule.pick is Pick.LAST else min(dates)
    best = [one for one, when in zip(scans, dates, strict=True) if when == wanted]
    if len(best) > 1:
        why = f"{_named_all([one.name for one in best])} are of one day by {order}"
        return Choice(scan=None, why=why)
    return Choice(scan=best[0], by=order)


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
    return Choice(scan=best[0], by=Order.DAY)


def _is_inside(scan: DatedScan, window: tuple[int, int] | None) -> bool:
    return window is None or scan.day is None or window[0] <= scan.day <= window[1]
