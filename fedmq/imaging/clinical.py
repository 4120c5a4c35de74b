"""The clinical table of a site: rows of cases, or of their scans, cells kept as they were written.

People export tables from whatever they have: what can be told apart is read and said, what cannot
is refused with the line and the fix. Nothing is guessed.
"""

import csv
import io
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.errors import DatasetError

CASE_COLUMN: Final = "case_id"
MAX_BYTES: Final = 64 * 1024**2
_CASE_NAMES: Final = frozenset({"caseid", "patientid", "participantid", "subjectid", "id"})
_SCAN_NAMES: Final = frozenset({"scan", "scanid", "session", "sessionid"})
_DELIMITERS: Final = ",;\t"
_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
"""Of UTF-16."""
_SHEETS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""What .xlsx and .xls begin with."""
_MAX_NAMED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFormat:
    """What cannot be seen in a table, or was seen before; "" is what the table says itself."""

    id_column: str = ""
    scan_column: str = ""
    encoding: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a table."""

    number: int
    """Line of the table, the first is 1."""
    case_id: str
    """As it stands there."""
    scan: str
    """"" where the table has no column of scans."""
    cells: Mapping[str, str]
    """Column -> cell, without those two columns' own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A clinical table as it was read."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    """What was seen and is not as in a plain table, for the operator."""

    def by_id(self) -> dict[str, tuple[Row, ...]]:
        """Return the rows by the ids that stand in them, in the order of the table."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.case_id, []).append(row)
        return {case_id: tuple(rows) for case_id, rows in found.items()}


def read_table(path: Path, how: TableFormat = TableFormat()) -> Table:
    """Return the table at `path`: CSV split by commas, semicolons or tabs.

    Raises:
        DatasetError: code missing_file, corrupt_file, no_case_column, empty, duplicate_row or
            no_case_id. The text names the file and the line, not the folder.
    """
    lines, delimiter, notes = _read_lines(path, how)
    header = _header(path, lines, how)
    rows, repeated = _rows_of(path, header, lines)
    if delimiter == "\t" and path.suffix.lower() != ".tsv":
        notes.append(f"{path.name} is split by tabs")
    notes += header.notes
    if repeated:
        notes.append(
            f"rows that stand in {path.name} more than once, word for word, count once: "
            + _named(repeated)
        )
    short = [row.number for row in rows if len(lines[row.number - 1]) < header.width]
    if short:
        notes.append(
            f"rows of {path.name} with fewer cells than the first line, of which the last ones "
            f"count as empty: line{'' if len(short) == 1 else 's'} {_named(list(map(str, short)))}"
        )
    return Table(rows=rows, notes=tuple(notes))


def agreeing(rows: Sequence[Row]) -> Mapping[str, str]:
    """Return the cells on which all of a case's rows agree; those of one row are all of them."""
    if not rows:
        return {}
    first, *others = (row.cells for row in rows)
    return {
        column: cell
        for column, cell in first.items()
        if all(one.get(column) == cell for one in others)
    }


