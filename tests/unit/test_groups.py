"""How a run in several processes shares out the tests: groups are kept, long ones come first.

Tests that share a machine, or its clock, are of one group and stay in one process.
"""

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


def test_tests_with_a_broker_come_first() -> None:
    """Of two modules the one that needs it, though it was asked for behind the other."""
    root = Path(__file__).parents[2]
    modules = ("tests/unit/test_types.py", "tests/acceptance/test_restored.py")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(  # noqa: S603 - pytest itself
        [*command, "-p", "no:randomly", *modules],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = [line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line]
    assert list(dict.fromkeys(listed)) == [modules[1], modules[0]]
