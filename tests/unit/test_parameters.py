"""Named arrays and their bytes."""

import io
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmq.errors import ParametersError
from fedmq.parameters import (
    Array,
    first_nonfinite,
    header_bytes,
    load_parameters,
    parameters_bytes,
    read_layout,
    read_parameters,
    require_same_shapes,
    save_parameters,
    subtract,
    write_parameters,
)

TYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]


@st.composite
def some_parameters(draw: st.DrawFn) -> dict[str, Array]:
    """Return a few arrays of any type and of up to three axes, empty and scalar ones too."""
    names = draw(st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=6))
    generator = np.random.default_rng(draw(st.integers(0, 1000)))
    arrays: dict[str, Array] = {}
    for name in names:
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        numbers = generator.random(shape) * 100
        arrays[name] = np.asarray(numbers).astype(draw(st.sampled_from(TYPES)))
    return arrays


@settings(deadline=None)
@given(some_parameters())
def test_the_bytes_are_those_of_the_safetensors_library(parameters: dict[str, Array]) -> None:
    """Another implementation of the format writes exactly the same file."""
    assert parameters_bytes(parameters) == safetensors.numpy.save(parameters)


@settings(deadline=None)
@given(some_parameters())
def test_arrays_come_back_with_their_types_and_shapes(parameters: dict[str, Array]) -> None:
    """Reading what was written gives equal arrays."""
    found = read_parameters(parameters_bytes(parameters))
    assert found.keys() == parameters.keys()
    for name, array in parameters.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_equal_parameters_have_equal_bytes_in_whatever_order_they_are_given() -> None:
    """The order of a mapping leaves no trace."""
    a, b = np.ones(3, np.float32), np.zeros((2, 2), np.float64)
    assert parameters_bytes({"a": a, "b": b}) == parameters_bytes({"b": b, "a": a})


def test_arrays_that_are_not_contiguous_or_big_endian_travel() -> None:
    """What counts is the values, not how they lie in memory."""
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    big = np.arange(4, dtype=">f8")
    found = read_parameters(parameters_bytes({"t": transposed, "b": big}))
    np.testing.assert_array_equal(found["t"], transposed)
    np.testing.assert_array_equal(found["b"], big)


@pytest.mark.parametrize("array", [np.ones(2, np.complex64), np.array(["a"]), np.array([None])])
def test_types_that_do_not_travel_are_refused_by_name(array: Array) -> None:
    """Complex numbers, text and objects are named in the error."""
    with pytest.raises(ParametersError, match="'odd'"):
        parameters_bytes({"odd": array})


def test_every_truncation_of_a_file_is_refused() -> None:
    """A file cut anywhere is no parameters file."""
    whole = parameters_bytes({"a": np.arange(5, dtype=np.float32), "b": np.ones(2, np.uint8)})
    for length in range(len(whole)):
        with pytest.raises(ParametersError):
            read_parameters(whole[:length])


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"a":1}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,4]}}',
        (
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
            b'"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
        ),
        b"{" * 5000,
    ],
)
def test_a_header_that_lies_is_refused(header: bytes) -> None:
    """Gaps, overlaps, sizes that do not add up, unknown types, a depth bomb."""
    with pytest.raises(ParametersError):
        read_parameters(len(header).to_bytes(8, "little") + header + bytes(4))


def test_a_header_that_claims_more_than_the_limit_is_refused() -> None:
    """The claim alone is enough; nothing is read or allocated for it."""
    with pytest.raises(ParametersError, match="claims"):
        read_layout(b"\xff" * 8, 8)


def test_a_layout_alone_gives_the_header_back() -> None:
    """A fold writes the header first and the slices after it, without the arrays in memory."""
    file = io.BytesIO()
    layout = write_parameters({"w": np.ones((2, 3), np.float32), "n": np.ones(1, np.int64)}, file)
    assert file.getvalue().startswith(header_bytes(layout))
    assert read_layout(file.getvalue(), layout.size_bytes) == layout


def test_a_file_is_written_whole_and_mapped_back(tmp_path: Path) -> None:
    """Saving leaves the file and nothing beside it; loading maps it read-only."""
    save_parameters({"w": np.arange(3, dtype=np.float32)}, tmp_path / "m.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]
    loaded = load_parameters(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded["w"], [0, 1, 2])
    assert not loaded["w"].flags.writeable


def test_an_update_is_local_minus_global_in_the_type_of_the_global() -> None:
    """A difference keeps names, shapes and types."""
    before: dict[str, Array] = {"w": np.array([1, 2], np.float32), "seen": np.array([True, False])}
    after: dict[str, Array] = {"w": np.array([1.5, 1.0]), "seen": np.array([True, True])}
    update = subtract(after, before)
    np.testing.assert_array_equal(update["w"], np.array([0.5, -1.0], np.float32))
    assert update["w"].dtype == np.float32
    np.testing.assert_array_equal(update["seen"], [False, True])


def test_parameters_of_another_model_are_refused_with_the_first_difference() -> None:
    """Missing, unknown and misshapen arrays are each named."""
    declared: dict[str, Array] = {"w": np.ones(2), "b": np.ones(1)}
    with pytest.raises(ParametersError, match=r"missing \['b'\], unknown \['c'\]"):
        require_same_shapes({"w": np.ones(2), "c": np.ones(1)}, declared)
    with pytest.raises(ParametersError, match=r"'w' has shape \(3,\), declared \(2,\)"):
        require_same_shapes({"w": np.ones(3), "b": np.ones(1)}, declared)


def test_the_first_array_that_is_not_finite_is_named() -> None:
    """NaN and infinity are found in floating arrays; integers are always finite."""
    good: dict[str, Array] = {"a": np.ones(2), "n": np.ones(2, np.int32)}
    assert first_nonfinite(good) is None
    assert first_nonfinite(good | {"b": np.array([1, np.nan], np.float16)}) == "b"
    assert first_nonfinite(good | {"c": np.array([np.inf])}) == "c"
