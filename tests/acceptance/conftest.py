"""Federations of real processes for the tests of the whole; their logs stand beside a failure."""

from collections.abc import Iterator

import pytest

from tests.support.broker import TestBroker
from tests.support.federation import Federation, running_federation


@pytest.fixture(scope="session")
def federation(
    tmp_path_factory: pytest.TempPathFactory, broker: TestBroker
) -> Iterator[Federation]:
    """Return a federation of two running nodes that tests share; each leaves it as it was.

    They are of one xdist group, else each process of the run would start another.
    """
    with running_federation(tmp_path_factory.mktemp("federation") / "f", broker) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the programs said where a test failed."""
    report: pytest.TestReport = yield  # type: ignore[misc, assignment]
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Federation):
                report.sections.append(("what the programs said", value.logs()))
    return report  # type: ignore[return-value, unused-ignore]
