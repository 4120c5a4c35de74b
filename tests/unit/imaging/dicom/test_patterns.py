"""Patterns: what an operator writes means what it says."""

import pytest

from fedmq.imaging.dicom.patterns import matches


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("PET WB [AC]", "pet wb [ac]", True),
        ("PET WB A", "PET WB [AC]", False),
        ("GTV[1]", "gtv[?]", True),
        ("GTV !x]", "GTV *]", True),
        ("GTV", "GT", False),
    ],
)
def test_stars_and_question_marks_alone_are_special(name: str, pattern: str, fits: bool) -> None:  # noqa: FBT001 - a parameter
    """Archives write brackets and other marks into descriptions and names."""
    assert matches(name, pattern) is fits
