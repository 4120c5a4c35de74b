"""The feature table of a dataset: a row of numbers for each case, and of which files they are.

Whoever reads cases reads it beside the clinical table, without what computes it (scipy, nibabel).
"""

import contextlib
import csv
import hashlib
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.clinical import CASE_COLUMN
from fedmq.imaging.stamps import file_stamp

MEASURED: Final = ("PET", "MASK")
"""The modalities that features are made of."""
DEFINITION: Final = 1
"""Counts up when a feature is defined anew: rows of another definition are not used."""
_SHA256_COLUMN: Final = "files_sha256"
_STAMP_COLUMN: Final = "files_stamp"
_READ_BYTES: Final = 1024 * 1024
_MAX_HASHED: Final = 4096
"""Cases of which the hash is remembered; of more than that some are read again for each job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The numbers of one case; nothing where the mask marks no voxel to take them from."""

    suv_max: float | None
    """Highest SUV in the mask."""
    suv_peak: float | None
    """Highest mean SUV in a sphere of 1 ml around a voxel of the mask."""
    suv_peak_at_max: float | None
    """Mean SUV in a sphere of 1 ml around the voxel of highest SUV."""
    suv_mean: float | None
    """Mean SUV in the mask."""
    mask_ml: float
    """Volume of the mask."""
    mtv41_ml: float
    """Volume of the mask's voxels of at least 41 % of its highest SUV."""
    mtv_suv2_5_ml: float
    """Volume of the mask's voxels of SUV 2.5 or more."""
    mtv_suv4_ml: float
    """Volume of the mask's voxels of SUV 4 or more."""
    tlg41: float
    """`mtv41_ml` times the mean SUV in it: ml."""
    tlg_suv2_5: float
    tlg_suv4: float
    num_lesions: int
    """Connected parts of the mask; voxels that share a corner are connected."""
    dmax_mm: float
    """Largest distance between the centres of two lesions; 0 with fewer than two."""
    diameter_mm: float
    """Largest distance between the centres of two voxels of the mask."""


