"""Names of scans: their order, and which dates in them can be believed."""

from datetime import date

import pytest

from fedmq.imaging.scan_names import date_in, has_unclear_date, name_order


def test_names_are_in_the_order_of_their_numbers() -> None:
    """As people count."""
    names = ["ses-10", "ses-2", "ses-1", "SES-3", "ses-b"]
    assert sorted(names, key=name_order) == ["ses-1", "ses-2", "SES-3", "ses-10", "ses-b"]


@pytest.mark.parametrize(
    "name",
    ["ses-20200131", "2020-01-31", "2020.1.31_PET", "PET 2020_01_31", "20200131T1405", "x20200131"],
)
def test_a_date_that_begins_with_its_year_is_one(name: str) -> None:
    """In whatever else stands beside it."""
    assert date_in(name) == date(2020, 1, 31)
    assert not has_unclear_date(name)


@pytest.mark.parametrize(
    "name",
    [
        "31-01-2020",
        "01.31.20",
        "20-01-31",
        "31012020",
        "ses-01312020",
        "200131",
        "2020-31-01",
        "20203101",
        "31Jan2020",
        "2020-Mar-05",
        "5 März 2020",
        "Août-5",
        "20200131-20200215",
    ],
)
def test_a_date_that_could_be_another_is_unclear(name: str) -> None:
    """Day or month first, two digits of a year, months as words, two dates."""
    assert date_in(name) is None
    assert has_unclear_date(name)


@pytest.mark.parametrize(
    "name",
    ["", "ses-1", "scan-10", "123456", "12345678", "decay1", "ses-may", "1234-56-78", "0001"],
)
def test_other_numbers_and_words_are_no_dates(name: str) -> None:
    """They are sorted as names are."""
    assert date_in(name) is None
    assert not has_unclear_date(name)
