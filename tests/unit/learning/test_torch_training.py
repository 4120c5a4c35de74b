"""Torch kept to what repeats: the same task gives the same bits, another does not."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import nn

from fedmq.errors import ParametersError, TrainingError
from fedmq.learning.plan import Task
from fedmq.learning.torch_training import (
    Descent,
    Schedule,
    build_seeded,
    derive_seed,
    load_into,
    prepare_torch,
    run_epochs,
    to_parameters,
)
from fedmq.learning.trainer_results import fitted_parameters, require_finite
from fedmq.parameters import (
    BFLOAT16,
    Parameters,
    cast_array,
    load_parameters,
    save_parameters,
    subtract_array,
    widen_bfloat16,
)

pytestmark = pytest.mark.training


def task_of(*, seed: int = 1, round_number: int = 1) -> Task:
    """Return a task that tells nobody."""
    return Task(seed=seed, round=round_number, report=lambda _share, _text: None)


def module_of(seed: int = 0) -> nn.Linear:
    """Return a small module."""
    return build_seeded(lambda: nn.Linear(3, 1), seed)


def train(task: Task, *, rate: float = 0.1, epochs: int = 2) -> tuple[Parameters, float]:
    """Return parameters and loss of a linear regression on ten cases."""
    prepare_torch(task)
    module = module_of()
    features = torch.arange(30, dtype=torch.float32).reshape(10, 3) / 30
    descent = run_epochs(
        torch.optim.SGD(module.parameters(), lr=rate),
        lambda batch: features[batch],
        lambda batch: (module(batch) - 1.0).square().mean(),
        num_cases=10,
        schedule=Schedule(epochs=epochs, batch_size=4),
        task=task,
    )
    return to_parameters(module), descent.loss


def test_arrays_go_out_and_come_back_as_copies() -> None:
    """Neither side sees what the other does later; read-only arrays are taken."""
    module = module_of()
    parameters = to_parameters(module)
    for array in parameters.values():
        array.flags.writeable = False
    other = module_of(seed=1)
    load_into(other, parameters)
    with torch.no_grad():
        other.weight.zero_()
    assert set(parameters) == {"bias", "weight"}
    np.testing.assert_array_equal(parameters["weight"], module.weight.detach().numpy())
    assert parameters["weight"].any()


def test_bfloat16_goes_from_torch_to_a_file_and_back_bit_by_bit(tmp_path: Path) -> None:
    """A matrix, a number without axes and one that is transposed, beside what is float32."""
    module = nn.Linear(3, 2).to(torch.bfloat16)
    module.register_buffer("step", torch.tensor(1.5, dtype=torch.bfloat16))
    module.register_buffer("turned", torch.arange(6).reshape(2, 3).T.to(torch.bfloat16))
    module.register_buffer("scale", torch.tensor([1 / 3]))
    save_parameters(to_parameters(module), tmp_path / "model")
    expected = safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    )
    assert (tmp_path / "model").read_bytes() == expected
    other = copy.deepcopy(module)
    for tensor in other.state_dict().values():
        tensor.zero_()
    load_into(other, load_parameters(tmp_path / "model"))
    for name, tensor in module.state_dict().items():
        assert tensor.any()
        assert torch.equal(other.state_dict()[name], tensor)


def test_a_model_of_bfloat16_is_trained_and_its_numbers_stay_its_own(tmp_path: Path) -> None:
    """Loaded from a file, trained, handed over: what comes out fits what was given."""
    prepare_torch(task_of())
    module = module_of().to(torch.bfloat16)
    save_parameters(to_parameters(module), tmp_path / "model")
    came = load_parameters(tmp_path / "model")
    load_into(module, came)
    features = torch.arange(30, dtype=torch.bfloat16).reshape(10, 3) / 30
    run_epochs(
        torch.optim.SGD(module.parameters(), lr=0.1),
        lambda batch: features[batch],
        lambda batch: (module(batch) - 1.0).square().mean(),
        num_cases=10,
        schedule=Schedule(epochs=2, batch_size=4),
        task=task_of(),
    )
    trained = fitted_parameters(to_parameters(module), came)
    require_finite(trained)
    assert {array.dtype for array in trained.values()} == {BFLOAT16}
    before = torch.from_numpy(np.array(widen_bfloat16(came["weight"])))
    expected = (module.weight.detach().float() - before).to(torch.bfloat16)
    update = subtract_array(trained["weight"], came["weight"])
    assert expected.any()
    assert update["bfloat16"].tolist() == expected.view(torch.uint16).tolist()


def test_what_is_not_bfloat16_is_not_loaded_into_it() -> None:
    """Neither wider floats nor whole numbers that may be its bits."""
    module = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    for array in (np.ones((1, 1), np.float32), np.ones((1, 1), np.uint16)):
        with pytest.raises(ParametersError):
            load_into(module, {"weight": array})
    with pytest.raises(ParametersError):
        load_into(nn.Linear(1, 1, bias=False), to_parameters(module))


@given(arrays(np.uint32, 64))
def test_float32_is_rounded_to_bfloat16_as_torch_does(bits: NDArray[np.uint32]) -> None:
    """Any bits: subnormal, infinite and not a number too."""
    numbers = bits.view(np.float32)
    expected = torch.from_numpy(numbers).to(torch.bfloat16)
    found = cast_array(numbers, BFLOAT16)
    is_number = ~np.isnan(numbers)
    assert (
        found["bfloat16"][is_number].tolist()
        == expected.view(torch.uint16).numpy()[is_number].tolist()
    )
    np.testing.assert_array_equal(widen_bfloat16(found), expected.float().numpy())


@pytest.mark.parametrize(
    "parameters",
    [
        {"weight": np.zeros((1, 3), np.float32)},
        {"weight": np.zeros((3, 1), np.float32), "bias": np.zeros(1, np.float32)},
        {"weight": np.zeros((1, 3), np.float64), "bias": np.zeros(1, np.float32)},
        {
            "weight": np.zeros((1, 3), np.float32),
            "bias": np.zeros(1, np.float32),
            "extra": np.zeros(1, np.float32),
        },
    ],
)
def test_arrays_of_another_model_are_refused(parameters: Parameters) -> None:
    """A name too few or too many, another shape, another type: nothing is cast or broadcast."""
    with pytest.raises(ParametersError):
        load_into(module_of(), parameters)


def test_the_seed_alone_decides_the_initial_numbers() -> None:
    """And drawing them leaves torch's own state as it was."""
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = module_of(3), module_of(3), module_of(4)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)


