"""Updates of a node: the exact difference, whole or not at all, in little memory."""

import itertools
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fedmq.messages.replies import FailureCode
from fedmq.node.storage import Storage
from fedmq.node.updates import BLOCK_ITEMS, JobError, make_update
from fedmq.orchestrator.aggregation.fedavg import FedAvg
from fedmq.orchestrator.aggregation.folding import Contribution, fold_updates
from fedmq.orchestrator.updates import find_fault
from fedmq.parameters import Array, Parameters, load_parameters, parameters_bytes, save_parameters
from fedmq.transport.home import LocalHome
from fedmq.types import Digest, NodeId
from tests.support.bfloat16 import bits_of, of_bits
from tests.support.files import new_file, stored

_names = (f"task-{number}" for number in itertools.count(1))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Return the storage of a node that holds nothing."""
    for folder in ("payloads", "scratch"):
        (tmp_path / folder).mkdir()
    return Storage(LocalHome(tmp_path))


def adopt(storage: Storage, content: bytes) -> Digest:
    """Return the digest of a model that came."""
    storage.spool.new_file("new").write(content)
    return storage.spool.adopt("new").digest


def update_of(storage: Storage, model: Digest, trained: Parameters) -> Path:
    """Return the update that is made of what the trainer left."""
    name = next(_names)
    save_parameters(trained, storage.output_path(name))
    return storage.spool.path(make_update(name, model, storage).digest)


def payloads(storage: Storage) -> list[Path]:
    """Return the files in the node's folder of payloads."""
    return sorted(storage.spool.path(Digest("-")).parent.iterdir())


def bfloat16(*numbers: float) -> Array:
    """Return an array of numbers that bfloat16 has."""
    return of_bits(bits_of(number) for number in numbers)


def test_two_nodes_and_a_fold_in_bfloat16_equal_the_arithmetic_by_hand(storage: Storage) -> None:
    """From the model through both updates to the next model, each number worked out on paper."""
    model = parameters_bytes({"w": bfloat16(1, 0.5, 1, 1), "n": np.array([4], np.int64)})
    digest = adopt(storage, model)
    lyon = update_of(
        storage,
        digest,
        {"w": bfloat16(1.5, 0.25, 1 + 2**-7, 1), "n": np.array([8], np.int64)},
    )
    paris = update_of(
        storage,
        digest,
        {"w": bfloat16(0.75, 1.5, 1 + 2**-7, 1 + 2**-5), "n": np.array([4], np.int64)},
    )
    expected = {"w": bfloat16(0.5, -0.25, 2**-7, 0), "n": np.array([4], np.int64)}
    assert lyon.read_bytes() == parameters_bytes(expected)
    reference = storage.spool.file(digest)
    target = storage.spool.path(Digest("next"))
    contributions = {
        NodeId("lyon"): Contribution(update=stored(lyon), num_cases=3),
        NodeId("paris"): Contribution(update=stored(paris), num_cases=1),
    }
    assert [find_fault(one.update, reference) for one in contributions.values()] == [None, None]
    fold_updates(reference, contributions, new_file(target), FedAvg())
    # (3 * 0.5 - 0.25) / 4 = 0.3125; (3 * -0.25 + 1) / 4 = 0.0625; both nodes agree on 2**-7;
    # (3 * 0 + 2**-5) / 4 = 2**-7, which is one last place of 1.
    folded = {
        "w": bfloat16(1.3125, 0.5625, 1 + 2**-7, 1 + 2**-7),
        "n": np.array([7], np.int64),
    }
    assert target.read_bytes() == parameters_bytes(folded)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", "<i2", "<i8", "<u1"])
def test_every_number_of_every_block_is_subtracted(storage: Storage, dtype: str) -> None:
    """Numpy on whole arrays gives the same; sizes around a block, none, and no axis."""
    shapes = [(BLOCK_ITEMS + 1,), (2, BLOCK_ITEMS // 2), (BLOCK_ITEMS - 1,), (0, 3), ()]
    generator = np.random.default_rng(3)
    before, after = (
        {
            f"array-{number}": generator.integers(0, 100, shape).astype(dtype)
            for number, shape in enumerate(shapes)
        }
        for _ in range(2)
    )
    expected = {name: np.asarray(after[name] - array) for name, array in before.items()}
    update = update_of(storage, adopt(storage, parameters_bytes(before)), after)
    assert update.read_bytes() == parameters_bytes(expected)


@pytest.mark.parametrize(
    ("trained", "code"),
    [
        ({"w": bfloat16(1, 2, 3)}, FailureCode.UPDATE_MISSHAPEN),
        ({"w": bfloat16(1, 2)["bfloat16"]}, FailureCode.UPDATE_MISSHAPEN),
        ({"w": np.ones(2, np.float32)}, FailureCode.UPDATE_MISSHAPEN),
        ({"w": of_bits([0x3F80, 0x7FC0])}, FailureCode.UPDATE_NOT_FINITE),
        ({"w": of_bits([0xFF80, 0x3F80])}, FailureCode.UPDATE_NOT_FINITE),
        # Finite in float32, but no nearer to the largest bfloat16 than to what would come next.
        ({"w": of_bits([0x3F80, 0x7F7F])}, FailureCode.UPDATE_NOT_FINITE),
    ],
)
def test_an_update_in_bfloat16_that_cannot_be_folded_leaves_nothing(
    storage: Storage, trained: Parameters, code: FailureCode
) -> None:
    """Its shape, its type, its numbers: each has its code, and no half file stays."""
    digest = adopt(storage, parameters_bytes({"w": of_bits([0x3F80, 0xFB00])}))
    before = payloads(storage)
    with pytest.raises(JobError) as caught:
        update_of(storage, digest, trained)
    assert caught.value.code is code
    assert payloads(storage) == before


def test_a_number_that_is_none_in_the_last_block_leaves_nothing_of_the_first(
    storage: Storage,
) -> None:
    """What was written before it was found is removed."""
    model = {"w": np.zeros(2 * BLOCK_ITEMS + 1, np.float32)}
    digest = adopt(storage, parameters_bytes(model))
    before = payloads(storage)
    model["w"][-1] = np.nan
    with pytest.raises(JobError):
        update_of(storage, digest, model)
    assert payloads(storage) == before


def test_a_model_with_its_arrays_in_another_order_gives_an_update_in_the_usual_one(
    storage: Storage,
) -> None:
    """The header names each array where its bytes are."""
    entries = {
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
    }
    header = json.dumps(entries).encode()
    content = np.array([1, 2], "<f4").tobytes()
    digest = adopt(storage, len(header).to_bytes(8, "little") + header + content)
    trained = {"a": np.array([5], np.float32), "b": np.array([7], np.float32)}
    found = load_parameters(update_of(storage, digest, trained))
    assert {name: array.tolist() for name, array in found.items()} == {"a": [3], "b": [6]}


@pytest.mark.parametrize("dtype", ["bfloat16", "<f2", "<f4", "<f8"])
def test_memory_does_not_grow_with_the_model(storage: Storage, dtype: str) -> None:
    """Two blocks that are read, their difference, and what rounding takes; never a model."""
    num_items = 32 * BLOCK_ITEMS
    array = (
        of_bits([0x3F80]).repeat(num_items) if dtype == "bfloat16" else np.ones(num_items, dtype)
    )
    content = parameters_bytes({"w": array})
    digest, name = adopt(storage, content), next(_names)
    storage.output_path(name).write_bytes(content)
    tracemalloc.start()
    try:
        make_update(name, digest, storage)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 4 * BLOCK_ITEMS < len(content)
