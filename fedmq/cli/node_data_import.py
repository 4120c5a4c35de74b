"""The command that makes a dataset of an archive's DICOM files."""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedmq.cli.console import FAILED, Json, next_command, say, show, show_json, typed
from fedmq.cli.node_home import require_node
from fedmq.cli.words import count

if TYPE_CHECKING:
    from fedmq.disk import LocalDisk
    from fedmq.imaging.dicom.importing import Imported
    from fedmq.imaging.dicom.outcomes import Outcome
    from fedmq.imaging.dicom.site_tables import SiteTable

FOLDER: Final = "imports"
_MOST_JOBS: Final = 4
"""Each may take 2 GB for a whole body."""
_SPEAKS_EVERY: Final = {"file": 1000, "case": 10}


class Tracer(StrEnum):
    """Of which SUV are made."""

    FDG = "FDG"


def import_dicom(  # noqa: PLR0913 - as many as there are options
    dicom_dir: Annotated[Path, typer.Argument(help="The folder that the archive exported to")],
    dataset_folder: Annotated[Path, typer.Argument(help="The folder of cases to be made")],
    *,
    roi: Annotated[
        list[str] | None,
        typer.Option(
            help="Which regions of RTSTRUCT and SEG make the mask, as GTV*; may be repeated"
            " (default: names that begin with GTV, lesion, tumour)"
        ),
    ] = None,
    pet_series: Annotated[
        str,
        typer.Option(
            help="Which PET, in all studies: its description, as *TOF*, or its number; those whose"
            " PET are others are refused"
        ),
    ] = "",
    ct_series: Annotated[str, typer.Option(help="Which CT, likewise")] = "",
    tracer: Annotated[
        Tracer | None,
        typer.Option(
            case_sensitive=False, help="What was given, of PET series that name no tracer at all"
        ),
    ] = None,
    time_zero: Annotated[
        Path | None,
        typer.Option(help="A table with patient_id,date: days of scans count from there"),
    ] = None,
    clinical: Annotated[
        Path | None, typer.Option(help="The site's clinical table, to become the dataset's")
    ] = None,
    id_column: Annotated[
        str, typer.Option(help="Which column of it has the PatientID")
    ] = "patient_id",
    keep_column: Annotated[
        list[str] | None,
        typer.Option(help="A column of it that goes into the dataset; may be repeated"),
    ] = None,
    encoding: Annotated[
        str, typer.Option(help="What the tables are in, as windows-1252 (default: UTF-8)")
    ] = "",
    jobs: Annotated[int, typer.Option(help="Cases at a time (default: as many as cores, 4)")] = 0,
    as_json: Json = False,
) -> None:
    """Make a dataset of the PET and CT in a folder of DICOM files, without names and dates.

    May be stopped and started again: what is finished is not done again.
    """
    # pydicom and nibabel come with an extra, and take a while to be read.
    try:
        from fedmq.imaging.dicom.importing import LEFT_OUT_FILE, import_archive
    except ModuleNotFoundError as error:
        raise _missing_extra() from error
    from fedmq.disk import LocalDisk
    from fedmq.imaging.clinical import TableFormat
    from fedmq.imaging.dicom.case_tables import list_told, require_room
    from fedmq.imaging.dicom.planning import Choices
    from fedmq.imaging.dicom.site_tables import read_site_table, read_time_zero

    home = require_node() / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    choices = Choices(
        regions=tuple(roi or ()),
        pet_series=pet_series,
        ct_series=ct_series,
        tracer=tracer.value if tracer else "",
        time_zero=read_time_zero(time_zero, encoding) if time_zero else {},
    )
    keeping = LocalDisk(home)
    rows = None
    if clinical is not None:
        how = TableFormat(id_column=id_column, encoding=encoding)
        rows = read_site_table(clinical, how, keep_column or [])
        require_room(rows, dataset_folder, keeping)
    imported = import_archive(
        dicom_dir,
        dataset_folder,
        keeping,
        choices,
        jobs=jobs or min(_MOST_JOBS, len(os.sched_getaffinity(0))),
        progress=_progress,
    )
    told: dict[str, Mapping[str, str]] = {}
    if choices.time_zero:
        ids, there = imported.plan.zero_ids, {one.patient_id for one in imported.plan.studies}
        taken = [one for one, patient_id in ids.patients.items() if patient_id in there]
        others = count(len(choices.time_zero) - len(taken), "row")
        say(f"time zero: {others} of patients that are not in the archive")
        _say_altered("time zero", ids.num_altered(taken))
        told["time zero"] = ids.told(taken)
    if rows is not None:
        told["clinical"] = _add(rows, dataset_folder, keeping)
    if told:
        list_told(keeping, told)
    if as_json:
        show_json(_document(imported))
    else:
        _show(imported)
        say(
            "whose pseudonyms they are, which files and rows are in no case, and which regions were"
            " asked for: "
            f"{typed(home)}, for you alone"
        )
        next_command(f"fedmq node data add NAME {typed(dataset_folder)}")
    num_astray = imported.plan.num_astray
    if num_astray:
        say(
            f"{count(num_astray, 'damaged file')} may be of a case that is not there, or not whole:"
            f" {LEFT_OUT_FILE} in {typed(home)} says which; export them again, or put elsewhere"
            " what is no part of any"
        )
    if imported.num_refused or num_astray:
        raise typer.Exit(FAILED)


