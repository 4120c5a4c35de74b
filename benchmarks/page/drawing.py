"""Panels as SVG text; 360 units wide, so that letters are legible where a telephone shows them."""

from html import escape

from benchmarks.page.figures import Axis, Curve, Dots, Kind, Row, nice_step, ticks_of, written

WIDTH = 360
_LEFT, _RIGHT = 104, 302
_ROW, _GROUP, _FOOT = 22, 22, 36


def draw_dots(panel: Dots, key: str) -> str:
    """Return rows as marks on one axis, each with its quartiles and its number."""
    bottom = _end_of_rows(panel.rows)
    parts = [_ticks(panel.axis, bottom)]
    y, group = 4, ""
    for row in panel.rows:
        if row.group != group:
            group = row.group
            parts.append(f'<text class="group" x="0" y="{y + 15}">{escape(group)}</text>')
            y += _GROUP
        parts.append(_row(row, panel.axis, y + _ROW // 2))
        y += _ROW
    scale = "logarithmic" if panel.axis.is_log else "linear"
    desc = f"{scale} axis, {panel.axis.unit}. " + "; ".join(
        told(row, panel.axis) for row in panel.rows
    )
    return _svg(key, panel.title, desc, bottom + _FOOT, parts)


def told(row: Row, axis: Axis) -> str:
    """Return a row in words."""
    name = f"{row.label}, {row.group}" if row.group else row.label
    if row.value is None:
        return f"{name}: {row.note or 'not measured'}"
    text = f"{name}: {written(row.value, axis.digits)}"
    if row.low is not None and row.high is not None:
        text += f" ({written(row.low, axis.digits)} to {written(row.high, axis.digits)})"
    return text if row.aim is None else f"{text}, the aim {written(row.aim, 2)}"


def _end_of_rows(rows: tuple[Row, ...]) -> int:
    groups = {row.group for row in rows} - {""}
    return 4 + _GROUP * len(groups) + _ROW * len(rows) + 4


def _x(axis: Axis, value: float) -> float:
    return round(_LEFT + axis.share(value) * (_RIGHT - _LEFT), 1)


def _ticks(axis: Axis, bottom: int) -> str:
    parts, free_from = [], 0.0
    for tick in ticks_of(axis):
        x, text = _x(axis, tick), f"{tick:,.10g}"
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="{bottom}"/>')
        # Letters are some seven units wide; what would run into the one before is not written.
        half = 3.5 * len(text)
        if x - half >= free_from:
            parts.append(f'<text class="tick" x="{x}" y="{bottom + 13}">{text}</text>')
            free_from = x + half + 4
    middle = (_LEFT + _RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{bottom + 29}">{escape(axis.unit)}</text>')
    return "".join(parts)


def _row(row: Row, axis: Axis, y: int) -> str:
    parts = [f'<text class="{row.kind}" x="0" y="{y + 4}">{escape(row.label)}</text>']
    if row.aim is not None:
        x = _x(axis, row.aim)
        parts.append(f'<line class="aim" x1="{x}" x2="{x}" y1="{y - 10}" y2="{y + 10}"/>')
    if row.value is None:
        short = "did not fit" if row.note.startswith("did not fit") else "not measured"
        parts.append(f'<text class="missing" x="{_LEFT + 4}" y="{y + 4}">{short}</text>')
        return "".join(parts)
    if row.low is not None and row.high is not None:
        low, high = _x(axis, row.low), _x(axis, row.high)
        parts.append(f'<line class="whisker {row.kind}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>')
    parts.append(_mark(row.kind, _x(axis, row.value), y))
    text = written(row.value, axis.digits)
    parts.append(f'<text class="number {row.kind}" x="{WIDTH}" y="{y + 4}">{text}</text>')
    return "".join(parts)


def _mark(kind: Kind, x: float, y: float) -> str:
    """Return a mark whose shape tells the kind without its colour."""
    if kind is Kind.OWN:
        return f'<circle class="mark own" cx="{x}" cy="{y}" r="5"/>'
    if kind is Kind.LIMIT:
        return f'<path class="mark limit" d="M{x} {y - 6}l6 6l-6 6l-6 -6z"/>'
    return f'<rect class="mark peer" x="{x - 4:.1f}" y="{y - 4}" width="8" height="8"/>'


def draw_curve(panel: Curve, key: str) -> str:
    """Return points by number of nodes, and the line through them."""
    left, right, top, bottom = 46, 348, 10, 200
    most_x = max(x for x, _ in panel.points)
    most_y = max(y for _, y in panel.points)
    across = Axis(unit="nodes", low=0.0, high=most_x * 1.05, is_log=False)
    up = Axis(unit=panel.unit, low=0.0, high=_above(most_y), is_log=False)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(left + across.share(x) * (right - left), 1),
            round(bottom - up.share(y) * (bottom - top), 1),
        )

    parts = []
    for tick in ticks_of(up):
        _, y = place(0, tick)
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="number" x="{left - 5}" y="{y + 4}">{tick:,.10g}</text>')
    for tick in ticks_of(across):
        x, _ = place(tick, 0)
        parts.append(f'<text class="tick" x="{x}" y="{bottom + 14}">{tick:,.10g}</text>')
    parts.append(f'<text class="tick" x="{(left + right) / 2}" y="{bottom + 30}">nodes</text>')
    # Below zero there is nothing to draw: there the line begins where it crosses the axis.
    crossing = -panel.intercept / panel.slope if panel.intercept < 0 < panel.slope else 0.0
    ends = [place(x, panel.slope * x + panel.intercept) for x in (crossing, across.high)]
    (x1, y1), (x2, y2) = ends
    parts.append(f'<line class="fit" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
    parts += [_mark(Kind.OWN, *place(x, y)) for x, y in panel.points]
    desc = f"{panel.unit} by number of nodes: " + "; ".join(
        f"{x:,.0f} nodes: {written(y)}" for x, y in panel.points
    )
    return _svg(key, panel.title, f"{desc}. {line_in_words(panel)}", bottom + 36, parts)


def line_in_words(panel: Curve) -> str:
    """Return the line, and how far it is from the points."""
    return (
        f"Line by least squares: {written(panel.slope)} {panel.unit} a node, "
        f"{written(panel.intercept)} at no node; largest residual {written(panel.residual)}"
    )


def _above(value: float) -> float:
    """Return a round number that is larger, so that the uppermost point is in the picture."""
    step = nice_step(value)
    return step * (int(value * 1.05 / step) + 1)


def _svg(key: str, title: str, desc: str, height: int, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{escape(title)}</title><desc id="{key}-d">{escape(desc)}</desc>'
        + "".join(parts)
        + "</svg>"
    )