def disagreeing(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the columns in which a case's rows differ, which `agreeing` leaves out."""
    every = dict.fromkeys(column for row in rows for column in row.cells)
    return tuple(column for column in every if len({row.cells.get(column) for row in rows}) > 1)


def table_with(path: Path, ids: Collection[str], how: TableFormat) -> str | None:
    """Return the text of the table with nothing but the lines of these ids; None if none is left.

    The rows keep their numbers, which texts of errors name. It is written in UTF-8.

    Raises:
        DatasetError: the file is no table, or has no single column of cases.
    """
    lines, delimiter, _ = _read_lines(path, how)
    column = _header(path, lines, how).case_column
    kept = [
        line if not number or (len(line) > column and plain_id(line[column]) in ids) else []
        for number, line in enumerate(lines)
    ]
    if not any(kept[1:]):
        return None
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(kept)
    return text.getvalue()


def plain_id(cell: str) -> str:
    """Return an id as it is compared: without spaces around it, accents composed (NFC)."""
    return unicodedata.normalize("NFC", cell.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    columns: tuple[str, ...]
    """By place; "" for a column without a name."""
    case_column: int
    scan_column: int | None
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many cells a whole row has at least."""
        return max(place for place, name in enumerate(self.columns, start=1) if name)


def _read_lines(path: Path, how: TableFormat) -> tuple[list[list[str]], str, list[str]]:
    """Return the cells of a table line by line, what stands between them, and what was seen."""
    notes: list[str] = []
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _corrupt(path, f"it has more than {MAX_BYTES} bytes", "leave out what is no row")
        content = path.read_bytes()
        if content.startswith(_SHEETS):
            raise _corrupt(
                path,
                "it is a spreadsheet (.xlsx or .xls), whatever its name says",
                "open it, and save it as CSV UTF-8",
            )
        encoding = how.encoding
        if not encoding:
            encoding = "utf-16" if content.startswith(_MARKS) else "utf-8-sig"
        text = content.decode(encoding)
        if encoding != "utf-8-sig":
            notes.append(f"{path.name} was read as {encoding}")
        delimiter = _delimiter(text)
        # strict: a quote that is never closed would swallow every row behind it.
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        return list(reader), delimiter, notes
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path.name} is missing", code="missing_file", fix="put the file there"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _corrupt(
            path,
            f"line {line} holds a character that is not in {error.encoding}",
            "save it as CSV UTF-8, or name what it is in: --encoding windows-1252",
        ) from error
    except LookupError as error:
        raise _corrupt(
            path, f"nobody knows the encoding {how.encoding}", "say for instance windows-1252"
        ) from error
    except csv.Error as error:
        raise _corrupt(path, f"it is no CSV file: {error}", "mend it, or save it again") from error
    except (OSError, ValueError) as error:
        why = "it is no file of text, or this user may not read it"
        raise _corrupt(path, why, "name a table; if it is one, save it as CSV UTF-8") from error


def _header(path: Path, lines: list[list[str]], how: TableFormat) -> _Header:
    columns = [cell.strip() for cell in lines[0]] if lines else []
    named = [name for name in columns if name]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise _no_column(path, f"the first line names {', '.join(twice)} more than once")
    case_column = _case_column(path, columns, how.id_column)
    nameless = [place for place, name in enumerate(columns) if not name]
    notes = []
    if nameless:
        full = [
            n
            for n, line in enumerate(lines)
            if any(line[p].strip() for p in nameless if p < len(line))
        ]
        if full:
            raise _fault(
                path, full[0] + 1, "corrupt_file", "it has a cell in a column without a name"
            )
        notes.append(f"{len(nameless)} empty columns of {path.name} have no name: left out")
    scan_column = None
    if how.scan_column:
        if how.scan_column not in columns:
            raise _no_column(path, f"it has no column {how.scan_column}")
        scan_column = columns.index(how.scan_column)
    else:
        scans = [place for place, name in enumerate(columns) if _folded(name) in _SCAN_NAMES]
        scan_column = scans[0] if len(scans) == 1 and scans[0] != case_column else None
    if columns[case_column] != CASE_COLUMN:
        notes.append(f"the column {columns[case_column]} of {path.name} names the cases")
    return _Header(
        columns=tuple(columns),
        case_column=case_column,
        scan_column=scan_column,
        notes=tuple(notes),
    )


def _case_column(path: Path, columns: Sequence[str], wanted: str) -> int:
    if wanted:
        if wanted not in columns:
            raise _no_column(path, f"it has no column {wanted}")
        return columns.index(wanted)
    if CASE_COLUMN in columns:
        return columns.index(CASE_COLUMN)
    found = [name for name in columns if _folded(name) in _CASE_NAMES]
    if len(found) != 1:
        named = ", ".join([name for name in columns if name][:_MAX_NAMED])
        why = (
            f"{', '.join(found)} could all be it"
            if found
            else f"its first line is: {named or 'empty'}"
        )
        raise _no_column(path, why)
    return columns.index(found[0])


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character not in "_- .")


def _delimiter(text: str) -> str:
    """Return what splits the first line into most cells; a comma where nothing does."""
    first = text.partition("\n")[0]
    return max(_DELIMITERS, key=lambda one: (first.count(one), -_DELIMITERS.index(one)))


def _rows_of(
    path: Path, header: _Header, lines: list[list[str]]
) -> tuple[tuple[Row, ...], list[str]]:
    """Return the rows, and the ids of those that were there already, word for word."""
    rows: dict[tuple[str, str], Row] = {}
    repeated: list[str] = []
    for number, line in enumerate(lines[1:], start=2):
        row = _row_of(path, header, number, line)
        if row is None:
            continue
        known = rows.setdefault((row.case_id, row.scan), row)
        if known is row:
            continue
        if known.cells != row.cells:
            differing = disagreeing([known, row])
            of = f" of scan {row.scan}" if row.scan else ""
            raise _fault(
                path,
                number,
                "duplicate_row",
                f"case {row.case_id}{of} has another row, on line {known.number}, "
                f"which differs in {', '.join(differing)}",
            )
        repeated.append(row.case_id)
    if not rows:
        raise DatasetError(
            f"{path.name} is empty",
            code="empty",
            why="it has no row below the first line",
            fix="add a row for each case",
        )
    return tuple(rows.values()), repeated


def _row_of(path: Path, header: _Header, number: int, line: list[str]) -> Row | None:
    cells = [cell.strip() for cell in line]
    if not any(cells):
        return None
    if any(cells[len(header.columns) :]):
        raise _fault(path, number, "corrupt_file", "it has more cells than the first line")
    cells += [""] * (len(header.columns) - len(cells))
    places = dict(enumerate(cells[: len(header.columns)]))
    case_id = plain_id(places.pop(header.case_column, ""))
    if not case_id:
        name = header.columns[header.case_column]
        raise _fault(path, number, "no_case_id", f"its {name} is empty")
    scan = "" if header.scan_column is None else places.pop(header.scan_column, "")
    named = {header.columns[at]: cell for at, cell in places.items() if header.columns[at]}
    return Row(number=number, case_id=case_id, scan=scan, cells=named)


def _named(words: Sequence[str]) -> str:
    more = len(words) - _MAX_NAMED
    return ", ".join(words[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _no_column(path: Path, why: str) -> DatasetError:
    return DatasetError(
        f"{path.name} has no single column of cases",
        code="no_case_column",
        why=why,
        fix=f"name the column that has the cases' names {CASE_COLUMN}, or say --id-column NAME",
    )


def _corrupt(path: Path, why: str, fix: str) -> DatasetError:
    return DatasetError(f"{path.name} cannot be read", code="corrupt_file", why=why, fix=fix)


def _fault(path: Path, row: int, code: str, why: str) -> DatasetError:
    return DatasetError(
        f"row {row} of {path.name} cannot be used", code=code, why=why, fix="mend the row"
    )
