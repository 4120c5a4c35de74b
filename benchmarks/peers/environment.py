"""The virtual environment in which Fed-BioMed runs, made under TMPDIR when it is first needed.

Without a constraint on torch its torchvision asks for the newest torch, and gigabytes with it. The
torchvision that comes then may be built for another torch: its operators are not there, which
stops its import, though nothing here uses them.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

from benchmarks.progress import say

TORCH: Final = "torch==2.13.0"
FEDBIOMED: Final = "fedbiomed[researcher]==6.4.1"
_NEEDED: Final = "fedbiomed.researcher.federated_workflows"
_NAME: Final = "venv-fedbiomed"
_COMPLETE: Final = "complete"
_LIMIT_S: Final = 1_800.0


def make_environment() -> Path:
    """Return the interpreter of an environment in which Fed-BioMed can be imported.

    Raises:
        OSError: it cannot be written.
        CalledProcessError: pip does not find or install what it needs.
    """
    folder = Path(tempfile.gettempdir()) / _NAME
    python = folder / "bin" / "python"
    complete = folder / _COMPLETE
    if not complete.exists() and python.exists() and _imports(python, _NEEDED):
        complete.touch()  # somebody made it by hand
    if complete.exists():
        return python
    say(f"fedbiomed: making its environment with {TORCH} and {FEDBIOMED}")
    venv.create(folder, with_pip=True, clear=True)
    constraint = folder / "constraint.txt"
    constraint.write_text(f"{TORCH}\n")
    _run(python, "-m", "pip", "install", "-q", TORCH)
    _run(python, "-m", "pip", "install", "-q", "-c", str(constraint), FEDBIOMED)
    _spare_operators(folder)
    _run(python, "-c", f"import {_NEEDED}")
    complete.touch()
    return python


def _spare_operators(folder: Path) -> None:
    """Let torchvision be imported without its compiled operators, if it cannot be otherwise."""
    if not _imports(folder / "bin" / "python", "torchvision"):
        for path in folder.glob("lib/python*/site-packages/torchvision/_meta_registrations.py"):
            path.write_text('"""Left empty: the operators are not there."""\n')


def _imports(python: Path, module: str) -> bool:
    command = [str(python), "-c", f"import {module}"]
    # Fed-BioMed makes folders where it is imported.
    place = python.parent
    ended = subprocess.run(command, cwd=place, capture_output=True, check=False, timeout=_LIMIT_S)
    return ended.returncode == 0


def _run(python: Path, *words: str) -> None:
    command, place = [str(python), *words], python.parent
    subprocess.run(command, cwd=place, stdout=sys.stderr, check=True, timeout=_LIMIT_S)
