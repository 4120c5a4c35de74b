"""A node of another build among the others: a newer minor version, and another major one."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

import fedmq
from tests.support.broker import TestBroker
from tests.support.federation import (
    CENTRE,
    LYON,
    PARIS,
    RESEARCHER,
    Federation,
    running_federation,
    until,
)
from tests.support.reference import model_digests

pytestmark = [
    pytest.mark.row("25"),
    pytest.mark.rabbitmq,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("versions"),
]

BOTH: Final = (LYON, PARIS)


@pytest.fixture(scope="module")
def federation(
    tmp_path_factory: pytest.TempPathFactory, broker: TestBroker
) -> Iterator[Federation]:
    """Return a federation whose nodes have approved the plan."""
    with running_federation(tmp_path_factory.mktemp("versions") / "f", broker) as running:
        identifier = running.submit(running.write_experiment(rounds=1))
        running.approve(*BOTH)
        assert running.digests(identifier) == model_digests(running, [BOTH])
        yield running


def build(folder: Path, name: str) -> Sequence[str]:
    """Return how a build is run whose only change is that MAJOR or MINOR is one higher."""
    package = folder / name / "fedmq"
    shutil.copytree(Path(fedmq.__file__).parent, package, ignore=shutil.ignore_patterns("*.pyc"))
    module = package / "messages" / "envelope.py"
    text, count = re.subn(
        rf"(?m)^({name}: Final = )(\d+)$", lambda m: f"{m[1]}{int(m[2]) + 1}", module.read_text()
    )
    assert count == 1
    module.write_text(text)
    return ("env", f"PYTHONPATH={package.parent}", sys.executable, "-m", "fedmq")


def move_to(federation: Federation, node: str, command: Sequence[str] | None) -> None:
    """Kill a node and start it with another build, or with this one again."""
    federation.programs[node].kill()
    federation.commands.pop(node, None)
    if command is not None:
        federation.commands[node] = command
    federation.start_node(node)


def test_a_node_moves_to_a_newer_minor_version_and_back_in_the_middle(
    federation: Federation, tmp_path: Path, mended: Callable[[], None]
) -> None:
    """Both times while it trains; the models are those of nodes that stayed."""
    rejected = _rejected(federation)
    for number in (1, 2):
        federation.hold(LYON, number)
    identifier = federation.submit(federation.write_experiment(config=federation.hold_config))
    federation.reached(LYON, 1)
    move_to(federation, LYON, build(tmp_path, "MINOR"))
    federation.reached(LYON, 1)
    (federation.holds / f"hold.{LYON}.1").unlink()
    federation.reached(LYON, 2)
    mended()
    move_to(federation, LYON, None)
    federation.reached(LYON, 2)
    federation.release()
    expected = model_digests(federation, [BOTH] * 3, holds=str(federation.holds))
    assert federation.digests(identifier) == expected
    assert _rejected(federation) == rejected


def test_a_node_of_another_major_version_is_refused_by_name_and_holds_nobody_up(
    federation: Federation, tmp_path: Path, mended: Callable[[], None]
) -> None:
    """Both sides say why and stay; the others go on; back at the right build it takes part."""
    move_to(federation, PARIS, build(tmp_path, "MAJOR"))
    settings = {"quorum": 1, "round_deadline_s": 3, "evaluate": False}
    alone = federation.submit(federation.write_experiment(rounds=2, **settings))
    until(lambda: _refusals(federation, "orchestrator", PARIS), "the refusal of the node")
    until(lambda: _refusals(federation, PARIS, "orchestrator"), "the refusal of the orchestrator")
    follower = federation.start("follower", RESEARCHER, "experiments", "follow", alone)
    follower.wait()
    report = federation.report(alone)
    assert report["state"] == "finished"
    assert [record["model"] for record in report["records"]] == model_digests(
        federation, [(LYON,)] * 2
    )
    assert federation.programs[PARIS].is_running
    mended()
    move_to(federation, PARIS, None)
    together = federation.submit(federation.write_experiment(rounds=2, evaluate=False))
    assert federation.digests(together) == model_digests(federation, [BOTH] * 2)


def _rejected(federation: Federation) -> list[dict[str, int]]:
    """Return what orchestrator and node have turned away so far, in whatever order tests run."""
    orchestrator = federation.do(CENTRE, "orchestrator", "status", "--json").json
    return [orchestrator["rejected"], federation.status(LYON)["rejected"]]


def _refusals(federation: Federation, program: str, sender: str) -> list[str]:
    """Return the lines of a program's log that refuse a sender's messages for their version."""
    return [
        line
        for line in federation.programs[program].log().splitlines()
        if "message_rejected" in line and "major_version" in line and sender in line
    ]
