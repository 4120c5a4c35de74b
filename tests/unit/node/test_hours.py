"""Hours: windows of the week, over midnight, over week ends, in nights when clocks are set."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmq.errors import ConfigurationError
from fedmq.node.hours import Hours, day_began_at, day_ends_at, local_day, parse_hours
from tests.support.zones import PARIS, at

NIGHTS = parse_hours(["mon-fri 19:00-07:00", "sat-sun"])
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOUR_S = 3_600.0


@pytest.mark.parametrize(
    ("wall", "opens"),
    [
        ("2027-03-15 18:59", "2027-03-15 19:00"),
        ("2027-03-15 19:00", "2027-03-15 19:00"),
        ("2027-03-16 03:00", "2027-03-16 03:00"),
        ("2027-03-16 06:59", "2027-03-16 06:59"),
        ("2027-03-16 07:00", "2027-03-16 19:00"),
        # From Friday evening to Sunday night without a gap.
        ("2027-03-20 07:30", "2027-03-20 07:30"),
        ("2027-03-21 23:59", "2027-03-21 23:59"),
        # Sunday's window ends with the day; Monday's begins in the evening.
        ("2027-03-22 00:00", "2027-03-22 19:00"),
    ],
)
def test_nights_and_week_ends(wall: str, opens: str) -> None:
    """A window that goes over midnight is that of the day on which it begins."""
    assert NIGHTS.opens_at(at(wall), PARIS) == at(opens)
    assert NIGHTS.is_open(at(wall), PARIS) == (wall == opens)


def test_the_night_that_lacks_an_hour_is_an_hour_shorter() -> None:
    """Clocks go from 02:00 to 03:00 on 28 March 2027; ends stay where people read them."""
    hours = parse_hours(["sat 20:00-06:00"])
    assert hours.is_open(at("2027-03-28 05:59"), PARIS)
    assert not hours.is_open(at("2027-03-28 06:00"), PARIS)
    assert at("2027-03-28 06:00") - at("2027-03-27 20:00") == 9 * HOUR_S
    within = parse_hours(["sun 02:30-04:00"])
    opens = within.opens_at(at("2027-03-28 01:00"), PARIS)
    assert opens is not None
    assert within.is_open(opens, PARIS)
    assert datetime.fromtimestamp(opens, PARIS).hour == 3


def test_the_night_with_an_hour_twice_is_an_hour_longer() -> None:
    """Clocks go from 03:00 to 02:00 on 31 October 2027; an end at 02:30 is the first 02:30."""
    assert at("2027-10-31 06:00") - at("2027-10-30 20:00") == 11 * HOUR_S
    hours = parse_hours(["sat 20:00-02:30"])
    assert hours.is_open(at("2027-10-31 02:29"), PARIS)
    assert not hours.is_open(at("2027-10-31 02:30"), PARIS)
    assert not hours.is_open(at("2027-10-31 02:15", fold=1), PARIS)


def test_a_local_day_has_23_or_25_hours_when_clocks_are_set() -> None:
    """Rounds of a day are counted from midnight to midnight."""
    for wall, num_hours in (("2027-03-28", 23), ("2027-03-29", 24), ("2027-10-31", 25)):
        noon = at(f"{wall} 12:00")
        assert local_day(noon, PARIS) == wall
        assert day_ends_at(noon, PARIS) - day_began_at(noon, PARIS) == num_hours * HOUR_S


def test_without_windows_it_is_always_open() -> None:
    """No hours: at any hour."""
    assert Hours().is_open(0.0, PARIS)
    assert Hours().opens_at(5.0, None) == 5.0


def test_hours_are_the_machines_own_where_no_zone_is_named() -> None:
    """Whatever that zone is."""
    now = datetime(2027, 3, 15, 12, 30).astimezone().timestamp()
    assert parse_hours(["mon 12:00-13:00"]).is_open(now, None)
    assert not parse_hours(["mon 13:00-14:00"]).is_open(now, None)


@pytest.mark.parametrize(
    "text",
    ["", "mon-", "mo", "mon 7-19", "mon 25:00-26:00", "mon 19:00", "mon-fri-sun", "MON", "24:00"],
)
def test_what_is_no_window_is_refused(text: str) -> None:
    """With what is expected."""
    with pytest.raises(ConfigurationError, match="mon-fri 19:00-07:00"):
        parse_hours([text])


def test_days_go_round_the_week() -> None:
    """From Saturday to Monday are three."""
    (window,) = parse_hours(["sat-mon"]).windows
    assert window.days == {5, 6, 0}
    assert str(window) == "mon,sat,sun 00:00-24:00"


@st.composite
def any_window(draw: st.DrawFn) -> str:
    """Draw a window that people could write."""
    first, last = draw(st.sampled_from(DAYS)), draw(st.sampled_from(DAYS))
    hours = st.builds(lambda h, m: f"{h:02}:{m:02}", st.integers(0, 23), st.sampled_from([0, 30]))
    return f"{first}-{last} {draw(hours)}-{draw(hours)}"


@settings(deadline=None, max_examples=60)
@given(
    st.lists(any_window(), min_size=1, max_size=3),
    st.sampled_from(["2027-03-25 12:00", "2027-10-28 12:00", "2027-07-01 12:00"]),
    st.integers(0, 6 * 24 * 2),
)
def test_it_opens_at_the_first_moment_at_which_it_is_open(
    texts: list[str], begin: str, half_hours: int
) -> None:
    """Nothing between is open; nothing that is said to be open is closed."""
    hours = parse_hours(texts)
    now = at(begin) + half_hours * HOUR_S / 2
    opens = hours.opens_at(now, PARIS)
    assert opens is not None
    assert opens >= now
    assert hours.is_open(opens, PARIS)
    quarter = timedelta(minutes=15).total_seconds()
    for step in range(int((opens - now) / quarter)):
        assert not hours.is_open(now + step * quarter, PARIS)
