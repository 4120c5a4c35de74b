"""Hours: windows of the week in local time, such as `mon-fri 19:00-07:00`. Pure.

A window begins at a wall time and ends at one; both become instants by the zone's rules, so that a
night in which clocks are set is an hour longer or shorter, and its ends are where people read them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

from fedmq.errors import ConfigurationError

Zone = tzinfo | None
"""None: the machine's own."""

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW: Final = re.compile(
    r"(?P<first>[a-z]{3})(-(?P<last>[a-z]{3}))?"
    r"( (?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d))?"
)
_MIDNIGHT: Final = "24:00"
_WEEK: Final = 8
"""Days to look ahead: the same day of the next week too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From a wall time to a wall time, on each of some days; over midnight if it ends earlier."""

    days: frozenset[int]
    """Monday is 0; of the day on which it begins."""
    begin: time = time(0)
    end: time = time(0)
    """Not after `begin`: on the next day."""

    def __str__(self) -> str:
        days = ",".join(_DAYS[day] for day in sorted(self.days))
        until = _MIDNIGHT if self.end == time(0) else f"{self.end:%H:%M}"
        return f"{days} {self.begin:%H:%M}-{until}"

    def on(self, day: date, zone: Zone) -> tuple[float, float] | None:
        """Return from when to when it is open, where it begins on `day`, in Unix seconds."""
        if day.weekday() not in self.days:
            return None
        last = day if self.end > self.begin else day + timedelta(days=1)
        return _instant(day, self.begin, zone), _instant(last, self.end, zone)


@dataclass(frozen=True, slots=True)
class Hours:
    """When something may run; no window: always."""

    windows: tuple[Window, ...] = ()

    def is_open(self, now: float, zone: Zone) -> bool:
        """Return whether something may run at `now`; no zone: the machine's own."""
        return not self.windows or any(
            begin <= now < end for begin, end in self._spans(now, zone, range(-2, 2))
        )

    def opens_at(self, now: float, zone: Zone) -> float | None:
        """Return the first instant from `now` on at which something may run; None: never."""
        if self.is_open(now, zone):
            return now
        spans = self._spans(now, zone, range(-1, _WEEK + 1))
        return min((begin for begin, end in spans if now < begin < end), default=None)

    def _spans(self, now: float, zone: Zone, days: Sequence[int]) -> Iterator[tuple[float, float]]:
        today = datetime.fromtimestamp(now, tz=zone).date()
        for window in self.windows:
            for number in days:
                span = window.on(today + timedelta(days=number), zone)
                if span is not None:
                    yield span


ALWAYS: Final = Hours()


def parse_hours(texts: Sequence[str]) -> Hours:
    """Return the hours that are written as windows.

    Raises:
        ConfigurationError: one is no window.
    """
    return Hours(tuple(map(_parse_window, texts)))


def local_day(now: float, zone: Zone) -> str:
    """Return the local date at `now`, as ISO 8601 writes it."""
    return datetime.fromtimestamp(now, tz=zone).date().isoformat()


def day_began_at(now: float, zone: Zone) -> float:
    """Return when the local day of `now` began."""
    return _instant(datetime.fromtimestamp(now, tz=zone).date(), time(0), zone)


def day_ends_at(now: float, zone: Zone) -> float:
    """Return when the next local day begins."""
    today = datetime.fromtimestamp(now, tz=zone).date()
    return _instant(today + timedelta(days=1), time(0), zone)


def _instant(day: date, wall: time, zone: Zone) -> float:
    """Return a wall time in Unix seconds: of an hour that comes twice the first, of none later."""
    return datetime.combine(day, wall, tzinfo=zone).timestamp()


def _parse_window(text: str) -> Window:
    match = _WINDOW.fullmatch(text)
    fault = ConfigurationError(
        f"{text!r} are no hours",
        why="expected: days, and from when to when, such as mon-fri 19:00-07:00, sat-sun",
        fix="mend the window",
    )
    if match is None:
        raise fault
    try:
        first = _DAYS.index(match["first"])
        last = _DAYS.index(match["last"] or match["first"])
        begin = time.fromisoformat(match["begin"] or "00:00")
        is_midnight = match["end"] in {None, _MIDNIGHT}
        end = time(0) if is_midnight else time.fromisoformat(match["end"])
    except ValueError as error:
        raise fault from error
    num_days = (last - first) % len(_DAYS) + 1
    days = frozenset((first + number) % len(_DAYS) for number in range(num_days))
    return Window(days=days, begin=begin, end=end)
