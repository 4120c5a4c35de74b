"""Tables of the site: what is known of its patients by their PatientIDs, translated to cases."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from fedmq.errors import DatasetError
from fedmq.imaging.clinical import Row, TableFormat, plain_id, read_table

ID_COLUMN: Final = "patient_id"
DATE_COLUMN: Final = "date"
_MONTH: Final = (
    r"(?:jan|ene|gen|f[eé]v|feb|mar|maart|mär|mrt|mrz|avr|apr|abr|mai|maj|may|mag|mei|jun|juin|giu"
    r"|jul|juil|lug|ao[uû]|aug|ago|sep|set|oct|okt|out|ott|nov|d[eé]c|dez|dic|stycz|lut(?:y|ego)"
    r"|kwie|czerw|lip(?:iec|ca)|sierp|wrze|pa[zź]dz|listop|grud)[^\W\d_]*\.?"
)
"""By the words of English, French, German, Dutch, Italian, Spanish, Portuguese and Polish."""
_SIGN: Final = r"\s*[-/._]\s*"
_YEAR: Final = r"(?:19|20)\d{2}"
_MM: Final = r"(?:0[1-9]|1[0-2])"
_DD: Final = r"(?:0[1-9]|[12]\d|3[01])"
_DATE: Final = re.compile(
    rf"{_YEAR}(?:{_SIGN}|\s+)\d{{1,2}}(?:{_SIGN}|\s+)\d{{1,2}}"
    rf"|\d{{1,2}}{_SIGN}\d{{1,2}}{_SIGN}(?:\d{{4}}|\d{{2}})\b"
    rf"|\b\d{{1,2}}\s+\d{{1,2}}\s+{_YEAR}\b"
    rf"|^{_YEAR}{_MM}{_DD}(?:T?\d{{2,6}}(?:[.,]\d+)?)?Z?$"
    rf"|\b\d{{1,2}}\.?[\s-]*(?:de )?{_MONTH}[\s,-]*(?:de )?(?:\d{{4}}|\d{{2}})\b"
    rf"|\b\d{{1,2}}\.?[\s-]+[^\W\d_]{{3,}}\.?[\s,-]+{_YEAR}\b"
    rf"|\b{_MONTH}[\s-]*(?:\d{{1,2}},?\s+)?(?:de )?{_YEAR}\b",
    re.IGNORECASE,
)
"""A day, or a month with its year in words, in any usual spelling; a day's word may be of any
language."""
_PERHAPS: Final = re.compile(
    rf"\d{{1,2}}[-/.]{_YEAR}|{_YEAR}[-/.]\d{{1,2}}|{_YEAR}{_MM}"
    rf"|(?:0?[1-9]|[12]\d|3[01])(?:{_MM}|{_DD}){_YEAR}|\d{{2}}{_MM}{_DD}"
    rf"|(?:{_DD}{_MM}|{_MM}{_DD})\d{{2}}"
    r"|\d{1,2} \d{1,2} \d{2}"
    r"|[1-5]\d{4}(?:[.,]\d+)?"
)
"""Months, days without signs between, and days as spreadsheets count them (10000 is in 1927, 59999
in 2064); or any number: where most cells of a column are so, it has dates."""
_LEAVE_OUT: Final = "keep other columns, or mend the row"
_SHORT: Final = 5
"""Numbers of fewer digits are ages and counts too, and an id that is one tells nobody apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTable:
    """A clinical table, of its columns those that may go on."""

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]
    """PatientID, or case -> cells, in the order of the table."""
    notes: tuple[str, ...] = ()


