"""The registered datasets: added whole or not at all, seen by every process."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.baseline import BaselineRule, Pick
from fedmq.imaging.contents import MapChoices
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.dictionary.model import Dictionary, Meaning
from fedmq.imaging.layouts.data_map import DataMap, Layout
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.imaging.volumes import save_volume
from fedmq.node.audit_facts import DatasetChanged
from fedmq.node.datasets import Datasets
from fedmq.node.meanings import read_by
from fedmq.node.policy import Policy
from fedmq.node.records import Records, open_records
from fedmq.node.summaries import Findings
from fedmq.node.withdrawing import withdraw_case
from fedmq.transport.home import LocalHome
from tests.support.closed import closed, own_folder
from tests.support.fields import affine_of, ball
from tests.support.layouts import put_folders, put_hecktor, put_scan
from tests.support.tiny_plan import write_cases
from tests.unit.imaging.dictionary.examples import lung


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


def test_the_map_of_a_dataset_is_kept_and_never_found_again(
    datasets: Datasets, tmp_path: Path
) -> None:
    """A file that looks like another layout changes nothing; a new row's name becomes an alias."""
    folder = tmp_path / "cases"
    put_hecktor(folder)
    inspection = datasets.add("petct", folder, now=0.0)
    assert inspection.num_sound == 3
    (dataset,) = datasets.all()
    assert dataset.data_map.layout is Layout.HECKTOR
    put_scan(folder / "sub-01" / "pet")
    (folder / "clinical.csv").write_text("case_id,age\nchup-001,61\n")
    checked = datasets.check("petct")
    assert [case.case_id for case in checked.cases] == ["CHUM-002", "CHUM-010", "CHUP-001"]
    after = datasets.find("petct")
    assert after is not None
    assert after.data_map == replace(dataset.data_map, aliases={"chup-001": "CHUP-001"})
    assert after.num_cases == 3
    with pytest.raises(DatasetError, match="more than one layout"):
        datasets.add("again", folder, now=0.0)


def test_the_baseline_of_a_dictionary_comes_before_the_sites_own(
    datasets: Datasets, tmp_path: Path
) -> None:
    """In what is found and in what is handed to trainers; the site's own word is kept below it."""
    folder = tmp_path / "cases"
    put_folders(folder)
    (folder / "clinical.csv").unlink()
    with pytest.raises(DatasetError, match="several scans"):
        datasets.add("petct", folder, now=0.0)
    first = MapChoices(baseline=BaselineRule(pick=Pick.FIRST, window_days=(-90, 90)))
    found = datasets.add("petct", folder, choices=first, now=0.0)
    assert found.contents.baselines == {"p2": "scan-1"}
    late = Meaning(
        dictionary=Dictionary.model_validate(
            {
                "name": "lung",
                "version": "1",
                "variables": {"age": {"type": "number"}},
                "baseline": {"window_days": [0, 30]},
            }
        )
    )
    found = datasets.mean("petct", late)
    assert found.contents.baselines == {"p2": "scan-2"}
    assert found.contents.without_baseline.keys() == {"p1"}
    dataset = datasets.find("petct")
    assert dataset is not None
    assert dataset.data_map.baseline == first.baseline
    assert read_by(dataset.data_map, late).baseline == BaselineRule(window_days=(0, 30))
    assert datasets.mean("petct", None).contents.baselines == {"p2": "scan-1"}


def test_spacings_are_told_from_least_to_largest(datasets: Datasets, tmp_path: Path) -> None:
    """By axis in RAS+, of what can be read."""
    for number, spacing in enumerate(((4.0, 3.0, 5.0), (2.0, 6.0, 5.0))):
        place = tmp_path / "cases" / f"case-{number}"
        place.mkdir(parents=True)
        volume = ball(affine_of(spacing, (0.0, 0.0, -20.0)), (8, 8, 8), 5.0, centre=(8, 8, -8))
        save_volume(volume, place / "PET.nii.gz")
    (place / "CT.nii.gz").write_bytes(b"no volume")
    inspection = datasets.add("petct", tmp_path / "cases", now=0.0)
    assert inspection.spacing_mm == {"PET": ((2.0, 3.0, 5.0), (4.0, 6.0, 5.0))}


def test_spacings_of_unfit_volumes_are_not_told(datasets: Datasets, tmp_path: Path) -> None:
    """One that nobody learns from would be a group of its own among what is told of all."""
    for number, (spacing, uptake) in enumerate(((4.0, 5.0), (4.0, 5.0), (2.0, 9e3))):
        place = tmp_path / "cases" / f"case-{number}"
        place.mkdir(parents=True)
        affine = affine_of((spacing, spacing, spacing), (0.0, 0.0, -20.0))
        save_volume(ball(affine, (8, 8, 8), uptake, centre=(8, 8, -8)), place / "PET.nii.gz")
    inspection = datasets.add("petct", tmp_path / "cases", now=0.0)
    assert inspection.spoiled == {("case-2", "PET")}
    assert inspection.counted.spacing_mm == {"PET": ((4.0, 4.0, 4.0), (4.0, 4.0, 4.0))}


