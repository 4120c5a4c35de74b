"""Acquisitions: when scans were taken, as the tables of BIDS say: `_scans.tsv`, `_sessions.tsv`.

Facts: BIDS 1.10, Data summary files. `acq_time` is a date with a time; dates may be shifted, all
of a subject's by as many days.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

from fedmq.errors import DatasetError
from fedmq.imaging.cell_words import is_missing
from fedmq.imaging.clinical import Row, TableFormat, read_table
from fedmq.imaging.layouts.arranging import ScanFiles
from fedmq.imaging.matching import scan_key

TIME_COLUMN: Final = "acq_time"
_SUBJECT: Final = "sub-"
_TIME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-].+)?)?")


class Acquisitions:
    """What the tables of one subject say; what is wrong with them goes to the `notes`."""

    def __init__(self, folder: Path, scans: Sequence[ScanFiles], notes: list[str]) -> None:
        self._folder = folder
        self._case_id = scans[0].case_id if scans else ""
        self._notes = notes
        places = sorted({place for scan in scans for place in _folders(scan)})
        self._files = {
            f"{place}/{row.case_id}": (name, row)
            for place in places
            for name, row in self._read(place, "_scans.tsv", "filename")
        }
        self._sessions = [
            (name, replace(row, scan=row.case_id))
            for place in places
            if "/" not in place
            for name, row in self._read(place, "_sessions.tsv", "session_id")
        ]

    @property
    def sessions(self) -> tuple[Row, ...]:
        """The rows of the table of sessions, each of the scan of that name."""
        return tuple(row for _, row in self._sessions)

    def date_of(self, scan: ScanFiles) -> date | None:
        """Return the date of a scan by its files; else by its session; None if none is sure."""
        num_before = len(self._notes)
        said = set(
            self._dates([self._files[it] for it in scan.volumes.values() if it in self._files])
        )
        if not said:
            key = scan_key(scan.name)
            said = set(self._dates([one for one in self._sessions if scan_key(one[1].scan) == key]))
        if len(said) > 1:
            self._notes.append(
                f"{self._case_id}: its scan {scan.name} is of several days by acq_time"
            )
        return said.pop() if said and len(self._notes) == num_before else None

    def _dates(self, rows: Sequence[tuple[str, Row]]) -> Iterator[date]:
        for name, row in rows:
            said = row.cells.get(TIME_COLUMN, "")
            if is_missing(said):
                continue
            when = _date(said)
            if when is not None:
                yield when
            else:
                self._notes.append(
                    f"{self._case_id}: the acq_time of {name}, line {row.number}, is no date such "
                    "as 2020-01-31T14:05:00"
                )

    def _read(self, place: str, ending: str, column: str) -> Iterator[tuple[str, Row]]:
        """Yield the rows of a table of BIDS in a folder, each beside the name of the table."""
        name = place.replace("/", "_") + ending
        path = self._folder / place / name
        try:
            if not path.is_file():
                return
            for row in read_table(path, TableFormat(id_column=column)).rows:
                yield name, row
        except OSError:
            self._notes.append(f"{self._case_id}: {name} cannot be read")
        except DatasetError as error:
            no_column = error.code == "no_case_column"
            why = f"{name} has no single column {column}" if no_column else str(error)
            self._notes.append(f"{self._case_id}: {why}")


def _folders(scan: ScanFiles) -> Iterator[str]:
    """Yield the folders of a subject and its session, above the volumes of a scan."""
    for path in scan.volumes.values():
        if path.startswith(_SUBJECT):
            top, *below = path.split("/")
            yield top
            if len(below) > 1:
                yield f"{top}/{below[0]}"


def _date(said: str) -> date | None:
    found = _TIME.fullmatch(said)
    try:
        return None if found is None else date.fromisoformat(found[1])
    except ValueError:
        return None
