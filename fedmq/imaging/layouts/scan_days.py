"""Days of scans: what sidecars and tables of sessions say, relative to time zero."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from fedmq.errors import DatasetError
from fedmq.imaging.baseline import DatedScan
from fedmq.imaging.clinical import Row, TableFormat, read_table
from fedmq.imaging.layouts.arranging import ScanFiles
from fedmq.imaging.layouts.words import is_volume
from fedmq.imaging.matching import scan_key

DAY_COLUMN: Final = "scan_day"
_MAX_DAY: Final = 36_525
_MAX_SIDECAR_BYTES: Final = 2**20


def date_scans(
    folder: Path, scans: Sequence[ScanFiles], rows: Sequence[Row]
) -> tuple[tuple[DatedScan, ...], tuple[str, ...]]:
    """Return the scans of a case with their days, and what is wrong with what says them.

    A day stands in a sidecar beside a volume, `{"fedmq": {"scan_day": -12}}`; else in the column
    `scan_day` of the case's BIDS sessions file, or of the clinical table. Sources that differ
    say nothing.
    """
    notes: list[str] = []
    dated = []
    sessions = _sessions(folder, scans, notes)
    for scan in scans:
        said = set(_sidecar_days(folder, scan, notes))
        for table in (sessions, rows):
            if not said:
                said = set(_row_days(scan, len(scans), table, notes))
        if len(said) > 1:
            days = ", ".join(map(str, sorted(said)))
            notes.append(f"{scan.case_id}: its scan {scan.name} is of several days: {days}")
        dated.append(DatedScan(name=scan.name, day=said.pop() if len(said) == 1 else None))
    return tuple(dated), tuple(notes)


def sidecars_of(volumes: Iterable[str]) -> tuple[str, ...]:
    """Return the paths at which the sidecars of volumes may lie."""
    return tuple(
        path[: path.lower().rindex(".nii")] + ".json" for path in volumes if is_volume(path)
    )


def _sidecar_days(folder: Path, scan: ScanFiles, notes: list[str]) -> Iterable[int]:
    for path in sidecars_of(scan.volumes.values()):
        place = folder / path
        if not place.is_file():
            continue
        try:
            if place.stat().st_size > _MAX_SIDECAR_BYTES:
                raise ValueError  # noqa: TRY301 - as unreadable as the others
            content = json.loads(place.read_text(encoding="utf-8-sig"))
            own = content.get("fedmq") or {}
            said = own.get(DAY_COLUMN)
        except (OSError, ValueError, AttributeError, RecursionError):
            notes.append(f"{scan.case_id}: the sidecar {place.name} cannot be read")
            continue
        if said is not None:
            day = _day(said)
            if day is None:
                notes.append(f"{scan.case_id}: the scan_day of {place.name} is no number of days")
            else:
                yield day


def _row_days(
    scan: ScanFiles, num_scans: int, rows: Sequence[Row], notes: list[str]
) -> Iterable[int]:
    for row in rows:
        is_meant = scan_key(row.scan) == scan_key(scan.name) if row.scan else num_scans == 1
        said = row.cells.get(DAY_COLUMN, "")
        if is_meant and said:
            day = _day(said)
            if day is None:
                notes.append(f"{scan.case_id}: its scan_day, line {row.number}, is no day")
            else:
                yield day


def _sessions(folder: Path, scans: Sequence[ScanFiles], notes: list[str]) -> Sequence[Row]:
    """Return the rows of a case's sessions file: `sub-01/sub-01_sessions.tsv`."""
    tops = {path.partition("/")[0] for scan in scans for path in scan.volumes.values()}
    for top in sorted(tops):
        place = folder / top / f"{top}_sessions.tsv"
        if place.is_file():
            try:
                table = read_table(place, TableFormat(id_column="session_id"))
                return [replace(row, scan=row.case_id) for row in table.rows]
            except DatasetError as error:
                notes.append(f"{scans[0].case_id}: {error}")
    return ()


def _day(said: object) -> int | None:
    if isinstance(said, bool) or not isinstance(said, int | float | str):
        return None
    try:
        number = float(said.replace(",", ".")) if isinstance(said, str) else float(said)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number) or abs(number) > _MAX_DAY or number != int(number):
        return None
    return int(number)
