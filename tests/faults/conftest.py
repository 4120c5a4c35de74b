"""What every test of a fault tells about itself: its row, and how long it took to come back.

`./run bench faults` reads it from the report of the run.
"""

import time
from collections.abc import Callable, Iterator

import pytest

RecordProperty = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def row(request: pytest.FixtureRequest, record_property: RecordProperty) -> None:
    """Tell which row of the list of faults a test is about."""
    marker = request.node.get_closest_marker("row")
    assert marker is not None, "a test of a fault names its row"
    record_property("row", marker.args[0])


@pytest.fixture
def mended(record_property: RecordProperty) -> Iterator[Callable[[], None]]:
    """Return what a test calls when the fault is over, or its mending begins.

    Told is the time from there to the end of the test: to the end of the experiment, whose models
    are compared.
    """
    at: list[float] = []
    yield lambda: at.append(time.monotonic())
    if at:
        record_property("back_s", round(time.monotonic() - at[0], 2))
