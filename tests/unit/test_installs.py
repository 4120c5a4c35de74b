"""What each install can do: the base one without torch, nibabel and scipy."""

import subprocess
import sys

import pytest

BLOCK = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {"torch", "monai", "nibabel", "scipy", "pydicom"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "module",
    [
        "fedmq.cli.main",
        "fedmq.cli.serving",
        "fedmq.hub.lifecycle",
        "fedmq.monitor.status",
        "fedmq.node.records",
        "fedmq.orchestrator.service",
        "fedmq.researcher.client",
        "fedmq.learning.plans.clinical_logistic",
    ],
)
def test_the_base_install_is_enough(module: str) -> None:
    """Hub, orchestrator, researcher, watcher and the tabular plan need no extra.

    Nor do what a node keeps, and the commands that show it: they start without what reads volumes.
    """
    result = run(f"{BLOCK}\nimport {module}")
    assert result.returncode == 0, result.stderr


def test_the_block_works() -> None:
    """The test above can fail."""
    assert "ModuleNotFoundError" in run(f"{BLOCK}\nimport fedmq.imaging.volumes").stderr


def test_help_imports_nothing_heavy() -> None:
    """`fedmq --help` comes in a blink: no torch, numpy, pika, pydantic."""
    code = (
        "import sys\n"
        "sys.argv = ['fedmq', '--help']\n"
        "from fedmq.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print('MODULES', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    result = run(code)
    modules = set(result.stdout.rpartition("MODULES")[2].split())
    assert {"fedmq", "typer"} <= modules, result.stderr
    assert not modules & {
        "torch",
        "numpy",
        "pika",
        "pydantic",
        "msgpack",
        "nibabel",
        "pydicom",
        "structlog",
    }
