"""Numbering: a scan keeps what was imported of it, whatever its number is by now.

A scan that comes to the archive changes the numbers of the patient's others, and so does a date
that was mended. Folders are renamed before anything is made: what is refused now was not before.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from fedmq.imaging.dicom.planning import Study
from fedmq.imaging.dicom.studies import folders_by_patient, read_outcome


def renumber(studies: Sequence[Study], target: Path) -> dict[str, str]:
    """Each folder of these studies has the name that its scan has by now; return those before."""
    names: dict[str, dict[str, str]] = {}
    for study in studies:
        names.setdefault(study.pseudonym, {})[study.token] = study.case_id
    folders = folders_by_patient(target)
    before: dict[str, str] = {}
    for patient, by_scan in names.items():
        there = {
            folder.name: outcome.token
            for folder in folders.get(patient, ())
            if (outcome := read_outcome(folder)) is not None
        }
        for old, new in find_moves(there, by_scan):
            (target / old).rename(target / new)
            before[new] = before.pop(old, old)
    return before


def find_moves(there: Mapping[str, str], names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield which folder gets which name, in an order in which each name is free.

    What is in the way of another waits under a name that no scan has; killed there, the next import
    finds it among the patient's.

    Args:
        there: name of a folder -> its scan; a second folder of a scan gets no name.
        names: scan -> the name of its folder.
    """
    now = dict(there)
    while True:
        placed = {scan for name, scan in now.items() if names.get(scan) == name}
        wrong = {old: names[scan] for old, scan in now.items() if scan in names.keys() - placed}
        if not wrong:
            return
        free = [(old, new) for old, new in wrong.items() if new not in now]
        old, new = free[0] if free else _aside(next(iter(wrong.values())), now)
        now[new] = now.pop(old)
        yield old, new


def _aside(name: str, taken: Collection[str]) -> tuple[str, str]:
    """Return a name that is in the way, and a free one that no scan has."""
    aside = f"{name}_scan-0"
    while aside in taken:
        aside += "_scan-0"
    return name, aside
