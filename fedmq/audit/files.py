"""Exported logs, verified by themselves."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from fedmq.audit.chain import Head
from fedmq.audit.check import ChainCheck, Verdict
from fedmq.audit.witnesses import (
    PREFIX,
    Witnesses,
    genuine,
    heads_of,
    newest_of,
    read_witnesses,
    require_federation,
)
from fedmq.errors import ConfigurationError


def verify_file(path: Path, heads: Iterable[Head] = (), *, fingerprint: str = "") -> Verdict:
    """Return what is found of an exported log, which may begin with any entry.

    Who vouches for it counts where the governance has this `fingerprint`.

    Raises:
        ConfigurationError: there is no such file, it holds no entry, or nobody of that federation
            vouches for it.
    """
    witnesses = find_witnesses(path)
    is_known = witnesses is not None and witnesses.fingerprint == fingerprint
    signed = genuine(witnesses) if witnesses is not None and is_known else ()
    check, is_ended = ChainCheck(is_whole=False, heads=[*heads, *heads_of(signed)]), False
    for line in _read_lines(path):
        if not is_ended and witnesses is not None and line.startswith(PREFIX):
            is_ended = True
        elif is_ended or not check.take(line):
            check.fail(0, "something stands where no entry can stand")
            break
    verdict = replace(check.finish(), witnessed=newest_of(signed))
    if verdict.fault is None:
        require_federation(witnesses, fingerprint)
    if not verdict.num_entries and verdict.fault is None:
        raise ConfigurationError(
            f"{path.name} holds no entry", why="it is empty", fix="export the log again"
        )
    return verdict


def find_witnesses(path: Path) -> Witnesses | None:
    """Return who vouches for an exported log, None where nobody does or it cannot be read."""
    last = b""
    for line in _read_lines(path):
        last = line
    return read_witnesses(last) if last.startswith(PREFIX) else None


def _read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file; a last one that is cut is no line, and empty."""
    try:
        with path.open("rb") as file:
            for line in file:
                yield line[:-1] if line.endswith(b"\n") else b""
    except OSError as error:
        raise ConfigurationError(
            f"{path.name} cannot be read", why=error.strerror or "", fix="name an exported log"
        ) from error
