"""The command for the data dictionary of a dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import FAILED, Json, next_command, say, show, show_json, show_table
from fedmq.cli.contents_words import inspection_document
from fedmq.cli.inspection_words import show_inspection
from fedmq.cli.node_home import open_own_records
from fedmq.cli.words import count

if TYPE_CHECKING:
    from fedmq.imaging.dictionary.model import Meaning

_SPEAKS_EVERY = 10

DictionaryFile = Annotated[
    Path | None, typer.Option("--dictionary", help="The study's data dictionary (.toml)")
]
LocalFile = Annotated[
    Path | None,
    typer.Option("--local", help="How your own table writes it: columns, units, words (.toml)"),
]


def dictionary_command(
    dataset: Annotated[str, typer.Argument(help="The name that experiments use")],
    *,
    dictionary: Annotated[
        Path | None, typer.Option("--set", help="Read the clinical table by this one from now on")
    ] = None,
    local: LocalFile = None,
    remove: Annotated[bool, typer.Option("--remove", help="Read the table as it is")] = False,
    as_json: Json = False,
) -> None:
    """Show by which data dictionary a dataset is read, or read it by another one."""
    from fedmq.errors import ConfigurationError
    from fedmq.node.datasets import unknown_dataset

    datasets = open_own_records().datasets
    if datasets.find(dataset) is None:
        raise unknown_dataset(dataset)
    if dictionary is not None or remove:
        if remove and (dictionary is not None or local is not None):
            raise ConfigurationError(
                "--remove goes with no file", fix="give --set FILE, or --remove alone"
            )
        inspection = datasets.mean(dataset, read_meaning(dictionary, local), show_progress)
    elif local is not None:
        raise ConfigurationError("--local is read with a dictionary", fix="give --set FILE too")
    else:
        inspection = None
    meaning = datasets.meanings.of(dataset)
    if as_json:
        found = {} if inspection is None else inspection_document(dataset, inspection)
        show_json({"dataset": dataset, **found, **_record(meaning)})
    else:
        if meaning is not None:
            _show_meaning(meaning)
        if inspection is not None:
            show_inspection(dataset, inspection)
        if meaning is None:
            say(f"{dataset} is read as its table is written: it has no dictionary")
            next_command(f"fedmq node data dictionary {dataset} --set FILE")
        else:
            next_command(f"fedmq node data check {dataset}")
    if inspection is not None and inspection.faults:
        raise typer.Exit(FAILED)


def read_meaning(dictionary: Path | None, local: Path | None) -> "Meaning | None":
    """Return what two files say, None where there is none.

    Raises:
        ConfigurationError: one of them cannot be used, or there are local words for no dictionary.
    """
    from fedmq.errors import ConfigurationError
    from fedmq.imaging.dictionary.model import LocalWords, Meaning
    from fedmq.imaging.dictionary.reading import read_dictionary, read_local_words

    if dictionary is None:
        if local is not None:
            raise ConfigurationError(
                "--local says how a table writes a dictionary, and there is none",
                fix="give the dictionary too",
            )
        return None
    said = read_dictionary(dictionary)
    return Meaning(
        dictionary=said, local=LocalWords() if local is None else read_local_words(local, said)
    )


def show_progress(done: int, of: int) -> None:
    """Say now and then how many cases were read."""
    if done == of or done % _SPEAKS_EVERY == 0:
        say(f"read {done} of {count(of, 'case')}")


def _record(meaning: "Meaning | None") -> dict[str, object]:
    if meaning is None:
        return {"dictionary": None, "digest": None, "local": None}
    said = meaning.dictionary
    return {"dictionary": said, "digest": said.digest, "local": meaning.local}


def _show_meaning(meaning: "Meaning") -> None:
    said = meaning.dictionary
    show(f"{said.name} {said.version}  {said.digest}")
    if said.endpoint is not None:
        end = said.endpoint
        show(f"  endpoint: {end.time} until {end.event}, from {end.time_zero}")
    if said.baseline is not None:
        first, last = said.baseline.window_days
        show(f"  baseline: the {said.baseline.which} scan of day {first} to {last}")
    rows = []
    for name, variable in said.variables.items():
        low_high = "-" if variable.range is None else "{:g} to {:g}".format(*variable.range)
        allowed = ", ".join(variable.codes) or low_high
        rows.append((name, variable.type, variable.unit or "-", allowed, variable.meaning or "-"))
    show_table(("variable", "type", "unit", "allowed", "meaning"), rows)
