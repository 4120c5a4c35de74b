"""The page shows the lines that are kept, and says what is not in them."""

import re
from pathlib import Path

import pytest

from benchmarks.page.figures import Axis, written
from benchmarks.page.lines import read_lines, source_of
from benchmarks.page.rounds import draw_up, peer_aim, shown_lines, title_of
from benchmarks.page.writing import measure

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_the_page_is_that_of_the_lines(tmp_path: Path) -> None:
    """Else: `./run bench page`, and commit what it writes."""
    figures = measure(RESULTS, tmp_path / "page.html")
    assert int(str(figures["plots"])) >= 6
    page = (tmp_path / "page.html").read_text()
    assert page == (RESULTS / "page.html").read_text(), "make it anew: ./run bench page"
    assert not re.search(r"<script|https?:|url\(|<link|<img", page)
    names = re.findall(r'id="([^"]+)"', page)
    assert len(names) == len(set(names))
    for svg in re.findall(r"<svg[^>]*role.*?</svg>", page):
        assert "<title " in svg
        assert "<desc " in svg


def test_a_folder_without_lines_gives_a_page_without_plots(tmp_path: Path) -> None:
    """It says that nothing was measured."""
    assert measure(tmp_path, tmp_path / "page.html")["plots"] == 0
    assert "not measured" in (tmp_path / "page.html").read_text()


def test_of_the_same_load_and_lineup_the_newest_line_is_shown() -> None:
    """A line of before a field was there has no value; why there is none is told."""
    old, new = (
        f'{{"name": "rounds", "at": "2026-01-0{day}", "nodes": 4, "mb": 1, "turns": 2, '
        f'"round_s": {day}, "flower_not_measured": "did not fit, peak 9000 MB"}}'
        for day in (1, 2)
    )
    (line,) = shown_lines(read_lines(f"{new}\n{old}\n"))
    assert line.number("round_s") == 2.0
    seconds = draw_up([line])[0].panels[0]
    notes = {row.label: row.note for row in getattr(seconds, "rows", ())}
    assert notes["Flower"] == "did not fit, peak 9000 MB"
    assert notes["FLARE"] == "not measured"
    assert "load average not recorded" in source_of(line)


@pytest.mark.parametrize(
    ("mb", "encoding", "has_tls", "aim"),
    [
        (1, "exact", True, 0.8),
        (1, "exact", False, 0.8),
        (44, "exact", True, 0.5),
        (44, "exact", False, 0.4),
        (44, "bf16", True, 0.35),
        (44, "bf16", False, 0.4),
    ],
)
def test_the_aim_is_that_of_the_load(mb: int, encoding: str, aim: float, *, has_tls: bool) -> None:
    """A small model, a large one, one in half of the bytes."""
    text = f'{{"name": "rounds", "at": "2026", "mb": {mb}, "encoding": "{encoding}"}}'
    assert peer_aim(read_lines(text)[0], has_tls=has_tls) == aim


def test_what_travels_encoded_is_another_load() -> None:
    """It stands beside the exact one, and says so, in its command too."""
    exact, narrow = (
        '{"name": "rounds", "at": "2026-01-01", "nodes": 4, "mb": 44, "turns": 1, '
        f'"encoding": "{encoding}", "round_s": 1.0}}'
        for encoding in ("exact", "bf16")
    )
    shown = shown_lines(read_lines(f"{exact}\n{narrow}\n"))
    titles = {title_of(line).partition(",")[0] for line in shown}
    assert titles == {"4 nodes x 44 MB", "4 nodes x 44 MB as bf16"}
    assert sum("--encoding bf16" in source_of(line) for line in shown) == 1


@pytest.mark.parametrize(
    ("value", "text"), [(0.0589, "0.0589"), (2691.7, "2,690"), (17.53, "17.5"), (0.0, "0")]
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    """Thousands are parted."""
    assert written(value) == text


def test_an_axis_of_powers_has_the_square_root_in_its_middle() -> None:
    """By hand: 10 lies in the middle of 1 and 100."""
    assert Axis(unit="s", low=1.0, high=100.0).share(10.0) == pytest.approx(0.5)
