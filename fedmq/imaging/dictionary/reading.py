"""Dictionaries and sites' own words, read from TOML files.

A dictionary is at most a few hundred variables; whoever wrote it gets all that is wrong at once.
"""

import tomllib
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from fedmq.errors import ConfigurationError
from fedmq.imaging.dictionary.model import Dictionary, LocalWords, Part
from fedmq.imaging.dictionary.units import is_convertible

MAX_BYTES: Final = 1_000_000
_MAX_SHOWN: Final = 5
_WORDS: Final = {"missing": "it is missing", "extra_forbidden": "there is no such key"}
"""For pydantic's own, which are a programmer's."""

P = TypeVar("P", bound=Part)


def read_dictionary(path: Path) -> Dictionary:
    """Return the dictionary in a TOML file.

    Raises:
        ConfigurationError: the file is missing, no TOML, or no dictionary; the text says where.
    """
    return _read(path, Dictionary, "data dictionary")


def read_local_words(path: Path, dictionary: Dictionary) -> LocalWords:
    """Return what a site says of its own tables, in a TOML file.

    Raises:
        ConfigurationError: the file is missing or no TOML, or it speaks of variables, codes or
            units that the dictionary does not have.
    """
    words = _read(path, LocalWords, "file of local words")
    faults = _unfitting(words, dictionary)
    if faults:
        raise _unusable(path.name, faults, "mend the file: names and codes are the dictionary's")
    return words


def _read(path: Path, kind: type[P], what: str) -> P:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"the {what} {path.name} cannot be read",
            why=error.strerror or "it is no file",
            fix="name the TOML file of the study",
        ) from error
    if len(content) > MAX_BYTES:
        raise _unusable(path.name, [f"it has more than {MAX_BYTES} bytes"], "name another file")
    try:
        return kind.model_validate(tomllib.loads(content.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _unusable(path.name, [f"it is no TOML: {error}"], "mend the file") from error
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, one['loc'])) or 'it'}: "
            + _WORDS.get(one["type"], one["msg"].removeprefix("Value error, "))
            for one in error.errors()
        ]
        raise _unusable(
            path.name, faults, "mend these; docs/dictionary.md has an example"
        ) from None


def _unfitting(words: LocalWords, dictionary: Dictionary) -> list[str]:
    known = dictionary.variables
    named = [*words.columns, *words.units, *words.spellings]
    faults = [f"{name}: the dictionary has no such variable" for name in named if name not in known]
    for name, unit in words.units.items():
        if name in known and not is_convertible(unit, known[name].unit):
            faults.append(
                f"units.{name}: {unit} cannot be turned to {known[name].unit or 'nothing'}"
            )
    for name, spellings in words.spellings.items():
        codes = set(known[name].codes) or {"yes", "no"} if name in known else set(spellings)
        faults += [
            f"spellings.{name}: {code} is no code" for code in spellings if code not in codes
        ]
    return faults


def _unusable(name: str, faults: list[str], fix: str) -> ConfigurationError:
    more = len(faults) - _MAX_SHOWN
    why = "; ".join(faults[:_MAX_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return ConfigurationError(f"{name} cannot be used", why=why, fix=fix)
