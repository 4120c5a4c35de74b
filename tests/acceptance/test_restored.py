"""A node whose home was put back from a copy: nothing hangs, and it is told."""

import shutil
from pathlib import Path

import pytest

from tests.support.broker import TestBroker
from tests.support.federation import CENTRE, LYON, PARIS, Federation, running_federation

pytestmark = pytest.mark.rabbitmq


def put_back(federation: Federation, copy: Path) -> None:
    """The node's folder is what it was when the copy was made."""
    home = federation.home(LYON)
    shutil.rmtree(home)
    shutil.copytree(copy, home, symlinks=True)


def test_a_home_that_was_put_back_takes_part_and_is_told(
    tmp_path: Path, broker: TestBroker
) -> None:
    """What it says now are not repeats of what it said before; its witness knows what is gone."""
    with running_federation(tmp_path / "f", broker) as federation:
        experiment = federation.write_experiment(rounds=2)
        first = federation.submit(experiment)
        federation.approve(LYON, PARIS)
        models = federation.digests(first)
        assert federation.programs[LYON].end() == 0
        copy = tmp_path / "copy"
        shutil.copytree(federation.home(LYON), copy, symlinks=True)
        federation.start_node(LYON)
        assert federation.digests(federation.submit(experiment)) == models
        assert federation.programs[LYON].end() == 0
        put_back(federation, copy)
        federation.start_node(LYON)
        assert federation.digests(federation.submit(experiment)) == models
        assert federation.digests(federation.submit(experiment)) == models
        federation.programs[LYON].expect("head_objected")
        log = federation.do(LYON, "node", "audit", "show", "-n", "200").data
        assert log.count("head_objected") == 1
        at_node = federation.do(LYON, "node", "status")
        assert "audit objected    1 time, last at " in at_node.data
        assert "put back from a copy" in at_node.talk
        newest = federation.status(LYON)["audit"]["newest"]["told"]
        assert newest["kept"] >= newest["entry"] > 0
        assert federation.status(PARIS)["audit"]["num_objections"] == 0
        status = federation.do(CENTRE, "orchestrator", "status").data
        assert f"heads refused     1 x {LYON}" in status
