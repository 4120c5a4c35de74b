"""Runs a command of fedmq, the real one, on a machine that notes its steps.

python -m benchmarks.chaos.program FOLDER NAME node start
"""

import sys
from pathlib import Path

from benchmarks.chaos.machine import NotedMachine
from benchmarks.chaos.steps import Steps
from fedmq.cli.main import main


def command(folder: Path, name: str) -> tuple[str, ...]:
    """Return how a program of this name is started; what `fedmq` is given follows."""
    return (sys.executable, "-m", "benchmarks.chaos.program", str(folder), name)


def run() -> None:
    """Run what stands behind the folder of notes and the program's name."""
    folder, name, *arguments = sys.argv[1:]
    sys.argv = ["fedmq", *arguments]
    main(NotedMachine(Steps(Path(folder), name)))


if __name__ == "__main__":
    run()
