"""Features at a node: measured once, in files as they are; gone with a withdrawn case."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.dictionary.model import Meaning
from fedmq.imaging.feature_table import NO_FEATURES, Features, cells_of
from fedmq.imaging.features import measure
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.imaging.volumes import Volume, load_volume, save_volume
from fedmq.node import measuring
from fedmq.node.measuring import Measurement, measure_dataset
from fedmq.node.records import Records, open_records
from fedmq.node.withdrawing import withdraw_case
from fedmq.transport.home import LocalHome
from tests.support import dicom
from tests.unit.imaging.dicom.archive import Site, ct, pet
from tests.unit.imaging.dictionary.examples import lung
from tests.unit.node.world import DATASET, World

NAME = "lung"
FIRST, SECOND, THIRD = (f"chu-lyon-{number:03}" for number in (1, 2, 3))


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Return a dataset of three cases."""
    write_cohort(SITES["chu-lyon"], tmp_path / "cases", num_cases=3)
    return tmp_path / "cases"


@pytest.fixture
def records(tmp_path: Path, cases: Path) -> Iterator[Records]:
    """Return the records of a node with the dataset."""
    made = open_records(LocalHome(tmp_path / "home"))
    made.datasets.add(NAME, cases, now=0.0)
    yield made
    made.close()


def measured(records: Records, name: str = NAME) -> Measurement:
    """Return the features of a dataset."""
    clock = itertools.count()
    return measure_dataset(
        records,
        name,
        num_threads=2,
        progress=lambda _done, _of: None,
        steady=lambda: float(next(clock)),
    )


def table(records: Records) -> str:
    """Return the text of the dataset's table."""
    path = records.features.path(NAME)
    return "" if path is None else path.read_text()


def test_what_is_measured_stands_in_the_table_and_is_measured_once(records: Records) -> None:
    """The second time nothing is measured; the table is for its owner's eyes."""
    assert records.features.path(NAME) is None
    first = measured(records)
    assert (first.num_measured, first.lacking, first.num_broken) == (3, {}, 0)
    assert first.rows == records.features.rows(NAME)
    assert [row.case_id for row in first.rows] == [FIRST, SECOND, THIRD]
    assert all(float(row.cells["mask_ml"]) > 1.0 for row in first.rows)
    path = records.features.path(NAME)
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["lung.csv"]
    again = measured(records)
    assert (again.num_measured, again.rows) == (0, first.rows)


def test_a_case_is_measured_again_when_its_files_are_others(records: Records, cases: Path) -> None:
    """Of a file that was only touched, the row stays and is of today."""
    before = measured(records).rows
    (cases / FIRST / "MASK.nii.gz").write_bytes((cases / SECOND / "MASK.nii.gz").read_bytes())
    (cases / SECOND / "PET.nii.gz").touch()
    after = measured(records)
    assert after.num_measured == 1
    assert after.rows[0].cells != before[0].cells
    assert after.rows[1].cells == before[1].cells
    assert after.rows[1].stamp != before[1].stamp
    assert after.rows[2] == before[2]


