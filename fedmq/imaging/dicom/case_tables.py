"""The dataset's clinical table, as imports write it: an import adds rows to those before."""

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.disk import LocalDisk
from fedmq.errors import DatasetError
from fedmq.imaging.clinical import CASE_COLUMN
from fedmq.imaging.dicom.pseudonyms import pseudonym, read_links, read_secret, replace, table
from fedmq.imaging.dicom.site_tables import SiteTable
from fedmq.imaging.dicom.studies import folders_by_patient
from fedmq.imaging.dicom.table_ids import TableIds, match_ids
from fedmq.imaging.layouts.data_map import CLINICAL_FILE

WRITTEN_FILE: Final = "clinical-tables.txt"
"""SHA-256 of the tables that imports of this node wrote: those alone they may replace."""
ROWS_FILE: Final = "rows.csv"
"""Which rows were left out, or taken though their ids are not the archive's to the letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of the rows."""

    num_rows: int
    """Of patients with a case."""
    num_others: int
    """Of patients without one."""
    num_before: int
    """Of an earlier import, which stay."""
    num_gone: int
    """Of an earlier import, whose case is no longer there."""
    num_altered: int
    """Of patients with a case, whose PatientIDs are written otherwise in the table."""
    told: Mapping[str, str]
    """PatientID in the table -> what became of its row, where that is not plain."""


def require_room(site: SiteTable, target: Path, keeping: LocalDisk) -> None:
    """The rows of a site's table can be added to those of the dataset.

    Raises:
        DatasetError: code table_taken (no import wrote the dataset's table), or other_columns.
    """
    before = _read_written(target, keeping)
    if before is None or before.columns == site.columns:
        return
    if before.rows.keys() - set(_cases(_match(site, keeping), site, keeping).values()):
        raise DatasetError(
            f"the rows do not fit those in the dataset's {CLINICAL_FILE}",
            code="other_columns",
            why=f"there an earlier import kept other columns: {', '.join(before.columns)}",
            fix="keep the same columns, or give a table with rows of those patients too",
        )


def add_rows(site: SiteTable, target: Path, keeping: LocalDisk) -> Added:
    """The dataset's table has a row for each case of which there is one, now or before.

    Raises:
        DatasetError: as `require_room`.
        StorageError: the disk refuses.
    """
    require_room(site, target, keeping)
    before = _read_written(target, keeping)
    ids = _match(site, keeping)
    cases = _cases(ids, site, keeping)
    known = {case_id: site.rows[one] for one, case_id in cases.items()}
    there = folders_by_patient(target).keys()
    now = {case_id: row for case_id, row in known.items() if case_id in there}
    earlier = {} if before is None else {k: v for k, v in before.rows.items() if k not in known}
    staying = {case_id: row for case_id, row in earlier.items() if case_id in there}
    rows = sorted({**staying, **now}.items())
    text = table([(CASE_COLUMN, *site.columns), *((case_id, *row) for case_id, row in rows)])
    # The mark first: killed in between, the next import may go on.
    marks = dict.fromkeys([*_marks(keeping), _mark(text.encode())])
    replace(keeping, WRITTEN_FILE, "".join(f"{one}\n" for one in marks))
    replace(LocalDisk(target), CLINICAL_FILE, text)
    taken = [one for one, case_id in cases.items() if case_id in now]
    return Added(
        num_rows=len(now),
        num_others=len(known) - len(now),
        num_before=len(staying),
        num_gone=len(earlier) - len(staying),
        num_altered=ids.num_altered(taken),
        told=ids.told(taken),
    )


def list_told(keeping: LocalDisk, told: Mapping[str, Mapping[str, str]]) -> None:
    """The site has a list of what became of rows, by the table that has them."""
    rows = [(name, one, what) for name, ids in told.items() for one, what in sorted(ids.items())]
    replace(keeping, ROWS_FILE, table([("table", "patient_id", "what became of it"), *rows]))


def _match(site: SiteTable, keeping: LocalDisk) -> TableIds:
    """Return whose the rows are, of all patients that were ever imported: none is another's."""
    return match_ids(site.rows, set(read_links(keeping).values()))


def _cases(ids: TableIds, site: SiteTable, keeping: LocalDisk) -> Mapping[str, str]:
    """Return PatientID in the table -> case: a patient, however many scans there are."""
    secret = read_secret(keeping)
    return {one: pseudonym(secret, ids.patients.get(one, one)) for one in site.rows}


def _read_written(target: Path, keeping: LocalDisk) -> SiteTable | None:
    path = target / CLINICAL_FILE
    if not path.exists():
        return None
    content = path.read_bytes()
    if _mark(content) not in _marks(keeping):
        raise DatasetError(
            f"the dataset has a {CLINICAL_FILE} already",
            code="table_taken",
            why="no import of this node wrote it as it is now",
            fix="move it away, and put its columns into the table that is imported",
        )
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    return SiteTable(columns=tuple(header[1:]), rows={row[0]: tuple(row[1:]) for row in rows})


def _marks(keeping: LocalDisk) -> list[str]:
    size = keeping.size_bytes(WRITTEN_FILE)
    return [] if size is None else keeping.read(WRITTEN_FILE, 0, size).decode().split()


def _mark(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
