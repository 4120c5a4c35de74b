"""The sweep: a small experiment, once for each place in it where a machine may be killed.

Every sync and every commit of every machine, before and after it, with what was not synced lost or
torn. All nodes are needed in every round, so the models have to be those of the undisturbed run.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from fedmq.simulation.aim import Aim, Moment, Target
from fedmq.simulation.disk import Share
from fedmq.simulation.encodings_by_hand import AS_IT_IS, Travel
from fedmq.simulation.faults import NO_FAULTS
from fedmq.simulation.world import Scenario, World
from fedmq.types import NodeId

REFERENCE: Final = Scenario(
    nodes=(NodeId("chu-lyon"), NodeId("ghu-paris")),
    num_rounds=2,
    quorum=2,
    round_deadline_s=20 * 86_400.0,
    evaluate=True,
    seed=7,
)
SHARES: Final = (0.0, 0.5)
"""Of what was not synced, what a crash leaves: nothing, or the first half of each write."""
_SEED: Final = 0
_READ_ALL: Final = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One crash: where, and what it leaves."""

    target: Target
    kept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What became of a run."""

    blow: Blow | None
    """None: the undisturbed run."""
    num_steps: Mapping[str, int]
    """Machine -> how many syncs and commits it made."""
    digests: tuple[str, ...]
    """Of the models, round 0 first."""
    was_struck: bool
    why: str = ""
    """What kept it from coming to rest; empty where nothing did."""


def strike(blow: Blow | None, travel: Travel = AS_IT_IS) -> Aftermath:
    """Return what became of the experiment with one blow, or with none."""
    aim = Aim() if blow is None else Aim(blow.target, Share(blow.kept))
    world = World(replace(REFERENCE, travel=travel), NO_FAULTS, _SEED, aim)
    try:
        why = "" if world.run() else f"not at rest after {world.time:.0f} s"
        if world.num_stale:
            why = f"{world.num_stale} stale tasks were begun"
        if world.num_buried:
            why = f"{world.num_buried} messages were turned away"
    except Exception as error:  # noqa: BLE001 - whatever a service lets through ends its process
        why = f"{type(error).__name__}: {error}"
    try:
        return Aftermath(
            blow=blow,
            num_steps=dict(aim.num_steps),
            digests=_digests(world),
            was_struck=bool(aim.num_hits),
            why=why,
        )
    finally:
        world.close()


def blows(undisturbed: Aftermath) -> Iterator[Blow]:
    """Yield every blow that the undisturbed run has a place for."""
    for machine, num_steps in sorted(undisturbed.num_steps.items()):
        for number in range(1, num_steps + 1):
            for moment in Moment:
                for kept in SHARES:
                    target = Target(machine=machine, number=number, moment=moment)
                    yield Blow(target=target, kept=kept)


def _digests(world: World) -> tuple[str, ...]:
    (course,) = world.courses
    disk = course.orchestrator.home.disk("experiments", course.undertaking.experiment)
    names = [name for name in disk.names() if name.endswith(".safetensors")]
    return tuple(hashlib.sha256(disk.read(name, 0, _READ_ALL)).hexdigest() for name in names)
