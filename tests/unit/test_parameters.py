"""Named arrays and their bytes."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedmq.errors import ParametersError
from fedmq.parameters import (
    BFLOAT16,
    Array,
    cast_array,
    file_layout,
    first_nonfinite,
    header_bytes,
    is_finite,
    load_parameters,
    parameters_bytes,
    read_layout,
    read_parameters,
    read_slice,
    require_same_shapes,
    save_parameters,
    subtract_array,
    widen_bfloat16,
    write_parameters,
)
from tests.support.bfloat16 import as_numbers, nearest_bits, of_bits
from tests.support.files import stored

BITS = st.integers(0, 0xFFFF)
FINITE_BITS = BITS.filter(lambda bits: bits & 0x7F80 != 0x7F80)
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


def test_a_file_that_gets_shorter_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """Somebody else's process may still have it: half an array is none."""
    path = tmp_path / "m.safetensors"
    save_parameters({"w": np.arange(10, dtype=np.float32)}, path)
    with path.open("r+b") as file:
        (tensor,) = file_layout(stored(path)).tensors
        assert read_slice(stored(path), tensor, 3, 2).tolist() == [3, 4]
        file.truncate(path.stat().st_size - 1)
        with pytest.raises(ParametersError, match="'w'"):
            read_slice(stored(path), tensor, 8, 2)


def test_a_difference_keeps_the_type() -> None:
    """Floats and integers are subtracted; booleans that differ are true."""
    one, two = np.array([1.5, 1.0], np.float32), np.array([1, 2], np.float32)
    difference = subtract_array(one, two)
    assert (difference.dtype, difference.tolist()) == (np.float32, [0.5, -1.0])
    counts = subtract_array(np.array([7], np.int64), np.array([9], np.int64))
    assert (counts.dtype, counts.tolist()) == (np.int64, [-2])
    seen = subtract_array(np.array([True, True]), np.array([True, False]))
    assert (seen.dtype, seen.tolist()) == (np.bool_, [False, True])


# bfloat16, against rational numbers, which round nowhere.


def test_every_bfloat16_is_the_upper_half_of_a_float32_and_comes_back() -> None:
    """All 65,536 of them; NaN comes back as one."""
    every = of_bits(range(2**16))
    wide = widen_bfloat16(every)
    assert wide.dtype == np.float32
    expected = [int.from_bytes(bits.to_bytes(2, "big") + bytes(2), "big") for bits in range(2**16)]
    np.testing.assert_array_equal(wide.view("<u4"), expected)
    back = cast_array(wide, BFLOAT16)
    numbers = ~np.isnan(wide)
    np.testing.assert_array_equal(back[numbers], every[numbers])
    assert np.isnan(widen_bfloat16(back)[~numbers]).all()


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(float(np.finfo(np.float32).max))
@example(1 + 2.0**-8)
@example(1 + 3 * 2.0**-8)
@example(-(2.0**-134))
def test_a_float32_becomes_the_nearest_bfloat16_halves_to_even(number: float) -> None:
    """Among all numbers that there are; beyond the largest it is infinity."""
    found = cast_array(np.array([number], np.float32), BFLOAT16)
    assert found["bfloat16"].tolist() == [nearest_bits(Fraction(number), number)]


@pytest.mark.parametrize("bits", [0x7F800001, 0x7FFFFFFF, 0xFF800001, 0xFFFFFFFF])
def test_nan_stays_nan_whatever_its_bits(bits: int) -> None:
    """Rounding its bits would make of some infinity, and of others zero."""
    nan = np.array([bits], "<u4").view("<f4")
    assert not is_finite(cast_array(nan, BFLOAT16))
    assert np.isnan(widen_bfloat16(cast_array(nan, BFLOAT16))).all()


@given(FINITE_BITS, FINITE_BITS)
@example(0x3F80, 0x3380)
@example(0x7F7F, 0xFF7F)
@example(0x3F81, 0x3F80)
def test_a_difference_of_bfloat16_is_the_exact_one_rounded_once(after: int, before: int) -> None:
    """Float32 in between loses nothing that bfloat16 would have kept."""
    one, two = as_numbers([after, before])
    exact = Fraction(one) - Fraction(two)
    with np.errstate(over="ignore"):
        found = subtract_array(of_bits([after]), of_bits([before]))
    assert found.dtype == BFLOAT16
    assert found["bfloat16"].tolist() == [nearest_bits(exact, one - two)]


@given(BITS)
def test_a_bfloat16_is_finite_unless_its_exponent_is_full(bits: int) -> None:
    """Neither the bits as whole numbers nor as float16 say so."""
    is_number = (bits >> 7) & 0xFF != 0xFF
    assert is_finite(of_bits([0, bits])) == is_number
    assert first_nonfinite({"a": np.ones(1), "b": of_bits([bits])}) == (None if is_number else "b")


def test_numpy_does_not_count_with_the_bits_of_bfloat16() -> None:
    """A plan that forgets to widen is told so, and learns no nonsense."""
    one = of_bits([0x3F80])
    with pytest.raises(TypeError):
        np.subtract(one, one)  # type: ignore[call-overload]


@pytest.mark.parametrize("shape", [(), (0,), (6,), (2, 3)])
def test_bfloat16_goes_to_a_file_and_back_under_its_name(shape: tuple[int, ...]) -> None:
    """Beside integers of the same width, which stay integers."""
    bits = np.arange(1, 7, dtype="<u2")[: int(np.prod(shape))].reshape(shape)
    content = parameters_bytes({"h": bits.view(BFLOAT16), "u": bits})
    layout = read_layout(content, len(content))
    assert {tensor.name: tensor.dtype for tensor in layout.tensors} == {"h": "BF16", "u": "U16"}
    found = read_parameters(content)
    assert (found["h"].dtype, found["h"].shape) == (BFLOAT16, shape)
    np.testing.assert_array_equal(found["h"]["bfloat16"], bits)
    assert parameters_bytes(found) == content


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