def test_faults_of_every_case_refuse_no_dataset_that_can_be_learnt_from(
    datasets: Datasets, tmp_path: Path
) -> None:
    """All CTs unfit: the PETs are learnt from. All volumes unfit: nothing is."""
    folder = tmp_path / "cases"
    for name in ("a", "b"):
        put_scan(folder / name, names="PET")
        (folder / name / "CT.nii.gz").write_bytes(b"no volume")
    assert datasets.add("petct", folder, now=0.0).num_sound == 0
    for name in ("a", "b"):
        (folder / name / "PET.nii.gz").write_bytes(b"no volume")
    (folder / "clinical.csv").write_text("case_id,age\na,61\n")
    with pytest.raises(DatasetError, match="no case of the folder can be used"):
        datasets.add("other", folder, now=0.0)


def test_a_baseline_that_no_case_has_is_refused(datasets: Datasets, tmp_path: Path) -> None:
    """With the names that there are; where one case has it, the others are named."""
    folder = tmp_path / "cases"
    put_folders(folder)
    wrong = MapChoices(baseline=BaselineRule(pick=Pick.NAMED, scan="scan1"))
    with pytest.raises(DatasetError, match="no case has the scan") as caught:
        datasets.add("petct", folder, choices=wrong, now=0.0)
    assert caught.value.why == "p1: it has no scan scan1; it has scan-1"
    (folder / "clinical.csv").write_text("case_id,age\np2,62\n")
    second = MapChoices(baseline=BaselineRule(pick=Pick.NAMED, scan="scan-2"))
    found = datasets.add("petct", folder, choices=second, now=0.0)
    assert [(one.case_id, one.code) for one in found.faults] == [("p1", "no_baseline")]


def test_volumes_that_came_since_the_last_check_are_told_apart(
    datasets: Datasets, tmp_path: Path
) -> None:
    """By size and time; a check looks at them, and a dataset that goes takes that along."""
    folder = tmp_path / "cases"
    put_scan(folder / "a", names="PET CT")
    datasets.add("petct", folder, now=0.0)
    assert not datasets.seen.unseen("petct", find_cases(folder))
    put_scan(folder / "b", names="PET")
    os.utime(folder / "a" / "CT.nii.gz", ns=(0, 0))
    unseen = {("b", "PET"), ("a", "CT")}
    assert datasets.seen.unseen("petct", find_cases(folder)) == unseen
    datasets.check("petct")
    assert not datasets.seen.unseen("petct", find_cases(folder))
    datasets.remove("petct")
    put_scan(folder / "c", names="PET")
    assert not datasets.seen.unseen("petct", find_cases(folder))


def test_a_dataset_of_a_journal_of_before_is_one_of_folders(
    datasets: Datasets, records: Records, tmp_path: Path
) -> None:
    """Its map was not kept: there was one way to lay a dataset out."""
    datasets.add("petct", write_cases(tmp_path / "cases", 2), now=0.0)
    records.journal.execute("DELETE FROM data_maps")
    dataset = datasets.find("petct")
    assert dataset is not None
    assert dataset.data_map == DataMap()
    assert len(datasets.check("petct").cases) == 2


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


def test_volumes_that_lie_too_deep_are_said_where_nothing_else_is_there(
    datasets: Datasets, tmp_path: Path
) -> None:
    """The folder above was named, or one was put too much."""
    put_scan(tmp_path / "cases" / "data" / "site" / "case-1")
    with pytest.raises(DatasetError, match=r"CT\.nii\.gz is ignored: it lies too deep"):
        datasets.add("petct", tmp_path / "cases", now=0.0)
    put_scan(tmp_path / "above" / "cases" / "case-1")
    put_scan(tmp_path / "above" / "cases" / "case-2")
    with pytest.raises(DatasetError, match="if its scans are patients: name the folder one below"):
        datasets.add("petct", tmp_path / "above", now=0.0)


def test_a_folder_that_is_not_there_is_named(datasets: Datasets, tmp_path: Path) -> None:
    """The operator mistyped it."""
    with pytest.raises(DatasetError, match=r"there is no folder .*elsewhere") as caught:
        datasets.add("petct", tmp_path / "elsewhere", now=0.0)
    assert caught.value.code == "missing_folder"
    with own_folder() as place:
        (place / "above" / "cases").mkdir(parents=True)
        with closed(place / "above"), pytest.raises(DatasetError) as caught:
            datasets.add("petct", place / "above" / "cases", now=0.0)
    assert caught.value.code == "unreadable"


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


class Beside:
    """Another command on the same home: what it does is done once, while a case is being read."""

    def __init__(self, home: Path, act: Callable[[Records], object]) -> None:
        self._home = home
        self._act = act
        self._has_acted = False

    def see(self, *_seen: object) -> None:
        """Act, at the first case."""
        if not self._has_acted:
            self._has_acted = True
            other = open_records(LocalHome(self._home))
            self._act(other)
            other.close()

    def progress(self, _done: int, _of: int) -> None:
        """Act, at the first case, where only the progress is told."""
        self.see()


