"""Models that travel narrow: what comes back has the model's names, types and shapes."""

from pathlib import Path

import numpy as np
import pytest

from fedmq.encodings.kinds import Kind
from fedmq.encodings.narrow import SentModel, widen_parameters, write_narrow
from fedmq.encodings.writer import TooLargeError
from fedmq.errors import ParametersError
from fedmq.parameters import (
    Array,
    cast_array,
    file_layout,
    load_parameters,
    parameters_bytes,
    save_parameters,
)
from tests.support.bfloat16 import bits_of, of_bits
from tests.support.files import new_file, stored

GENERATOR = np.random.default_rng(4)
MODEL: dict[str, Array] = {
    "a": GENERATOR.normal(size=(300, 7)).astype("<f4"),
    "a/F32": np.arange(5, dtype="<i8"),
    "double": GENERATOR.normal(size=9),
    "half": GENERATOR.normal(size=3).astype("<f2"),
    "mask": np.array([True, False]),
    "native": of_bits([bits_of(1.5), bits_of(-2.0)]),
    "none": np.zeros((0, 4), "<f4"),
}
kinds = pytest.mark.parametrize("kind", [Kind.BF16, Kind.FP16])


def write(folder: Path, kind: Kind, model: dict[str, Array] = MODEL) -> None:
    """Write a model to `model`, and as it travels to `sent`."""
    save_parameters(model, folder / "model")
    write_narrow(stored(folder / "model"), kind, new_file(folder / "sent"))


def rounded(array: Array, kind: Kind) -> Array:
    """Return an array as it comes back."""
    if array.dtype not in {np.dtype("<f4"), np.dtype("<f8")}:
        return array
    narrow = of_bits([0]).dtype if kind is Kind.BF16 else np.dtype("<f2")
    return cast_array(cast_array(array, narrow), array.dtype)


@kinds
def test_a_model_comes_back_rounded_once(tmp_path: Path, kind: Kind) -> None:
    """Names that end like a type's are no exception; what is small already is as it was."""
    write(tmp_path, kind)
    back = widen_parameters(load_parameters(tmp_path / "sent"))
    wanted = {name: rounded(array, kind) for name, array in MODEL.items()}
    assert parameters_bytes(back) == parameters_bytes(wanted)
    wide = sum(MODEL[name].nbytes for name in ("a", "double"))
    narrow = 2 * sum(MODEL[name].size for name in ("a", "double"))
    held = sum(array.nbytes for array in MODEL.values())
    found = sum(array.nbytes for array in load_parameters(tmp_path / "sent").values())
    assert found == held - wide + narrow


@kinds
def test_slices_of_what_was_sent_are_slices_of_the_model(tmp_path: Path, kind: Kind) -> None:
    """In the model's own layout, as an update of it has."""
    write(tmp_path, kind)
    sent = SentModel(stored(tmp_path / "sent"), is_narrow=True)
    assert sent.layout == file_layout(stored(tmp_path / "model"))
    for tensor in sent.layout.tensors:
        flat = rounded(MODEL[tensor.name], kind).reshape(-1)
        half = tensor.num_items // 2
        found = sent.read(tensor, half, tensor.num_items - half)
        assert found.dtype == flat.dtype
        assert found.tobytes() == flat[half:].tobytes()


def test_a_model_that_was_sent_as_it_is_is_itself(tmp_path: Path) -> None:
    """Whatever its arrays are called."""
    save_parameters(MODEL, tmp_path / "model")
    sent = SentModel(stored(tmp_path / "model"), is_narrow=False)
    (tensor,) = (one for one in sent.layout.tensors if one.name == "double")
    assert sent.read(tensor, 2, 3).tolist() == MODEL["double"][2:5].tolist()


def test_a_model_beyond_the_range_of_its_encoding_is_not_sent(tmp_path: Path) -> None:
    """Nodes would train from infinity."""
    with pytest.raises(TooLargeError, match="fp16"):
        write(tmp_path, Kind.FP16, {"w": np.array([1e5], "<f4")})


@pytest.mark.parametrize(
    "names", [["w"], ["w/F33"], ["w/"], ["w/F32", "w/F64"], ["F32"]], ids=" ".join
)
def test_other_parameters_are_no_narrow_model(tmp_path: Path, names: list[str]) -> None:
    """Each name ends with one type of the format, and stands for one array."""
    parameters = {name: np.zeros(2, "<f2") for name in names}
    with pytest.raises(ParametersError):
        widen_parameters(parameters)
    save_parameters(parameters, tmp_path / "sent")
    with pytest.raises(ParametersError):
        SentModel(stored(tmp_path / "sent"), is_narrow=True)
