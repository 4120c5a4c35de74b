"""What an experiment began with is settled once, and goes with the experiment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.imaging.intake import Intake
from fedmq.node.records import Records, open_records
from fedmq.transport.home import LocalHome

FIRST: Intake = {"a": {"PET": ("a/PET.nii", 5, 7)}, "b": {}}


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """A node's records."""
    records = open_records(LocalHome(tmp_path))
    yield records
    records.close()


def test_what_was_settled_stays_through_a_restart(records: Records, tmp_path: Path) -> None:
    """Whatever is there then; another experiment begins with that."""
    assert records.intakes.settle("exp", lambda: FIRST) == FIRST
    again = open_records(LocalHome(tmp_path))
    try:
        assert again.intakes.settle("exp", dict) == FIRST
        assert again.intakes.settle("other", dict) == {}
        again.intakes.forget("exp")
        assert again.intakes.settle("exp", dict) == {}
    finally:
        again.close()
