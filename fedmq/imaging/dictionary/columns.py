"""Which column of a site's table is which variable, and in which unit it is. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fedmq.errors import DatasetError
from fedmq.imaging.clinical import plain_id
from fedmq.imaging.dictionary.model import Dictionary, LocalWords, Variable, plain_word
from fedmq.imaging.dictionary.units import is_convertible, unit_of_word


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """How a table is read."""

    columns: Mapping[str, str]
    """Variable -> column."""
    units: Mapping[str, str]
    """Variable -> the unit of the column."""
    missing: tuple[str, ...]
    """Variables that the table has no column for."""
    unused: tuple[str, ...]
    """Columns that the dictionary does not know: no plan sees them."""


def match_columns(dictionary: Dictionary, local: LocalWords, header: Sequence[str]) -> Matching:
    """Return which column is which variable; the site's own words count before all others.

    Raises:
        DatasetError: code missing_column, ambiguous_column or wrong_unit.
    """
    columns: dict[str, str] = {}
    units: dict[str, str] = {}
    needed = _needed(dictionary)
    for name, variable in dictionary.variables.items():
        column = _column_of(name, variable, local.columns.get(name), header)
        if column is not None:
            columns[name] = column
            units[name] = _unit_of(name, variable, column, local.units.get(name))
        elif name in needed or name in local.columns:
            raise _no_column(name, local.columns.get(name), header)
    used = [column for column in columns.values() if list(columns.values()).count(column) > 1]
    if used:
        raise DatasetError(
            f"column {used[0]} stands for two variables",
            code="ambiguous_column",
            why=", ".join(name for name, column in columns.items() if column == used[0]),
            fix="say in the site's file which column is which: [columns]",
        )
    return Matching(
        columns=columns,
        units=units,
        missing=tuple(name for name in dictionary.variables if name not in columns),
        unused=tuple(column for column in header if column not in columns.values()),
    )


def _needed(dictionary: Dictionary) -> Collection[str]:
    endpoint = dictionary.endpoint
    return {
        *(name for name, variable in dictionary.variables.items() if variable.required),
        *(() if endpoint is None else (endpoint.time, endpoint.event)),
    }


def _column_of(
    name: str, variable: Variable, local: str | None, header: Sequence[str]
) -> str | None:
    if local is not None:
        return next((one for one in header if plain_id(one) == plain_id(local)), None)
    words, unit = (name, *variable.columns), variable.unit
    wanted = {_plain(word) for word in words}
    found = [column for column in header if _plain(column) in wanted]
    if not found:  # pfs_days may be pfs, or pfs_months: its unit is looked at then
        stems = wanted | {_split_unit(word, unit)[0] for word in words}
        found = [column for column in header if _split_unit(column, unit)[0] in stems]
    if len(found) > 1:
        raise DatasetError(
            f"{len(found)} columns could be {name}",
            code="ambiguous_column",
            why=", ".join(found),
            fix=f'say which in the site\'s file: [columns] {name} = "{found[0]}"',
        )
    return found[0] if found else None


def _unit_of(name: str, variable: Variable, column: str, local: str | None) -> str:
    if local is not None:
        return local
    said = _split_unit(column, variable.unit)[1]
    if said is None or said == variable.unit or not is_convertible(said, variable.unit):
        return variable.unit
    raise DatasetError(
        f"column {column} is in another unit than {name}",
        code="wrong_unit",
        why=f"its name says {said}; the dictionary wants {variable.unit}",
        fix=f'if it is so, say it in the site\'s file: [units] {name} = "{said}"',
    )


def _plain(text: str) -> str:
    """Return the letters and digits of a name, as tables write them in many ways."""
    return re.sub(r"[\W_]+", "", plain_word(text))


def _split_unit(column: str, expected: str) -> tuple[str, str | None]:
    """Return a column's plain name without the unit at its end, and that unit.

    The unit is the one expected, whatever it is (`hb (g/dl)`), or another one that is known.
    """
    words = [word for word in re.split(r"[^\w%]+|_", plain_word(column)) if word]
    for start in range(1, len(words)):
        if _plain("".join(words[start:])) == _plain(expected) != "":
            return _plain("".join(words[:start])), expected
    unit = unit_of_word(words[-1]) if len(words) > 1 else None
    return (_plain("".join(words[:-1])), unit) if unit else (_plain(column), None)


def _no_column(name: str, local: str | None, header: Sequence[str]) -> DatasetError:
    if not header:
        return DatasetError(
            "no case has a row of a clinical table",
            code="missing_column",
            why=f"there is no table, or its rows are of others; the dictionary wants {name}",
            fix="put clinical.csv in the dataset's folder, or name a table: --clinical FILE; where "
            "it names cases in another column: --id-column NAME",
        )
    return DatasetError(
        f"the clinical table has no column for {name}",
        code="missing_column",
        why=f"it has {', '.join(header)}" + (f", and no {local}" if local else ""),
        fix=f"name the column {name}, or say its name in the site's file: [columns] {name} = ...",
    )
