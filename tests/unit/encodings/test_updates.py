"""Encoded updates as files: what is written is what is read, and what is wrong is found first."""

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fedmq.encodings.kinds import EXACT, KINDS, Encoding, Kind, parse_encoding
from fedmq.encodings.layouts import TOP_K_BLOCK, encoded_layout, kind_of
from fedmq.encodings.reader import EncodedUpdate, Fault
from fedmq.encodings.writer import TooLargeError, UpdateWriter, working
from fedmq.errors import ParametersError
from fedmq.parameters import (
    Array,
    Layout,
    blocks,
    file_layout,
    load_parameters,
    save_parameters,
    widen_bfloat16,
)
from tests.support.bfloat16 import bits_of, of_bits
from tests.support.files import new_file, stored

ENCODINGS = [Encoding(kind=kind, share=0.02 if kind is Kind.TOP_K else 1.0) for kind in Kind]
SIZE = 2 * TOP_K_BLOCK + 4_711
MODEL: dict[str, Array] = {
    "b": np.zeros(3, "<f4"),
    "big": np.zeros(SIZE, "<f4"),
    "deep": np.zeros((2, 0, 4), "<f4"),
    "double": np.zeros((40, 50), "<f8"),
    "half": np.zeros(70, "<f2"),
    "mask": np.zeros(5, "?"),
    "one": np.zeros((), "<f4"),
    "other_half": of_bits([0] * 9),
    "steps": np.zeros(2, "<i8"),
}
each = pytest.mark.parametrize("encoding", ENCODINGS, ids=str)


def an_update(seed: int = 5) -> dict[str, Array]:
    """Return an update of the model, small numbers and a few large ones."""
    generator = np.random.default_rng(seed)
    update: dict[str, Array] = {}
    for name, array in MODEL.items():
        numbers = generator.standard_t(3, size=array.shape) / 100
        if name == "other_half":
            update[name] = of_bits([bits_of(1.5), 0, bits_of(-0.25)] * 3)
        elif array.dtype.kind == "f":
            update[name] = np.asarray(numbers, array.dtype)
        else:
            update[name] = np.asarray(numbers > 0).astype(array.dtype)
    return update


def layout_of(folder: Path) -> Layout:
    """Return the layout of the model."""
    save_parameters(MODEL, folder / "model")
    return file_layout(stored(folder / "model"))


def write(folder: Path, update: dict[str, Array], encoding: Encoding) -> dict[str, Array]:
    """Write an update to the file `update`; return what the writer says that is read of it."""
    layout = layout_of(folder)
    writer = UpdateWriter(layout, encoding, new_file(folder / "update"))
    sent: dict[str, Array] = {}
    for tensor in layout.tensors:
        array = update[tensor.name].reshape(-1)
        is_exact = kind_of(tensor, encoding) is Kind.EXACT
        numbers = array if is_exact else working(tensor, array)
        pieces = [
            writer.write(tensor, start, numbers[start : start + length])
            for start, length in blocks(tensor.num_items, TOP_K_BLOCK)
        ]
        sent[tensor.name] = np.concatenate(pieces) if pieces else numbers
    return sent


def opened(folder: Path, encoding: Encoding) -> EncodedUpdate:
    """Return the file `update`."""
    return EncodedUpdate(stored(folder / "update"), layout_of(folder), encoding)


@each
def test_what_is_read_is_what_the_writer_said_in_slices_of_any_length(
    tmp_path: Path, encoding: Encoding
) -> None:
    """To the last bit: a residual would be wrong by the rest."""
    sent = write(tmp_path, an_update(), encoding)
    update = opened(tmp_path, encoding)
    assert update.find_fault() is None
    for tensor in layout_of(tmp_path).tensors:
        wide = widen_bfloat16(sent[tensor.name]).astype(np.float64)
        for length in {1_000, 8_371, 65_536, 70_001, max(1, tensor.num_items)}:
            pieces = [update.read(tensor, *piece) for piece in blocks(tensor.num_items, length)]
            found = np.concatenate(pieces) if pieces else np.zeros(0)
            assert found.tobytes() == wide.tobytes(), (tensor.name, length)