def read_time_zero(path: Path, encoding: str = "") -> Mapping[str, int]:
    """Return PatientID -> day, from a table with the columns patient_id and date (YYYY-MM-DD).

    Raises:
        DatasetError: as `read_table`; bad_date.
    """
    rows = read_table(path, TableFormat(id_column=ID_COLUMN, encoding=encoding)).rows
    _require_columns(path, rows, [DATE_COLUMN])
    found: dict[str, int] = {}
    for row in rows:
        _require_new(path, row, found)
        try:
            found[row.case_id] = date.fromisoformat(row.cells.get(DATE_COLUMN, "")).toordinal()
        except ValueError as error:
            raise _fault(path, row.number, "bad_date", "its date is not as 2027-06-30") from error
    return found


def read_site_table(path: Path, how: TableFormat, kept: Sequence[str]) -> SiteTable:
    """Return the table of a site, of its columns those in `kept`, which tell of nobody.

    Raises:
        DatasetError: as `read_table`; date_in_table: a column to keep has a date in it;
            id_in_table: a column to keep has somebody's PatientID in it.
    """
    table = read_table(path, how)
    columns = tuple(name for name in kept if name != how.id_column)
    _require_columns(path, table.rows, columns)
    ids = {row.case_id for row in table.rows}
    rows: dict[str, tuple[str, ...]] = {}
    for row in table.rows:
        _require_new(path, row, rows)
        rows[row.case_id] = tuple(row.cells.get(name, "") for name in columns)
        _require_nobody(path, row, dict(zip(columns, rows[row.case_id], strict=True)), ids)
    for place, name in enumerate(columns):
        cells = [(case_id, row[place]) for case_id, row in rows.items() if row[place]]
        if _are_most(cell == own or (cell in ids and _tells(cell)) for own, cell in cells):
            why, fix = "most of its cells are PatientIDs", "leave it out"
            raise _column_fault(path, name, "id_in_table", why, fix)
        if _are_most(_PERHAPS.fullmatch(cell) is not None for _, cell in cells):
            why = "most of its cells are dates, or look like dates or a spreadsheet's count of days"
            fix = "leave it out; if they are figures, write them in another unit"
            raise _column_fault(path, name, "date_in_table", why, fix)
    return SiteTable(columns=columns, rows=rows, notes=table.notes)


def _require_nobody(path: Path, row: Row, cells: Mapping[str, str], ids: set[str]) -> None:
    own = re.compile(rf"(?<!\w){re.escape(row.case_id)}(?!\w)", re.IGNORECASE)
    for name, cell in ((name, plain_id(cell)) for name, cell in cells.items()):
        if _DATE.search(cell):
            raise _fault(path, row.number, "date_in_table", f"its {name} has a date", _LEAVE_OUT)
        if (_tells(row.case_id) and own.search(cell)) or (cell in ids and not cell.isdigit()):
            raise _fault(path, row.number, "id_in_table", f"its {name} has an id", _LEAVE_OUT)


def _tells(patient_id: str) -> bool:
    return not patient_id.isdigit() or len(patient_id) >= _SHORT


def _are_most(claims: Iterable[bool]) -> bool:
    known = list(claims)
    return 2 * sum(known) > len(known)


def _require_new(path: Path, row: Row, known: Mapping[str, object]) -> None:
    if row.case_id in known:
        raise _fault(path, row.number, "duplicate_row", "its patient has a row already")


def _require_columns(path: Path, rows: Sequence[Row], names: Sequence[str]) -> None:
    for name in names:
        if not any(name in row.cells for row in rows):
            raise DatasetError(
                f"{path.name} has no column {name} that can be kept",
                code="no_case_column",
                why="the first line does not name it, or it names patients or scans",
                fix=f"name the column {name} in the first line, or keep another one",
            )


def _column_fault(path: Path, name: str, code: str, why: str, fix: str) -> DatasetError:
    return DatasetError(f"column {name} of {path.name} cannot be kept", code=code, why=why, fix=fix)


def _fault(path: Path, row: int, code: str, why: str, fix: str = "mend the table") -> DatasetError:
    return DatasetError(f"row {row} of {path.name} cannot be used", code=code, why=why, fix=fix)