def withdraws(case_id: str) -> Callable[[Records], object]:
    """Return the command that withdraws a case."""
    return lambda other: withdraw_case(other, "lung", case_id, reason="", now=1.0)


def counts(records: Records) -> tuple[int, int]:
    """Return how many cases the dataset has, and how many researchers are told of."""
    (dataset,) = records.datasets.all()
    found = records.datasets.found
    (told,) = found.tell(records.datasets.meanings, Policy(least_cell=2))
    return dataset.num_cases, told.num_cases or 0


@pytest.mark.parametrize("command", ["check", "mean", "add"])
def test_a_case_withdrawn_while_files_are_read_is_not_counted(
    records: Records, tmp_path: Path, command: str
) -> None:
    """In nothing that is kept, told or shown."""
    folder = write_cases(tmp_path / "cases", 4)
    (folder / "case-2" / "CT.nii.gz").write_bytes(b"no volume")
    datasets = records.datasets
    beside = Beside(tmp_path, withdraws("case-2"))
    datasets.add("lung", folder, now=0.0)
    if command == "check":
        inspection = datasets.check("lung", see=beside.see)
    elif command == "mean":
        inspection = datasets.mean("lung", None, beside.progress)
    else:
        datasets.remove("lung")
        inspection = datasets.add("lung", folder, now=0.0, progress=beside.progress)
    assert [case.case_id for case in inspection.cases] == ["case-1", "case-3", "case-4"]
    assert {one.case_id for one in inspection.findings} == set()
    assert "case-2" not in inspection.contents.num_scans
    assert counts(records) == (3, 3)
    assert datasets.spoiled("lung") == frozenset()
    changes = list(records.audit.facts(DatasetChanged))
    assert changes[-1].num_cases == 3


def test_a_check_does_not_take_back_a_dictionary_that_was_set_meanwhile(
    records: Records, tmp_path: Path
) -> None:
    """It says that it has to be run again; nothing that it found counts."""
    first, second = (
        Meaning(dictionary=lung(variables={name: {"type": "number"}}, endpoint=None))
        for name in ("x", "y")
    )
    folder = write_cases(tmp_path / "cases", 3)
    (folder / "clinical.csv").write_text("case_id,x,y\ncase-1,1,2\ncase-2,1,2\ncase-3,1,2\n")
    records.datasets.add("lung", folder, now=0.0, meaning=first)
    beside = Beside(tmp_path, lambda other: other.datasets.mean("lung", second))
    with pytest.raises(ConfigurationError, match="counts for nothing") as caught:
        records.datasets.check("lung", see=beside.see)
    assert caught.value.fix == "fedmq node data check lung"
    assert records.datasets.meanings.of("lung") == second
    records.datasets.check("lung")


@pytest.mark.parametrize("command", ["check", "mean"])
def test_a_dataset_removed_while_it_is_read_stays_removed(
    records: Records, tmp_path: Path, command: str
) -> None:
    """No table has a row of it, and the audit log ends with its removal."""
    records.datasets.add("lung", write_cases(tmp_path / "cases", 3), now=0.0)
    beside = Beside(tmp_path, lambda other: other.datasets.remove("lung"))
    read = {
        "check": lambda: records.datasets.check("lung", see=beside.see),
        "mean": lambda: records.datasets.mean("lung", None, beside.progress),
    }[command]
    with pytest.raises(ConfigurationError, match="there is no dataset lung"):
        read()
    for table in ("found", "meanings", "data_maps", "spoiled"):
        assert records.journal.rows(f"SELECT dataset FROM {table}") == []  # noqa: S608
    assert [one.change for one in records.audit.facts(DatasetChanged)] == ["added", "removed"]


def test_another_dataset_of_the_name_is_not_taken_for_the_one_that_was_read(
    records: Records, tmp_path: Path
) -> None:
    """Removed and added again from elsewhere: what is known of it is of what lies there."""
    other_folder = write_cases(tmp_path / "others", 2)

    def replace_it(other: Records) -> None:
        other.datasets.remove("lung")
        other.datasets.add("lung", other_folder, now=1.0)

    records.datasets.add("lung", write_cases(tmp_path / "cases", 3), now=0.0)
    with pytest.raises(ConfigurationError, match="counts for nothing"):
        records.datasets.check("lung", see=Beside(tmp_path, replace_it).see)
    assert counts(records) == (2, 2)


def test_what_was_found_in_a_dataset_that_is_gone_is_not_told(records: Records) -> None:
    """A row of an earlier version, from a check that ran beside a removal."""
    left = Findings(num_cases=20, num_with={}, spacing_mm={})
    records.datasets.found.keep("gone", left)
    assert records.datasets.found.tell(records.datasets.meanings, Policy()) == []
