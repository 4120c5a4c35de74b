"""The script of a rehearsal: an experiment as it was written, simulated nodes, and their data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fedmq.errors import ConfigurationError
from fedmq.messages.mandates import ExperimentSpec
from fedmq.parameters import Parameters
from fedmq.researcher.experiment import Experiment
from fedmq.simulation.sites import Folders, deal_out, invent_cases
from fedmq.types import NodeId

USUAL_NODES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is asked for beside the experiment; None: as the experiment says."""

    num_nodes: int | None = None
    folders: tuple[Path, ...] = ()
    """Of cases: one that is dealt out to all nodes, or one for each node; none: invented ones."""
    num_cases: int = 24
    """Of each node, where they are invented."""
    rounds: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What is rehearsed, whole."""

    spec: ExperimentSpec
    source: str | None
    """Of a plan that is not of the catalogue."""
    initial: Parameters
    folders: Folders
    is_invented: bool
    """Whether the cases are known to be sound: nobody reads every file of them first."""


def write_script(experiment: Experiment, wishes: Wishes, folder: Path) -> Script:
    """Return the script; the data of the nodes are in `folder`, or where they were.

    All nodes are named in it, so that each is asked from the first round on.

    Raises:
        ConfigurationError: experiment and wishes do not fit together.
        DatasetError: the cases cannot be read.
        PlanError: the plan cannot be used.
    """
    nodes = choose_nodes(experiment, wishes)
    staged = replace(
        experiment,
        nodes=nodes,
        rounds=experiment.rounds if wishes.rounds is None else wishes.rounds,
        seed=experiment.seed if wishes.seed is None else wishes.seed,
    )
    spec, source, plan_class = staged.to_spec()
    initial = staged.initial_parameters(plan_class)
    return Script(
        spec=spec,
        source=source,
        initial=initial,
        folders=_find_data(
            wishes,
            nodes,
            folder / "data",
            seed=spec.seed,
            has_volumes=bool(plan_class.modalities or plan_class.optional_modalities),
        ),
        is_invented=not wishes.folders,
    )


def choose_nodes(experiment: Experiment, wishes: Wishes) -> tuple[NodeId, ...]:
    """Return the names of the nodes: those that the experiment names first, as it has them.

    Raises:
        ConfigurationError: there would be too few of them.
    """
    named = list(dict.fromkeys(experiment.nodes))
    folders = wishes.folders if len(wishes.folders) > 1 else ()
    usual = len(folders) or len(named) or max(USUAL_NODES, experiment.quorum)
    num_nodes = usual if wishes.num_nodes is None else wishes.num_nodes
    if num_nodes < max(len(named), experiment.quorum):
        raise ConfigurationError(
            f"{num_nodes} simulated nodes are too few",
            why=f"the experiment names {len(named)} nodes, and its quorum is {experiment.quorum}",
            fix="simulate more nodes, or ask for less in the experiment",
        )
    if folders and len(folders) != num_nodes:
        raise ConfigurationError(
            f"{len(folders)} folders of cases do not fit {num_nodes} nodes",
            why="of several folders, each node has one",
            fix="name one folder for each node, or a single one that is dealt out",
        )
    width = len(str(num_nodes))
    others = (f"site-{number:0{width}}" for number in range(1, num_nodes + 1))
    free = [name for name in others if name not in named]
    return tuple(NodeId(name) for name in [*named, *free][:num_nodes])


def _find_data(
    wishes: Wishes, nodes: Sequence[NodeId], folder: Path, *, seed: int, has_volumes: bool
) -> Folders:
    match wishes.folders:
        case ():
            return invent_cases(
                nodes, folder, num_cases=wishes.num_cases, seed=seed, has_volumes=has_volumes
            )
        case (source,):
            return deal_out(source, nodes, folder, seed=seed)
        case sources:
            return dict(zip(nodes, sources, strict=True))
