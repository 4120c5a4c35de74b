"""Tables: as wide as their content, never wider than the screen."""

from hypothesis import given
from hypothesis import strategies as st

from fedmq.cli.tables import below, lay_out

TITLES = ("node", "waiting", "doing")
ROWS = [("chu-lyon", 7, "idle"), ("ico", 12, "training round 3 (50%) of lung-pfs-16bc7b")]
WORDS = st.text("abc é", min_size=1, max_size=60).map(str.strip).filter(bool)


def test_columns_line_up_and_numbers_stand_to_the_right() -> None:
    """No line ends in blanks."""
    assert lay_out(TITLES, ROWS, width=None) == [
        "node      waiting  doing",
        "chu-lyon        7  idle",
        "ico            12  training round 3 (50%) of lung-pfs-16bc7b",
    ]


def test_on_a_narrow_screen_the_widest_text_is_cut() -> None:
    """Numbers are whole; what goes to no screen is whole too."""
    lines = lay_out(TITLES, ROWS, width=40)
    assert lines[2] == "ico            12  training round 3 (50…"
    assert max(map(len, lines)) == 40


@given(st.lists(st.tuples(WORDS, st.integers(0, 10**6), WORDS, WORDS), max_size=5))
def test_no_line_is_wider_than_the_screen(rows: list[tuple[str, int, str, str]]) -> None:
    """Whatever stands in the columns."""
    lines = lay_out(("experiment", "round", "state", "reason"), rows, width=60)
    assert len(lines) == len(rows) + 1
    assert max(map(len, lines)) <= 60
    whole = lay_out(("experiment", "round", "state", "reason"), rows, width=None)
    for line, row in zip(whole[1:], rows, strict=True):
        assert all(str(cell) in line for cell in row)


def test_where_it_is_too_narrow_for_anything_columns_keep_their_least() -> None:
    """A screen of ten characters has lines that wrap, and no error."""
    assert lay_out(TITLES, ROWS, width=10)[1] == "chu-lyon        7  idle"


def test_without_rows_the_titles_stand_alone() -> None:
    """They say what would be there."""
    assert lay_out(TITLES, [], width=80) == ["node  waiting  doing"]


def test_a_note_stands_below_its_row_in_whole_words() -> None:
    """On a screen in as many lines as it needs; in a pipe in one."""
    note = "2 of 3; waiting for chu-lyon, ghu-paris, umc-basel"
    assert below(note, width=30) == [
        "    2 of 3; waiting for",
        "    chu-lyon, ghu-paris,",
        "    umc-basel",
    ]
    assert below(note, width=None) == ["    " + note]
    assert below("", width=30) == []
