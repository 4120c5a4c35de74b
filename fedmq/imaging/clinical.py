"""The clinical table of a site: one row per case, cells kept as they were written."""

import csv
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from fedmq.errors import DatasetError

CASE_COLUMN: Final = "case_id"
Rows = Mapping[str, Mapping[str, str]]
"""Case -> column -> cell, in the order of the table."""


def read_clinical(path: Path) -> Rows:
    """Return the rows of the table at `path`: CSV in UTF-8, split by commas or semicolons.

    Raises:
        DatasetError: code missing_file, corrupt_file, no_case_column, empty, duplicate_row or
            no_case_id. The text names the file and the line, not the folder.
    """
    lines, _ = _read_lines(path)
    header = _header(path, lines)
    return _rows_of(path, header, lines)


def table_without(path: Path, names: Collection[str]) -> str | None:
    """Return the text of a table with nothing on the lines of these cases, None if no row is left.

    The other rows keep their numbers, which texts of errors name.

    Raises:
        DatasetError: the file is no table, or has no single column of cases.
    """
    lines, delimiter = _read_lines(path)
    column = _header(path, lines).index(CASE_COLUMN)
    kept = [
        [] if number and line[column : column + 1] and line[column].strip() in names else line
        for number, line in enumerate(lines)
    ]
    if not any(cell.strip() for line in kept[1:] for cell in line):
        return None
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(kept)
    return text.getvalue()


def _read_lines(path: Path) -> tuple[list[list[str]], str]:
    """Return the cells of a table, line by line, and what stands between them."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = _delimiter(text)
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), delimiter
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path.name} is missing", code="missing_file", fix="put the file there"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{path.name} cannot be read",
            code="corrupt_file",
            why="it is no CSV file in UTF-8",
            fix="save it again as CSV (UTF-8)",
        ) from error


def _header(path: Path, lines: list[list[str]]) -> list[str]:
    header = [cell.strip() for cell in lines[0]] if lines else []
    if header.count(CASE_COLUMN) != 1 or len(set(header)) != len(header):
        raise DatasetError(
            f"{path.name} has no single column {CASE_COLUMN}",
            code="no_case_column",
            why="the first line must name each column once, and one of them so",
            fix=f"name the column that holds the folders' names {CASE_COLUMN}",
        )
    return header


def _delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return ";" if first.count(";") > first.count(",") else ","


def _rows_of(path: Path, header: list[str], lines: list[list[str]]) -> Rows:
    rows: dict[str, dict[str, str]] = {}
    for number, line in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in line]
        if not any(cells):
            continue
        if any(cells[len(header) :]):
            raise _fault(path, number, "corrupt_file", "it has more cells than the first line")
        row = dict(zip(header, cells, strict=False))
        case_id = row.pop(CASE_COLUMN, "")
        if not case_id:
            raise _fault(path, number, "no_case_id", f"its {CASE_COLUMN} is empty")
        if case_id in rows:
            raise _fault(path, number, "duplicate_row", f"case {case_id} has a row already")
        rows[case_id] = row
    if not rows:
        raise DatasetError(
            f"{path.name} is empty",
            code="empty",
            why="it has no row below the first line",
            fix="add a row for each case",
        )
    return rows


def _fault(path: Path, row: int, code: str, why: str) -> DatasetError:
    return DatasetError(
        f"row {row} of {path.name} cannot be used", code=code, why=why, fix="mend the row"
    )
