"""Tables of the site: patients become cases, dates and what nobody asked for stay behind."""

from datetime import date
from pathlib import Path

import pytest

from fedmq.errors import DatasetError
from fedmq.imaging.clinical import TableFormat
from fedmq.imaging.dicom.site_tables import read_site_table, read_time_zero

IPP = TableFormat(id_column="IPP")


def write(folder: Path, text: str) -> Path:
    """Write a table."""
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_time_zero_is_a_day_for_each_patient(tmp_path: Path) -> None:
    """Leading zeros belong to the id; commas or semicolons."""
    for text in ("patient_id,date\n007,2021-06-20\n", "\ufeffdate;patient_id\n2021-06-20;007\n"):
        assert read_time_zero(write(tmp_path, text)) == {"007": date(2021, 6, 20).toordinal()}


def test_a_clinical_table_has_the_columns_that_were_asked_for(tmp_path: Path) -> None:
    """By PatientID, however the table is split and in whatever it is written."""
    text = "name;IPP;age;stage;born\nDupont;007;61,5;IV;1960-01-01\nX;8;70;élevé;1951-01-01\n"
    expected = {"007": ("61,5", "IV"), "8": ("70", "élevé")}
    read = read_site_table(write(tmp_path, text), IPP, ["age", "stage"])
    assert (read.columns, read.rows) == (("age", "stage"), expected)
    path = tmp_path / "tabs.tsv"
    path.write_bytes(text.replace(";", "\t").encode("windows-1252"))
    how = TableFormat(id_column="IPP", encoding="windows-1252")
    assert read_site_table(path, how, ["age", "stage"]).rows == expected


def test_ages_are_no_ids_though_some_patient_is_called_so(tmp_path: Path) -> None:
    """Of short numbers; and a decimal that looks like a month is a number among others."""
    text = "IPP,age\n61,61\n62,63\n63,62\n64,03.1950\n65,12.5\n"
    assert len(read_site_table(write(tmp_path, text), IPP, ["age"]).rows) == 5


@pytest.mark.parametrize(
    "cells",
    [
        ("250000", "312000", "41000", "180500"),
        ("7400", "11200", "8300"),
        ("2021", "1948"),
        ("12 cycles", "4 of 6", "T2 N1 M0"),
        ("0.25", "1e4", "12345678"),
    ],
)
def test_figures_are_no_dates(tmp_path: Path, cells: tuple[str, ...]) -> None:
    """Platelets, leucocytes, years, words, large volumes."""
    text = "IPP,age\n" + "".join(f"P{number},{cell}\n" for number, cell in enumerate(cells))
    assert len(read_site_table(write(tmp_path, text), IPP, ["age"]).rows) == len(cells)


REFUSED = {
    "a date": ("date_in_table", "IPP,age\n007,2021-06-20\n"),
    "a date in a text": ("date_in_table", "IPP,age\n007,seen 3/4/2021\n"),
    "a day in words": ("date_in_table", "IPP,age\n007,12 mars 1948\n"),
    "a day in short words": ("date_in_table", "IPP,age\n007,seen 3-Dec-21\n"),
    "a month in words": ("date_in_table", "IPP,age\n007,août 2021\n"),
    "a day in blanks": ("date_in_table", "IPP,age\n007,03 05 1948\n"),
    "a day with blanks and points": ("date_in_table", "IPP,age\n007,3. 5. 1948\n"),
    "a day with its time": ("date_in_table", "IPP,age\n007,201912240800\n"),
    "a day with its time in letters": ("date_in_table", "IPP,age\n007,20191224T080000Z\n"),
    "a day as DICOM has it": ("date_in_table", "IPP,age\n007,20191224080000.000000\n"),
    "a day in Dutch": ("date_in_table", "IPP,age\n007,12 mei 48\n"),
    "a month in Dutch": ("date_in_table", "IPP,age\n007,maart 2021\n"),
    "a month in Polish": ("date_in_table", "IPP,age\n007,października 2021\n"),
    "a day in any language": ("date_in_table", "IPP,age\n007,12. toukokuuta 1948\n"),
    "days of a spreadsheet": ("date_in_table", "IPP,age\n007,45322\n8,17656.5\n9,61\n"),
    "days without signs": ("date_in_table", "IPP,age\n007,3051948\n8,12031961\n9,61\n"),
    "short days without signs": ("date_in_table", "IPP,age\n007,480503\n8,120361\n9,\n"),
    "short days in blanks": ("date_in_table", "IPP,age\n007,03 05 48\n8,12 03 61\n"),
    "months without signs": ("date_in_table", "IPP,age\n007,201912\n8,202001\n"),
    "months": ("date_in_table", "IPP,age\n007,03.1950\n8,12/1961\n9,\n"),
    "its own id": ("id_in_table", "IPP,age\nA7,see a7!\n"),
    "its own number": ("id_in_table", "IPP,age\n0049921,0049921\n1,2\n2,3\n"),
    "numbers of others": ("id_in_table", "IPP,age\n49921,49922\n49922,49921\n1,2\n"),
    "the ids again": ("id_in_table", "IPP,age\n1,1\n2,2\n3,5\n"),
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
        read_site_table(write(tmp_path, text), IPP, ["age"])
    assert caught.value.code == code
    assert str(tmp_path) not in str(caught.value)
    if code in {"date_in_table", "id_in_table"}:
        assert "age" in str(caught.value)


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
    """Missing, or not in UTF-8, or in quotes that never end."""
    with pytest.raises(DatasetError) as caught:
        read_time_zero(tmp_path / "none.csv")
    assert caught.value.code == "missing_file"
    (tmp_path / "x.csv").write_bytes(b"patient_id,date\n\xe9,2021-06-20\n")
    with pytest.raises(DatasetError) as caught:
        read_time_zero(tmp_path / "x.csv")
    assert caught.value.code == "corrupt_file"
    with pytest.raises(DatasetError) as caught:
        read_time_zero(write(tmp_path, 'patient_id,date\n1,"2021-06-20\n2,2021-06-21\n'))
    assert caught.value.code == "corrupt_file"
