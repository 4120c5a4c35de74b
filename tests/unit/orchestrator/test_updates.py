"""Updates: what may be folded, and what may not, in every type of numbers."""

import os
from pathlib import Path

import numpy as np
import pytest

from fedmq.encodings import reader
from fedmq.encodings.reader import Fault
from fedmq.orchestrator.updates import MISSHAPEN, find_fault
from fedmq.parameters import Array, save_parameters
from tests.support.bfloat16 import of_bits
from tests.support.files import stored

BLOCK = reader._BLOCK_BYTES
BF16_NAN, BF16_INF, BF16_ONE = 0x7FC0, 0xFF80, 0x3F80


def write(folder: Path, name: str, arrays: dict[str, Array]) -> Path:
    """Write arrays to a file and return its path."""
    path = folder / name
    save_parameters(arrays, path)
    return path


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_found_in_every_float_type(
    tmp_path: Path, dtype: str, value: float
) -> None:
    """One among many, in the last array."""
    model = {"a": np.ones(3, dtype), "b": np.ones((2, 5), dtype)}
    update = {name: array.copy() for name, array in model.items()}
    reference = write(tmp_path, "model", model)
    assert find_fault(stored(write(tmp_path, "good", update)), stored(reference)) is None
    update["b"][1, 4] = value
    assert find_fault(stored(write(tmp_path, "bad", update)), stored(reference)) == Fault.NOT_FINITE


@pytest.mark.parametrize("bits", [BF16_NAN, BF16_INF])
def test_a_number_that_is_none_is_found_in_bfloat16(tmp_path: Path, bits: int) -> None:
    """Its bits are no uint16 and no float16: 0x7C00, infinity there, is a number here."""
    reference = write(tmp_path, "model", {"w": of_bits([BF16_ONE] * 3)})
    good = write(tmp_path, "good", {"w": of_bits([BF16_ONE, 0x7C00, 0xFC00])})
    assert find_fault(stored(good), stored(reference)) is None
    bad = write(tmp_path, "bad", {"w": of_bits([BF16_ONE, BF16_ONE, bits])})
    assert find_fault(stored(bad), stored(reference)) == Fault.NOT_FINITE


def test_integers_are_always_numbers(tmp_path: Path) -> None:
    """Whatever their bits would be as floats."""
    arrays: dict[str, Array] = {
        "i": np.full(3, -1, "<i8"),
        "u": np.full(3, 0x7FC0, "<u2"),
        "b": np.array([True, False]),
    }
    reference = write(tmp_path, "model", arrays)
    assert find_fault(stored(write(tmp_path, "update", arrays)), stored(reference)) is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"w": np.ones((3, 2), "<f4")},
        {"w": np.ones(6, "<f4")},
        {"w": np.ones((2, 4), "<f4")},
        {"w": np.ones((2, 3), "<f8")},
        {"v": np.ones((2, 3), "<f4")},
        {"w": np.ones((2, 3), "<f4"), "v": np.ones(1, "<f4")},
        {},
    ],
)
def test_other_arrays_than_the_models_are_refused(tmp_path: Path, arrays: dict[str, Array]) -> None:
    """Another shape, size, type, name or number of arrays."""
    reference = write(tmp_path, "model", {"w": np.ones((2, 3), "<f4")})
    assert find_fault(stored(write(tmp_path, "update", arrays)), stored(reference)) == MISSHAPEN


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        b"garbage of some length",
        (2**63).to_bytes(8, "little"),
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"\xff\xfe",
        (4).to_bytes(8, "little") + b"[[[[",
    ],
)
def test_what_is_no_parameters_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Garbage of every kind has the same name."""
    reference = write(tmp_path, "model", {"w": np.ones(1)})
    garbage = tmp_path / "garbage"
    garbage.write_bytes(content)
    assert find_fault(stored(garbage), stored(reference)) == MISSHAPEN


def test_a_file_that_is_cut_off_or_goes_on_is_refused(tmp_path: Path) -> None:
    """The header is right, the numbers are not there."""
    reference = write(tmp_path, "model", {"w": np.ones(8)})
    whole = reference.read_bytes()
    for name, content in {"short": whole[:-1], "long": whole + b"\0"}.items():
        (tmp_path / name).write_bytes(content)
        assert find_fault(stored(tmp_path / name), stored(reference)) == MISSHAPEN


@pytest.mark.parametrize("position", [0, BLOCK // 4 - 1, BLOCK // 4, -1])
def test_every_block_of_a_large_array_is_looked_at(tmp_path: Path, position: int) -> None:
    """The first and last number of a block, and the last of a block that is cut short."""
    model = {"w": np.zeros(BLOCK // 4 * 2 + 7, "<f4")}
    reference = write(tmp_path, "model", model)
    model["w"][position] = np.nan
    assert (
        find_fault(stored(write(tmp_path, "update", model)), stored(reference)) == Fault.NOT_FINITE
    )


def test_no_more_than_a_block_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory does not grow with the model."""
    model = {"w": np.zeros(BLOCK, "<f4")}
    reference = write(tmp_path, "model", model)
    lengths: list[int] = []
    pread = os.pread

    def noted(descriptor: int, length: int, offset: int) -> bytes:
        lengths.append(length)
        return pread(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", noted)
    assert find_fault(stored(reference), stored(reference)) is None
    assert max(lengths) == BLOCK
    assert sum(lengths) >= 4 * BLOCK
