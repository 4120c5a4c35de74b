"""Folding: the arithmetic of a round, checked against one that shares no code with it."""

import struct
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fedmq.errors import ParametersError
from fedmq.orchestrator.aggregation.fedavg import FedAvg
from fedmq.orchestrator.aggregation.folding import (
    ALL_ITEMS,
    BLOCK_ITEMS,
    Contribution,
    block_items,
    fold_updates,
)
from fedmq.parameters import Array, load_parameters, save_parameters
from fedmq.types import NodeId
from tests.support.bfloat16 import of_bits
from tests.support.files import new_file, stored


def write(folder: Path, name: str, arrays: dict[str, Array]) -> Path:
    """Write `arrays` to a file and return its path."""
    path = folder / f"{name}.safetensors"
    save_parameters(arrays, path)
    return path


def folded(
    folder: Path, reference: dict[str, Array], updates: dict[str, tuple[dict[str, Array], int]]
) -> dict[str, Array]:
    """Return what FedAvg makes of `updates` (node -> update, cases)."""
    contributions = {
        NodeId(node): Contribution(update=stored(write(folder, node, arrays)), num_cases=cases)
        for node, (arrays, cases) in updates.items()
    }
    target = folder / "next.safetensors"
    source = stored(write(folder, "reference", reference))
    fold_updates(source, contributions, new_file(target), FedAvg())
    return load_parameters(target)


def test_the_result_equals_the_average_by_hand_to_the_last_bit(tmp_path: Path) -> None:
    """Plain Python floats, added one by one in the order of names, give the same bits."""
    generator = np.random.default_rng(7)
    size = BLOCK_ITEMS + 11
    reference = generator.normal(size=size).astype(np.float32)
    updates = {
        node: (generator.normal(size=size).astype(np.float32), cases)
        for node, cases in {"umc-basel": 17, "chu-lyon": 5, "ghu-paris": 29}.items()
    }
    result = folded(
        tmp_path,
        {"w": reference},
        {node: ({"w": update}, cases) for node, (update, cases) in updates.items()},
    )["w"]
    for position in [0, 1, BLOCK_ITEMS - 1, BLOCK_ITEMS, size - 1, *range(100, 20_000, 37)]:
        total = 0.0
        for node in sorted(updates):
            update, cases = updates[node]
            total += float(update[position]) * cases
        expected = total / 51 + float(reference[position])
        assert struct.pack("<f", expected) == result[position].tobytes()


def test_the_result_is_the_exact_average_within_one_rounding(tmp_path: Path) -> None:
    """Rational arithmetic, which rounds nowhere, agrees to float32's last place."""
    values = {"a": (0.1, 3), "b": (-7.25, 1), "c": (1e-8, 1000)}
    result = folded(
        tmp_path,
        {"w": np.array([2.5], np.float32)},
        {node: ({"w": np.array([x], np.float32)}, n) for node, (x, n) in values.items()},
    )["w"]
    exact = Fraction(5, 2) + sum(
        Fraction(float(np.float32(x))) * n for x, n in values.values()
    ) / Fraction(1004)
    assert abs(Fraction(float(result[0])) - exact) <= Fraction(float(np.spacing(result[0])))


def test_the_order_of_arrival_leaves_no_trace(tmp_path: Path) -> None:
    """The same updates in another order give the same bytes."""
    generator = np.random.default_rng(3)
    reference: dict[str, Array] = {"w": generator.normal(size=999).astype(np.float32)}
    updates: dict[str, tuple[dict[str, Array], int]] = {
        f"n{k}": ({"w": generator.normal(size=999).astype(np.float32) * 10.0**k}, k + 1)
        for k in range(6)
    }
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = folded(tmp_path / "one", reference, updates)
    second = folded(tmp_path / "two", reference, dict(reversed(updates.items())))
    assert first["w"].tobytes() == second["w"].tobytes()