def test_cases_that_cannot_be_measured_are_named_with_empty_cells(
    records: Records, cases: Path
) -> None:
    """Without mask, cut in two, found unfit: each with its own reason."""
    (cases / FIRST / "MASK.nii.gz").unlink()
    whole = (cases / SECOND / "PET.nii.gz").read_bytes()
    (cases / SECOND / "PET.nii.gz").write_bytes(whole[: len(whole) // 2])
    found = measured(records)
    assert [row.cells == NO_FEATURES for row in found.rows] == [True, True, False]
    assert found.lacking[FIRST] == "it has no MASK"
    assert f"case {SECOND}: PET.nii.gz cannot be used" in found.lacking[SECOND]
    assert found.num_broken == 1
    assert str(cases) not in str(found.lacking)
    records.datasets.check(NAME)
    assert measured(records).lacking[SECOND].startswith("its PET was found unfit")
    (cases / SECOND / "PET.nii.gz").write_bytes(whole)
    records.datasets.check(NAME)
    assert measured(records).num_measured == 1


def test_an_unfit_volume_has_no_features_though_it_had(records: Records, cases: Path) -> None:
    """A check says so after they were measured: they are gone from the table too."""
    measured(records)
    with records.journal.transaction():
        records.journal.execute("INSERT INTO spoiled VALUES (?, ?, ?)", (NAME, FIRST, "PET"))
    assert measured(records).rows[0].cells == NO_FEATURES
    assert cases.is_dir()


def test_outlines_on_the_ct_of_an_archive_are_added_and_measured(
    records: Records, tmp_path: Path
) -> None:
    """As radiotherapy draws them: imported on the CT's grid, measured on the PET's."""
    site = Site(tmp_path / "hospital")
    images = ct(None, spacing=(2.0, 2.0, 3.0))
    corners = ((-8.0, -18.0), (-0.1, -18.0), (-0.1, -10.0), (-8.0, -10.0))
    outlines = [np.array([(*corner, depth) for corner in corners]) for depth in (106.0, 109.0)]
    drawn = dicom.structures(images[0], {"GTV": outlines})
    dicom.write(site.archive, *pet(), *images)
    dicom.write(site.archive / "drawn", drawn)
    assert site.only().taken["MASK"]["grid"] == "CT"
    inspection = records.datasets.add("drawn", site.cases, now=0.0)
    assert [finding.code for finding in inspection.findings] == []
    found = measured(records, "drawn")
    assert (found.num_measured, found.lacking) == (1, {})
    assert float(found.rows[0].cells["mask_ml"]) == pytest.approx(0.384, rel=0.3)


def test_a_mask_beside_its_pet_is_named_and_one_that_is_so_in_part_is_doubted(
    records: Records, cases: Path
) -> None:
    """The one has no row, the other its own; neither passes as a patient with less tumour."""
    whole = measured(records).rows
    for case_id, share in ((FIRST, 1.0), (SECOND, 0.3)):
        mask = load_volume(cases / case_id / "MASK.nii.gz")
        marked = np.argwhere(mask.array > 0)[:, 2]
        low, high = int(marked.min()), int(marked.max()) + 1
        affine = mask.affine.copy()
        beyond = low + round(share * (high - low))
        affine[2, 3] -= beyond * mask.spacing_mm[2]
        save_volume(Volume(array=mask.array, affine=affine), cases / case_id / "MASK.nii.gz")
    found = measured(records)
    assert found.rows[0].cells == NO_FEATURES
    assert found.lacking[FIRST].startswith("its mask marks no voxel of the PET")
    assert found.num_broken == 1
    assert found.doubts.keys() == {SECOND}
    assert "the mask holds" in found.doubts[SECOND]
    assert 0 < float(found.rows[1].cells["mask_ml"]) < float(whole[1].cells["mask_ml"])
    assert measured(records).doubts == {}


class _Left(Exception):  # noqa: N818 - somebody pressed Ctrl-C
    pass


def test_who_ends_it_in_between_goes_on_from_there(records: Records) -> None:
    """What was measured stands in the table."""

    def leave(done: int, _of: int) -> None:
        if done == 2:
            raise _Left

    with pytest.raises(_Left):
        measure_dataset(records, NAME, num_threads=1, progress=leave, steady=lambda: 0.0)
    kept = [row for row in records.features.rows(NAME) if row.sha256]
    assert len(kept) == 2
    assert measured(records).num_measured == 1


def test_a_withdrawn_case_takes_its_row_and_the_page_along(records: Records) -> None:
    """At once, and no later writer brings it back."""
    rows = measured(records).rows
    page = records.check_pages.path(NAME)
    page.write_text("pictures")
    half = page.with_name(f".{page.name}.new")  # as a kill leaves it
    half.write_text("pictures")
    assert FIRST in table(records)
    withdraw_case(records, NAME, FIRST, reason="", now=1.0)
    assert FIRST not in table(records)
    assert not list(page.parent.iterdir())
    records.features.save(NAME, rows)
    assert FIRST not in table(records)
    assert SECOND in table(records)
    assert [row.case_id for row in measured(records).rows] == [SECOND, THIRD]


def test_of_the_last_case_not_even_an_empty_table_stays(records: Records) -> None:
    """Nor a table that cannot be read any more, which may name the case."""
    path = records.features.path(NAME)
    measured(records)
    for name in (FIRST, SECOND, THIRD):
        withdraw_case(records, NAME, name, reason="", now=1.0)
    assert records.features.path(NAME) is None
    assert path is None
    records.features.save("other", [])
    other = records.features.path("other")
    assert other is not None
    other.write_text(f"{FIRST} and nonsense")
    records.features.forget("other", FIRST)
    assert records.features.path("other") is None


def test_a_clinical_column_called_as_a_feature_is_refused_before_anything_is_measured(
    records: Records, cases: Path
) -> None:
    """By its name; nothing is written."""
    clinical = cases / "clinical.csv"
    clinical.write_text(clinical.read_text().replace("age", "mtv41_ml", 1))
    with pytest.raises(DatasetError) as caught:
        measured(records)
    assert "mtv41_ml" in caught.value.what
    assert records.features.path(NAME) is None


def called(variable: str, column: str) -> Meaning:
    """Return a dictionary that reads a column as this variable."""
    variables = {variable: {"type": "number", "columns": [column]}}
    return Meaning(dictionary=lung(variables=variables, endpoint=None))


def test_a_variable_called_as_a_feature_is_refused_wherever_it_comes_in(
    records: Records, cases: Path
) -> None:
    """As plans would see it: with a dictionary, by what its variables are called."""
    clash = called("suv_max", "age")
    with pytest.raises(DatasetError, match="suv_max"):
        records.datasets.mean(NAME, clash)
    assert records.datasets.meanings.of(NAME) is None
    with pytest.raises(DatasetError, match="suv_max"):
        records.datasets.add("other", cases, now=0.0, meaning=clash)
    with records.journal.transaction():  # of a version that did not look
        records.datasets.meanings.keep(NAME, clash)
    with pytest.raises(DatasetError, match="suv_max"):
        measured(records)
    clinical = cases / "clinical.csv"
    clinical.write_text(clinical.read_text().replace("age", "suv_max", 1))
    with pytest.raises(DatasetError, match="suv_max"):
        records.datasets.add("other", cases, now=0.0)
    records.datasets.mean(NAME, called("years", "suv_max"))
    assert measured(records).num_measured == 3


def test_a_file_that_is_replaced_while_it_is_measured_has_no_row(
    records: Records, cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers would be of the one and the hash of the other, and be believed for ever."""
    pet = cases / FIRST / "PET.nii.gz"
    other = (cases / SECOND / "PET.nii.gz").read_bytes()

    def replaced(found: Volume, mask: Volume) -> Features:
        numbers = measure(found, mask)
        if pet.read_bytes() != other:
            pet.write_bytes(other)
        return numbers

    monkeypatch.setattr(measuring, "measure", replaced)
    clock = itertools.count()
    first = measure_dataset(
        records,
        NAME,
        num_threads=1,
        progress=lambda _done, _of: None,
        steady=lambda: float(next(clock)),
    )
    assert first.rows[0].cells == NO_FEATURES
    assert "changed while" in first.lacking[FIRST]
    monkeypatch.undo()
    again = measured(records)
    assert again.num_measured == 1
    with_other = measure(load_volume(pet), load_volume(cases / FIRST / "MASK.nii.gz"))
    assert again.rows[0].cells == cells_of(with_other)


def test_a_job_of_the_service_names_the_table_of_its_dataset(tmp_path: Path) -> None:
    """Before there is one, none; tables of other datasets are not its own."""
    world = World(tmp_path)
    try:
        world.agree()
        world.service._records.features.save("other", [])
        world.train(1)
        assert world.job.features is None
        world.done()
        world.service._records.features.save(DATASET, [])
        world.train(2)
        assert world.job.features == str(world.home / "features" / f"{DATASET}.csv")
    finally:
        world.close()


def test_a_dataset_that_is_not_there_is_an_error(records: Records) -> None:
    """The fix lists those that are."""
    with pytest.raises(ConfigurationError, match="there is no dataset nobodys"):
        measure_dataset(
            records, "nobodys", num_threads=1, progress=lambda _a, _b: None, steady=lambda: 0.0
        )
