"""Tables of the site: what is known of its patients by their PatientIDs, translated to cases."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from fedmq.errors import DatasetError
from fedmq.imaging.clinical import CASE_COLUMN

ID_COLUMN: Final = "patient_id"
DATE_COLUMN: Final = "date"
_DATE: Final = re.compile(
    r"(?:19|20)\d{2}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})\b"
    r"|^(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$"
)
"""A day in any usual spelling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A clinical table with cases in the place of patients."""

    text: str
    num_rows: int
    num_others: int
    """Rows of patients that are no case."""


def read_time_zero(path: Path) -> Mapping[str, int]:
    """Return PatientID -> day, from a table with the columns patient_id and date (YYYY-MM-DD).

    Raises:
        DatasetError: code missing_file, corrupt_file, no_case_column, duplicate_row or bad_date.
    """
    header, rows = _read(path)
    patients, days = _column(path, header, ID_COLUMN), _column(path, header, DATE_COLUMN)
    found: dict[str, int] = {}
    for number, row in rows:
        patient, written = row[patients], row[days]
        if patient in found:
            raise _fault(path, number, "duplicate_row", "its patient has a row already")
        try:
            found[patient] = date.fromisoformat(written).toordinal()
        except ValueError as error:
            raise _fault(path, number, "bad_date", "its date is not as 2027-06-30") from error
    return found


def translate_table(
    path: Path, id_column: str, kept: Sequence[str], cases: Mapping[str, str]
) -> Translated:
    """Return the table of a site with a row for each case, and of its columns those in `kept`.

    Args:
        path: CSV in UTF-8, split by commas or semicolons.
        id_column: which column has the PatientID.
        kept: the columns that go on; free text and dates are not for a dataset.
        cases: PatientID -> case.

    Raises:
        DatasetError: as `read_time_zero`; date_in_table: a column to keep has a date in it;
            id_in_table: a column to keep has somebody's PatientID in it.
    """
    header, rows = _read(path)
    patients = _column(path, header, id_column)
    columns = [_column(path, header, name) for name in kept if name != id_column]
    written = [(CASE_COLUMN, *(header[column] for column in columns))]
    num_others = 0
    seen: set[str] = set()
    ids = {row[patients] for _, row in rows}
    for number, row in rows:
        cells = tuple(row[column] for column in columns)
        if row[patients] in seen:
            raise _fault(path, number, "duplicate_row", "its patient has a row already")
        seen.add(row[patients])
        if any(_DATE.search(cell) for cell in cells):
            raise _fault(path, number, "date_in_table", "a column that is to be kept has a date")
        if any(cell in ids and not cell.isdigit() for cell in cells):
            raise _fault(path, number, "id_in_table", "a column that is to be kept has an id")
        if row[patients] in cases:
            written.append((cases[row[patients]], *cells))
        else:
            num_others += 1
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(written)
    return Translated(text=text.getvalue(), num_rows=len(written) - 1, num_others=num_others)


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the first line, and each other one that is not empty with its number."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = ";" if first.count(";") > first.count(",") else ","
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path.name} is missing", code="missing_file", fix="give its right path"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{path.name} cannot be read",
            code="corrupt_file",
            why="it is no CSV file in UTF-8",
            fix="save it again as CSV (UTF-8)",
        ) from error
    header = [cell.strip() for cell in lines[0]] if lines else []
    rows = [
        (number, [cell.strip() for cell in line])
        for number, line in enumerate(lines[1:], start=2)
        if any(cell.strip() for cell in line)
    ]
    for number, row in rows:
        if len(row) != len(header):
            raise _fault(path, number, "corrupt_file", "it has not as many cells as the first line")
    return header, rows


def _column(path: Path, header: Sequence[str], name: str) -> int:
    if header.count(name) != 1:
        raise DatasetError(
            f"{path.name} has no single column {name}",
            code="no_case_column",
            why="the first line must name each column once",
            fix=f"name the column {name} in the first line",
        )
    return header.index(name)


def _fault(path: Path, row: int, code: str, why: str) -> DatasetError:
    return DatasetError(
        f"row {row} of {path.name} cannot be used", code=code, why=why, fix="mend the table"
    )