def test_integers_go_to_the_nearest_and_every_type_stays(tmp_path: Path) -> None:
    """A counter among the arrays is averaged and rounded; half precision stays half."""
    result = folded(
        tmp_path,
        {"n": np.array([10], np.int64), "h": np.array([1], np.float16)},
        {
            "a": ({"n": np.array([1], np.int64), "h": np.array([0.5], np.float16)}, 1),
            "b": ({"n": np.array([2], np.int64), "h": np.array([0.25], np.float16)}, 2),
        },
    )
    assert result["n"].dtype == np.int64
    assert result["n"][0] == 12
    assert result["h"].dtype == np.float16
    assert result["h"][0] == np.float16(1 + 1 / 3)


def test_an_update_of_another_model_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """The error names the node; no half file is left under the model's name."""
    with pytest.raises(ParametersError, match="chu-lyon"):
        folded(
            tmp_path,
            {"w": np.ones(3, np.float32)},
            {"chu-lyon": ({"w": np.ones(4, np.float32)}, 1)},
        )
    assert not (tmp_path / "next.safetensors").exists()


def test_a_round_without_updates_is_refused(tmp_path: Path) -> None:
    """There is no average of nothing."""
    with pytest.raises(ParametersError, match="no update"):
        folded(tmp_path, {"w": np.ones(3, np.float32)}, {})


def test_bfloat16_is_averaged_as_the_numbers_it_stands_for(tmp_path: Path) -> None:
    """Raw upper halves of float32 are widened, averaged and rounded to the nearest even."""

    def bfloat16(name: str, *bits: int) -> Path:
        """Write a file with one bfloat16 array, given by its bits."""
        return write(tmp_path, name, {"w": of_bits(bits)})

    one, half, last_place = 0x3F80, 0x3F00, 0x3B80
    target = tmp_path / "next"
    fold_updates(
        stored(bfloat16("reference", one, one)),
        {
            NodeId("a"): Contribution(update=stored(bfloat16("a", half, last_place)), num_cases=1),
            NodeId("b"): Contribution(update=stored(bfloat16("b", one, last_place)), num_cases=1),
        },
        new_file(target),
        FedAvg(),
    )
    # 1.75 is exact; 1 + 2**-8 lies halfway between 1 and its neighbour, and 1 is even.
    np.testing.assert_array_equal(load_parameters(target)["w"]["bfloat16"], [0x3FE0, one])


def test_memory_is_bounded_however_many_nodes_there_are(tmp_path: Path) -> None:
    """300 updates of 2 MB each, 600 MB in all: in memory is a short slice of each."""
    size = 4 * BLOCK_ITEMS
    reference = {"w": np.zeros(size, np.float64)}
    update = stored(write(tmp_path, "update", {"w": np.full(size, 0.5)}))
    contributions = {
        NodeId(f"n{number:03}"): Contribution(update=update, num_cases=number + 1)
        for number in range(300)
    }
    source, target = stored(write(tmp_path, "reference", reference)), tmp_path / "next.safetensors"
    tracemalloc.start()
    try:
        fold_updates(source, contributions, new_file(target), FedAvg())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1.2 * 8 * ALL_ITEMS
    np.testing.assert_array_equal(load_parameters(target)["w"], np.full(size, 0.5))


@pytest.mark.parametrize("num_nodes", [150, 200])
def test_the_length_of_a_slice_leaves_no_trace(tmp_path: Path, num_nodes: int) -> None:
    """What many nodes share is cut elsewhere: the bits are those of one slice."""
    generator = np.random.default_rng(5)
    size = block_items(num_nodes) + 3
    assert size < BLOCK_ITEMS
    arrays = [generator.normal(size=size).astype(np.float32) for _ in range(num_nodes)]
    reference = generator.normal(size=size).astype(np.float32)
    result = folded(
        tmp_path,
        {"w": reference},
        {f"n{number:03}": ({"w": array}, number + 1) for number, array in enumerate(arrays)},
    )["w"]
    total = np.zeros(size)
    for number, array in enumerate(arrays):
        total += array.astype(np.float64) * float(number + 1)
    expected = total / float(sum(range(1, num_nodes + 1))) + reference.astype(np.float64)
    assert expected.astype(np.float32).tobytes() == result.tobytes()
