"""docs/walkthrough.md on six real patients: each command runs, and says what the document shows."""

import os
from pathlib import Path

import numpy as np
import pytest

from fedmq.parameters import load_parameters
from tests.support.walkthrough import Step, TextFile, masked, open_shells, read_document

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.training,
    pytest.mark.real_data,
    pytest.mark.timeout(300),
]


def require_shown(step: Step, lines: list[str]) -> None:
    """The lines of the document come in this order; what is waited for depends on the machine."""
    said = [masked(line) for line in lines]
    for line in step.shown:
        expected = masked(line)
        if expected.startswith("waiting: "):
            continue
        if step.command == "fedmq status":
            # Who is online is certain; what they were doing at their last heartbeat is not.
            expected = " ".join(expected.split()[:2])
            said = [" ".join(one.split()[:2]) for one in said]
        assert expected in said, (step.command, line, lines)
        said = said[said.index(expected) + 1 :]


def test_the_walkthrough_does_what_it_shows(tmp_path: Path) -> None:
    """From an empty folder to a segmentation model of two hospitals, and down again."""
    data = Path(os.environ["FEDMQ_TEST_DATA"]) / "petct_sts"
    assert data.is_dir(), "set FEDMQ_TEST_DATA to the folder that holds petct_sts"
    folder = tmp_path / "try"
    prompts = set()
    with open_shells(folder) as shells:
        for step in read_document():
            if isinstance(step, TextFile):
                shells.write(step)
                continue
            prompts.add(step.prompt)
            code, lines = shells.run(step)
            assert code == 0, (step.command, lines)
            require_shown(step, lines)
    assert prompts == {"hub", "lyon", "paris", "researcher"}
    patients = sorted(path.name for path in folder.glob("*/cases/*"))
    assert patients == sorted(path.name for path in data.iterdir() if path.is_dir())
    model = load_parameters(folder / "researcher" / "model.safetensors")
    assert all(np.isfinite(array).all() for array in model.values())
