"""The file of an experiment: TOML with [experiment], [study] and [config], every key known."""

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedmq.errors import ConfigurationError

_TABLES: Final = ("experiment", "study", "config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What a file holds."""

    experiment: dict[str, Any]
    config: dict[str, Any]
    study: dict[str, Any] | None


def read_tables(path: Path, *, known: Collection[str], needed: Collection[str]) -> Tables:
    """Return the tables of the file at `path`.

    Raises:
        ConfigurationError: the file cannot be read, is no TOML, has a key that is not `known`, or
            lacks one that is `needed`; the error names it.
    """
    content = _read(path)
    for name, table in content.items():
        if not isinstance(table, dict):
            raise ConfigurationError(
                f"{path.name}: {name} stands outside a table",
                why="expected: [experiment] above the experiment's settings, [study] above the "
                "study's, [config] above the plan's",
                fix="move it",
            )
    _refuse_unknown(f"{path.name} has no table", content, _TABLES)
    settings = content.get("experiment", {})
    _refuse_unknown(f"{path.name}: [experiment] has no key", settings, known)
    missing = [name for name in needed if name not in settings]
    if missing:
        raise ConfigurationError(
            f"{path.name} lacks {', '.join(missing)}",
            why=f"expected: at least {', '.join(needed)}; got: {', '.join(settings) or 'nothing'}",
            fix="add it under [experiment]",
        )
    return Tables(experiment=settings, config=content.get("config", {}), study=content.get("study"))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read",
            why=error.strerror or str(error),
            fix="name the file of an experiment, such as experiment.toml",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path.name} is no TOML", why=str(error), fix="mend the line"
        ) from error


def _refuse_unknown(what: str, found: Collection[str], known: Collection[str]) -> None:
    for name in found:
        if name not in known:
            raise ConfigurationError(
                f"{what} {name!r}",
                why=f"expected: one of {', '.join(sorted(known))}; got: {name}",
                fix="mend the name, or leave it out",
            )
