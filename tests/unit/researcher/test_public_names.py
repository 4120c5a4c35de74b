"""`import fedmq` gives the public names and imports nothing heavy for them."""

import subprocess
import sys
from pathlib import Path

import pytest

import fedmq
from fedmq.researcher.client import Client
from fedmq.researcher.experiment import Experiment

HEAVY = {"torch", "numpy", "pika", "pydantic", "msgpack", "sqlite3"}


def modules_after(code: str) -> set[str]:
    """Return the top modules that a fresh interpreter has imported after `code`."""
    show = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    folder = Path(fedmq.__file__).parent.parent
    result = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", f"{code}\n{show}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(result.stdout.split())


def test_importing_fedmq_imports_nothing_heavy() -> None:
    """The version is there at once."""
    modules = modules_after("import fedmq; assert fedmq.__version__")
    assert "fedmq" in modules
    assert not modules & HEAVY


def test_using_a_public_name_imports_its_room_but_no_torch_and_no_broker_library() -> None:
    """The test above can fail; a client that is not connected needs no pika."""
    modules = modules_after("import fedmq; fedmq.Client; fedmq.Experiment")
    assert {"numpy", "pydantic"} <= modules
    assert not modules & {"torch", "pika"}


def test_public_names_are_what_they_say() -> None:
    """And others are not there."""
    assert (fedmq.Client, fedmq.Experiment) == (Client, Experiment)
    assert set(fedmq.__all__) == {"Client", "Experiment", "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'Server'"):
        _ = fedmq.Server
