"""Tables of the site: patients become cases, dates and what nobody asked for stay behind."""

import csv
import io
from datetime import date
from pathlib import Path

import pytest

from fedmq.errors import DatasetError
from fedmq.imaging.clinical import read_table
from fedmq.imaging.dicom.site_tables import read_time_zero, translate_table

CASES = {"007": "pt-a", "8": "pt-b"}


def write(folder: Path, text: str) -> Path:
    """Write a table."""
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_time_zero_is_a_day_for_each_patient(tmp_path: Path) -> None:
    """Leading zeros belong to the id; commas or semicolons."""
    for text in ("patient_id,date\n007,2021-06-20\n", "\ufeffdate;patient_id\n2021-06-20;007\n"):
        assert read_time_zero(write(tmp_path, text)) == {"007": date(2021, 6, 20).toordinal()}


def test_a_clinical_table_becomes_that_of_the_cases(tmp_path: Path) -> None:
    """Only columns that were asked for; patients without a case are counted."""
    text = (
        "name;IPP;age;stage;born\nDupont;007;61,5;IV;1960-01-01\nX;8;70;III;1951-01-01\nY;9;1;I;\n"
    )
    made = translate_table(write(tmp_path, text), "IPP", ["age", "stage"], CASES)
    assert (made.num_rows, made.num_others) == (2, 1)
    rows = list(csv.reader(io.StringIO(made.text)))
    assert rows == [
        ["case_id", "age", "stage"],
        ["pt-a", "61,5", "IV"],
        ["pt-b", "70", "III"],
    ]
    path = tmp_path / "clinical.csv"
    path.write_text(made.text)
    assert read_table(path).by_id().keys() == {"pt-a", "pt-b"}


REFUSED = {
    "a date": ("date_in_table", "IPP,age\n007,2021-06-20\n"),
    "a date in a text": ("date_in_table", "IPP,age\n007,seen 3/4/2021\n"),
    "an id": ("id_in_table", "IPP,age\nA7,B8\nB8,1\n"),
    "two rows": ("duplicate_row", "IPP,age\n8,1\n8,2\n"),
    "no column": ("no_case_column", "IPP,size\n8,1\n"),
    "two columns": ("no_case_column", "IPP,age,age\n8,1,2\n"),
    "more cells": ("corrupt_file", "IPP,age\n8,1,2\n"),
    "empty": ("no_case_column", ""),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_table_that_would_tell_too_much_or_too_little_is_refused(
    tmp_path: Path, what: str
) -> None:
    """By file and row, without its folder and without what stands in it."""
    code, text = REFUSED[what]
    with pytest.raises(DatasetError) as caught:
        translate_table(write(tmp_path, text), "IPP", ["age"], CASES)
    assert caught.value.code == code
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("bad_date", "patient_id,date\n1,20/06/2021\n"),
        ("duplicate_row", "patient_id,date\n1,2021-06-20\n1,2021-06-21\n"),
        ("no_case_column", "patient,date\n1,2021-06-20\n"),
    ],
)
def test_a_time_zero_that_can_be_read_in_two_ways_is_refused(
    tmp_path: Path, code: str, text: str
) -> None:
    """Days and months are not guessed."""
    with pytest.raises(DatasetError) as caught:
        read_time_zero(write(tmp_path, text))
    assert caught.value.code == code


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    """Missing, or not in UTF-8."""
    with pytest.raises(DatasetError) as caught:
        read_time_zero(tmp_path / "none.csv")
    assert caught.value.code == "missing_file"
    (tmp_path / "x.csv").write_bytes(b"patient_id,date\n\xe9,2021-06-20\n")
    with pytest.raises(DatasetError) as caught:
        read_time_zero(tmp_path / "x.csv")
    assert caught.value.code == "corrupt_file"
