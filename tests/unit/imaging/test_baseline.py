"""The baseline: one scan by the rule, or none with the reason; never a guess."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import ConfigurationError
from fedmq.imaging.baseline import (
    BaselineRule,
    DatedScan,
    Order,
    Pick,
    choose_baseline,
    count_days,
)

LAST, FIRST = BaselineRule(), BaselineRule(pick=Pick.FIRST)


def scans(**days: int | None) -> list[DatedScan]:
    """Return scans by their names."""
    return [DatedScan(name=name.replace("_", "-"), day=day) for name, day in days.items()]


def picked(rule: BaselineRule, *several: DatedScan) -> str | None:
    """Return the name of the scan that is picked."""
    choice = choose_baseline(several, rule)
    assert (choice.scan is None) is bool(choice.why)
    return None if choice.scan is None else choice.scan.name


WINDOW = BaselineRule(window_days=(-42, 0))


@pytest.mark.parametrize(
    ("rule", "days", "expected"),
    [
        (LAST, {"a": None}, "a"),
        (LAST, {"a": 90}, None),
        (LAST, {"a": -90}, "a"),
        (WINDOW, {"a": 90}, None),
        (WINDOW, {"a": None}, "a"),
        (LAST, {"a": -50, "b": -12, "c": 40}, "b"),
        (FIRST, {"a": -50, "b": -12, "c": 40}, "a"),
        (WINDOW, {"a": -50, "b": -12, "c": 40}, "b"),
        (WINDOW, {"a": -43, "b": 1}, None),
        (WINDOW, {"a": -42, "b": 1}, "a"),
        (WINDOW, {"a": -5, "b": 0}, "b"),
        (BaselineRule(window_days=(0, 30)), {"a": -5, "b": 20}, "b"),
        (LAST, {"a": 3, "b": 40}, None),
        (LAST, {"a": -3, "b": -3}, None),
        (LAST, {"a": -3, "b": None}, None),
        (WINDOW, {"a": None, "b": None}, None),
        (LAST, {"scan_9": None, "scan_10": None}, "scan-10"),
        (FIRST, {"scan_10": None, "scan_9": None}, "scan-9"),
        (BaselineRule(pick=Pick.NAMED, scan="b"), {"a": -3, "b": 40}, "b"),
        (BaselineRule(pick=Pick.NAMED, scan="x"), {"a": -3, "b": 40}, None),
        (BaselineRule(pick=Pick.NAMED, scan="b", window_days=(-9, 0)), {"b": 40}, None),
        (LAST, {}, None),
        (LAST, {"07-02-2003-NA-PET": None, "01-05-2004-NA-PET": None}, None),
        (LAST, {"1.2.03": None, "3.4.02": None}, None),
        (LAST, {"2003-07-02": None, "2004-01-05": None}, "2004-01-05"),
        (LAST, {"20030702": None, "20040105": None}, "20040105"),
        (LAST, {"ses_20200131": None, "ses_2020_02_15": None}, "ses-2020-02-15"),
        (LAST, {"2020_1_31": None, "20200131": None}, None),
        (LAST, {"pre": None, "2020-01-31": None}, None),
        (LAST, {"31012020": None, "15022020": None}, None),
        (LAST, {"07-02-2003": -30, "01-05-2004": -3}, "01-05-2004"),
    ],
)
def test_a_rule_picks_one_scan_or_says_why_none(
    rule: BaselineRule, days: dict[str, int | None], expected: str | None
) -> None:
    """Days where all have one, names where none has; what lies outside is not taken."""
    assert picked(rule, *scans(**days)) == expected


@pytest.mark.parametrize(
    ("rule", "day", "is_undated"),
    [
        (WINDOW, None, True),
        (BaselineRule(pick=Pick.NAMED, scan="a", window_days=(-9, 0)), None, True),
        (WINDOW, -3, False),
        (LAST, None, False),
    ],
)
def test_a_scan_that_may_lie_outside_the_window_is_taken_and_told(
    rule: BaselineRule, day: int | None, *, is_undated: bool
) -> None:
    """Nobody wrote its day: that is common, and no reason to lose the case."""
    choice = choose_baseline(scans(a=day), rule)
    assert choice.scan is not None
    assert choice.is_undated is is_undated


@given(
    days=st.lists(st.integers(-400, 400), min_size=1, max_size=8, unique=True),
    window=st.tuples(st.integers(-300, 300), st.integers(0, 300)),
    is_last=st.booleans(),
)
def test_the_pick_is_the_extreme_of_what_lies_inside(
    days: list[int], window: tuple[int, int], *, is_last: bool
) -> None:
    """Whatever the order in which scans come."""
    begin, end = window[0], window[0] + window[1]
    rule = BaselineRule(pick=Pick.LAST if is_last else Pick.FIRST, window_days=(begin, end))
    several = [DatedScan(name=str(day), day=day) for day in days]
    inside = [day for day in days if begin <= day <= end]
    expected = str((max if is_last else min)(inside)) if inside else None
    assert picked(rule, *several) == expected
    assert picked(rule, *reversed(several)) == expected


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    """Somebody mixed the two up."""
    with pytest.raises(ConfigurationError, match="from day 0 to day -42"):
        BaselineRule(window_days=(0, -42))


def acquired(*days: int | None, **said: int) -> list[DatedScan]:
    """Return scans c, b, a, ... taken these days of a March, with the days that are said."""
    return [
        DatedScan(
            name=name,
            day=said.get(name),
            acquired=None if day is None else date(2020, 3, day),
        )
        for name, day in zip("cba", days, strict=False)
    ]


def test_scans_without_days_are_ordered_by_their_acquisition() -> None:
    """Not by their names; what may be after time zero is told apart from what is known not to."""
    assert (picked(LAST, *acquired(9, 5)), picked(FIRST, *acquired(9, 5))) == ("c", "b")
    assert picked(LAST, *acquired(9, None)) is None
    assert picked(LAST, *acquired(9, 9, 2)) is None
    assert picked(WINDOW, *acquired(9, 5)) is None
    assert choose_baseline(acquired(9, 5), LAST).by is Order.ACQUIRED
    assert choose_baseline(scans(a=-3, b=40), LAST).by is Order.DAY
    assert choose_baseline(scans(a=None, b=None), LAST).by is Order.NAME
    dated = scans(**{"2003_07_02": None, "20040105": None})
    assert choose_baseline(dated, LAST).by is Order.DATED_NAME


def test_no_order_is_believed_where_something_that_was_written_cannot_be_read() -> None:
    """It might have said another one."""
    unclear = [DatedScan(name="a"), DatedScan(name="b", is_unclear=True)]
    choice = choose_baseline(unclear, LAST)
    assert (choice.scan, choice.why) == (
        None,
        "what was written of when b was taken cannot be used",
    )


def test_one_day_and_the_dates_give_the_days_of_the_others() -> None:
    """However they were shifted; where two days contradict the dates, nothing follows."""
    counted, is_agreed = count_days(acquired(9, 5, None, b=-3))
    assert ([one.day for one in counted], is_agreed) == ([1, -3, None], True)
    assert picked(WINDOW, *counted) is None
    assert picked(WINDOW, *counted[:2]) == "b"
    counted, is_agreed = count_days(acquired(9, 5, 1, b=-3, c=2))
    assert ([one.day for one in counted], is_agreed) == ([2, -3, None], False)
    assert count_days(acquired(9, 5)) == (tuple(acquired(9, 5)), True)
