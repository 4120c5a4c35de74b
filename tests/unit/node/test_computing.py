"""How an experiment is computed is settled once: neither a restart nor a setting changes it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.node.computing import Computing
from fedmq.node.records import Records, open_records
from fedmq.transport.home import LocalHome


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """A node's records."""
    records = open_records(LocalHome(tmp_path))
    yield records
    records.close()


@pytest.mark.parametrize(("asked", "most", "settled"), [(8, 2, 2), (2, 8, 2), (1, 1, 1)])
def test_a_task_has_the_threads_it_asks_for_as_far_as_the_operator_lets_it(
    records: Records, asked: int, most: int, settled: int
) -> None:
    """The researcher's number is an upper bound, the operator's another."""
    assert records.computing.settle("exp", asked=asked, most=most) == settled


def test_what_was_settled_stays(records: Records, tmp_path: Path) -> None:
    """Through a restart with another setting; another experiment has what is set then."""
    assert records.computing.settle("exp", asked=8, most=3) == 3
    again = open_records(LocalHome(tmp_path))
    try:
        assert isinstance(again.computing, Computing)
        assert again.computing.settle("exp", asked=8, most=5) == 3
        assert again.computing.settle("other", asked=8, most=5) == 5
    finally:
        again.close()
