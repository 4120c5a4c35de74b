"""Clinical features: scaled where there is a number, zero and said to be missing where not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.learning.clinical_features import Scaling, read_features

AGE = Scaling(columns=("age",), centres=(65.0,), scales=(10.0,))


def aged(cell: str | None) -> Case:
    """Return a case with this cell, or without the column."""
    return Case(case_id="a", volumes={}, clinical={} if cell is None else {"age": cell})


@given(st.lists(st.one_of(st.none(), st.integers(0, 120)), max_size=8))
def test_a_feature_is_a_number_less_its_centre_over_its_scale(ages: list[int | None]) -> None:
    """In the order of the cases; who has none is at the centre, and marked."""
    features = read_features([aged(None if age is None else str(age)) for age in ages], AGE)
    assert features.presence[:, 0].tolist() == [age is not None for age in ages]
    expected = [0.0 if age is None else (age - 65) / 10 for age in ages]
    np.testing.assert_allclose(features.values[:, 0], expected)


def test_without_columns_there_are_cases_all_the_same() -> None:
    """Two rows of nothing."""
    empty = Scaling(columns=(), centres=(), scales=())
    features = read_features([aged("1"), aged("2")], empty)
    assert features.values.shape == features.presence.shape == (2, 0)


def test_a_cell_that_is_no_number_is_no_missing_one() -> None:
    """It is an error, with the case's name."""
    with pytest.raises(DatasetError) as caught:
        read_features([aged("old")], AGE)
    assert caught.value.code == "bad_value"


def test_each_column_has_its_centre_and_scale() -> None:
    """Said when the experiment is written."""
    with pytest.raises(ConfigurationError):
        Scaling(columns=("age", "ecog"), centres=(65.0,), scales=(10.0, 1.0))
