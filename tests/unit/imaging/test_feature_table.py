"""The feature table: what it says is of the files as they are, beside the clinical table."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.feature_table import (
    COLUMNS,
    NO_FEATURES,
    FeatureRow,
    Features,
    cells_of,
    files_sha256,
    files_stamp,
    fresh_rows,
    parse_table,
    read_table,
    table_text,
    with_features,
)

FEATURES = Features(
    suv_max=21.675746,
    suv_peak=18.7,
    suv_peak_at_max=None,
    suv_mean=7.0,
    mask_ml=54.27712981,
    mtv41_ml=18.8,
    mtv_suv2_5_ml=41.0,
    mtv_suv4_ml=30.0,
    tlg41=269.9,
    tlg_suv2_5=378.0,
    tlg_suv4=345.0,
    num_lesions=2,
    dmax_mm=0.0,
    diameter_mm=54.4,
)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Return a case with a PET and a mask, of bytes that nobody reads as images."""
    for name in ("PET", "MASK", "CT"):
        (tmp_path / name).write_bytes(name.encode())
    volumes = {name: tmp_path / name for name in ("PET", "MASK", "CT")}
    return Case(case_id="A", volumes=volumes, clinical={"age": "61"})


def row_of(case: Case) -> FeatureRow:
    """Return a row that was measured in the files of a case."""
    return FeatureRow(
        case_id=case.case_id,
        sha256=files_sha256(case),
        stamp=files_stamp(case),
        cells=cells_of(FEATURES),
    )


def test_cells_have_six_digits_and_what_there_is_none_of_is_empty() -> None:
    """Numbers as plans read them; the columns are the features' names."""
    cells = cells_of(FEATURES)
    assert tuple(cells) == COLUMNS
    assert (cells["suv_max"], cells["mask_ml"], cells["num_lesions"]) == ("21.6757", "54.2771", "2")
    assert cells["suv_peak_at_max"] == ""


names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1)


@given(st.lists(names, unique=True, max_size=3))
@example(["a\rb", "a\nb", 'a"b', "a,b", "é "])
def test_a_table_is_read_as_it_was_written(case_ids: list[str]) -> None:
    """Whatever cases are called: commas, quotes and line ends too; by case."""
    rows = [
        FeatureRow(case_id=name, sha256="0" * 64, stamp="1:2", cells=cells_of(FEATURES))
        for name in case_ids
    ]
    assert parse_table(table_text(rows)) == tuple(sorted(rows, key=lambda row: row.case_id))
    for row in parse_table(table_text(rows, with_files=False)):
        assert (row.sha256, row.stamp, row.cells) == ("", "", cells_of(FEATURES))


def test_a_damaged_table_and_one_of_another_version_have_no_rows(
    case: Case, tmp_path: Path
) -> None:
    """Every way to be cut: nothing is lost, since it can be measured again."""
    text = table_text([row_of(case)])
    for end in (*range(text.index("\n")), *range(text.index("\n") + 2, len(text))):
        assert parse_table(text[:end]) == (), end
    assert parse_table(text.replace("suv_max", "suvmax")) == ()
    assert parse_table(text + '"') == ()
    assert read_table(tmp_path / "nothing.csv") == ()
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe")
    assert read_table(tmp_path / "binary.csv") == ()


@pytest.mark.parametrize("modality", ["PET", "MASK"])
def test_a_row_is_stale_once_a_measured_file_is_another(case: Case, modality: str) -> None:
    """Even of the same size and time: who replaces a file cannot hide it."""
    row = row_of(case)
    assert fresh_rows([row], [case]) == (row,)
    path = case.volumes[modality]
    before = path.stat()
    path.with_name("new").write_bytes(bytes(before.st_size))
    path.with_name("new").replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fresh_rows([row], [case]) == ()
    assert files_sha256(case) != row.sha256


def test_a_row_is_stale_once_a_file_is_gone_and_stays_without_the_ct(case: Case) -> None:
    """Nothing is measured in the CT."""
    row = row_of(case)
    case.volumes["CT"].unlink()
    assert fresh_rows([row], [case]) == (row,)
    case.volumes["MASK"].unlink()
    assert fresh_rows([row], [case]) == ()


def test_a_row_of_an_unfit_volume_and_one_of_no_case_are_not_used(case: Case) -> None:
    """A PET in Bq/ml has no SUV; an unfit CT matters to nobody here."""
    row = row_of(case)
    assert fresh_rows([row], [case], [("A", "PET")]) == ()
    assert fresh_rows([row], [case], [("A", "CT"), ("B", "PET")]) == (row,)
    assert fresh_rows([row], []) == ()
    empty = FeatureRow(case_id="A", sha256="", stamp=row.stamp, cells=NO_FEATURES)
    assert fresh_rows([empty], [case]) == ()


def test_features_stand_beside_the_clinical_cells(case: Case) -> None:
    """A case without a row has its clinical cells alone."""
    other = Case(case_id="B", volumes={}, clinical={"age": "70"})
    first, second = with_features([case, other], [row_of(case)])
    assert first.clinical == {"age": "61", **cells_of(FEATURES)}
    assert second == other


def test_a_clinical_column_of_the_same_name_is_refused_by_name(case: Case) -> None:
    """Also where the case itself has no features: a plan could be given either."""
    twice = Case(case_id="B", volumes={}, clinical={"suv_max": "3", "tlg41": "1", "age": "7"})
    with pytest.raises(DatasetError) as caught:
        with_features([case, twice], [row_of(case)])
    assert caught.value.code == "column_clash"
    assert "suv_max, tlg41" in caught.value.what


def test_a_row_stays_where_files_were_moved_linked_or_given_away(
    case: Case, tmp_path: Path
) -> None:
    """What was done to a file and not in it: a backup between two rounds changes no model."""
    row = row_of(case)
    pet, mask = case.volumes["PET"], case.volumes["MASK"]
    pet.with_name("backup").hardlink_to(pet)
    assert row.stamp != files_stamp(case)
    assert fresh_rows([row], [case]) == (row,)
    pet.chmod(0o640)
    shutil.copy2(mask, tmp_path / "moved")
    (tmp_path / "moved").replace(mask)
    assert fresh_rows([row], [case]) == (row,)


def test_a_row_is_not_of_what_was_changed_in_place_under_its_old_date(case: Case) -> None:
    """Of the same length too; and back again it is."""
    row = row_of(case)
    path = case.volumes["PET"]
    found, content = path.stat(), path.read_bytes()
    for other, rows in ((b"?" * len(content), ()), (content, (row,))):
        path.write_bytes(other)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert fresh_rows([row], [case]) == rows


def test_a_stamp_of_before_is_compared_by_content(case: Case) -> None:
    """It had no disk."""
    row = row_of(case)
    parts = [part.rpartition(".")[0] or part for part in row.stamp.split(":")]
    older = replace(row, stamp=":".join(parts))
    assert older.stamp != row.stamp
    assert fresh_rows([older], [case]) == (older,)
