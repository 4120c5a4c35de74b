"""Panels as tables: the same figures for who does not see the drawing, or wants the digits."""

from html import escape

from benchmarks.page.figures import Curve, Dots, Row, written


def tabulate(panel: Dots | Curve) -> str:
    """Return the table of a panel."""
    match panel:
        case Dots():
            return _dots(panel)
        case Curve():
            return _curve(panel)


def table(caption: str, heads: list[str], rows: list[str]) -> str:
    """Return a table that scrolls by itself where it is too wide, by keyboard too."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table: {escape(caption)}">'
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _dots(panel: Dots) -> str:
    has_group = any(row.group for row in panel.rows)
    has_spread = any(row.low is not None for row in panel.rows)
    has_aim = any(row.aim is not None for row in panel.rows)
    heads = ["who"] + ["messages"] * has_group + [panel.axis.unit]
    heads += ["quartiles"] * has_spread + ["aim"] * has_aim
    rows = [_dots_row(row, panel.axis.digits, heads) for row in panel.rows]
    return table(panel.title, heads, rows)


def _dots_row(row: Row, digits: int, heads: list[str]) -> str:
    cells = [f'<th scope="row">{escape(row.label)}</th>']
    if "messages" in heads:
        cells.append(f"<td>{escape(row.group.lower().replace('tls', 'TLS'))}</td>")
    if row.value is None:
        cells.append(f'<td class="missing">{escape(row.note or "not measured")}</td>')
    else:
        note = f" ({escape(row.note)})" if row.note else ""
        cells.append(f"<td>{written(row.value, digits)}{note}</td>")
    if "quartiles" in heads:
        spread = ""
        if row.low is not None and row.high is not None:
            spread = f"{written(row.low, digits)} to {written(row.high, digits)}"
        cells.append(f"<td>{spread}</td>")
    if "aim" in heads:
        cells.append(f"<td>{_judged(row)}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _judged(row: Row) -> str:
    if row.aim is None:
        return "none"
    if row.value is None:
        return f"{row.aim:g}"
    return f"{row.aim:g}, {'reached' if row.value <= row.aim else 'missed'}"


def _curve(panel: Curve) -> str:
    rows = [
        f'<tr><th scope="row">{x:,.0f}</th><td>{written(y)}</td>'
        f"<td>{written(panel.slope * x + panel.intercept)}</td></tr>"
        for x, y in panel.points
    ]
    return table(panel.title, ["nodes", f"measured, {panel.unit}", "on the line"], rows)
