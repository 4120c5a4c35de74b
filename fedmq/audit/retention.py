"""Retention of an audit log: its oldest entries go after years, and an entry tells of them."""

from dataclasses import dataclass
from typing import Final

from fedmq.audit.chain import Entry, read_entry
from fedmq.audit.log import AuditLog

YEAR_S: Final = 365.25 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OldEntries:
    """The beginning of a log, as far as it may go."""

    count: int
    last: Entry | None
    """None: there are none."""


def find_old(audit: AuditLog, *, years: int, now: float, stays: str = "") -> OldEntries:
    """Return the entries that are old; one of the kind that `stays`, and what is behind it, is not.

    They are the first ones, as far as each is older than `years`. A clock that is set far ahead
    makes nothing old: time goes as far as the newest entry says.
    """
    newest = audit.last(1)
    before = min(now, newest[-1].at if newest else now) - years * YEAR_S
    count, last = 0, None
    for line in audit.lines():
        entry = read_entry(line)
        if entry is None or entry.at >= before or entry.kind == stays:
            break
        count, last = count + 1, entry
    return OldEntries(count=count, last=last)
