"""Who vouches for a log: heads that orchestrators signed, with what a third party needs to see it.

An exported log ends with them, as one line. From the fingerprint of the federation's governance
all follows: it signed the rosters, these name the orchestrators' keys, and these signed the heads.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

from pydantic import Field, ValidationError

from fedmq.audit.chain import Head
from fedmq.audit.check import Witnessed
from fedmq.audit.heads import Countersigned
from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.messages.fields import Id, Value
from fedmq.messages.heads import SignedHead
from fedmq.messages.notices import RosterNotice
from fedmq.security.heads import signing_key
from fedmq.security.roster import (
    KeyHex,
    Roster,
    governance_fingerprint,
    open_roster,
    read_notice,
)

PREFIX: Final = b'{"witnesses":'


class Witness(Value):
    """A signed head: by whom, and which of the rosters vouched for the key."""

    by: Id
    roster: Annotated[int, Field(ge=0)]
    head: SignedHead


class Witnesses(Value):
    """All signed heads of one node's log, with the rosters and the governance's key."""

    node: Id
    governance: KeyHex
    rosters: list[RosterNotice]
    signed: list[Witness]

    @property
    def fingerprint(self) -> str:
        """The governance's, as the hub prints it: whoever has another one believes nothing here."""
        return governance_fingerprint(bytes.fromhex(self.governance))


def gather(
    node: str, governance: str, roster: RosterNotice, signed: Iterable[Countersigned]
) -> Witnesses:
    """Return what a log's signed heads are proved by; `roster` is the newest that is known."""
    rosters, found = [roster], []
    for one in signed:
        vouching = one.roster or roster
        if vouching not in rosters:
            rosters.append(vouching)
        found.append(Witness(by=one.by, roster=rosters.index(vouching), head=one.head))
    return Witnesses(node=node, governance=governance, rosters=rosters, signed=found)


def write_witnesses(witnesses: Witnesses) -> bytes:
    """Return the line with which an exported log ends."""
    return PREFIX + witnesses.model_dump_json().encode() + b"}"


def read_witnesses(line: bytes) -> Witnesses | None:
    """Return what such a line says, None where it cannot be read."""
    try:
        return Witnesses.model_validate_json(line.removeprefix(PREFIX)[:-1])
    except ValidationError:
        return None


def genuine(witnesses: Witnesses) -> tuple[Witness, ...]:
    """Return the heads that an orchestrator of the federation signed for this node's log.

    A key that the newest of the rosters revokes counts no more, whenever it signed.
    """
    rosters = [_opened(one, witnesses.governance) for one in witnesses.rosters]
    newest = max(
        (one for one in rosters if one is not None), key=lambda one: one.version, default=None
    )
    return tuple(
        one for one in witnesses.signed if newest and _is_genuine(one, witnesses, rosters, newest)
    )


def require_federation(witnesses: Witnesses | None, fingerprint: str) -> None:
    """Return if who vouches is of the federation with this fingerprint; an empty one is any.

    Raises:
        ConfigurationError: nobody vouches, or somebody of another federation.
    """
    if not fingerprint or (witnesses is not None and witnesses.fingerprint == fingerprint):
        return
    shown = "none" if witnesses is None else witnesses.fingerprint
    raise ConfigurationError(
        "nobody of the federation with this fingerprint vouches for the log",
        why=f"its signatures are of: {shown}",
        fix="ask the hub's operator for it again: fedmq hub fingerprint; if they differ still,"
        " do not rely on the log",
    )


def heads_of(signed: Iterable[Witness]) -> tuple[Head, ...]:
    """Return the heads: a log has to have all of them."""
    return tuple(Head(number=one.head.number, hash=one.head.hash) for one in signed)


def newest_of(signed: Sequence[Witness]) -> Witnessed | None:
    """Return the newest head, None where there is none."""
    if not signed:
        return None
    one = max(signed, key=lambda one: (one.head.number, one.head.at_ms))
    return Witnessed(number=one.head.number, at=one.head.at_ms / 1000, by=one.by)


def _opened(notice: RosterNotice, governance: str) -> Roster | None:
    try:
        return open_roster(read_notice(notice), bytes.fromhex(governance))
    except ProtocolError:
        return None


def _is_genuine(
    one: Witness, witnesses: Witnesses, rosters: Sequence[Roster | None], newest: Roster
) -> bool:
    roster = rosters[one.roster] if one.roster < len(rosters) else None
    if roster is None or roster.federation != newest.federation:
        return False
    key = signing_key(one.head, witnesses.node, by=one.by, roster=roster)
    return key is not None and not newest.is_revoked(key)
