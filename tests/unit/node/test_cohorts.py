"""What an experiment began with is settled once, and goes with the experiment."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fedmq.node.datasets import Dataset
from fedmq.node.records import Records, open_records
from fedmq.transport.home import LocalHome
from tests.support.layouts import put_scan
from tests.support.tiny_plan import write_cases


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """A node's records."""
    records = open_records(LocalHome(tmp_path / "home"))
    yield records
    records.close()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Return a dataset of three cases, of which one has a PET."""
    folder = write_cases(tmp_path / "cases", 3)
    (folder / "case-2" / "PET.nii").touch()
    return Dataset(name="petct", folder=folder, clinical=None, num_cases=3, added_at=0.0)


def settle(
    records: Records, dataset: Dataset, experiment: str = "exp", *, withdrawn: tuple[str, ...] = ()
) -> object:
    """Return what an experiment has."""
    return records.cohorts.settle(
        experiment,
        dataset,
        None,
        spoiled=frozenset(),
        seen=records.datasets.seen,
        withdrawn=dict.fromkeys(withdrawn, ("CT",)),
    )


def test_what_was_settled_stays_through_a_restart(
    records: Records, dataset: Dataset, tmp_path: Path
) -> None:
    """Whatever comes and goes; another experiment begins with what is there then."""
    first = settle(records, dataset, withdrawn=("case-3",))
    assert first == {"case-1": {}, "case-2": {"PET": "case-2/PET.nii"}, "case-3": {"CT": ""}}
    (dataset.folder / "case-2" / "PET.nii").unlink()
    (dataset.folder / "case-1" / "CT.nii").touch()
    again = open_records(LocalHome(tmp_path / "home"))
    try:
        assert settle(again, dataset) == first
        assert settle(again, dataset, "other") == {
            "case-1": {"CT": "case-1/CT.nii"},
            "case-2": {},
            "case-3": {},
        }
        again.cohorts.forget("exp")
        assert settle(again, dataset) != first
    finally:
        again.close()


def test_of_a_folder_that_cannot_be_seen_nothing_is_settled(
    records: Records, dataset: Dataset, tmp_path: Path
) -> None:
    """A disk that is not mounted when an experiment begins is no cohort of no cases."""
    place = dataset.folder.rename(tmp_path / "elsewhere")
    assert settle(records, dataset) is None
    place.rename(dataset.folder)
    assert settle(records, dataset) is not None


def test_what_no_check_has_looked_at_is_not_settled(records: Records, tmp_path: Path) -> None:
    """Its scale, its place, its header are nobody's word yet; the case is there without it."""
    folder = tmp_path / "scans"
    put_scan(folder / "a", names="PET")
    records.datasets.add("scans", folder, now=0.0)
    put_scan(folder / "b", names="PET")
    found = records.datasets.find("scans")
    assert found is not None
    with capture_logs() as logs:
        assert settle(records, found) == {"a": {"PET": "a/PET.nii.gz"}, "b": {}}
    assert [(one["event"], one["volumes"]) for one in logs] == [("volumes_unchecked", 1)]
    records.datasets.check("scans")
    assert settle(records, found, "later") == {
        "a": {"PET": "a/PET.nii.gz"},
        "b": {"PET": "b/PET.nii.gz"},
    }
