"""The clinical table: what people export is read, what is ambiguous is named."""

from pathlib import Path

import pytest

from fedmq.errors import DatasetError
from fedmq.imaging.clinical import read_clinical, table_without


def write(folder: Path, content: str | bytes) -> Path:
    """Write a clinical table."""
    path = folder / "clinical.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


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
    rows = read_clinical(write(tmp_path, content))
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
        read_clinical(write(tmp_path, content))
    assert caught.value.code == code
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    """Missing is not corrupt."""
    with pytest.raises(DatasetError) as caught:
        read_clinical(tmp_path / "clinical.csv")
    assert caught.value.code == "missing_file"


@pytest.mark.parametrize(
    "content",
    [
        "case_id,age\nA,61\nB,62\n\nC,63\n",
        '\ufeffage;case_id\r\n"6;1";A\r\n62; B \r\n"6\n3";C\r\n',
    ],
)
def test_a_table_without_a_case_is_the_same_but_for_that(tmp_path: Path, content: str) -> None:
    """The other rows read as before; of the case no word is left."""
    table = write(tmp_path, content)
    before = dict(read_clinical(table))
    rest = table_without(table, {"B"})
    assert rest is not None
    assert "B" not in rest
    assert "62" not in rest
    del before["B"]
    assert read_clinical(write(tmp_path, rest)) == before
    assert table_without(table, {"A", "C"}) is None


def test_errors_name_the_same_row_without_a_case(tmp_path: Path) -> None:
    """Rows keep their numbers where others went."""
    rest = table_without(write(tmp_path, "case_id\nA\nB\nB\n"), {"A"})
    assert rest is not None
    with pytest.raises(DatasetError, match="row 4"):
        read_clinical(write(tmp_path, rest))
