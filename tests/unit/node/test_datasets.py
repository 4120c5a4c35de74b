"""The registered datasets: added whole or not at all, seen by every process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.node import datasets as module
from fedmq.node.datasets import Datasets
from fedmq.transport.journal import Journal
from tests.support.tiny_plan import write_cases


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Return an empty journal."""
    made = Journal(tmp_path / "journal.sqlite", module.SCHEMA)
    yield made
    made.close()


def test_a_dataset_is_added_listed_and_removed(journal: Journal, tmp_path: Path) -> None:
    """Its files stay."""
    datasets = Datasets(journal)
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


def test_a_dataset_that_another_process_added_is_seen(journal: Journal, tmp_path: Path) -> None:
    """The command line adds while the node runs."""
    other = Journal(tmp_path / "journal.sqlite", module.SCHEMA)
    assert Datasets(journal).find("petct") is None
    Datasets(other).add("petct", write_cases(tmp_path / "cases", 1), now=0.0)
    other.close()
    assert Datasets(journal).find("petct") is not None


def test_a_clinical_table_elsewhere_is_read(journal: Journal, tmp_path: Path) -> None:
    """Its path is kept, absolute."""
    folder = write_cases(tmp_path / "cases", 1)
    table = (folder / "clinical.csv").rename(tmp_path / "table.csv")
    inspection = Datasets(journal).add("petct", folder, table, now=0.0)
    assert inspection.cases[0].clinical == {"x": "1"}
    dataset = Datasets(journal).find("petct")
    assert dataset is not None
    assert dataset.clinical == table


def test_what_is_wrong_with_a_case_is_told(journal: Journal, tmp_path: Path) -> None:
    """The sound ones are registered with it."""
    folder = tmp_path / "cases"
    write_cohort(SITES["chu-lyon"], folder, num_cases=2)
    first = min(path for path in folder.iterdir() if path.is_dir())
    next(first.glob("*.nii.gz")).write_bytes(b"no volume")
    inspection = Datasets(journal).add("petct", folder, now=0.0)
    assert (len(inspection.cases), inspection.num_sound) == (2, 1)
    assert {finding.case_id for finding in inspection.findings} == {first.name}


def test_an_unfit_volume_is_kept_out_until_a_check_finds_it_fit(
    journal: Journal, tmp_path: Path
) -> None:
    """By case and modality; a dataset that is removed leaves nothing behind."""
    datasets = Datasets(journal)
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


def test_a_folder_without_a_usable_case_is_refused(journal: Journal, tmp_path: Path) -> None:
    """With the first reason."""
    (tmp_path / "cases" / "case-1").mkdir(parents=True)
    with pytest.raises(DatasetError, match="no case of the folder can be used") as caught:
        Datasets(journal).add("petct", tmp_path / "cases", now=0.0)
    assert (caught.value.code, caught.value.case) == ("empty_case", "case-1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no case"):
        Datasets(journal).add("petct", tmp_path / "empty", now=0.0)
    assert Datasets(journal).all() == ()


def test_a_folder_that_is_not_there_is_named(journal: Journal, tmp_path: Path) -> None:
    """The operator mistyped it."""
    with pytest.raises(DatasetError, match=r"there is no folder .*elsewhere") as caught:
        Datasets(journal).add("petct", tmp_path / "elsewhere", now=0.0)
    assert caught.value.code == "missing_folder"


def test_a_name_is_given_once_and_fits_the_protocol(journal: Journal, tmp_path: Path) -> None:
    """A dataset is not replaced in passing."""
    datasets = Datasets(journal)
    folder = write_cases(tmp_path / "cases", 1)
    datasets.add("petct", folder, now=0.0)
    with pytest.raises(ConfigurationError, match="already"):
        datasets.add("petct", folder, now=0.0)
    with pytest.raises(ConfigurationError, match="cannot name a dataset"):
        datasets.add("PET CT", folder, now=0.0)
    for act in (datasets.remove, datasets.check):
        with pytest.raises(ConfigurationError, match="there is no dataset other"):
            act("other")


def test_a_check_counts_the_cases_of_today(journal: Journal, tmp_path: Path) -> None:
    """Patients are added to a registered folder."""
    datasets = Datasets(journal)
    folder = write_cases(tmp_path / "cases", 1)
    datasets.add("petct", folder, now=0.0)
    (folder / "clinical.csv").write_text("case_id,x\ncase-1,1\ncase-2,2\n")
    (folder / "case-2").mkdir()
    assert len(datasets.check("petct").cases) == 2
    dataset = datasets.find("petct")
    assert dataset is not None
    assert dataset.num_cases == 2
