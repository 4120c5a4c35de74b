"""Days of scans: what sidecars and the tables of BIDS say, relative to time zero or not."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from fedmq.imaging.baseline import DatedScan, count_days
from fedmq.imaging.cell_words import is_missing
from fedmq.imaging.clinical import Row
from fedmq.imaging.layouts.acquisitions import Acquisitions
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
    `scan_day` of the case's BIDS sessions file, or of the clinical table; else it follows from
    that of another scan, where BIDS says when both were acquired. Sources that differ say nothing.
    """
    notes: list[str] = []
    dated = []
    acquisitions = Acquisitions(folder, scans, notes)
    are_unclear = bool(notes)
    for scan in scans:
        num_before = len(notes)
        said = set(_sidecar_days(folder, scan, notes))
        for table in (acquisitions.sessions, rows):
            if not said:
                said = set(_row_days(scan, len(scans), table, notes))
        if len(said) > 1:
            days = ", ".join(map(str, sorted(said)))
            notes.append(f"{scan.case_id}: its scan {scan.name} is of several days: {days}")
        day = said.pop() if len(said) == 1 else None
        dated.append(
            DatedScan(
                name=scan.name,
                day=day,
                acquired=acquisitions.date_of(scan),
                is_unclear=are_unclear or len(notes) > num_before,
            )
        )
    counted, is_agreed = count_days(dated)
    if not is_agreed:
        notes.append(f"{scans[0].case_id}: scan_day and acq_time differ in the days between scans")
    return counted, tuple(notes)


def sidecars_of(volumes: Iterable[str]) -> tuple[str, ...]:
    """Return the paths at which the sidecars of volumes may lie."""
    return tuple(
        path[: path.lower().rindex(".nii")] + ".json" for path in volumes if is_volume(path)
    )


def _sidecar_days(folder: Path, scan: ScanFiles, notes: list[str]) -> Iterable[int]:
    for path in sidecars_of(scan.volumes.values()):
        place = folder / path
        try:
            if not place.is_file():
                continue
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
        if is_meant and not is_missing(said):
            day = _day(said)
            if day is None:
                notes.append(f"{scan.case_id}: its scan_day, line {row.number}, is no day")
            else:
                yield day


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
