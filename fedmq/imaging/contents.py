"""Contents: what a dataset's folder and its clinical table hold, read by a data map."""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from fedmq.errors import DatasetError
from fedmq.imaging.baseline import BaselineRule, Choice, DatedScan, Order, choose_baseline
from fedmq.imaging.cases import Case
from fedmq.imaging.clinical import Row, Table, TableFormat, agreeing, disagreeing, read_table
from fedmq.imaging.layouts.arranging import Arrangement, Ignored, Unclear, arrange, depth_of
from fedmq.imaging.layouts.data_map import DataMap, Layout
from fedmq.imaging.layouts.detection import CHANNELS_FILE, detect_map
from fedmq.imaging.layouts.listing import MAX_DEPTH, is_there, list_entries
from fedmq.imaging.layouts.map_file import read_map_file
from fedmq.imaging.layouts.scan_days import DAY_COLUMN, date_scans
from fedmq.imaging.layouts.words import plain_name
from fedmq.imaging.matching import Matching, match_names, rows_by_case, rows_of_scan

T = TypeVar("T")

_MAX_NAMED: Final = 10
_MAX_CHANNELS_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What was understood of a dataset."""

    data_map: DataMap
    """As it is to be kept: with the aliases that were found."""
    cases: tuple[Case, ...]
    num_scans: Mapping[str, int]
    """Case -> how many scans with a volume it has."""
    baselines: Mapping[str, str]
    """Case -> the scan that was picked, of those with several."""
    chosen_by: Mapping[str, Order]
    """Case -> by what its scans were put in order; nothing of those whose scan was named."""
    without_baseline: Mapping[str, str]
    """Case -> why none of its scans was picked: it is kept without volumes."""
    undated: tuple[str, ...]
    """Cases whose scan is taken though nobody wrote its day, where a window is asked for."""
    matching: Matching | None
    """None where there is no clinical table."""
    ignored: tuple[Ignored, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def without(self, names: Collection[str]) -> "Contents":
        """Return what is left where these cases are not."""
        return replace(
            self,
            cases=tuple(case for case in self.cases if case.case_id not in names),
            num_scans=rest_of(self.num_scans, names),
            baselines=rest_of(self.baselines, names),
            chosen_by=rest_of(self.chosen_by, names),
            without_baseline=rest_of(self.without_baseline, names),
            undated=tuple(one for one in self.undated if one not in names),
        )


def rest_of(by_case: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    """Return what is of other cases than these."""
    return {case_id: one for case_id, one in by_case.items() if case_id not in names}


def table_format(data_map: DataMap) -> TableFormat:
    """Return how the clinical table of a dataset is read."""
    return TableFormat(
        id_column=data_map.id_column,
        scan_column=data_map.scan_column,
        encoding=data_map.encoding,
    )


def table_path(folder: Path, clinical: Path | None, data_map: DataMap) -> Path | None:
    """Return where the clinical table of a dataset is; None where none was named and none lies.

    Raises:
        DatasetError: code unreadable: nobody lets this user look.
    """
    if clinical is not None:
        return clinical
    place = folder / data_map.table
    return place if is_there(place.is_file, what=place.name) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapChoices:
    """What an operator says of a dataset beside its folder; what is not said is found."""

    layout: Layout | None = None
    file: Path | None = None
    """A data map that the operator wrote."""
    baseline: BaselineRule | None = None
    id_column: str = ""
    scan_column: str = ""
    encoding: str = ""


def choose_map(folder: Path, choices: MapChoices) -> DataMap:
    """Return the data map of a folder: the operator's, or the one its files speak for.

    Raises:
        ConfigurationError: the operator's cannot be used.
        DatasetError: as for `find_map`.
    """
    if choices.file is not None:
        found = read_map_file(choices.file)
    else:
        found = find_map(folder, choices.layout)
    return replace(
        found,
        baseline=choices.baseline or found.baseline,
        id_column=choices.id_column or found.id_column,
        scan_column=choices.scan_column or found.scan_column,
        encoding=choices.encoding or found.encoding,
    )


def find_map(folder: Path, layout: Layout | None = None) -> DataMap:
    """Return the data map of a folder, by the names of its files.

    Raises:
        DatasetError: as for `detect_map`, or the folder cannot be read.
    """
    entries = list_entries(folder)
    place, text = folder / CHANNELS_FILE, ""
    with contextlib.suppress(OSError):  # without it the layout that needs it says so
        if place.is_file() and place.stat().st_size <= _MAX_CHANNELS_BYTES:
            text = place.read_text(encoding="utf-8-sig", errors="replace")
    return detect_map(entries, channels=text, layout=layout)


def read_arrangement(folder: Path, data_map: DataMap, *, is_thorough: bool = False) -> Arrangement:
    """Return how the files of a folder belong together.

    What lies deeper than the map looks is named among the ignored where it is thorough.

    Raises:
        DatasetError: the folder is missing or cannot be read.
    """
    depth = MAX_DEPTH if is_thorough else depth_of(data_map)
    return arrange(list_entries(folder, depth=depth), data_map)


def read_contents(
    folder: Path,
    clinical: Path | None,
    data_map: DataMap,
    *,
    without: Collection[str] = (),
    is_thorough: bool = False,
) -> Contents:
    """Return the cases of a folder by its map, each with the volumes of one scan and its row.

    Nothing is looked for in the files of the cases `without`. Where it is thorough, names that
    the table writes otherwise are matched anew, and become aliases of the map.

    Raises:
        DatasetError: code missing_file or empty (no folder, no case in it), ambiguous_file (two
            files of a case answer to one modality), ambiguous_name (a pattern reads one in two
            ways), several_scans (and no rule which is the baseline), or the table cannot be read.
    """
    arrangement = read_arrangement(folder, data_map, is_thorough=is_thorough)
    gone = {plain_name(name) for name in without}
    names = [name for name in arrangement.cases if name not in gone]
    _require_clear(arrangement, names, data_map)
    place = table_path(folder, clinical, data_map)
    table = Table(rows=(), notes=()) if place is None else read_table(place, table_format(data_map))
    matching = None
    # With the names of those that are withdrawn: a row that could be theirs is no other's.
    every = {*arrangement.cases, *gone}
    if is_thorough and place is not None:
        matching = match_names(set(table.by_id()), every, known=data_map.aliases)
        data_map = replace(data_map, aliases=matching.known)
    by_case = rows_by_case(table.rows, every, data_map.aliases)
    rows = {name: by_case[name] for name in names if name in by_case}
    picked = _Picked(folder=folder, arrangement=arrangement, data_map=data_map, rows=rows)
    cases = tuple(picked.case(name) for name in names)
    return Contents(
        data_map=data_map,
        cases=cases,
        num_scans={name: len(arrangement.scans_of(name)) for name in names},
        baselines=picked.baselines,
        chosen_by=picked.chosen_by,
        without_baseline=picked.without_baseline,
        undated=tuple(picked.undated),
        matching=None if matching is None else _less(matching, gone, len(rows)),
        ignored=arrangement.ignored,
        notes=(*table.notes, *picked.notes),
    )


class _Picked:
    """The cases of an arrangement, made one by one, and what there is to say of them."""

    def __init__(
        self,
        *,
        folder: Path,
        arrangement: Arrangement,
        data_map: DataMap,
        rows: Mapping[str, Sequence[Row]],
    ) -> None:
        self._folder = folder
        self._arrangement = arrangement
        self._rule = data_map.baseline
        self._rows = rows
        self.baselines: dict[str, str] = {}
        self.chosen_by: dict[str, Order] = {}
        self.without_baseline: dict[str, str] = {}
        self.undated: list[str] = []
        self.notes: list[str] = []

    def case(self, name: str) -> Case:
        """Return a case with the volumes of its baseline scan, and its row."""
        rows = self._rows.get(name, ())
        scans = self._arrangement.scans_of(name)
        choice = self._choose(name, rows)
        scan = choice.scan
        found = next((one for one in scans if scan is not None and one.name == scan.name), None)
        if scans and found is None:
            self.without_baseline[name] = choice.why
        elif found is not None and len(scans) > 1:
            self.baselines[name] = found.name
            if choice.by is not None:
                self.chosen_by[name] = choice.by
        if choice.is_undated:
            self.undated.append(name)
        volumes = {} if found is None else found.volumes
        return Case(
            case_id=name,
            volumes={modality: self._folder / path for modality, path in volumes.items()},
            clinical=agreeing(self._rows_of(name, "" if found is None else found.name)),
        )

    def _rows_of(self, name: str, scan: str) -> Sequence[Row]:
        """Return the rows of a case that are not of another scan; what is lost is noted.

        Where all are of another one, all of it; where rows differ, their columns that do.
        """
        rows = self._rows.get(name, ())
        found = rows_of_scan(rows, scan)
        if rows and not found:
            others = ", ".join(row.scan for row in rows)
            self.notes.append(
                f"{name}: the table has rows of its scans {others}, and none of {scan}, which is "
                "taken: the case goes without a row"
            )
        # Days of scans differ by their nature.
        if differing := [one for one in disagreeing(found) if one != DAY_COLUMN]:
            lines = ", ".join(str(row.number) for row in found)
            self.notes.append(
                f"{name}: its rows on lines {lines} differ in {', '.join(differing)}: left out"
            )
        return found

    def _choose(self, name: str, rows: Sequence[Row]) -> Choice:
        scans = self._arrangement.scans_of(name)
        if self._rule is None or not scans:
            plain = [DatedScan(name=one.name) for one in scans]
            return Choice(scan=plain[0] if plain else None)
        dated, notes = date_scans(self._folder, scans, rows)
        self.notes += notes
        return choose_baseline(dated, self._rule)


def _require_clear(arrangement: Arrangement, names: Collection[str], data_map: DataMap) -> None:
    """Return if there is a case, and it is known which files are whose."""
    if arrangement.unclear:
        raise _unclear(arrangement.unclear)
    if not names:
        raise DatasetError(
            "the dataset has no case",
            code="empty",
            why="in the layout folders each case has a folder of its own, and it has no folder"
            if data_map.layout is Layout.FOLDERS
            else f"no file in it is called as the layout {data_map.layout} calls volumes",
            fix="put each case's volumes in a folder of its own, named after the case; other "
            "layouts: docs/data.md; DICOM files: fedmq node data import",
        )
    for clash in arrangement.clashes:
        if clash.case_id in names:
            paths = ", ".join(path.rpartition("/")[2] for path in clash.paths)
            raise DatasetError(
                f"case {clash.case_id} has {len(clash.paths)} files that could be its "
                f"{clash.modality}",
                code="ambiguous_file",
                case=clash.case_id,
                why=f"these names say so: {paths}",
                fix="keep one of them there, or say which by a map: docs/data.md",
            )
    if data_map.baseline is None:
        _require_one_scan(arrangement, names)


def _unclear(volumes: Sequence[Unclear]) -> DatasetError:
    first = volumes[0]
    ways = (
        f"case {one.case_id}" + (f", scan {one.scan}" if one.scan else "") for one in first.readings
    )
    more = f"; so can {len(volumes) - 1} more" if len(volumes) > 1 else ""
    return DatasetError(
        f"nobody can tell whose volume {first.path.rpartition('/')[2]} is",
        code="ambiguous_name",
        why=f"{first.pattern} can be read in two ways there: {'; or '.join(ways)}{more}",
        fix="write in a map what cases are called, such as {case:LYON_???}, or give each a folder "
        "of its own: docs/data.md",
    )


def _require_one_scan(arrangement: Arrangement, names: Collection[str]) -> None:
    counts = {name: len(arrangement.scans_of(name)) for name in names}
    several = [name for name in names if counts[name] > 1]
    if several:
        more = len(several) - _MAX_NAMED
        listed = ", ".join(f"{name} ({counts[name]})" for name in several[:_MAX_NAMED])
        hint = "; if its scans are patients: name the folder one below" if len(names) == 1 else ""
        raise DatasetError(
            f"{len(several)} of {len(names)} cases have several scans",
            code="several_scans",
            case=several[0],
            why=f"nobody said which to learn from: {listed}"
            + (f" and {more} more" if more > 0 else ""),
            fix="add --baseline last, --baseline first or --baseline SCAN, and --window FIRST LAST "
            f"for days relative to time zero{hint}",
        )


def _less(matching: Matching, gone: Collection[str], num_matched: int) -> Matching:
    """Return a matching without those cases that are withdrawn."""
    missing = tuple(one for one in matching.cases_without_row if one not in gone)
    aliases, unused = (
        {one: case for one, case in some.items() if case not in gone}
        for some in (matching.aliases, matching.unused)
    )
    return replace(
        matching,
        aliases=aliases,
        unused=unused,
        cases_without_row=missing,
        num_matched=num_matched,
    )
