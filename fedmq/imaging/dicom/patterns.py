"""Patterns: how an operator says which series or regions are meant. Pure."""

from fnmatch import fnmatchcase


def matches(name: str, pattern: str) -> bool:
    """Return whether a name is as a pattern says: `*` any text, `?` any one letter, in any case.

    Brackets stand for themselves, for archives write them: `PET WB [AC]`.
    """
    return fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))
