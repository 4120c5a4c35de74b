"""Commands for the datasets of a node."""

from pathlib import Path
from typing import Annotated

import typer

from fedmq.cli.console import (
    FAILED,
    Json,
    next_command,
    say,
    show_json,
    show_table,
    typed,
)
from fedmq.cli.contents_words import (
    BaselineOption,
    Encoding,
    IdColumn,
    LayoutOption,
    MapOption,
    ScanColumn,
    WindowOption,
    inspection_document,
    make_choices,
    make_rule,
)
from fedmq.cli.inspection_words import show_inspection
from fedmq.cli.node_data_dictionary import (
    DictionaryFile,
    LocalFile,
    dictionary_command,
    read_meaning,
    show_progress,
)
from fedmq.cli.node_data_features import features
from fedmq.cli.node_data_import import import_dicom
from fedmq.cli.node_data_page import check_and_draw
from fedmq.cli.node_home import open_own_records
from fedmq.cli.prepared import forget_dataset
from fedmq.cli.words import count

_SHORT = 12
"""Digits of a digest that are shown where there is no room for all."""

app = typer.Typer(no_args_is_help=True, help="Datasets: what experiments may learn from.")
app.command("dictionary")(dictionary_command)
app.command("import")(import_dicom)
app.command("features")(features)

Dataset = Annotated[str, typer.Argument(help="The name that experiments use, such as lung-petct")]


@app.command()
def add(  # noqa: PLR0913 - one for each option
    name: Dataset,
    folder: Annotated[Path, typer.Argument(help="Of the cases; docs/data.md has the layouts")],
    *,
    clinical: Annotated[
        Path | None, typer.Option(help="The clinical table; default clinical.csv in the folder")
    ] = None,
    layout: LayoutOption = None,
    data_map: MapOption = None,
    baseline: BaselineOption = "",
    window: WindowOption = None,
    id_column: IdColumn = "",
    scan_column: ScanColumn = "",
    encoding: Encoding = "",
    as_json: Json = False,
    dictionary: DictionaryFile = None,
    local: LocalFile = None,
) -> None:
    """Register a folder of cases, after reading every file; print what was understood."""
    import time

    meaning = read_meaning(dictionary, local)
    records = open_own_records()
    choices = make_choices(
        layout=layout,
        data_map=data_map,
        baseline=make_rule(baseline, window),
        columns=(id_column, scan_column),
        encoding=encoding,
    )
    inspection = records.datasets.add(
        name,
        folder,
        clinical,
        choices=choices,
        now=time.time(),
        meaning=meaning,
        progress=show_progress,
    )
    if as_json:
        show_json(inspection_document(name, inspection))
    else:
        show_inspection(name, inspection)
    for case in inspection.cases:
        for other in sorted(records.withdrawals.datasets_with(case.case_id)):
            say(
                f"{case.case_id} is withdrawn from {other}; if it is that patient: withdraw it here"
            )
    next_command("fedmq node plans list", "fedmq node start")


@app.command("list")
def list_datasets(*, as_json: Json = False) -> None:
    """List the registered datasets."""
    known = open_own_records().datasets.all()
    if as_json:
        show_json({"datasets": known})
        return
    if known:
        show_table(
            ("dataset", "cases", "folder"),
            [(one.name, one.num_cases, typed(one.folder)) for one in known],
        )
        next_command(f"fedmq node data check {known[0].name}", "fedmq node data add NAME FOLDER")
    else:
        say("no dataset is registered")
        next_command("fedmq node data add NAME FOLDER")


@app.command()
def check(
    name: Dataset,
    *,
    html: Annotated[
        Path | None, typer.Option(help="Draw the page there; default in the node's own folder")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read every file of a dataset again and say what is wrong; what is not is used from now on.

    All of it is drawn on a page, for the site's eyes alone.
    """
    inspection, page = check_and_draw(name, html, show_progress)
    if as_json:
        show_json({**inspection_document(name, inspection), "page": page.resolve()})
    else:
        show_inspection(name, inspection)
        say(f"its page, which shows patients and stays here: {typed(page.resolve())}")
        if inspection.faults:
            next_command(f"mend the files, then: fedmq node data check {name}")
        else:
            next_command("fedmq node start")
    if inspection.faults:
        raise typer.Exit(FAILED)


@app.command()
def remove(name: Dataset) -> None:
    """Forget a dataset; its files stay where they are."""
    records = open_own_records()
    records.datasets.remove(name)
    records.features.remove(name)
    records.check_pages.remove(name)
    forget_dataset(name)
    say(f"{name} is no dataset of this node any more; its files are untouched")
    next_command("fedmq node data list")


@app.command()
def withdraw(
    dataset: Dataset,
    case: Annotated[str, typer.Argument(help="The case, as its folder is named")],
    *,
    reason: Annotated[str, typer.Option(help="For your own records.")] = "",
    as_json: Json = False,
) -> None:
    """Leave a case out of every later round: its patient withdrew consent. There is no way back."""
    import time

    from fedmq.node.withdrawing import withdraw_case

    done = withdraw_case(open_own_records(), dataset, case, reason=reason, now=time.time())
    forget_dataset(dataset)
    if as_json:
        show_json(done)
        return
    if done.is_new:
        say(f"{case} of {dataset} is in no later round, and is not counted any more")
    else:
        say(f"{case} of {dataset} was withdrawn before; nothing has changed")
    if done.models:
        say(f"it had entered {count(len(done.models), 'update')}, and through them these models:")
        rows = [
            (one.experiment, one.round, one.update[:_SHORT], one.model[:_SHORT] or "-")
            for one in done.models
        ]
        show_table(("experiment", "round", "update", "model"), rows)
        say("all later models of these experiments were made from them")
    else:
        say("it had entered no model")
    for page in done.pages:
        say(f"a page of {dataset} that may show it was drawn elsewhere: delete {typed(page)}")
    for other in done.also_in:
        say(f"{other} has a case {case} too; if it is that patient: withdraw it there as well")
    next_command(f"fedmq node data withdrawn {dataset}", "fedmq node audit show")


@app.command()
def withdrawn(dataset: Dataset, *, as_json: Json = False) -> None:
    """List the cases of a dataset that were withdrawn; their names are for you alone."""
    from datetime import UTC, datetime

    known = open_own_records().withdrawals.of(dataset)
    if as_json:
        show_json({"dataset": dataset, "withdrawn": known})
        return
    if known:
        show_table(
            ("case", "since", "reason"),
            [
                (one.case_id, f"{datetime.fromtimestamp(one.at, UTC):%Y-%m-%d}", one.reason or "-")
                for one in known
            ],
        )
    else:
        say(f"no case of {dataset} is withdrawn")
    next_command(f"fedmq node data withdraw {dataset} CASE", f"fedmq node data check {dataset}")
