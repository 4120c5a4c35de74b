"""Patterns: a path gives its case and scan, or does not fit; bad patterns are refused."""

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import ConfigurationError
from fedmq.imaging.layouts.patterns import match_folder, match_path


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{case}/PET.nii.gz", "A b.c/pet.NII.gz", ("A b.c", "")),
        ("{case}/PET.nii.gz", "A/b/PET.nii.gz", None),
        ("{case}_{scan}_pt.nii*", "p1_2_pt.nii.gz", ("p1", "2")),
        ("{case}/{scan}/{case}_*.nii", "A/x/A_pet.nii", ("A", "x")),
        ("{case}/{scan}/{case}_*.nii", "A/x/B_pet.nii", None),
        ("{case:CHUP-???}__PT.nii", "CHUP-001__PT.nii", ("CHUP-001", "")),
        ("{case:CHUP-???}__PT.nii", "CHUM-001__PT.nii", None),
        ("{case}(1)+.nii", "A(1)+.nii", ("A", "")),
        ("x/{case}.nii", "x/.nii", None),
    ],
)
def test_a_pattern_finds_case_and_scan(
    pattern: str, path: str, expected: tuple[str, str] | None
) -> None:
    """Stars stay in one name; what is not a place or a star is meant as it stands."""
    found = match_path(pattern, path)
    assert [(one.case_id, one.scan) for one in found] == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    "pattern",
    [
        "PET.nii",
        "{case}{scan}.nii",
        "{cas}.nii",
        "{case",
        "/{case}",
        "../{case}",
        "*{case}*{scan}*.nii",
        "*_*_{case}_{scan}.nii",
        "{case:*-*-*-*}/pet.nii",
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    """With an example of one."""
    with pytest.raises(ConfigurationError, match="is no pattern of a data map"):
        match_path(pattern, "")


name = st.text(alphabet="ab01 .é-", min_size=1, max_size=6)


@given(case=name, scan=name)
def test_what_is_written_by_a_pattern_is_read_by_it(case: str, scan: str) -> None:
    """Names of any characters but the slash."""
    found = match_path("x/{case}/{scan}_pet.nii.gz", f"x/{case}/{scan}_pet.nii.gz")
    assert [(one.case_id, one.scan) for one in found] == [(case, scan)]


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{case}_{scan}_ct.nii", "A_B_pre_ct.nii", {("A", "B_pre"), ("A_B", "pre")}),
        ("{case}_{scan}_ct.nii", "A_B_C_D_ct.nii", {("A", "B_C_D"), ("A_B_C", "D")}),
        ("{case}_*.nii", "A_B_x.nii", {("A", ""), ("A_B", "")}),
        ("*_{case}.nii", "x_A_B.nii", {("A_B", ""), ("B", "")}),
        ("{case}/{scan}_*.nii", "A/pre_2_x.nii", {("A", "pre"), ("A", "pre_2")}),
        ("{case:L_*}_{scan}.nii", "L_1_a_b.nii", {("L_1", "a_b"), ("L_1_a", "b")}),
        ("{case:L_???}_{scan}.nii", "L_001_a_b.nii", {("L_001", "a_b")}),
        ("{case:L_*}_{scan}.nii", "L_1_a.nii", {("L_1", "a")}),
        ("{case}/{case}_{scan}.nii", "A_B/A_B_pre_1.nii", {("A_B", "pre_1")}),
        ("*{case:P??}*_pet.nii", "P01_P02_P01_pet.nii", {("P01", ""), ("P02", "")}),
        ("*{case:P??}*_pet.nii", "x_P01_y_pet.nii", {("P01", "")}),
        ("*{case:?}*.nii", "aAa.nii", {("a", ""), ("A", "")}),
    ],
)
def test_what_can_be_read_in_two_ways_is_read_in_both(
    pattern: str, path: str, expected: set[tuple[str, str]]
) -> None:
    """Nobody could tell which is meant; what cases look like, or a folder for each, settles it."""
    assert {(one.case_id, one.scan) for one in match_path(pattern, path)} == expected


def test_many_stars_find_what_they_would_one_by_one() -> None:
    """And end: each star behind the names made the search longer by the length of the path."""
    pattern = "*/*/*/{case}_{scan}" + "*_" * 12 + "ct.nii.gz"
    name = "_".join(["a"] * 100)
    assert match_path(pattern, f"x/y/z/{name}_pt.nii.gz") == ()
    assert len(match_path(pattern, f"x/y/z/{name}_ct.nii.gz")) == 2


parts = st.lists(
    st.sampled_from(["{case}", "{case:?}", "{case:a?}", "{scan}", "*", "?", "_", "a", "_a_"]),
    min_size=1,
    max_size=6,
)


@given(parts=parts.map("".join), name=st.text(alphabet="ab_", min_size=1, max_size=7))
def test_one_reading_is_the_only_one(parts: str, name: str) -> None:
    """Of all cases and scans that the pattern could mean, put in their places."""
    try:
        found = match_path(parts, name)
    except ConfigurationError:
        return
    pieces = {name[i:j] for i in range(len(name)) for j in range(i + 1, len(name) + 1)}
    scans = pieces if "{scan}" in parts else {""}
    place = re.compile(r"\{case:?([^}]*)\}")
    like = place.findall(parts)[0] or "*"
    ways = {
        (case, scan)
        for case in pieces
        for scan in scans
        if fnmatchcase(case, like)
        and fnmatchcase(name, place.sub(case, parts).replace("{scan}", scan))
    }
    assert {(one.case_id, one.scan) for one in found} <= ways
    assert min(len(ways), 2) == len(found)


def test_a_folder_at_the_top_may_be_a_cases() -> None:
    """Where the pattern has its place there."""
    assert match_folder("{case:sub-*}/pet/*.nii", "sub-01") == "sub-01"
    assert match_folder("{case:sub-*}/pet/*.nii", "code") is None
    assert match_folder("images/{case}.nii", "images") is None
    assert match_folder("{case}.nii", "A") is None
    assert match_folder("{case}_{scan}/pet.nii", "A_1") is None
