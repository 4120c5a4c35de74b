"""What every test run begins with."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.support import broker as support
from tests.support.broker import TestBroker


def pytest_configure() -> None:
    """Choose where the run's broker lives, in the process that leads the run."""
    if support.FOLDER_VARIABLE not in os.environ:
        support.prepare_folder()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the run's broker, in the process that leads the run."""
    if not hasattr(config, "workerinput"):
        support.stop_broker()


HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture(autouse=True)
def logs_of_each_test_by_itself() -> Iterator[None]:
    """Forget how a test had logs written: its stderr is closed when the next one begins."""
    yield
    structlog.reset_defaults()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out modules of tests that import torch where there is none."""
    if HAS_TORCH or collection_path.suffix != ".py":
        return None
    return True if "\npytestmark = pytest.mark.training" in collection_path.read_text() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs real patients or torch where there are none."""
    absent = {
        name
        for name, is_here in (
            ("real_data", bool(os.environ.get("FEDMQ_TEST_DATA"))),
            ("training", HAS_TORCH),
        )
        if not is_here
    }
    left_out = [item for item in items if absent & {mark.name for mark in item.iter_markers()}]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and why."""
    if not os.environ.get("FEDMQ_TEST_DATA"):
        terminalreporter.write_line(
            "not run: tests on real PET/CT (real_data), because FEDMQ_TEST_DATA names no folder"
        )
    if not HAS_TORCH:
        terminalreporter.write_line("not run: training with torch, because torch is not installed")


@pytest.fixture(scope="session")
def broker() -> TestBroker:
    """Return the run's RabbitMQ; where it is not installed the test fails and says the fix."""
    return support.running_broker()
