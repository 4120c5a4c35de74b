"""Verifying a node's own audit log, with all that hangs on it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from fedmq.audit.chain import Head
from fedmq.audit.check import Fault, Verdict
from fedmq.audit.witnesses import Witnesses, genuine, heads_of, newest_of
from fedmq.node.audit_facts import DatasetChanged, EvaluationAnswered, TrainingDone
from fedmq.node.records import Records

_NAMING: Final = (DatasetChanged.KIND, TrainingDone.KIND, EvaluationAnswered.KIND)
"""The kinds of entries that name a list of cases."""


def verify_records(
    records: Records, heads: Iterable[Head] = (), witnesses: Witnesses | None = None
) -> Verdict:
    """Return what is found of a node's own log: its chain, and the lists of cases that it names."""
    signed = () if witnesses is None else genuine(witnesses)
    # Where nobody can say which of them are genuine, all have to be there.
    kept = records.heads.heads() if witnesses is None else heads_of(signed)
    verdict = replace(records.audit.verify([*heads, *kept]), witnessed=newest_of(signed))
    if verdict.fault is not None:
        return verdict
    sound = records.case_lists.sound()
    for number, cases in _names_of_lists(records):
        if cases not in sound:
            why = "the list of cases that it names is changed or gone"
            return replace(verdict, fault=Fault(number=number, why=why))
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