@each
def test_the_file_has_the_size_that_its_encoding_promises(
    tmp_path: Path, encoding: Encoding
) -> None:
    """Of one array of float32, beside the header."""
    write(tmp_path, an_update(), encoding)
    update = load_parameters(tmp_path / "update")
    found = sum(array.nbytes for name, array in update.items() if name.split("/")[0] == "big")
    chosen = 2 * 1_311 + 95
    scales = 4 * -(-SIZE // 1024)
    assert (
        found
        == {
            Kind.EXACT: 4 * SIZE,
            Kind.BF16: 2 * SIZE,
            Kind.FP16: 2 * SIZE,
            Kind.INT8: SIZE + scales,
            Kind.TOP_K: (4 + 2) * chosen,
        }[encoding.kind]
    )


@each
def test_whole_numbers_and_halves_arrive_as_they_were(tmp_path: Path, encoding: Encoding) -> None:
    """Halves are as small as bf16 and fp16 already; counters are no place for rounding."""
    wanted = an_update()
    sent = write(tmp_path, wanted, encoding)
    names = {"mask", "steps"} | (set() if encoding.has_feedback else {"half", "other_half"})
    for name in names:
        assert sent[name].tobytes() == wanted[name].tobytes()


@pytest.mark.parametrize(
    ("kind", "relative", "absolute"),
    [(Kind.BF16, 2.0**-8, 0.0), (Kind.FP16, 2.0**-11, 2.0**-25)],
)
def test_the_halves_round_to_the_nearest(
    tmp_path: Path, kind: Kind, relative: float, absolute: float
) -> None:
    """Half of the last of eight, or eleven, significant bits; fp16 has no less than 6e-8."""
    wanted = an_update()
    sent = write(tmp_path, wanted, Encoding(kind=kind))
    for name in ("b", "big", "double"):
        exact = wanted[name].reshape(-1).astype(np.float64)
        found = widen_bfloat16(sent[name]).astype(np.float64)
        assert (np.abs(found - exact) <= np.abs(exact) * relative * 1.001 + absolute).all()


def test_top_k_sends_the_largest_of_each_block_as_they_are(tmp_path: Path) -> None:
    """All others arrive as zeros."""
    wanted = an_update()["big"]
    sent = write(tmp_path, an_update(), ENCODINGS[-1])["big"]
    for start, length in blocks(SIZE, TOP_K_BLOCK):
        whole, part = wanted[start : start + length], sent[start : start + length]
        chosen = np.flatnonzero(part)
        assert len(chosen) == -(-length * 2 // 100)
        assert part[chosen].tobytes() == whole[chosen].tobytes()
        rest = np.abs(np.delete(whole, chosen)).max()
        assert np.abs(part[chosen]).min() >= rest


@each
def test_the_same_numbers_have_the_same_bytes(tmp_path: Path, encoding: Encoding) -> None:
    """Nothing is drawn, and nothing depends on how much is written at a time."""
    contents = []
    for _ in range(2):
        write(tmp_path, an_update(), encoding)
        contents.append((tmp_path / "update").read_bytes())
    assert contents[0] == contents[1]
    assert len(contents[0]) == encoded_layout(layout_of(tmp_path), encoding)[0].size_bytes


@pytest.mark.parametrize(
    ("kind", "number"), [(Kind.FP16, 70_000.0), (Kind.BF16, 3.4028e38), (Kind.INT8, 3.4028235e38)]
)
def test_a_number_that_an_encoding_has_no_room_for_is_not_sent(
    tmp_path: Path, kind: Kind, number: float
) -> None:
    """It would arrive as infinity."""
    update = an_update()
    update["b"] = np.array([0, number, 0], np.float32)
    with pytest.raises(TooLargeError, match="'b'"):
        write(tmp_path, update, Encoding(kind=kind))


def damage(folder: Path, name: str, array: Array) -> None:
    """Give the update in `folder` another array."""
    update = {key: value.copy() for key, value in load_parameters(folder / "update").items()}
    assert update[name].dtype == array.dtype
    update[name] = array
    save_parameters(update, folder / "damaged")
    (folder / "damaged").replace(folder / "update")


def with_one(array: Array, place: int, value: float) -> Array:
    """Return a copy with another number at a place."""
    copy = array.copy()
    copy.reshape(-1)[place] = value
    return copy


INT8, TOP_K = ENCODINGS[3], ENCODINGS[4]
WRONG = [
    (INT8, "big/scales", -1, np.nan, Fault.NOT_FINITE),
    (INT8, "big/scales", 0, np.inf, Fault.NOT_FINITE),
    (INT8, "double/scales", 0, 1.7e308, Fault.NOT_FINITE),
    (INT8, "b/scales", 0, -1e-3, Fault.NEGATIVE_SCALE),
    (TOP_K, "big/values", 2_000, np.nan, Fault.NOT_FINITE),
    (TOP_K, "one/values", 0, -np.inf, Fault.NOT_FINITE),
    (TOP_K, "b/indices", 0, 3, Fault.INDEX_OUT_OF_RANGE),
    (TOP_K, "big/indices", -1, 4_711, Fault.INDEX_OUT_OF_RANGE),
    (TOP_K, "big/indices", 1_310, 0, Fault.INDICES_NOT_RISING),
]


@pytest.mark.parametrize(("encoding", "name", "place", "value", "fault"), WRONG)
def test_what_makes_no_numbers_is_named_before_one_is_used(
    tmp_path: Path, encoding: Encoding, name: str, place: int, value: float, fault: Fault
) -> None:
    """Scales and indices are checked as numbers are; the first of what is wrong counts."""
    write(tmp_path, an_update(), encoding)
    arrays = load_parameters(tmp_path / "update")
    damage(tmp_path, name, with_one(arrays[name], place, value))
    assert opened(tmp_path, encoding).find_fault() is fault


def test_one_place_twice_is_found_at_the_seam_of_two_reads(tmp_path: Path) -> None:
    """It would count twice."""
    write(tmp_path, an_update(), TOP_K)
    indices = load_parameters(tmp_path / "update")["big/indices"].copy()
    indices[7] = indices[6]
    damage(tmp_path, "big/indices", indices)
    assert opened(tmp_path, TOP_K).find_fault() is Fault.INDICES_NOT_RISING


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [pair for pair in itertools.product(ENCODINGS, repeat=2) if len(set(pair)) > 1],
)
def test_an_update_in_another_encoding_has_other_arrays(
    tmp_path: Path, sent: Encoding, wanted: Encoding
) -> None:
    """None is taken for another."""
    write(tmp_path, an_update(), sent)
    with pytest.raises(ParametersError):
        opened(tmp_path, wanted)


def test_a_share_of_more_or_less_is_another_layout(tmp_path: Path) -> None:
    """A node sends as many numbers as the experiment says."""
    write(tmp_path, an_update(), TOP_K)
    with pytest.raises(ParametersError):
        opened(tmp_path, Encoding(kind=Kind.TOP_K, share=0.03))


@each
def test_names_that_end_like_parts_are_no_others(tmp_path: Path, encoding: Encoding) -> None:
    """An array of a model may be called as the scales of its neighbour are."""
    model: dict[str, Array] = {
        name: np.full(3, number, "<f4")
        for number, name in enumerate(["w", "w/values", "w/scales", "w/indices"], start=1)
    }
    model["w/scales"] = np.array([7], "<i8")
    save_parameters(model, tmp_path / "model")
    layout = file_layout(stored(tmp_path / "model"))
    writer = UpdateWriter(layout, encoding, new_file(tmp_path / "update"))
    for tensor in layout.tensors:
        writer.write(tensor, 0, model[tensor.name])
    update = EncodedUpdate(stored(tmp_path / "update"), layout, encoding)
    first = {one.name: update.read(one, 0, one.num_items)[0] for one in layout.tensors}
    assert first == {"w": 1, "w/values": 2, "w/scales": 7, "w/indices": 4}


@each
def test_damaged_files_are_found_or_are_numbers(tmp_path: Path, encoding: Encoding) -> None:
    """Any byte may be another: nothing else is raised, and no slice holds what is no number."""
    write(tmp_path, an_update(), encoding)
    content = (tmp_path / "update").read_bytes()
    generator = np.random.default_rng(11)
    num_read = 0
    for _ in range(150):
        changed = bytearray(content)
        for place in generator.integers(0, len(content), size=3):
            changed[int(place)] = int(generator.integers(0, 256))
        cut = len(content) if generator.random() < 0.9 else int(generator.integers(0, len(content)))
        (tmp_path / "update").write_bytes(changed[:cut])
        try:
            update = opened(tmp_path, encoding)
            is_sound = update.find_fault() is None
        except ParametersError:
            continue
        if is_sound:
            num_read += 1
            (tensor,) = (one for one in layout_of(tmp_path).tensors if one.name == "big")
            assert np.isfinite(update.read(tensor, 60_000, 9_000)).all()
    assert num_read


@each
def test_a_large_update_is_read_in_little_memory(tmp_path: Path, encoding: Encoding) -> None:
    """Neither the checks nor a slice take what the update takes."""
    numbers = np.random.default_rng(1).normal(size=12 * 2**20).astype("<f4")
    save_parameters({"w": numbers}, tmp_path / "model")
    layout = file_layout(stored(tmp_path / "model"))
    writer = UpdateWriter(layout, encoding, new_file(tmp_path / "update"))
    (tensor,) = layout.tensors
    for start, length in blocks(tensor.num_items, 2**18):
        writer.write(tensor, start, numbers[start : start + length])
    del numbers
    tracemalloc.start()
    update = EncodedUpdate(stored(tmp_path / "update"), layout, encoding)
    assert update.find_fault() is None
    update.read(tensor, 2**20, 2**16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20


def test_encodings_have_names_and_unknown_ones_none() -> None:
    """What an experiment may say."""
    assert KINDS == ("exact", "bf16", "fp16", "int8", "top-k")
    assert parse_encoding("exact", 0.5) == EXACT
    assert parse_encoding("top-k", 0.5) == Encoding(kind=Kind.TOP_K, share=0.5)
    assert parse_encoding("zip", 0.5) is None
    assert [str(one) for one in ENCODINGS] == ["exact", "bf16", "fp16", "int8", "top-k 0.02"]
