"""Figures, times and paths as people read them."""

from pathlib import Path

import pytest

from fedmq.cli.words import ago, as_typed, count, cut, printable, size


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 rounds"), (1, "1 round"), (2, "2 rounds"), (101, "101 rounds")]
)
def test_one_is_singular_and_all_else_plural(number: int, text: str) -> None:
    """As in English."""
    assert count(number, "round") == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (45_600, "45.6 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (132_034_788, "132.0 MB"),
        (1_320_344_730, "1.32 GB"),
        (2_000_000_000_000, "2000.00 GB"),
    ],
)
def test_a_size_has_the_unit_that_it_fills(size_bytes: int, text: str) -> None:
    """SI prefixes, and never 1000.0 of one."""
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3.0, "0 s ago"),
        (7.4, "7 s ago"),
        (59.9, "60 s ago"),
        (119.0, "1 min ago"),
        (7_300.0, "2 h ago"),
        (200_000.0, "2 d ago"),
    ],
)
def test_an_age_has_the_largest_unit_that_it_fills(seconds: float, text: str) -> None:
    """A clock that is ahead says now."""
    assert ago(seconds) == text


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("lung", 4, "lung"), ("lungs", 4, "lun…"), ("lung", 1, "…"), ("", 0, "")],
)
def test_what_is_cut_says_so(text: str, width: int, shown: str) -> None:
    """What fits is left alone."""
    assert cut(text, width) == shown


def test_what_a_screen_would_obey_is_spelt_out() -> None:
    """Colours, lines, half a character, an order to write from right to left; no letter."""
    assert printable("Zoe\u0301 → é") == "Zoe\u0301 → é"
    assert printable("\x1b[31m\n\udce9\u202e") == r"\x1b[31m\n\udce9\u202e"
    assert printable("a\tb\n", but="\t") == "a\tb\\n"


def test_a_path_below_is_typed_from_here_and_another_one_in_full() -> None:
    """Here itself is a dot."""
    here = Path("/home/you/try")
    assert as_typed(here / "demo" / "hub", here) == "demo/hub"
    assert as_typed(here, here) == "."
    assert as_typed(Path("/home/you/trying"), here) == "/home/you/trying"
    assert as_typed(Path("model.safetensors"), here) == "model.safetensors"
