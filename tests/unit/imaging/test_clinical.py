"""The clinical table: what people export is read, what is ambiguous is named."""

from pathlib import Path

import pytest

from fedmq.errors import DatasetError
from fedmq.imaging.clinical import TableFormat, agreeing, read_table, table_with


def write(folder: Path, content: str | bytes) -> Path:
    """Write a clinical table."""
    path = folder / "clinical.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def cells_in(path: Path) -> dict[str, dict[str, str]]:
    """Return what a table says of each case."""
    return {case_id: dict(agreeing(rows)) for case_id, rows in read_table(path).by_id().items()}


@pytest.mark.parametrize(
    "content",
    [
        "case_id,age,ecog\nA,61,1\nB,,0\n",
        "\ufeffcase_id;age;ecog\r\nA;61;1\r\nB;;0\r\n\r\n",
        ' age , case_id , ecog \n61,"A",1\n,B,0\n',
    ],
)
def test_a_table_is_read_as_it_was_exported(tmp_path: Path, content: str) -> None:
    """Commas or semicolons, byte order mark, spaces, blank lines: the same rows."""
    rows = cells_in(write(tmp_path, content))
    assert rows == {"A": {"age": "61", "ecog": "1"}, "B": {"age": "", "ecog": "0"}}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "no_case_column"),
        ("case,age\nA,61\n", "no_case_column"),
        ("case_id,age,age\nA,61,62\n", "no_case_column"),
        ("case_id,age\n", "empty"),
        ("case_id,age\nA,61\nA,62\n", "duplicate_row"),
        ("case_id,age\n,61\n", "no_case_id"),
        ("case_id,age\nA,61,7\n", "corrupt_file"),
        (b"case_id,name\nA,Zo\xe9\n", "corrupt_file"),
    ],
)
def test_a_table_that_cannot_be_told_apart_has_a_code(
    tmp_path: Path, content: str | bytes, code: str
) -> None:
    """Nothing is guessed: which row or column is meant must be clear."""
    with pytest.raises(DatasetError) as caught:
        read_table(write(tmp_path, content))
    assert caught.value.code == code
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    """Missing is not corrupt."""
    with pytest.raises(DatasetError) as caught:
        read_table(tmp_path / "clinical.csv")
    assert caught.value.code == "missing_file"


@pytest.mark.parametrize(
    "content",
    [
        "case_id,age\nA,61\nB,62\n\nC,63\n",
        '\ufeffage;case_id\r\n"6;1";A\r\n62; B \r\n"6\n3";C\r\n',
    ],
)
def test_a_table_of_some_cases_is_the_same_but_for_the_others(tmp_path: Path, content: str) -> None:
    """Their rows read as before; of the others no word is left."""
    table = write(tmp_path, content)
    before = cells_in(table)
    rest = table_with(table, {"A", "C"}, TableFormat())
    assert rest is not None
    assert "B" not in rest
    assert "62" not in rest
    del before["B"]
    assert cells_in(write(tmp_path, rest)) == before
    assert table_with(table, {"D"}, TableFormat()) is None


def test_errors_name_the_same_row_without_the_others(tmp_path: Path) -> None:
    """Rows keep their numbers where others went."""
    table = write(tmp_path, "case_id,x\nA,1\nB,1\nB,2\n")
    rest = table_with(table, {"B"}, TableFormat())
    assert rest is not None
    with pytest.raises(DatasetError, match="row 4"):
        read_table(write(tmp_path, rest))


def test_what_splits_cells_and_what_names_cases_is_seen(tmp_path: Path) -> None:
    """Tabs, semicolons with decimal commas, a quoted comma; ids keep their zeros."""
    for content, name in (
        ("PatientID\tage\n007\t61,5\n", "tabs"),
        ("age;Participant ID;;\n61,5;007;;\n\n;;;\n", "empty columns"),
        ('id,"age"\n007,"61,5"\n', "id"),
    ):
        table = read_table(write(tmp_path, content))
        assert [(row.case_id, dict(row.cells)) for row in table.rows] == [("007", {"age": "61,5"})]
        assert any(name in note for note in table.notes), name


def test_what_stands_where_a_table_should_is_said(tmp_path: Path) -> None:
    """Its columns; or that it is a folder, which nobody can save as CSV."""
    with pytest.raises(DatasetError, match="its first line is: Patient, age") as caught:
        read_table(write(tmp_path, "Patient,age\nA,61\n"))
    assert "--id-column" in caught.value.fix
    with pytest.raises(DatasetError, match="it is no file of text"):
        read_table(tmp_path)


