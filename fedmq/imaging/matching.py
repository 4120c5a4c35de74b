"""Matching: which rows of the clinical table are of which case. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fedmq.imaging.clinical import Row, plain_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """On which names the files and the table agree, and on which they do not."""

    aliases: Mapping[str, str]
    """Id in the table -> case: not written alike, and no doubt which is meant."""
    unused: Mapping[str, str]
    """Known aliases whose row or case is not there now, or whose id or case is alike with another:
    kept, and guessed anew for nothing."""
    doubts: Mapping[str, tuple[str, ...]]
    """Id in the table -> the cases, more than one, that it could be; taken for none of them."""
    rows_without_case: tuple[str, ...]
    """Ids in the table that are no case's, with those in doubt."""
    cases_without_row: tuple[str, ...]
    num_matched: int
    """Cases that have a row."""

    @property
    def known(self) -> dict[str, str]:
        """The aliases to keep, used now or not."""
        return dict(sorted({**self.unused, **self.aliases}.items()))


def match_names(
    ids: Collection[str], cases: Collection[str], *, known: Mapping[str, str] | None = None
) -> Matching:
    """Return how the ids of a table and the names of cases belong together.

    Alike (but for NFC and NFD) comes first, then `known` aliases; then, of what neither names, what
    differs in capitals, leading zeros, the `.0` of a spreadsheet or BIDS's `sub-`.
    """
    known = known or {}
    exact, aliases = _settled(ids, cases, known)
    unused = {one: case for one, case in known.items() if one not in aliases}
    by_key: dict[str, list[str]] = defaultdict(list)
    # What is away for a while is missed, not given to another.
    for case in set(cases) - set(exact.values()) - set(known.values()):
        by_key[loose_key(case)].append(case)
    left: dict[str, list[str]] = defaultdict(list)
    for one in ids:
        if one not in exact and one not in known:
            left[loose_key(one)].append(one)
    doubts: dict[str, tuple[str, ...]] = {}
    for key, several in left.items():
        found = by_key.get(key, [])
        if len(found) == len(several) == 1:
            aliases[several[0]] = found[0]
        elif found:
            doubts |= {one: tuple(sorted(found)) for one in several}
    matched = {*exact.values(), *aliases.values()}
    return Matching(
        aliases=dict(sorted(aliases.items())),
        unused=dict(sorted(unused.items())),
        doubts=dict(sorted(doubts.items())),
        rows_without_case=tuple(sorted(set(ids) - set(exact) - set(aliases))),
        cases_without_row=tuple(sorted(set(cases) - matched)),
        num_matched=len(matched),
    )


def _settled(
    ids: Collection[str], cases: Collection[str], known: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return id -> case of those that are alike, and of those that known aliases name.

    An alias yields to what is alike, at its id and at its case. What two cases are alike with,
    `A` and `A ` with a space behind, is neither's.
    """
    num_alike = Counter(map(plain_id, cases))
    names = {plain_id(case): case for case in cases}
    exact = {one: names[one] for one in ids if num_alike[one] == 1}
    free = set(cases) - set(exact.values())
    wanted = set(ids) - set(exact)
    return exact, {one: case for one, case in known.items() if one in wanted and case in free}


def loose_key(name: str) -> str:
    """Return what two ways to write one name have in common: `sub-007`, `7`, `7.0`, `7,0`."""
    key = plain_id(name).casefold().removeprefix("sub-")
    number = re.fullmatch(r"0*([0-9]+)(?:[.,]0+)?", key)
    return number[1] if number else key


def ids_of(
    cases: Collection[str], aliases: Mapping[str, str], *, others: Collection[str] = ()
) -> frozenset[str]:
    """Return the ids by which a table names these cases, and none of the `others`."""
    names = {plain_id(case) for case in cases}
    known = {one for one, case in aliases.items() if case in cases}
    return frozenset((names | known) - {plain_id(case) for case in others})


def rows_by_case(
    rows: Sequence[Row], cases: Collection[str], aliases: Mapping[str, str]
) -> dict[str, tuple[Row, ...]]:
    """Return the rows of each case, in the order of the table; rows of no case are left out.

    `cases` are all that there are, those that are withdrawn too: their rows are no others'.
    """
    exact, known = _settled({row.case_id for row in rows}, cases, aliases)
    owners = exact | known
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.case_id in owners:
            found[owners[row.case_id]].append(row)
    return {case: tuple(some) for case, some in found.items()}


def rows_of_scan(rows: Sequence[Row], scan: str) -> Sequence[Row]:
    """Return those of a case's rows that are of its scan, or else those that name none.

    All of them where the scan has no name: "".
    """
    if not scan:
        return rows
    of_scan = [row for row in rows if row.scan and scan_key(row.scan) == scan_key(scan)]
    return of_scan or [row for row in rows if not row.scan]


def scan_key(name: str) -> str:
    """Return what a scan is called in common: `ses-1`, `scan-1`, `01` and `1`."""
    key = name.strip().casefold()
    return loose_key(re.sub(r"^(ses|scan)-", "", key))
