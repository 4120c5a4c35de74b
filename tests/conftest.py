"""What every test run begins with."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import pytest
import structlog

from fedmq.containment.cell import Means
from fedmq.errors import HubError
from fedmq.node.containment import Containment, find_containment
from tests.support import broker as support
from tests.support import browser, hosts, small_disk, walled
from tests.support.broker import Kind, TestBroker

HAS_TORCH = importlib.util.find_spec("torch") is not None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run choose its broker."""
    parser.addoption(
        "--broker",
        choices=[kind.value for kind in Kind],
        default=Kind.INSTALLED.value,
        help="run what needs a broker on RabbitMQ 4.0, or on a cluster of three nodes",
    )

    parser.addoption("--all", action="store_true", help="run what takes minutes too (long)")


def pytest_configure(config: pytest.Config) -> None:
    """Choose where the run's broker lives, in the process that leads the run."""
    if support.FOLDER_VARIABLE in os.environ:
        return
    kind = Kind(config.getoption("--broker"))
    try:
        support.check_installed(kind)
    except HubError as error:
        raise pytest.UsageError(str(error)) from error
    support.prepare_folder(kind)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the run's broker, in the process that leads the run."""
    if not hasattr(config, "workerinput") and support.FOLDER_VARIABLE in os.environ:
        support.stop_broker()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Tests that a run leaves out, by their marks, and why."""

    what: str
    why: str
    has: Callable[[set[str]], bool]


@cache
def _containment() -> Containment:
    return find_containment()


def _has(mark: str, marks: set[str]) -> bool:
    return mark in marks


def left_out(config: pytest.Config) -> Iterator[LeftOut]:
    """Yield what this run leaves out."""
    kind = Kind(config.getoption("--broker"))
    if not config.getoption("--all"):
        yield LeftOut(
            what="tests that take minutes (long)",
            why="--all asks for them",
            has=lambda marks: "long" in marks,
        )
    if why := small_disk.why_not():
        yield LeftOut(
            what="faults of machines on small disks (small_disks)",
            why=why,
            has=lambda marks: "small_disks" in marks,
        )
    if kind is not Kind.INSTALLED:
        yield LeftOut(
            what="tests that need no broker",
            why=f"--broker {kind} asks for the others",
            has=lambda marks: "rabbitmq" not in marks,
        )
    if kind is Kind.CLUSTER:
        yield LeftOut(
            what="tests of the broker that a hub starts (hub_broker)",
            why="it is always a single one",
            has=lambda marks: "hub_broker" in marks,
        )
    else:
        yield LeftOut(
            what="tests of what a cluster of brokers survives (cluster)",
            why="it takes --broker cluster",
            has=lambda marks: "cluster" in marks,
        )
    if not os.environ.get("FEDMQ_TEST_DATA"):
        yield LeftOut(
            what="tests on real PET/CT (real_data)",
            why="FEDMQ_TEST_DATA names no folder",
            has=lambda marks: "real_data" in marks,
        )
    for what, mark, why in (
        ("pages in a browser", "browser", browser.why_not()),
        ("faults of lines between hosts", "namespaces", hosts.why_not()),
        ("hospitals behind firewalls", "firewalls", walled.why_not()),
    ):
        if why:
            yield LeftOut(what=f"{what} ({mark})", why=why, has=partial(_has, mark))
    here = _containment()
    if lacking := {f"contained_by_{one}" for one in Means if one not in here.means}:
        yield LeftOut(
            what=f"hostile plans contained by more ({', '.join(sorted(lacking))})",
            why=here.line,
            has=lambda marks: bool(lacking & marks),
        )
    if not HAS_TORCH:
        yield LeftOut(
            what="training with torch",
            why="torch is not installed",
            has=lambda marks: "training" in marks,
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this run cannot, or was not asked to, run; what needs a broker comes first.

    Those tests take longest. At the end of a run in several processes one of them would have its
    process work alone.
    """
    groups = list(left_out(config))
    kept, dropped = [], []
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        (dropped if any(group.has(marks) for group in groups) else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
    items[:] = sorted(kept, key=lambda item: item.get_closest_marker("rabbitmq") is None)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was left out, and why."""
    for group in left_out(config):
        terminalreporter.write_line(f"not run: {group.what}, because {group.why}")


@pytest.fixture(scope="session")
def broker() -> TestBroker:
    """Return the run's RabbitMQ; where it is not installed the test fails and says the fix."""
    return support.running_broker()
