"""Which trainers stay warm: a few, each for one key; the least recently used goes first.

A warm trainer has read its plan's libraries already. It also holds memory, so there are few of
them, and one that nobody uses ends after a while. Knows no clock, no thread and no process.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, TypeVar

from fedmq.types import Digest, ExperimentId

MAX_WARM: Final = 3
"""Trainers at a time, busy or waiting; more experiments than that take turns with new ones."""
UNUSED_S: Final = 600.0
"""So long a trainer waits for its next job; who waits longer hardly feels that a new one starts."""


class Trainer(Protocol):
    """What is kept warm; see `fedmq.node.trainer_process.TrainerProcess`."""

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""

    def kill(self) -> None:
        """End the process, and return when it is gone."""


T = TypeVar("T", bound=Trainer)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerKey:
    """What two jobs must have in common to run in one process."""

    experiment: ExperimentId
    plan_digest: Digest
    dataset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Warm(Generic[T]):
    trainer: T
    traits: Hashable
    unused_since: float | None = None
    """When it was first seen without a job since its last one; None until then."""


class WarmTrainers(Generic[T]):
    """The trainers of a node, one for each key; those that are put out are the caller's to kill."""

    def __init__(self) -> None:
        self._warm: dict[TrainerKey, _Warm[T]] = {}
        """The least recently used first."""

    @property
    def all(self) -> tuple[T, ...]:
        """The trainers, the least recently used first."""
        return tuple(warm.trainer for warm in self._warm.values())

    def take(self, key: TrainerKey, traits: Hashable, start: Callable[[], T]) -> T:
        """Return the warm trainer of `key`, or a new one once there is room for it.

        None may be busy. The traits of a trainer are those of its start, such as its number of
        threads: for others there is another trainer.
        """
        warm = self._warm.pop(key, None)
        if warm is not None and not warm.trainer.has_ended and warm.traits == traits:
            self._warm[key] = replace(warm, unused_since=None)
            return warm.trainer
        leaving = [] if warm is None else [warm.trainer]
        while len(self._warm) >= MAX_WARM:
            leaving.append(self._warm.pop(next(iter(self._warm))).trainer)
        for trainer in leaving:  # before the new one is there: never more than MAX_WARM processes
            trainer.kill()
        trainer = start()
        self._warm[key] = _Warm(trainer=trainer, traits=traits)
        return trainer

    def put_out(self, trainer: T) -> bool:
        """Keep `trainer` no more; return whether it was kept."""
        return bool(self._put_out(lambda _, warm: warm.trainer is trainer, None))

    def put_out_all(self) -> tuple[T, ...]:
        """Keep none; return those that were kept."""
        return self._put_out(lambda _key, _warm: True, None)

    def put_out_experiment(self, experiment: ExperimentId, busy: T | None) -> tuple[T, ...]:
        """Keep none of an experiment, but for the busy one; return those that go."""
        return self._put_out(lambda key, _: key.experiment == experiment, busy)

    def put_out_dataset(self, dataset: str, busy: T | None) -> tuple[T, ...]:
        """Keep none of a dataset, but for the busy one; return those that go."""
        return self._put_out(lambda key, _: key.dataset == dataset, busy)

    def put_out_unused(self, busy: T | None, *, now: float) -> tuple[T, ...]:
        """Keep none that has had no job for UNUSED_S, as far as was seen here; return those."""
        for key, warm in self._warm.items():
            if warm.trainer is busy:
                self._warm[key] = replace(warm, unused_since=None)
            elif warm.unused_since is None:
                self._warm[key] = replace(warm, unused_since=now)
        return self._put_out(
            lambda _, warm: warm.unused_since is not None and now - warm.unused_since >= UNUSED_S,
            busy,
        )

    def _put_out(
        self, is_leaving: Callable[[TrainerKey, _Warm[T]], bool], busy: T | None
    ) -> tuple[T, ...]:
        keys = [
            key
            for key, warm in self._warm.items()
            if warm.trainer is not busy and is_leaving(key, warm)
        ]
        return tuple(self._warm.pop(key).trainer for key in keys)