def _add(rows: "SiteTable", folder: Path, keeping: "LocalDisk") -> Mapping[str, str]:
    from fedmq.imaging.dicom.case_tables import add_rows
    from fedmq.imaging.layouts.data_map import CLINICAL_FILE

    added = add_rows(rows, folder, keeping)
    for note in rows.notes:
        say(note)
    say(
        f"{CLINICAL_FILE}: {count(added.num_rows, 'row')} with "
        f"{count(len(rows.columns), 'column')}; "
        f"{count(added.num_others, 'row')} of patients without a case left out"
    )
    _say_altered(CLINICAL_FILE, added.num_altered)
    if added.num_before or added.num_gone:
        say(
            f"{CLINICAL_FILE}: {count(added.num_before, 'row')} of earlier imports stay; "
            f"{count(added.num_gone, 'row')} of cases that are there no more left out"
        )
    return added.told


def _say_altered(name: str, number: int) -> None:
    if number:
        say(f"{name}: {count(number, 'row')} taken, though the id is written otherwise")


def _progress(what: str, done: int, of: int) -> None:
    if done == of or done % _SPEAKS_EVERY[what] == 0:
        verb = "looked at" if what == "file" else "done with"
        say(f"{verb} {done} of {count(of, what)}")


def _show(imported: "Imported") -> None:
    from fedmq.imaging.dicom.outcomes import REMOVED

    for case_id in imported.removed:
        show(f"{case_id}: {REMOVED}")
    for kind, number in sorted(imported.plan.left_out.items()):
        show(f"in no case: {kind}: {count(number, 'file')}")
    for one in imported.outcomes:
        for line in _lines(one):
            show(line)
    num_refused, num_staying = imported.num_refused, imported.num_staying
    staying = f" ({num_staying} there as imported before)" if num_staying else ""
    show(f"{count(len(imported.outcomes) - num_refused, 'case')}, {num_refused} refused{staying}")


def _lines(one: "Outcome") -> list[str]:
    if one.state == "refused":
        notes = [f"  note: {note}" for note in one.notes]
        return [f"{one.case_id}: refused: {one.code}: {one.why}", f"  fix: {one.fix}", *notes]
    taken = ", ".join(
        f"{name} of {figures.get('slices')} slices"
        if "slices" in figures
        else f"{name} of {figures.get('volume_ml')} ml"
        for name, figures in one.taken.items()
    )
    lines = [f"{one.case_id}: {one.state}: {taken}"]
    lines += [f"  note: {note}" for note in one.notes]
    lines += [f"  left out: {kind}: {count(many, 'file')}" for kind, many in one.left_out.items()]
    return lines


def _document(imported: "Imported") -> dict[str, object]:
    import json

    from fedmq.imaging.dicom.outcomes import report_json

    report = json.loads(report_json(imported.plan, imported.outcomes, imported.removed))
    report.pop("schema_version")
    return dict(report)


def _missing_extra() -> Exception:
    from fedmq.errors import ConfigurationError

    return ConfigurationError(
        "DICOM cannot be read by this install",
        why="pydicom or nibabel is not installed",
        fix="pip install 'fedmq[dicom]'",
    )
