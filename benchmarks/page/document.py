"""The page as one text: figures with their drawings and tables, and what was not measured."""

import re
from collections.abc import Sequence
from html import escape

from benchmarks.page.contenders import CONTENDERS
from benchmarks.page.drawing import draw_curve, draw_dots, line_in_words
from benchmarks.page.figures import Curve, Dots, Figure
from benchmarks.page.lines import Line
from benchmarks.page.style import STYLE
from benchmarks.page.tables import table, tabulate

_LOADS = tuple((nodes, mb) for nodes in (4, 10) for mb in (1, 44, 132))
"""What is to be measured in rounds, whether it was or not."""
_MARKS = (
    ('<circle class="mark own" cx="8" cy="8" r="6"/>', "fedmq"),
    ('<path class="mark limit" d="M8 1l7 7l-7 7l-7 -7z"/>', "the raw broker: the limit"),
    ('<rect class="mark peer" x="2" y="2" width="12" height="12"/>', "another system"),
)


def write_document(figures: Sequence[Figure], rounds: Sequence[Line], num_lines: int) -> str:
    """Return the page of these figures; `rounds` are the lines of rounds that it shows."""
    links = "".join(f'<li><a href="#{one.key}">{escape(one.heading)}</a></li>' for one in figures)
    marks = "".join(
        f'<li><svg viewBox="0 0 16 16" aria-hidden="true">{mark}</svg> {escape(words)}</li>'
        for mark, words in _MARKS
    )
    body = "\n".join(_section(one) for one in figures)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>fedmq: what was measured</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n"
        "<header>\n<h1>fedmq: what was measured</h1>\n"
        f"<p>Made by <code>./run bench page</code> from {num_lines} lines of "
        "<code>benchmarks/results</code>: of each load and lineup the newest line is shown. What "
        "the figures are, and how they were measured, is told in "
        "<code>benchmarks/RESULTS.md</code>. "
        "Under each heading stands when a line was measured, how busy the machine was, "
        "and the command.</p>\n"
        f'<ul class="keys">{marks}</ul>\n<nav aria-label="Figures"><ul>{links}'
        '<li><a href="#missing">Measured or not</a></li></ul></nav>\n</header>\n<main>\n'
        f"{body}\n{_coverage(rounds)}\n</main>\n</body>\n</html>\n"
    )


def _section(figure: Figure) -> str:
    panels = "\n".join(
        _panel(one, f"{figure.key}-{number}") for number, one in enumerate(figure.panels, start=1)
    )
    return (
        f'<section aria-labelledby="{figure.key}">\n<h2 id="{figure.key}">'
        f"{escape(figure.heading)}</h2>\n<p>{escape(figure.words)}</p>\n{panels}\n</section>"
    )


def _panel(panel: Dots | Curve, key: str) -> str:
    drawing = draw_dots(panel, key) if isinstance(panel, Dots) else draw_curve(panel, key)
    more = f" {escape(line_in_words(panel))}." if isinstance(panel, Curve) else ""
    source = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(panel.source))
    return (
        f"<figure>\n<figcaption><strong>{escape(panel.title)}</strong>{more}"
        f'<p class="source">{source}</p></figcaption>\n{drawing}\n{tabulate(panel)}\n</figure>'
    )


def _coverage(lines: Sequence[Line]) -> str:
    """Return who was measured in turns with which load, and when last."""
    loads = sorted({*_LOADS, *((line.count("nodes"), line.count("mb")) for line in lines)})
    rows = []
    for one in CONTENDERS:
        cells = []
        for load in loads:
            those = [line for line in lines if (line.count("nodes"), line.count("mb")) == load]
            dates = [line.at[:10] for line in those if one.was_measured(line)]
            misfits = [why for line in those if (why := one.why_missing(line))[:3] == "did"]
            found = (dates[-1:] or [escape(why) for why in misfits[-1:]] or ["not measured"])[0]
            cells.append(f"<td>{found}</td>" if dates else f'<td class="missing">{found}</td>')
        label = escape(f"{one.label}, {one.group.lower().replace('tls', 'TLS')}")
        rows.append(f'<tr><th scope="row">{label}</th>{"".join(cells)}</tr>')
    heads = ["who", *(f"{nodes} x {mb} MB" for nodes, mb in loads)]
    return (
        '<section aria-labelledby="missing">\n<h2 id="missing">Measured or not</h2>\n'
        "<p>The last day on which each load (nodes x size of the model) was measured in "
        "turns with the "
        "others. A real broker with more nodes than here: not measured. Several "
        "machines: not measured.</p>\n"
        + table("Rounds in turns, by load", heads, rows)
        + "\n</section>"
    )