COLUMNS: Final = tuple(field.name for field in fields(Features))
NO_FEATURES: Final[Mapping[str, str]] = dict.fromkeys(COLUMNS, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    """The features of one case as cells, and the files that they were measured in."""

    case_id: str
    sha256: str
    """Of the contents of its files; "" where they could not be read."""
    stamp: str
    """The stamp of each file when it was read."""
    cells: Mapping[str, str]


def cells_of(features: Features) -> Mapping[str, str]:
    """Return the features as cells, to six digits; what there is none of is empty."""
    cells = {}
    for column in COLUMNS:
        number = getattr(features, column)
        cells[column] = "" if number is None else f"{number:.6g}"
    return cells


def files_stamp(case: Case) -> str:
    """Return what tells without reading that the measured files of a case are other ones."""
    parts = []
    for path in _measured(case):
        found = None if path is None else file_stamp(path)
        parts.append("-" if found is None else ".".join(map(str, found)))
    return f"{DEFINITION}:" + ":".join(parts)


def files_sha256(case: Case) -> str:
    """Return the SHA-256 of the contents of a case's measured files, in hexadecimal.

    Raises:
        OSError: one of them cannot be read.
    """
    return _sha256_of(_measured(case))


def _sha256_of(paths: Sequence[Path | None]) -> str:
    digest = hashlib.sha256(f"definition {DEFINITION}".encode())
    for path in paths:
        one = hashlib.sha256()
        if path is not None:
            with path.open("rb") as file:
                while block := file.read(_READ_BYTES):
                    one.update(block)
        digest.update(b"-" if path is None else one.digest())
    return digest.hexdigest()


def fresh_rows(
    rows: Iterable[FeatureRow], cases: Sequence[Case], spoiled: Collection[tuple[str, str]] = ()
) -> tuple[FeatureRow, ...]:
    """Return the rows that are of the cases' files as they are now, of files fit for use.

    Files of the same size and date whose stamps differ are read, once in a process for each stamp:
    a backup between two rounds changes no bit of a model.
    """
    by_name = {case.case_id: case for case in cases}
    unfit = {case_id for case_id, modality in spoiled if modality in MEASURED}
    return tuple(
        row
        for row in rows
        if row.sha256
        and row.case_id not in unfit
        and (case := by_name.get(row.case_id)) is not None
        and _is_of(row, case)
    )


def _is_of(row: FeatureRow, case: Case) -> bool:
    stamp = files_stamp(case)
    if row.stamp == stamp:
        return True
    if _sizes_and_dates(row.stamp) != _sizes_and_dates(stamp):
        return False
    with contextlib.suppress(OSError):
        return row.sha256 == _sha256_at(_measured(case), stamp)
    return False


@lru_cache(maxsize=_MAX_HASHED)
def _sha256_at(paths: tuple[Path | None, ...], _stamp: str) -> str:
    return _sha256_of(paths)


def _sizes_and_dates(stamp: str) -> list[list[str]]:
    return [part.split(".")[:2] for part in stamp.split(":")]


def _measured(case: Case) -> tuple[Path | None, ...]:
    return tuple(case.volumes.get(modality) for modality in MEASURED)


def require_no_clash(cases: Sequence[Case]) -> None:
    """Raise where rows have a column that the features have too: as plans see them.

    Raises:
        DatasetError: code column_clash.
    """
    twice = sorted({name for case in cases for name in case.clinical} & set(COLUMNS))
    if twice:
        raise DatasetError(
            f"columns of the clinical table, or variables of its dictionary, are features too: "
            f"{', '.join(twice)}",
            code="column_clash",
            why="a plan that reads such a column could be given either",
            fix="give the columns other names; a variable's is the study's to change",
        )


def with_features(cases: Sequence[Case], rows: Iterable[FeatureRow]) -> tuple[Case, ...]:
    """Return the cases with their features beside the cells of the clinical table.

    A case without a row has no such cells.

    Raises:
        DatasetError: code column_clash.
    """
    require_no_clash(cases)
    cells = {row.case_id: row.cells for row in rows}
    return tuple(
        replace(case, clinical={**case.clinical, **cells.get(case.case_id, {})}) for case in cases
    )


def table_text(rows: Iterable[FeatureRow], *, with_files: bool = True) -> str:
    """Return rows as CSV, by case; `with_files` what tells of which files they are too."""
    files = (_SHA256_COLUMN, _STAMP_COLUMN) if with_files else ()
    text = io.StringIO(newline="")
    # Lines end as RFC 4180 says: a name with either of the two characters is quoted.
    writer = csv.DictWriter(text, (CASE_COLUMN, *COLUMNS, *files), lineterminator="\r\n")
    writer.writeheader()
    for row in sorted(rows, key=lambda row: row.case_id):
        known = {_SHA256_COLUMN: row.sha256, _STAMP_COLUMN: row.stamp} if with_files else {}
        writer.writerow({CASE_COLUMN: row.case_id, **row.cells, **known})
    return text.getvalue()


def parse_table(text: str) -> tuple[FeatureRow, ...]:
    """Return the rows of a table; of one of another definition, or a damaged one, there are none.

    Nothing is lost by that: features are measured again.
    """
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return ()
    header = lines[0] if lines and text.endswith("\n") else []
    files = (_SHA256_COLUMN, _STAMP_COLUMN)
    if tuple(header) not in {(CASE_COLUMN, *COLUMNS), (CASE_COLUMN, *COLUMNS, *files)}:
        return ()
    rows = []
    for line in lines[1:]:
        if len(line) != len(header):
            return ()
        row = dict(zip(header, line, strict=True))
        rows.append(
            FeatureRow(
                case_id=row[CASE_COLUMN],
                sha256=row.get(_SHA256_COLUMN, ""),
                stamp=row.get(_STAMP_COLUMN, ""),
                cells={column: row[column] for column in COLUMNS},
            )
        )
    return tuple(rows)


def read_table(path: Path) -> tuple[FeatureRow, ...]:
    """Return the rows of the table at `path`; of one that is not there, or damaged, none."""
    try:
        return parse_table(path.read_bytes().decode("utf-8"))
    except (OSError, UnicodeDecodeError):
        return ()
