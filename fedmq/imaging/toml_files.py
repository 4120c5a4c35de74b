"""TOML files that a person wrote: what they say, or all that is wrong with them at once."""

import tomllib
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fedmq.errors import ConfigurationError
from fedmq.imaging.fault_words import faults_in_words, first_of

MAX_BYTES: Final = 1_000_000


class Part(BaseModel):
    """A frozen part of a file; what it does not know is an error, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=Part)


def read_part(path: Path, kind: type[P], what: str, page: str) -> P:
    """Return what a file says: `what` it is in words, and the `page` of the docs that shows one.

    Raises:
        ConfigurationError: it is missing, too long, no TOML, or not of that kind; the text says
            where, and what to write there.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"the {what} {path.name} cannot be read",
            why=error.strerror or "it is no file",
            fix=f"name a file in TOML; {page} has an example",
        ) from error
    if len(content) > MAX_BYTES:
        raise unusable(path.name, f"it has more than {MAX_BYTES} bytes", "name another file")
    fix = f"mend it; {page} has an example"
    try:
        return kind.model_validate(tomllib.loads(content.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise unusable(path.name, f"line {line} is not UTF-8", "save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise unusable(path.name, f"it is no TOML: {error}", fix) from error
    except RecursionError as error:
        why = "it is no TOML: too many brackets within each other"
        raise unusable(path.name, why, fix) from error
    except ValidationError as error:
        raise unusable(path.name, first_of(faults_in_words(error, kind)), fix) from None


def unusable(name: str, why: str, fix: str) -> ConfigurationError:
    """Return the refusal of a file of this name."""
    return ConfigurationError(f"{name} cannot be used", why=why, fix=fix)
