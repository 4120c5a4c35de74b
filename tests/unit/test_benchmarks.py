"""The benchmarks can be asked for: each is measured by hand, and all of them by one command."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name", ["rounds", "trust", "fuzz", "soak", "chaos", "faults", "simulation"]
)
def test_a_benchmark_says_how_it_is_asked_for(name: str) -> None:
    """What it imports is there."""
    ended = subprocess.run(  # noqa: S603 - the project's own command
        [sys.executable, "-m", "benchmarks", name, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert name in ended.stdout
