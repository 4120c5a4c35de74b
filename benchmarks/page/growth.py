"""Figures of a round as nodes grow, and of what protection costs it."""

from collections.abc import Iterable, Sequence
from typing import Final

from benchmarks.page.figures import Curve, Dots, Figure, Kind, Row, log_axis
from benchmarks.page.lines import Line, newest, sizes_of, source_of
from benchmarks.scale import fit_line

_SHOWN: Final = (
    ("round_s", "A round by the clock on the wall", "s"),
    ("round_cpu_s", "Processor time of all nodes and the orchestrator", "s"),
    ("orchestrator_cpu_s", "Processor time of the orchestrator", "s"),
    ("rss_mb", "Memory of everybody together", "MB"),
)
_WAYS: Final = (
    ("TLS and keys", "over_neither"),
    ("TLS alone", "tls"),
    ("keys alone", "keys"),
)


def draw_up_growth(lines: Iterable[Line]) -> tuple[Figure, ...]:
    """Return the figure of the newest lines of each size of model; none of no lines."""
    panels: list[Dots | Curve] = []
    for line in newest(lines, key=lambda line: (line.count("mb"), line.count("nodes"))):
        panels += _curves(line) or _alone(line)
    words = (
        "The services of a whole federation in one process and on one core, signed and "
        "sealed, null training; "
        "broker and journals in memory. Nothing here went through a real broker. Processor time "
        "is of the process alone; the clock on the wall counts other work too."
    )
    heading = "A round as nodes grow"
    figure = Figure(key="growth", heading=heading, words=words, panels=tuple(panels))
    return (figure,) if panels else ()


def draw_up_trust(lines: Sequence[Line]) -> tuple[Figure, ...]:
    """Return the figure of what TLS, signing and sealing cost; none of no lines."""
    shown = newest(lines, key=lambda line: (line.count("nodes"), line.count("mb")))
    if not shown:
        return ()
    panels = [(line, _costs(line)) for line in shown]
    ends = [one for _, rows in panels for row in rows for one in (row.low, row.value, row.high)]
    axis = log_axis([one for one in ends if one], "times the seconds without")
    words = (
        "Null training with and without, neighbours in time: the median ratio, "
        "quartiles as a bar. Keys are "
        "signing and sealing. All together were to cost at most 1.1."
    )
    drawn = tuple(
        Dots(
            title=f"{line.count('nodes')} nodes x {line.count('mb')} MB, {line.at[:10]}",
            source=source_of(line),
            axis=axis,
            rows=rows,
        )
        for line, rows in panels
    )
    return (Figure(key="trust", heading="What protection costs", words=words, panels=drawn),)


def _curves(line: Line) -> list[Dots | Curve]:
    return [
        _curve(line, name, title, unit)
        for name, title, unit in _SHOWN
        if len(sizes_of(line, name)) > 1
    ]


def _curve(line: Line, name: str, title: str, unit: str) -> Curve:
    sizes = sizes_of(line, name)
    points = tuple((float(size), line.number(f"{name}_{size}") or 0.0) for size in sizes)
    slope, intercept, residual = fit_line([x for x, _ in points], [y for _, y in points])
    return Curve(
        title=f"{title}, {line.count('mb')} MB",
        source=source_of(line),
        unit=unit,
        points=points,
        slope=slope,
        intercept=intercept,
        residual=residual,
    )


def _alone(line: Line) -> list[Dots | Curve]:
    """Return the panel of a line of one size."""
    rows = tuple(
        Row(label=label, kind=Kind.OWN, value=line.number(name))
        for label, name in (
            ("on the wall", "round_s"),
            ("all, processor", "round_cpu_s"),
            ("orchestrator", "orchestrator_cpu_s"),
        )
    )
    axis = log_axis([row.value for row in rows if row.value], "seconds")
    title = f"{line.count('nodes')} nodes x {line.count('mb')} MB, {line.at[:10]}"
    return [Dots(title=title, source=source_of(line), axis=axis, rows=rows)]


def _costs(line: Line) -> tuple[Row, ...]:
    return tuple(
        Row(
            label=label,
            kind=Kind.OWN,
            value=line.number(name),
            low=line.number(f"{name}_low"),
            high=line.number(f"{name}_high"),
            aim=1.1 if name == "over_neither" else None,
        )
        for label, name in _WAYS
    )
