"""Dictionaries and sites' own words, read from TOML files.

A dictionary is at most a few hundred variables; whoever wrote it gets all that is wrong at once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fedmq.imaging.dictionary.model import Dictionary, LocalWords
from fedmq.imaging.dictionary.units import is_convertible
from fedmq.imaging.fault_words import first_of, meant
from fedmq.imaging.toml_files import read_part, unusable

_PAGE: Final = "docs/dictionary.md"


def read_dictionary(path: Path) -> Dictionary:
    """Return the dictionary in a TOML file.

    Raises:
        ConfigurationError: the file is missing, no TOML, or no dictionary; the text says where.
    """
    return read_part(path, Dictionary, "data dictionary", _PAGE)


def read_local_words(path: Path, dictionary: Dictionary) -> LocalWords:
    """Return what a site says of its own tables, in a TOML file.

    Raises:
        ConfigurationError: the file is missing or no TOML, or it speaks of variables, codes or
            units that the dictionary does not have.
    """
    words = read_part(path, LocalWords, "file of local words", _PAGE)
    if faults := first_of(_unfitting(words, dictionary)):
        raise unusable(path.name, faults, "mend the file: names and codes are the dictionary's")
    return words


def _unfitting(words: LocalWords, dictionary: Dictionary) -> Iterator[str]:
    known = dictionary.variables
    for name in (*words.columns, *words.units, *words.spellings):
        if name not in known:
            yield f"{name}: the dictionary has no such variable{meant(name, known)}"
    for name, unit in words.units.items():
        if name in known and not is_convertible(unit, known[name].unit):
            yield f"units.{name}: {unit} cannot be turned to {known[name].unit or 'nothing'}"
    for name, spellings in words.spellings.items():
        codes = set(known[name].codes) or {"yes", "no"} if name in known else set(spellings)
        for code in spellings:
            if code not in codes:
                yield f"spellings.{name}: {code} is no code"
