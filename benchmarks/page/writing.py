"""The page from the lines that are kept; the one place that reads and writes files."""

from pathlib import Path

from benchmarks.page.document import write_document
from benchmarks.page.growth import draw_up_growth, draw_up_trust
from benchmarks.page.lines import Line, read_lines
from benchmarks.page.rounds import draw_up, draw_up_earlier, earlier_lines, shown_lines


def measure(results: Path, target: Path) -> dict[str, object]:
    """Write the page of the lines in `results` to `target`; return how much it shows."""
    rounds, scale, trust = (_read(results, name) for name in ("rounds", "scale", "trust"))
    shown = shown_lines(rounds)
    figures = (
        *draw_up(shown),
        *draw_up_growth(scale),
        *draw_up_trust(trust),
        *draw_up_earlier(earlier_lines(rounds)),
    )
    num_lines = len(rounds) + len(scale) + len(trust)
    page = write_document(figures, shown, num_lines)
    target.write_text(page, encoding="utf-8")
    return {
        "plots": len(figures),
        "panels": sum(len(one.panels) for one in figures),
        "lines": num_lines,
        "bytes": len(page.encode()),
    }


def _read(results: Path, name: str) -> tuple[Line, ...]:
    path = results / f"{name}.jsonl"
    return read_lines(path.read_text(encoding="utf-8")) if path.exists() else ()