def test_the_same_task_trains_to_the_same_bits() -> None:
    """Another round goes through the cases in another order."""
    first, again = train(task_of()), train(task_of())
    other = train(task_of(round_number=2))
    assert first[0]["weight"].tobytes() == again[0]["weight"].tobytes()
    assert first[1] == again[1]
    assert first[0]["weight"].tobytes() != other[0]["weight"].tobytes()


def test_seeds_and_rounds_do_not_add_up() -> None:
    """Seed 1, round 2 is not seed 2, round 1; each is a seed that torch takes."""
    seeds = {derive_seed(task_of(seed=s, round_number=r)) for s in range(5) for r in range(5)}
    assert len(seeds) == 25
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_every_case_counts_once_in_the_loss_and_progress_reaches_one() -> None:
    """The last batch is smaller: the sum weighs it by its cases."""
    seen: list[float] = []
    task = Task(seed=1, round=1, report=lambda share, _text: seen.append(share))
    _, total = train(task, rate=1e-12, epochs=4)
    features = torch.arange(30, dtype=torch.float32).reshape(10, 3) / 30
    expected = float((module_of()(features).detach() - 1.0).square().sum())
    assert total == pytest.approx(expected, rel=1e-5)
    assert seen == [0.25, 0.5, 0.75, 1.0]


def test_a_training_that_runs_away_is_a_training_error() -> None:
    """It does not go on to send what is no number."""
    with pytest.raises(TrainingError):
        train(task_of(), rate=1e30, epochs=5)


def test_torch_has_the_threads_of_the_task_and_no_others() -> None:
    """Not those of the machine: they decide in which order sums are made."""
    before = torch.get_num_threads()
    try:
        for number in (2, 1):
            prepare_torch(dataclasses.replace(task_of(), num_threads=number))
            assert (torch.get_num_threads(), torch.get_num_interop_threads()) == (number, 1)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_a_descent_is_the_same_however_much_is_loaded_ahead(
    ahead: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same batches; how long it waited goes to the site's own log, not into the metrics."""
    prepare_torch(task_of())
    batches: list[list[int]] = []
    module = module_of()
    descent = run_epochs(
        torch.optim.SGD(module.parameters(), lr=0.1),
        lambda batch: batch,
        lambda batch: (batches.append(batch.tolist()), module(torch.ones(1, 3)).mean())[1],
        num_cases=5,
        schedule=Schedule(epochs=2, batch_size=2, ahead=ahead),
        task=task_of(),
    )
    generator = torch.Generator().manual_seed(derive_seed(task_of()))
    orders = [torch.randperm(5, generator=generator).tolist() for _ in range(2)]
    assert batches == [order[first : first + 2] for order in orders for first in (0, 2, 4)]
    assert descent.num_steps == 6
    assert 0.0 <= descent.waited_s <= descent.took_s
    assert "6 steps in " in capsys.readouterr().err


def test_the_share_of_waiting_is_said() -> None:
    """Of a descent without steps too."""
    assert str(Descent(loss=0.0, num_steps=4, took_s=2.0, waited_s=0.5)) == (
        "4 steps in 2.0 s, 25% waiting for data"
    )
    assert "0%" in str(Descent(loss=0.0, num_steps=0, took_s=0.0, waited_s=0.0))
