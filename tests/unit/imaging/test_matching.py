"""Rows find their case where there is no doubt; the others are named."""

import unicodedata
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from fedmq.imaging.clinical import Row
from fedmq.imaging.matching import ids_of, match_names, rows_by_case, rows_of_scan


def test_alike_comes_before_nearly_alike() -> None:
    """007 is 007's, and 7 is nobody's then."""
    found = match_names({"007", "7"}, {"007", "B"})
    assert (found.aliases, found.rows_without_case, found.cases_without_row) == ({}, ("7",), ("B",))
    assert found.num_matched == 1


def test_what_a_spreadsheet_did_to_ids_is_undone_where_one_is_meant() -> None:
    """And told: leading zeros, a point or comma zero, capitals, BIDS's prefix."""
    found = match_names({"7", "8.0", "9,0", "ab", "12"}, {"007", "008", "9", "AB", "sub-12"})
    assert found.aliases == {"12": "sub-12", "7": "007", "8.0": "008", "9,0": "9", "ab": "AB"}
    assert (found.rows_without_case, found.cases_without_row) == ((), ())


def test_an_id_that_could_be_two_cases_is_neither() -> None:
    """Nor are two ids that could be one case."""
    found = match_names({"7"}, {"007", "07"})
    assert (found.aliases, found.doubts) == ({}, {"7": ("007", "07")})
    assert found.cases_without_row == ("007", "07")
    assert match_names({"7", "07"}, {"007"}).doubts == {"07": ("007",), "7": ("007",)}


def test_cases_that_differ_in_a_space_alone_are_a_doubt() -> None:
    """Whoever reads gives the row to neither, until an alias says whose it is."""
    cases, rows = {"p1", "p1 "}, [Row(number=2, case_id="p1", scan="", cells={})]
    found = match_names({"p1"}, cases)
    assert (found.doubts, found.num_matched) == ({"p1": ("p1", "p1 ")}, 0)
    assert rows_by_case(rows, cases, {}) == {}
    assert ids_of({"p1 "}, {}, others={"p1"}) == frozenset()
    assert match_names({"p1"}, cases, known={"p1": "p1 "}).num_matched == 1
    assert rows_by_case(rows, cases, {"p1": "p1 "}).keys() == {"p1 "}


def test_what_was_known_stays() -> None:
    """An alias of before holds when another case comes that it could be, too."""
    assert match_names({"7"}, {"007", "07"}, known={"7": "007"}).aliases == {"7": "007"}
    for ids, cases in (({"7"}, {"B"}), ({"8"}, {"007"}), ({"7"}, {"7", "007"}), (set(), set())):
        found = match_names(ids, cases, known={"7": "007"})
        assert (found.aliases, found.unused, found.known) == ({}, {"7": "007"}, {"7": "007"})


def test_what_an_alias_names_is_guessed_for_nothing_else() -> None:
    """While a case or its row is away, the other stays alone: a guess in its place would stay."""
    away = match_names({"7", "p3"}, {"007", "p3"}, known={"7": "P-7"})
    assert (away.aliases, away.known, away.doubts) == ({}, {"7": "P-7"}, {})
    assert (away.rows_without_case, away.cases_without_row) == (("7",), ("007",))
    back = match_names({"7", "p3"}, {"007", "p3", "P-7"}, known=away.known)
    assert (back.aliases, back.unused) == ({"7": "P-7"}, {})
    assert match_names({"7"}, {"007"}, known={"P7": "007"}).aliases == {}


def test_many_aliases_cost_no_more_looks_at_the_cases() -> None:
    """Each looked at all cases anew: of 8000, they took a quarter of a minute."""

    class Looked(list[str]):
        num_times = 0

        def __iter__(self) -> Iterator[str]:
            self.num_times += 1
            return super().__iter__()

    ids, cases = [str(one) for one in range(50)], Looked(f"{one:03}" for one in range(50))
    match_names(ids, cases)
    num_times, cases.num_times = cases.num_times, 0
    assert match_names(ids, cases, known=dict(zip(ids, list(cases), strict=True))).num_matched == 50
    assert cases.num_times <= num_times + 1


def test_accents_composed_or_not_are_alike() -> None:
    """In files and in tables."""
    composed = "Zo\u00e9"
    found = match_names({composed}, {unicodedata.normalize("NFD", composed)})
    assert (found.num_matched, found.aliases) == (1, {})


names = st.text(alphabet="0127aA.", min_size=1, max_size=4).map(str.strip).filter(bool)


@given(ids=st.sets(names, max_size=6), cases=st.sets(names, max_size=6))
def test_every_name_is_told_of_and_no_case_has_two_ids(ids: set[str], cases: set[str]) -> None:
    """Nothing is dropped; and what the trainer reads by is the same."""
    found = match_names(ids, cases)
    matched = ids - set(found.rows_without_case)
    rows = [Row(number=2, case_id=one, scan="", cells={}) for one in sorted(ids)]
    by_case = rows_by_case(rows, cases, found.aliases)
    assert {one.case_id for some in by_case.values() for one in some} == matched
    assert all(len(some) == 1 for some in by_case.values())
    assert set(by_case) == cases - set(found.cases_without_row)
    assert len(by_case) == found.num_matched
    assert set(found.doubts) <= set(found.rows_without_case)
    for case in cases:
        own = ids_of({case}, found.aliases, others=cases - {case})
        assert own & ids == {one.case_id for one in by_case.get(case, ())}


def test_what_is_alike_comes_before_an_alias_for_whoever_reads() -> None:
    """A case that came after the last check has its own row, and one with a row no second one."""
    rows = [Row(number=2, case_id="7", scan="", cells={})]
    assert rows_by_case(rows, {"007"}, {"7": "007"}).keys() == {"007"}
    assert rows_by_case(rows, {"007", "7"}, {"7": "007"}).keys() == {"7"}
    rows.append(Row(number=3, case_id="007", scan="", cells={}))
    assert rows_by_case(rows, {"007"}, {"7": "007"}) == {"007": (rows[1],)}
    assert ids_of({"7"}, {"7": "007"}, others={"007"}) == {"7"}
    assert ids_of({"007"}, {"7": "007"}, others={"7"}) == {"007"}


def test_the_row_of_the_scan_is_the_cases() -> None:
    """However the scan is called there; never that of another scan, be it the only one."""
    first, second, any_scan = rows = [
        Row(number=2, case_id="A", scan="1", cells={"kg": "70"}),
        Row(number=3, case_id="A", scan="ses-02", cells={"kg": "68"}),
        Row(number=4, case_id="A", scan="", cells={"kg": "69"}),
    ]
    assert rows_of_scan(rows, "ses-2") == [second]
    assert rows_of_scan(rows, "scan-1") == [first]
    assert rows_of_scan(rows, "scan-3") == [any_scan]
    assert rows_of_scan(rows, "") == rows
    assert rows_of_scan([second], "scan-1") == rows_of_scan([], "scan-1") == []
