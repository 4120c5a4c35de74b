"""What a page shows, before it is drawn: figures of panels, panels of rows or of points."""

import math
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Whose figure it is; it decides on shape and colour."""

    OWN = "own"
    LIMIT = "limit"
    PEER = "peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure with its name; or why there is none."""

    label: str
    group: str = ""
    """What it is compared within; rows of a group stand together."""
    kind: Kind = Kind.PEER
    value: float | None = None
    low: float | None = None
    """The lower quartile, where it was kept."""
    high: float | None = None
    aim: float | None = None
    """At most so much was wanted."""
    note: str = ""
    """What is to be known beside the figure, or instead of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The scale that all panels of a figure share."""

    unit: str
    low: float
    high: float
    is_log: bool = True
    digits: int = 3
    """Significant digits of what is written beside it."""

    def share(self, value: float) -> float:
        """Return where a value is: 0 at the lower end, 1 at the upper one."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """Rows beside each other on one axis."""

    title: str
    source: str
    axis: Axis
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Figures by number of nodes, and the line through them."""

    title: str
    source: str
    unit: str
    points: tuple[tuple[float, float], ...]
    slope: float
    intercept: float
    residual: float
    """The largest distance of a point from the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A heading with panels."""

    key: str
    """A word of its own in the document."""
    heading: str
    words: str
    panels: tuple[Dots | Curve, ...]


def written(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, thousands parted by commas."""
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(places, 0)}f}"


def ticks_of(axis: Axis) -> list[float]:
    """Return where the axis is marked: few enough to be written beside each other."""
    if not axis.is_log:
        step = nice_step(axis.high - axis.low)
        first = math.ceil(axis.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(axis.high / step + 1e-9) + 1)]
    powers = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
    wide = axis.high / axis.low > 200
    marks = [factor * 10.0**power for power in powers for factor in ((1,) if wide else (1, 2, 5))]
    return [one for one in marks if axis.low * 0.999 <= one <= axis.high * 1.001]


def nice_step(length: float) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that divides a length into four or so."""
    power = 10.0 ** math.floor(math.log10(length / 4))
    return min((1, 2, 5, 10), key=lambda one: abs(length / (one * power) - 4)) * power


def log_axis(values: list[float], unit: str) -> Axis:
    """Return an axis on which all values are, with a margin; values are positive."""
    least, most = (min(values), max(values)) if values else (1.0, 10.0)
    return Axis(unit=unit, low=least / 1.25, high=most * 1.25)
