"""What is odd beside the other cases of a site."""

from dataclasses import replace

import numpy as np
import pytest

from fedmq.imaging.findings import Finding
from fedmq.imaging.report.facts import CaseFacts, Extent
from fedmq.imaging.report.site import doubts_of_site

EMPTY = np.zeros(0, np.int_)


def facts(case_id: str, *, body_suv: float | None = 0.8, spacing: float = 4.0) -> CaseFacts:
    """Return the facts of a case with a PET of this scale and spacing."""
    extent = Extent(spacing_mm=(4.0, 4.0, spacing), shape=(9, 9, 9))
    return CaseFacts(
        case_id=case_id,
        has_clinical=True,
        extents={"PET": extent},
        suv_max=10.0,
        body_suv=body_suv,
        hu_range=None,
        suv_counts=EMPTY,
        hu_counts=EMPTY,
        features=None,
    )


def usual(num_cases: int = 6) -> list[CaseFacts]:
    """Return cases that differ as patients do."""
    return [facts(f"{n}", body_suv=0.7 + 0.05 * n) for n in range(num_cases)]


def test_cases_that_are_alike_raise_no_doubt() -> None:
    """Nor does one without a PET, or with one that takes up nothing."""
    none = replace(facts("none", body_suv=None), extents={})
    assert doubts_of_site([*usual(), none, facts("zero", body_suv=0.0)]) == ()


@pytest.mark.parametrize(("times", "words"), [(2.6, "times more"), (0.1, "times less")])
def test_a_pet_on_another_scale_than_the_others_is_doubted(times: float, words: str) -> None:
    """Pounds for kilograms, and a dose in another unit; it is a doubt, and no fault."""
    (doubt,) = doubts_of_site([*usual(), facts("odd", body_suv=0.8 * times)])
    assert (doubt.case_id, doubt.code, doubt.is_doubt) == ("odd", "odd_scale", True)
    assert words in doubt.text


def test_what_is_known_to_be_unfit_is_not_doubted_as_well() -> None:
    """A PET in Bq/ml was found by itself."""
    known = Finding(case_id="odd", code="implausible_suv", text="", spoils=("PET",))
    assert doubts_of_site([*usual(), facts("odd", body_suv=2400.0)], [known]) == ()


def test_another_spacing_than_most_is_doubted_and_two_scanners_are_told_of_one() -> None:
    """The usual one is a spacing that cases have."""
    cases = [*usual(4), facts("a", spacing=6.0), facts("b", spacing=6.0)]
    doubts = doubts_of_site(cases)
    assert [(one.case_id, one.code) for one in doubts] == [
        ("a", "odd_spacing"),
        ("b", "odd_spacing"),
    ]
    assert "4 x 4 x 6 mm, those of most cases here 4 x 4 x 4" in doubts[0].text
    assert doubts_of_site([*usual(5), facts("near", spacing=4.5)]) == ()


def test_of_few_cases_nobody_can_tell_which_one_is_odd() -> None:
    """Five are needed."""
    assert doubts_of_site([*usual(3), facts("odd", body_suv=8.0, spacing=9.0)]) == ()