def test_two_columns_that_could_name_the_cases_are_a_question(tmp_path: Path) -> None:
    """Unless one is called case_id, or the operator says which."""
    table = write(tmp_path, "id,patient_id,x\n1,A,5\n")
    with pytest.raises(DatasetError, match="id, patient_id could all be it") as caught:
        read_table(table)
    assert "--id-column" in caught.value.fix
    (row,) = read_table(table, TableFormat(id_column="patient_id")).rows
    assert (row.case_id, row.cells) == ("A", {"id": "1", "x": "5"})
    with pytest.raises(DatasetError, match="it has no column name"):
        read_table(table, TableFormat(id_column="name"))
    (row,) = read_table(write(tmp_path, "id,case_id\n1,A\n")).rows
    assert row.case_id == "A"


def test_a_row_that_stands_twice_is_said_and_counts_once(tmp_path: Path) -> None:
    """One that differs is refused with both lines and the column."""
    table = read_table(write(tmp_path, "case_id,x\nA,1\nB,2\nA,1\nA,1\n"))
    assert [row.case_id for row in table.rows] == ["A", "B"]
    assert any("A, A" in note for note in table.notes)
    with pytest.raises(DatasetError, match=r"row 4 .*case A has another row, on line 2.* in x"):
        read_table(write(tmp_path, "case_id,x\nA,1\nB,2\nA,3\n"))


def test_rows_of_scans_are_several_for_a_case(tmp_path: Path) -> None:
    """By a column of scans; what all of them say is the case's."""
    table = write(tmp_path, "case_id,session_id,age,weight\nA,1,61,70\nA,2,61,68\n")
    assert {row.scan for row in read_table(table).rows} == {"1", "2"}
    assert cells_in(table) == {"A": {"age": "61"}}
    visits = write(tmp_path, "case_id,visit,age\nA,1,61\nA,2,61\n")
    with pytest.raises(DatasetError, match="row 3"):
        read_table(visits)
    assert len(read_table(visits, TableFormat(scan_column="visit")).rows) == 2


def test_a_row_that_ends_early_is_said(tmp_path: Path) -> None:
    """Its last cells are empty; where nothing but a nameless column lacks, nothing does."""
    table = read_table(write(tmp_path, "case_id;age;time;;\nA;61;5;;\nB;62;6\nC;63\nD\n"))
    assert [dict(row.cells) for row in table.rows[2:]] == [
        {"age": "63", "time": ""},
        {"age": "", "time": ""},
    ]
    (note,) = [note for note in table.notes if "fewer cells" in note]
    assert note.endswith("count as empty: lines 4, 5")
    (note,) = read_table(write(tmp_path, "case_id,age\nA\n")).notes
    assert note.endswith("count as empty: line 2")


LATIN = "case_id,name\nA,Zoé\n".encode("windows-1252")


def test_another_encoding_is_read_where_it_is_said(tmp_path: Path) -> None:
    """UTF-16 says so itself; of Windows-1252 the error has the line, and the option."""
    table = write(tmp_path, LATIN)
    with pytest.raises(DatasetError, match="line 2") as caught:
        read_table(table)
    assert "--encoding windows-1252" in caught.value.fix
    found = read_table(table, TableFormat(encoding="windows-1252"))
    assert found.rows[0].cells == {"name": "Zoé"}
    assert "windows-1252" in found.notes[0]
    rest = table_with(table, {"A"}, TableFormat(encoding="windows-1252"))
    assert rest is not None
    assert "Zoé" in rest
    wide = read_table(write(tmp_path, "case_id,x\nA,1\n".encode("utf-16")))
    assert wide.rows[0].cells == {"x": "1"}
    with pytest.raises(DatasetError, match="nobody knows the encoding klingon"):
        read_table(table, TableFormat(encoding="klingon"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04rest", "it is a spreadsheet"),
        (b"\xd0\xcf\x11\xe0rest", "it is a spreadsheet"),
        ('case_id,x\nA,"1\nB,2\nC,3\n', "it is no CSV file"),
        ("case_id,,x\nA,7,1\n", "a cell in a column without a name"),
        ("case_id,x\nA," + "1" * 200_000 + "\n", "it is no CSV file"),
    ],
)
def test_what_is_no_table_is_said(tmp_path: Path, content: str | bytes, why: str) -> None:
    """A quote that nobody closed would have swallowed the rows behind it."""
    with pytest.raises(DatasetError, match=why):
        read_table(write(tmp_path, content))


def test_accents_are_the_same_in_two_ways_to_write_them(tmp_path: Path) -> None:
    """A Mac decomposes them."""
    rows = cells_in(write(tmp_path, "case_id,x\nZoe\u0301,1\n"))
    assert rows == {"Zo\u00e9": {"x": "1"}}
