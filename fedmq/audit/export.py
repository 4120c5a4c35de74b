"""Exporting an audit log: its exact bytes, a line for each entry, whole or not at all."""

from pathlib import Path
from typing import Final

from fedmq.audit.check import FIX, ChainCheck, Verdict
from fedmq.audit.log import AuditLog
from fedmq.audit.witnesses import Witnesses, write_witnesses
from fedmq.disk import LocalDisk, NewFile
from fedmq.errors import ConfigurationError, StorageError

_WRITE_BYTES: Final = 2**20


def export_log(
    audit: AuditLog, path: Path, *, since: float | None = None, witnesses: Witnesses | None = None
) -> Verdict:
    """Return what was written to `path`: the entries from the first one at `since` on, or all.

    Raises:
        ConfigurationError: the file is there already, or there is no such entry.
        StorageError: the log is damaged, or the disk refuses; then there is no file.
    """
    if path.exists():
        raise ConfigurationError(
            f"{path.name} is there already",
            why="an exported log is not replaced in passing",
            fix="choose another name",
        )
    first = 1 if since is None else _first_since(audit, since)
    disk, passing = LocalDisk(path.absolute().parent), f".{path.name}.part"
    check = ChainCheck(is_whole=since is None)
    try:
        file, waiting = NewFile(disk, passing), bytearray()
        for line in audit.lines(first):
            if not check.take(line):
                break
            waiting += line + b"\n"
            if len(waiting) >= _WRITE_BYTES:
                file.write(bytes(waiting))
                waiting.clear()
        if witnesses is not None and witnesses.signed:
            waiting += write_witnesses(witnesses) + b"\n"
        file.write(bytes(waiting))
        verdict = check.finish()
        if verdict.fault is not None:
            raise damage_of(verdict)
        if not verdict.num_entries:
            raise _nothing()
        disk.sync(passing)
        disk.rename(passing, path.name)
    except (StorageError, ConfigurationError):
        disk.remove(passing)
        raise
    disk.sync_names()
    return verdict


def damage_of(verdict: Verdict) -> StorageError:
    """Return the error of a log that is not what was written."""
    number = 0 if verdict.fault is None else verdict.fault.number
    why = "" if verdict.fault is None else verdict.fault.why
    return StorageError(f"entry {number} of the audit log is damaged", why=why, fix=FIX)


def _first_since(audit: AuditLog, since: float) -> int:
    for entry in audit.entries():
        if entry.at >= since:
            return entry.number
    raise _nothing()


def _nothing() -> ConfigurationError:
    return ConfigurationError(
        "there is no entry to export",
        why="nothing was written since then",
        fix="leave --since out, or name an earlier day",
    )
