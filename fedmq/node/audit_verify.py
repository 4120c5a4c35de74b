"""Verifying an audit log: a node's own with all that hangs on it, or an exported file."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from fedmq.audit.chain import Head
from fedmq.audit.check import ChainCheck, Fault, Verdict
from fedmq.errors import ConfigurationError
from fedmq.node.audit_facts import DatasetChanged, EvaluationAnswered, TrainingDone
from fedmq.node.records import Records

_NAMING: Final = (DatasetChanged.KIND, TrainingDone.KIND, EvaluationAnswered.KIND)
"""The kinds of entries that name a list of cases."""


def verify_records(records: Records, heads: Iterable[Head] = ()) -> Verdict:
    """Return what is found of a node's own log: its chain, and the lists of cases that it names."""
    verdict = records.audit.verify([*heads, *records.heads.heads()])
    if verdict.fault is not None:
        return verdict
    sound = records.case_lists.sound()
    for number, cases in _names_of_lists(records):
        if cases not in sound:
            why = "the list of cases that it names is changed or gone"
            return replace(verdict, fault=Fault(number=number, why=why))
    return verdict


def verify_file(path: Path, heads: Iterable[Head] = ()) -> Verdict:
    """Return what is found of an exported log, which may begin with any entry.

    Raises:
        ConfigurationError: there is no such file, or it holds no entry.
    """
    check = ChainCheck(is_whole=False, heads=heads)
    for line in _read_lines(path):
        if not check.take(line):
            break
    verdict = check.finish()
    if not verdict.num_entries and verdict.fault is None:
        raise ConfigurationError(
            f"{path.name} holds no entry", why="it is empty", fix="export the log again"
        )
    return verdict


def named_lists(records: Records) -> set[str]:
    """Return the digests of the lists of cases that entries name."""
    return {cases for _, cases in _names_of_lists(records)}


def _names_of_lists(records: Records) -> Iterator[tuple[int, str]]:
    """Yield each entry's number with the list that it names."""
    for entry in records.audit.entries():
        cases = entry.fields.get("cases") if entry.kind in _NAMING else None
        if cases:
            yield entry.number, str(cases)


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
