"""Selection: nobody is left out without being counted, once, for one reason."""

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.learning.clinical_features import Scaling
from fedmq.learning.plan import Ratio
from fedmq.learning.selection import Wanted, select_cases

NOTHING: Final = Scaling(columns=(), centres=(), scales=())
AGE: Final = Scaling(columns=("age",), centres=(65.0,), scales=(10.0,))


def a_case(volumes: frozenset[str], *, age: str = "", months: str = "5") -> Case:
    """Return a case; its files need not be there."""
    return Case(
        case_id="a",
        volumes={name: Path(name) for name in volumes},
        clinical={"age": age, "months": months, "ended": "1"},
    )


CASES: Final = st.lists(
    st.builds(
        a_case,
        st.frozensets(st.sampled_from(["PET", "CT", "MASK"])),
        age=st.sampled_from(["", "70"]),
        months=st.sampled_from(["", "5"]),
    ),
    max_size=10,
)


def wanted(features: Scaling = NOTHING, *, needs_all: bool = False) -> Wanted:
    """Return what cases are selected by."""
    return Wanted(
        time_column="months", event_column="ended", features=features, needs_all=needs_all
    )


@given(cases=CASES, features=st.sampled_from([NOTHING, AGE]), needs_all=st.booleans())
def test_selected_and_left_out_are_all(
    *, cases: list[Case], features: Scaling, needs_all: bool
) -> None:
    """Each case is in one count; who is selected has an outcome and something, or everything."""
    selection = select_cases(cases, wanted(features, needs_all=needs_all))
    chosen = selection.outcomes.cases
    assert list(chosen) == [
        case for case in cases if _is_of_use(case, features, needs_all=needs_all)
    ]
    left_out = [one for key, one in selection.counts.items() if key.startswith("left_out_")]
    assert len(left_out) == 3
    assert len(chosen) + sum(one.numerator for one in left_out) == len(cases)
    assert all(one.denominator == len(cases) for one in left_out)
    expected = sum("CT" in case.volumes for case in chosen)
    assert selection.counts["with_ct"] == Ratio(
        numerator=float(expected), denominator=float(len(chosen))
    )


def _is_of_use(case: Case, features: Scaling, *, needs_all: bool) -> bool:
    has = [name in case.volumes for name in ("PET", "CT")]
    has += [bool(case.clinical["age"])] if features.columns else []
    return bool(case.clinical["months"]) and (all(has) if needs_all else any(has))


def test_the_first_reason_counts() -> None:
    """A case of which nothing is known at all has no image; a mask alone is none."""
    cases = [
        a_case(frozenset({"MASK"}), months=""),
        a_case(frozenset({"PET"}), months=""),
        a_case(frozenset({"PET"})),
        a_case(frozenset({"PET", "CT"})),
    ]
    counts = select_cases(cases, wanted(needs_all=True)).counts
    assert {key: one.numerator for key, one in counts.items() if key.startswith("left")} == {
        "left_out_no_image": 1.0,
        "left_out_no_outcome": 1.0,
        "left_out_incomplete": 1.0,
    }


def test_a_case_with_a_feature_alone_is_learnt_from_where_features_are() -> None:
    """Its images are missing as others' features are."""
    cases = [a_case(frozenset(), age="70"), a_case(frozenset({"CT"}))]
    selection = select_cases(cases, wanted(AGE))
    assert len(selection.outcomes.cases) == 2
    assert selection.counts["with_clinical"] == Ratio(numerator=1.0, denominator=2.0)
    assert "with_clinical" not in select_cases(cases, wanted()).counts
    assert len(select_cases(cases, wanted()).outcomes.cases) == 1


def test_a_feature_that_no_case_has_is_misspelt() -> None:
    """As an outcome is."""
    nowhere = Scaling(columns=("aeg",), centres=(0.0,), scales=(1.0,))
    with pytest.raises(DatasetError) as caught:
        select_cases([a_case(frozenset({"PET"}))], wanted(nowhere))
    assert caught.value.code == "no_column"
