"""`fedmq node data features`: the features of a dataset's cases, measured and shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedmq.cli.console import SHORT, Json, next_command, say, show_json, show_table
from fedmq.cli.node_home import open_own_records
from fedmq.cli.words import count

if TYPE_CHECKING:
    from fedmq.imaging.feature_table import FeatureRow
    from fedmq.node.measuring import Measurement

_SHOWN: Final = (
    "suv_max",
    "suv_peak",
    "mask_ml",
    "mtv41_ml",
    "mtv_suv4_ml",
    "tlg41",
    "num_lesions",
    "dmax_mm",
)
"""What fits a screen; --json and --out have all."""
_MOST_JOBS: Final = 4
"""By default; a whole body takes some 0.3 GB."""
_SPEAKS_EVERY: Final = 10


def features(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="A registered dataset")],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Write all columns to this CSV file too, for your own use.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=64, help="Cases at once; default the cores, at most 4.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure uptake and volumes inside the masks; plans read them beside the clinical table."""
    import time

    from fedmq.node.cores import usable_cores
    from fedmq.node.measuring import measure_dataset

    measurement = measure_dataset(
        open_own_records(),
        name,
        num_threads=jobs or min(usable_cores(), _MOST_JOBS),
        progress=_progress,
        steady=time.monotonic,
    )
    if out is not None:
        _write(out, measurement.rows)
    if as_json:
        show_json(
            {
                "dataset": name,
                "num_measured": measurement.num_measured,
                "cases": [_numbers(row) for row in measurement.rows],
                "without": [
                    {"case_id": case_id, "why": why}
                    for case_id, why in sorted(measurement.lacking.items())
                ],
                "doubts": [
                    {"case_id": case_id, "why": why}
                    for case_id, why in sorted(measurement.doubts.items())
                ],
            }
        )
    else:
        _show(name, measurement)
    if measurement.num_broken:
        raise typer.Exit(SHORT)


def _show(name: str, measurement: "Measurement") -> None:
    rows = [
        (row.case_id, *(_rounded(row.cells[column]) for column in _SHOWN))
        for row in measurement.rows
    ]
    if rows:
        show_table(("case", *_SHOWN), rows)
    for case_id, why in sorted(measurement.lacking.items()):
        say(f"{case_id} has no features: {why}")
    for case_id, why in sorted(measurement.doubts.items()):
        say(f"{case_id}: {why}")
    num_same = len(measurement.rows) - measurement.num_measured - len(measurement.lacking)
    say(
        f"{name}: {count(measurement.num_measured, 'case')} measured now, {num_same} as before, "
        f"{len(measurement.lacking)} without features"
    )
    say("they stay at this node; plans that run here read them beside the clinical table")
    if measurement.num_broken:
        next_command(f"fedmq node data check {name}", f"fedmq node data features {name}")
    else:
        next_command(f"fedmq node data features {name} --out FILE", "fedmq node start")


def _numbers(row: "FeatureRow") -> dict[str, object]:
    numbers = {name: float(cell) if cell else None for name, cell in row.cells.items()}
    return {"case_id": row.case_id, **numbers}


def _rounded(cell: str) -> str:
    return f"{float(cell):.4g}" if cell else "-"


def _write(out: Path, rows: "tuple[FeatureRow, ...]") -> None:
    """Put the table in its place when it is whole; it is for its owner's eyes."""
    import os

    from fedmq.errors import StorageError
    from fedmq.imaging.feature_table import table_text

    new = out.with_name(f".{out.name}.new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(table_text(rows, with_files=False))
            file.flush()
            os.fsync(file.fileno())
        new.replace(out)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise StorageError(
            f"the table {out.name} cannot be written",
            why=os.strerror(error.errno) if error.errno else "",
            fix="give --out a file in a folder that is there, or free space",
        ) from error


def _progress(done: int, of: int) -> None:
    if done == of or done % _SPEAKS_EVERY == 0:
        say(f"measured {done} of {count(of, 'case')}")
