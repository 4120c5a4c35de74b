"""What was understood of a dataset, in words; and what an operator may say of one."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedmq.cli.console import show
from fedmq.cli.words import count, printable

if TYPE_CHECKING:
    from fedmq.imaging.baseline import BaselineRule, Order
    from fedmq.imaging.contents import MapChoices
    from fedmq.imaging.layouts.arranging import Ignored
    from fedmq.imaging.matching import Matching
    from fedmq.node.inspection import Inspection

_MAX_NAMED: Final = 10

LayoutOption = Annotated[
    str | None,
    typer.Option(
        help="folders, bids-pet, autopet, hecktor or msd; default: as the files are called"
    ),
]
MapOption = Annotated[
    Path | None, typer.Option("--map", help="A data map in TOML, for any other layout")
]
BaselineOption = Annotated[
    str, typer.Option(help="Of several scans of a patient: last, first, or a scan's name")
]
WindowOption = Annotated[
    tuple[int, int] | None,
    typer.Option(help="First and last day of a baseline scan, relative to time zero: -42 0"),
]
IdColumn = Annotated[str, typer.Option(help="The column of the table that names the case")]
ScanColumn = Annotated[str, typer.Option(help="The column of the table that names the scan")]
Encoding = Annotated[
    str, typer.Option(help="Of the table where it is not UTF-8, such as windows-1252")
]


def make_rule(baseline: str, window: tuple[int, int] | None) -> "BaselineRule | None":
    """Return the rule by which one scan of several is picked; None where nothing is said.

    Raises:
        ConfigurationError: the window ends before it begins.
    """
    from fedmq.imaging.baseline import BaselineRule, Pick

    if not baseline and window is None:
        return None
    word = baseline or Pick.LAST
    if word in {Pick.LAST, Pick.FIRST}:
        return BaselineRule(pick=Pick(word), window_days=window)
    return BaselineRule(pick=Pick.NAMED, scan=word, window_days=window)


def make_choices(
    *,
    layout: str | None,
    data_map: Path | None,
    baseline: "BaselineRule | None",
    columns: tuple[str, str],
    encoding: str,
) -> "MapChoices":
    """Return what an operator says of a dataset; `columns` are those of the case and the scan.

    Raises:
        ConfigurationError: there is no such layout, or a map and a layout are both named.
    """
    from fedmq.errors import ConfigurationError
    from fedmq.imaging.contents import MapChoices
    from fedmq.imaging.layouts.data_map import Layout

    known = [str(one) for one in Layout if one is not Layout.PATTERNS]
    if layout is not None and (layout not in known or data_map is not None):
        raise ConfigurationError(
            f"the layout {layout} cannot be used",
            why="a map says it already" if data_map is not None else "there is none of that name",
            fix=f"--layout {', '.join(known)}; or --map FILE alone",
        )
    return MapChoices(
        layout=None if layout is None else Layout(layout),
        file=data_map,
        baseline=baseline,
        id_column=columns[0],
        scan_column=columns[1],
        encoding=encoding,
    )


def inspection_document(name: str, inspection: "Inspection") -> dict[str, object]:
    """Return all of an inspection for programs, nothing cut; no value of the clinical table."""
    contents = inspection.contents
    return {
        "dataset": name,
        "layout": contents.data_map.layout,
        "num_cases": len(inspection.cases),
        "num_sound": inspection.num_sound,
        "findings": inspection.findings,
        "cases_without": cases_without(inspection),
        "not_used": _not_used(inspection),
        "num_with": _num_with(inspection),
        "spacing_mm": {
            modality: {"least": least, "largest": largest}
            for modality, (least, largest) in inspection.spacing_mm.items()
        },
        "num_scans": contents.num_scans,
        "baselines": contents.baselines,
        "chosen_by": contents.chosen_by,
        "without_baseline": contents.without_baseline,
        "undated": contents.undated,
        "clinical": contents.matching,
        "ignored": contents.ignored,
        "notes": contents.notes,
        "columns": inspection.matching,
        "data_map": contents.data_map,
    }


def show_counts(inspection: "Inspection") -> None:
    """Print how many cases have what, who has not, and whose is there and not used."""
    num_cases, not_used = len(inspection.cases), _not_used(inspection)
    for what, without in cases_without(inspection).items():
        num_with, refused = num_cases - len(without), not_used.get(what, [])
        told = [f"not of {named(without)}"] if num_with and without else []
        if refused:
            verb = "is" if len(refused) == 1 else "are"
            told.append(f"{len(refused)} of these {verb} not used: {named(refused)}")
        show(f"  {what:<10}{num_with}" + (f"  {'; '.join(told)}" if told else ""))


def show_contents(inspection: "Inspection") -> None:
    """Print what was understood of a dataset, names cut to the first ten."""
    for line in _lines(inspection):
        show(f"  {printable(line)}")  # a name of a file, or an id, may have lines


def _lines(inspection: "Inspection") -> Iterator[str]:
    contents = inspection.contents
    yield f"layout    {contents.data_map.layout}"
    for modality, (least, largest) in inspection.spacing_mm.items():
        yield f"spacing   {modality} {_range(least, largest)} mm"
    if contents.data_map.baseline is not None or len(set(contents.num_scans.values())) > 1:
        yield f"scans     {_histogram(contents.num_scans.values())}"
    if contents.baselines:
        picked = [f"{case} {scan}" for case, scan in contents.baselines.items()]
        yield f"baseline  {named(picked)}"
        yield from _of_orders(contents.chosen_by)
    for case, why in list(contents.without_baseline.items())[:_MAX_NAMED]:
        yield f"no baseline, so without volumes: {case}: {why}"
    if (more := len(contents.without_baseline) - _MAX_NAMED) > 0:
        yield f"no baseline, so without volumes: {more} more"
    yield from _of_undated(contents.undated)
    if contents.matching is not None:
        yield from _of_table(contents.matching)
    else:
        table = contents.data_map.table
        yield f"rows      none: no {table} lies in the folder, and --clinical named no other table"
    for note in contents.notes[:_MAX_NAMED]:
        yield f"note      {note}"
    if (more := len(contents.notes) - _MAX_NAMED) > 0:
        yield f"note      {more} more; --json has them"
    for why, paths in _by_reason(contents.ignored):
        yield f"ignored   {named(paths)}: {why}"


def _of_orders(chosen_by: "Mapping[str, Order]") -> Iterator[str]:
    """Yield by what baselines were chosen, where that knows nothing of time zero."""
    from fedmq.imaging.baseline import Order

    for order in Order:
        cases = [case for case, by in chosen_by.items() if by is order]
        if cases and order is not Order.DAY:
            yield f"  by {order}, with no day from time zero, so perhaps after it: {named(cases)}"


def named(names: Iterable[str]) -> str:
    """Return the first ten names, and how many more there are."""
    some = list(names)
    more = len(some) - _MAX_NAMED
    return ", ".join(some[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def cases_without(inspection: "Inspection") -> dict[str, list[str]]:
    """Return the cases without a volume of each modality, and those without a clinical row."""
    cases = inspection.cases
    found = {word for case in cases for word in case.volumes}
    without = {
        modality: [case.case_id for case in cases if modality not in case.volumes]
        for modality in sorted(found | {"PET"} if found else ())  # that there is none is told
    }
    return {**without, "clinical": [case.case_id for case in cases if not case.clinical]}


def _not_used(inspection: "Inspection") -> dict[str, list[str]]:
    """Return the cases whose volume, or row, is there and for a reason that is named not used."""
    found: dict[str, list[str]] = {}
    for case_id, modality in sorted(inspection.spoiled):
        found.setdefault(modality, []).append(case_id)
    if inspection.refused_rows:
        found["clinical"] = list(inspection.refused_rows)
    return found


def _of_undated(cases: tuple[str, ...]) -> Iterator[str]:
    if cases:
        yield f"no day    {named(cases)}: taken, though nobody knows whether in the window"


def _of_table(matching: "Matching") -> Iterator[str]:
    yield f"rows      of {count(matching.num_matched, 'case')}"
    if matching.aliases:
        pairs = [f"{one} for {case}" for one, case in matching.aliases.items()]
        yield f"  taken, though written otherwise: {named(pairs)}"
    if matching.unused:
        pairs = [f"{one} for {case}" for one, case in matching.unused.items()]
        yield f"  not used now, kept until the dataset is added anew: {named(pairs)}"
    if matching.doubts:
        pairs = [f"{one} ({' or '.join(cases)})" for one, cases in matching.doubts.items()]
        yield f"  taken for none, for it could be several: {named(pairs)}"
    if matching.rows_without_case:
        yield f"  of no case: {named(matching.rows_without_case)}"
    if matching.cases_without_row:
        yield f"  cases without one: {named(matching.cases_without_row)}"
    if not matching.num_matched:
        yield "  are ids another column's (--id-column), or other words (a map's aliases)?"


def _by_reason(ignored: "Iterable[Ignored]") -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for one in ignored:
        found.setdefault(one.why, []).append(one.path)
    return list(found.items())


def _num_with(inspection: "Inspection") -> dict[str, int]:
    found: dict[str, int] = {}
    for case in inspection.cases:
        for modality in case.volumes:
            found[modality] = found.get(modality, 0) + 1
    return dict(sorted(found.items()))


def _histogram(numbers: Iterable[int]) -> str:
    counts: dict[int, int] = {}
    for number in numbers:
        counts[number] = counts.get(number, 0) + 1
    return ", ".join(f"{count(cases, 'case')} with {n}" for n, cases in sorted(counts.items()))


def _range(least: tuple[float, ...], largest: tuple[float, ...]) -> str:
    return " x ".join(
        f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f}-{high:.2f}"
        for low, high in zip(least, largest, strict=True)
    )
