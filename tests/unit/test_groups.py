"""Tests that share a machine, or its clock, stay in one process: their groups are kept."""

import subprocess
import sys
from pathlib import Path

TESTS = """
import os
import pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(8))
def test_where(number):
    print(os.environ["PYTEST_XDIST_WORKER"])
"""


def test_a_group_of_tests_runs_in_one_process(tmp_path: Path) -> None:
    """A pytest and an xdist that do not know each other would spread it, and say nothing."""
    (tmp_path / "test_group.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-v", "-p"]
    done = subprocess.run(  # noqa: S603 - pytest itself
        [*command, "no:randomly", "-p", "no:cacheprovider", "test_group.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    passed = [line for line in done.stdout.splitlines() if "PASSED" in line and "[gw" in line]
    assert len(passed) == 8
    assert len({line.partition("]")[0] for line in passed}) == 1
