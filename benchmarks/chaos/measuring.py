"""Chaos from beginning to end: the stage is built, something happens on it, nothing remains."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from benchmarks.chaos import remains
from benchmarks.chaos.cells import Sweep, Victim
from benchmarks.chaos.kills import How, Killer
from benchmarks.chaos.recovery import Falls, Lost
from benchmarks.chaos.stage import Stage, running_stage

ROUNDS = 3


def measure_kills(
    num_kills: int, seed: int, *, lines: bool = False, disks: bool = False
) -> dict[str, object]:
    """Return how many random kills were survived, and how long it took to come back.

    Lines are cut too, and disks filled, where that is wanted.
    """

    def act(stage: Stage) -> dict[str, object]:
        killer = Killer(stage, Random(seed), num_kills=num_kills)
        try:
            killer.run()
            end(stage)
        except Lost as lost:
            return {**_figures(stage, killer.falls, lost), **extra(killer)}
        return {**_figures(stage, killer.falls, None), **extra(killer)}

    def extra(killer: Killer) -> dict[str, object]:
        return {**{f"{how}s": killer.counts[how] for how in How}, "seed": seed}

    return run(act, rounds=ROUNDS, lines=lines, disks=disks)


def measure_cells(killed: str, share: float, seed: int) -> dict[str, object]:
    """Return whether kills before and after each step of every program were survived.

    Killed is a program of that kind while another one stands still at the step, or, where nothing
    is said, who takes the step. A share of the cells is drawn by the seed.
    """

    def act(stage: Stage) -> dict[str, object]:
        members = (stage.services[0], stage.services[1], stage.researcher)
        random = Random(seed)
        victims = tuple(Victim(one, one.steps, random, share=share) for one in members)
        sweep = Sweep(stage, victims, killed=killed)
        lost = None
        try:
            sweep.run()
            end(stage)
        except Lost as caught:
            lost = caught
        drawn = {"killed": killed or "itself", "share": share, "seed": seed}
        return {**_figures(stage, sweep.falls, lost), **drawn, **_cell_figures(sweep)}

    return run(act, rounds=2)


def _cell_figures(sweep: Sweep) -> dict[str, object]:
    figures: dict[str, object] = {"cells": sum(len(one.done) for one in sweep.victims)}
    for victim in sweep.victims:
        kind = victim.member.kind
        say(f"{kind}: {victim.num_steps} steps, {len(victim.done)} cells")
        for order in sorted(victim.left | victim.added, key=str):
            say(f"  not come to: {order}")
        figures[f"{kind}_steps"] = victim.num_steps
        figures[f"{kind}_cells"] = len(victim.done)
    figures["cells_missed"] = sum(len(one.left) for one in sweep.victims)
    figures["added_cells_missed"] = sum(len(one.added) for one in sweep.victims)
    return figures


def end(stage: Stage) -> None:
    """Return once all is over and compared.

    Raises:
        Lost: something is missing or other than it should be.
    """
    stage.finish_uploads()
    stage.rest()
    stage.check_all()


def run(
    act: Callable[[Stage], dict[str, object]],
    *,
    rounds: int,
    lines: bool = False,
    disks: bool = False,
) -> dict[str, object]:
    """Return the figures of an act, and what remained after it; the folder stays if it failed."""
    folder = Path(tempfile.mkdtemp(prefix="fedmq-chaos-"))
    began = time.monotonic()
    with running_stage(folder, rounds=rounds, say=say, lines=lines, disks=disks) as stage:
        stage.run_undisturbed()
        figures = act(stage)
        figures |= {"experiments": len(stage.checked), "seconds": round(time.monotonic() - began)}
        if not figures.get("why"):
            figures |= _remains(stage)
    figures["processes_left"] = len(remains.processes_in(folder))
    if figures.get("why"):
        say(f"failed: {figures['why']}\nlogs and notes: {folder}")
    else:
        shutil.rmtree(folder)
    return figures


def _figures(stage: Stage, falls: Falls, lost: Lost | None) -> dict[str, object]:
    return {
        "kills": len(falls),
        "survived": falls.num_recovered,
        "digests_equal": lost is None,
        "why": "" if lost is None else str(lost),
        **falls.figures(),
        "clients_that_gave_up": stage.researcher.num_failures,
    }


def _remains(stage: Stage) -> dict[str, object]:
    fds = {one.name: remains.count_fds(one.program.pid) for one in stage.services}
    more = {name: count - stage.fds[name] for name, count in fds.items()}
    return {"messages_waiting": sum(stage.waiting().values()), "fds_more": max(more.values())}


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)
