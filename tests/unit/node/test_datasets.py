"""The registered datasets: added whole or not at all, seen by every process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.node.datasets import Datasets
from fedmq.node.records import Records, open_records
from fedmq.transport.home import LocalHome
from tests.support.tiny_plan import write_cases


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """Return the empty records of a node."""
    made = open_records(LocalHome(tmp_path))
    yield made
    made.close()


@pytest.fixture
def datasets(records: Records) -> Datasets:
    """Return the datasets of a node that has none."""
    return records.datasets


def test_a_dataset_is_added_listed_and_removed(datasets: Datasets, tmp_path: Path) -> None:
    """Its files stay."""
    folder = write_cases(tmp_path / "cases", 3)
    steps: list[tuple[int, int]] = []
    inspection = datasets.add(
        "petct", folder, now=5.0, progress=lambda done, of: steps.append((done, of))
    )
    assert (len(inspection.cases), inspection.num_sound) == (3, 3)
    assert steps == [(1, 3), (2, 3), (3, 3)]
    (dataset,) = datasets.all()
    assert dataset == datasets.find("petct")
    assert (dataset.folder, dataset.clinical, dataset.num_cases) == (folder, None, 3)
    assert dataset.added_at == 5.0
    datasets.remove("petct")
    assert datasets.all() == ()
    assert (folder / "clinical.csv").exists()


def test_a_dataset_that_another_process_added_is_seen(datasets: Datasets, tmp_path: Path) -> None:
    """The command line adds while the node runs."""
    other = open_records(LocalHome(tmp_path))
    assert datasets.find("petct") is None
    other.datasets.add("petct", write_cases(tmp_path / "cases", 1), now=0.0)
    other.close()
    assert datasets.find("petct") is not None


def test_a_clinical_table_elsewhere_is_read(datasets: Datasets, tmp_path: Path) -> None:
    """Its path is kept, absolute."""
    folder = write_cases(tmp_path / "cases", 1)
    table = (folder / "clinical.csv").rename(tmp_path / "table.csv")
    inspection = datasets.add("petct", folder, table, now=0.0)
    assert inspection.cases[0].clinical == {"x": "1"}
    dataset = datasets.find("petct")
    assert dataset is not None
    assert dataset.clinical == table


def test_what_is_wrong_with_a_case_is_told(datasets: Datasets, tmp_path: Path) -> None:
    """The sound ones are registered with it."""
    folder = tmp_path / "cases"
    write_cohort(SITES["chu-lyon"], folder, num_cases=2)
    first = min(path for path in folder.iterdir() if path.is_dir())
    next(first.glob("*.nii.gz")).write_bytes(b"no volume")
    inspection = datasets.add("petct", folder, now=0.0)
    assert (len(inspection.cases), inspection.num_sound) == (2, 1)
    assert {finding.case_id for finding in inspection.findings} == {first.name}


def test_an_unfit_volume_is_kept_out_until_a_check_finds_it_fit(
    datasets: Datasets, tmp_path: Path
) -> None:
    """By case and modality; a dataset that is removed leaves nothing behind."""
    folder = tmp_path / "cases"
    write_cohort(SITES["chu-lyon"], folder, num_cases=2)
    ct = folder / "chu-lyon-001" / "CT.nii.gz"
    sound = ct.read_bytes()
    ct.write_bytes(b"no volume")
    datasets.add("petct", folder, now=0.0)
    assert datasets.spoiled("petct") == {("chu-lyon-001", "CT")}
    datasets.remove("petct")
    assert datasets.spoiled("petct") == frozenset()
    datasets.add("petct", folder, now=0.0)
    ct.write_bytes(sound)
    datasets.check("petct")
    assert datasets.spoiled("petct") == frozenset()


def test_a_folder_without_a_usable_case_is_refused(datasets: Datasets, tmp_path: Path) -> None:
    """With the first reason."""
    (tmp_path / "cases" / "case-1").mkdir(parents=True)
    with pytest.raises(DatasetError, match="no case of the folder can be used") as caught:
        datasets.add("petct", tmp_path / "cases", now=0.0)
    assert (caught.value.code, caught.value.case) == ("empty_case", "case-1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no case"):
        datasets.add("petct", tmp_path / "empty", now=0.0)
    assert datasets.all() == ()


def test_a_folder_that_is_not_there_is_named(datasets: Datasets, tmp_path: Path) -> None:
    """The operator mistyped it."""
    with pytest.raises(DatasetError, match=r"there is no folder .*elsewhere") as caught:
        datasets.add("petct", tmp_path / "elsewhere", now=0.0)
    assert caught.value.code == "missing_folder"


def test_a_name_is_given_once_and_fits_the_protocol(datasets: Datasets, tmp_path: Path) -> None:
    """A dataset is not replaced in passing."""
    folder = write_cases(tmp_path / "cases", 1)
    datasets.add("petct", folder, now=0.0)
    with pytest.raises(ConfigurationError, match="already"):
        datasets.add("petct", folder, now=0.0)
    with pytest.raises(ConfigurationError, match="cannot name a dataset"):
        datasets.add("PET CT", folder, now=0.0)
    for act in (datasets.remove, datasets.check):
        with pytest.raises(ConfigurationError, match="there is no dataset other"):
            act("other")


def test_a_check_counts_the_cases_of_today(datasets: Datasets, tmp_path: Path) -> None:
    """Patients are added to a registered folder."""
    folder = write_cases(tmp_path / "cases", 1)
    datasets.add("petct", folder, now=0.0)
    (folder / "clinical.csv").write_text("case_id,x\ncase-1,1\ncase-2,2\n")
    (folder / "case-2").mkdir()
    assert len(datasets.check("petct").cases) == 2
    dataset = datasets.find("petct")
    assert dataset is not None
    assert dataset.num_cases == 2
