"""What every test run begins with."""

import os

import pytest

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what reads real patients where nobody says where they are; `./run` names it."""
    if os.environ.get("FEDMQ_TEST_DATA"):
        return
    left_out = [item for item in items if item.get_closest_marker("real_data")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def broker() -> TestBroker:
    """Return the run's RabbitMQ; where it is not installed the test fails and says the fix."""
    return support.running_broker()
