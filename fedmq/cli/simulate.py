"""The command for who tries an experiment before any hospital is asked."""

import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import (
    INTERRUPTED,
    Json,
    next_command,
    say,
    say_long,
    typed,
)
from fedmq.cli.words import count

if TYPE_CHECKING:
    from fedmq.learning.trainer_protocol import Broken
    from fedmq.messages.submissions import ExperimentReport
    from fedmq.types import NodeId

_MAX_TOLD = 5


def simulate(  # noqa: PLR0913 - one for each option
    experiment: Annotated[Path, typer.Argument(help="An experiment.toml")],
    *,
    nodes: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="Nodes; default: as many as are named or have data, else 4."
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="A dataset that is dealt out to the nodes; or several, one for each node."
            " Default: invented patients."
        ),
    ] = None,
    cases: Annotated[int, typer.Option(min=2, help="Invented patients of each node.")] = 24,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Rounds, instead of the experiment's.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Instead of the experiment's; it also draws patients and deals out cases."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where the final model goes; default NAME.safetensors")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try an experiment on a federation in this process: no broker, no approval, no waiting."""
    from fedmq.cli.rounds import exit_code, follow, follow_as_json
    from fedmq.logs import silence
    from fedmq.researcher.experiment import Experiment
    from fedmq.simulation.rehearsal import Rehearsal
    from fedmq.simulation.script import Wishes, write_script
    from fedmq.simulation.shared_trainer import SharedTrainer

    silence()
    began = time.monotonic()
    wishes = Wishes(
        num_nodes=nodes, folders=tuple(data or ()), num_cases=cases, rounds=rounds, seed=seed
    )
    with tempfile.TemporaryDirectory(prefix="fedmq-") as place:
        script = write_script(Experiment.from_toml(experiment), wishes, Path(place))
        what = "invented patients" if script.is_invented else "cases of your own"
        say(f"simulating {count(len(script.folders), 'node')} with {what}, plan approved for them")
        try:
            with (
                closing(SharedTrainer(Path(place) / "trainer")) as trainer,
                closing(Rehearsal(script, Path(place), trainer, _TellBroken())) as rehearsal,
            ):
                run = rehearsal.submit()
                report = follow_as_json(run) if as_json else follow(run)
                model = output or Path(f"{run.id}.safetensors")
                if report.records:
                    path = run.download(model)
                    say(f"model of round {report.records[-1].round}: {typed(path)}")
                _keep_log(trainer.read_log(), model.with_suffix(".log"))
        except KeyboardInterrupt:
            say("you left; nothing goes on")
            raise typer.Exit(INTERRUPTED) from None
    _say_end(report, seconds=time.monotonic() - began, virtual_s=rehearsal.time)
    next_command(f"fedmq run {typed(experiment)}")
    raise typer.Exit(exit_code(report))


class _TellBroken:
    """Says what breaks, each thing once: all nodes run the same plan, and break in the same way."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, node: "NodeId", broken: "Broken") -> None:
        words = f"{broken.code}: {broken.what}"
        if words not in self._told and len(self._told) < _MAX_TOLD:
            self._told.add(words)
            say_long(f"{node}: {words}")


def _keep_log(said: bytes, path: Path) -> None:
    """Leave what the plan said beside the model, where it said something."""
    if said:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(said)
        say(f"what the plan printed and raised: {typed(path)}")


def _say_end(report: "ExperimentReport", *, seconds: float, virtual_s: float) -> None:
    reason = f": {report.reason}" if report.reason else ""
    say_long(f"{report.experiment} {report.state}{reason}")
    say(
        f"simulated in {seconds:.0f} s; with such a machine at each node, and without the network,"
        f" about {virtual_s:.0f} s"
    )
