"""Patterns: a path gives its case and scan, or does not fit; bad patterns are refused."""

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
    assert (None if found is None else (found.case_id, found.scan)) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "PET.nii",
        "{case}{scan}.nii",
        "{cas}.nii",
        "{case",
        "/{case}",
        "../{case}",
        "{case}*********",
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
    assert found is not None
    assert (found.case_id, found.scan) == (case, scan)


def test_a_folder_at_the_top_may_be_a_cases() -> None:
    """Where the pattern has its place there."""
    assert match_folder("{case:sub-*}/pet/*.nii", "sub-01") == "sub-01"
    assert match_folder("{case:sub-*}/pet/*.nii", "code") is None
    assert match_folder("images/{case}.nii", "images") is None
    assert match_folder("{case}.nii", "A") is None
    assert match_folder("{case}_{scan}/pet.nii", "A_1") is None
