"""Torch, kept to what repeats: seeds, threads, named arrays in and out, and the loop of epochs.

The same task, parameters, cases and thread count give the same bits on the same kind of machine;
that is why threads come with the task and never from the number of cores.
"""

import hashlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from fedmq.errors import ParametersError, TrainingError
from fedmq.learning.plan import Task
from fedmq.learning.reading import AHEAD, Reader
from fedmq.parameters import BFLOAT16, Array, Parameters

Module = TypeVar("Module", bound=nn.Module)
Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How often the cases are gone through, and how many of them make a step."""

    epochs: int
    batch_size: int
    ahead: int = AHEAD
    """Batches that are loaded before they are due; it changes when, never what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """How the epochs went."""

    loss: float
    """Of the last epoch, summed over cases."""
    num_steps: int
    took_s: float
    waited_s: float
    """For batches that were not loaded yet, of `took_s`."""

    def __str__(self) -> str:
        share = self.waited_s / self.took_s if self.took_s else 0.0
        return f"{self.num_steps} steps in {self.took_s:.1f} s, {share:.0%} waiting for data"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Batch:
    epoch: int
    """From 1 on."""
    indices: torch.Tensor
    """Shape (b,)."""
    is_first: bool
    """Of its epoch."""
    is_last: bool


def prepare_torch(task: Task) -> None:
    """Leave torch seeded from the task, deterministic and on the task's threads, process-wide."""
    torch.set_num_threads(task.num_threads)
    if torch.get_num_interop_threads() != 1:  # it can be set before it is used, and never after
        torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    torch.manual_seed(derive_seed(task))


def derive_seed(task: Task) -> int:
    """Return a seed of this task's own: neighbouring seeds and rounds have nothing in common."""
    digest = hashlib.sha256(f"torch:{task.seed}:{task.round}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def build_seeded(build: Callable[[], Module], seed: int) -> Module:
    """Return a module whose initial numbers depend on `seed` alone; torch's own state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def to_parameters(module: nn.Module) -> Parameters:
    """Return copies of the module's named arrays."""
    return {name: _array(tensor).copy() for name, tensor in module.state_dict().items()}


def load_into(module: nn.Module, parameters: Parameters) -> None:
    """Copy `parameters` into the module.

    Raises:
        ParametersError: names, shapes or types are not those of the module.
    """
    state = module.state_dict()
    if set(state) != set(parameters):
        odd = sorted(set(state) ^ set(parameters))
        raise _misfit(f"{len(odd)} arrays are missing or too many, {odd[0]!r} first")
    for name, tensor in state.items():
        expected, came = _array(tensor), parameters[name]
        if came.shape != expected.shape or came.dtype != expected.dtype:
            raise _misfit(
                f"{name!r} is {came.dtype}{list(came.shape)}, "
                f"expected {expected.dtype}{list(expected.shape)}"
            )
    module.load_state_dict({name: _tensor(parameters[name]) for name in state})


def run_epochs(
    optimizer: torch.optim.Optimizer,
    load: Callable[[torch.Tensor], Loaded],
    loss_of: Callable[[Loaded], torch.Tensor],
    *,
    num_cases: int,
    schedule: Schedule,
    task: Task,
) -> Descent:
    """Return how it went to go through the cases in random order, `epochs` times.

    `load` takes the indices of a batch, shape (b,), and returns what `loss_of` makes its mean loss
    of. It runs in a thread while the step before is made (`fedmq.learning.reading`): what it draws,
    it draws from a generator of its own.

    Raises:
        TrainingError: a loss was not finite.
    """
    began = time.perf_counter()
    total = 0.0
    num_steps = 0
    batches = _batches(num_cases, schedule, task)
    with Reader(
        lambda batch: (batch, load(batch.indices)), batches, ahead=schedule.ahead
    ) as reader:
        for batch, loaded in reader:
            optimizer.zero_grad()
            loss = loss_of(loaded)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss is {value} in epoch {batch.epoch}",
                    why="the training has left the range of numbers",
                    fix="choose a lower learning rate",
                )
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            num_steps += 1
            total = value * len(batch.indices) + (0.0 if batch.is_first else total)
            if batch.is_last:
                share = batch.epoch / schedule.epochs
                task.report(share, f"epoch {batch.epoch}/{schedule.epochs}")
    descent = Descent(
        loss=total,
        num_steps=num_steps,
        took_s=time.perf_counter() - began,
        waited_s=reader.waited_s,
    )
    # To the site's own log alone: how fast a machine reads is nobody else's business.
    sys.stderr.write(f"-- trained: {descent}\n")
    return descent


def _batches(num_cases: int, schedule: Schedule, task: Task) -> Iterator[_Batch]:
    generator = torch.Generator().manual_seed(derive_seed(task))
    size = schedule.batch_size
    for epoch in range(1, schedule.epochs + 1):
        order = torch.randperm(num_cases, generator=generator)
        for first in range(0, num_cases, size):
            yield _Batch(
                epoch=epoch,
                indices=order[first : first + size],
                is_first=first == 0,
                is_last=first + size >= num_cases,
            )


def _array(tensor: torch.Tensor) -> Array:
    """Return a view of the tensor's numbers; of bfloat16, which numpy lacks, of its bits."""
    held = tensor.detach().cpu()
    if held.dtype == torch.bfloat16:
        return held.view(torch.int16).numpy().view(BFLOAT16)
    return held.numpy()


def _tensor(array: Array) -> torch.Tensor:
    # A copy: arrays from a payload are read-only, and a module writes to its own.
    held = np.array(array)
    if held.dtype == BFLOAT16:
        return torch.from_numpy(held.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(held)


def _misfit(why: str) -> ParametersError:
    return ParametersError(
        "the parameters are not those of the model",
        why=why,
        fix="begin from the plan's own initial parameters, with the same training config",
    )
