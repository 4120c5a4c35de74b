"""The crier: brings rosters to members who know an older one, and has newer ones brought here.

All nodes hear of a new roster from orchestrators at once, in one message: a roster is as long as
there are members. Whoever writes with an old one hears it then. An orchestrator that is on another
machine than the hub hears of it from the nodes: it tells its own to one that has a newer one, or
that it does not know, and is brought the newer one. A roster that waits here for a person's word
is brought too: what it takes away counts wherever it is known, and governance has signed it.

What is brought may be lost; who has missed it still writes with the old one, and is told again. So
does who holds it: after ever longer pauses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fedmq.clocks import Clock
from fedmq.messages.envelope import Envelope
from fedmq.messages.notices import RosterNotice
from fedmq.transport.topology import SENDERS
from fedmq.transport.wires import Wire
from fedmq.types import Role

REVIEW_S: Final = 1.0
"""So often it is looked whether there is a newer roster on this machine."""
PATIENCE_S: Final = 5.0
"""So long after a member was told a roster, it is not told it again; each time twice as long."""
LAST_PATIENCE_S: Final = 3600.0
UNBELIEVED: Final = frozenset({"bad_signature", "unknown_sender"})
"""Why what a member signed is not believed, whose keys another roster may have."""


class Say(Protocol):
    """How members of one role are brought a roster."""

    def __call__(
        self, notice: RosterNotice, version: int, members: Sequence[str], role: Role
    ) -> None:
        """Say it once."""


@dataclass(frozen=True, slots=True)
class _Telling:
    """What a member was told last: up to which version, and until when it is not told again."""

    version: int
    patience_s: float
    until: float


class Crier:
    """What one service knows of the rosters of others."""

    def __init__(self, wire: Wire, clock: Clock, say: Say, *, tells_nodes: bool) -> None:
        """`tells_nodes`: it is an orchestrator's; others may write to orchestrators alone."""
        self._tells_nodes = tells_nodes
        self._reaches = {Role.NODE, Role.RESEARCHER} if tells_nodes else {Role.ORCHESTRATOR}
        self._wire = wire
        self._clock = clock
        self._say = say
        self._review_at = self._asks_at = clock.steady()
        self._told: dict[str, _Telling] = {}
        self._cried = wire.newest

    def tick(self) -> None:
        """Look for a newer roster; tell every node of one, if that is this service's part."""
        if self._clock.steady() < self._review_at:
            return
        self._review_at = self._clock.steady() + REVIEW_S
        self._wire.review()
        if self._tells_nodes and self._wire.newest > self._cried:
            self._tell(self._wire.members(Role.NODE), Role.NODE, beyond=self._cried)
            self._cried = self._wire.newest

    def connected(self) -> None:
        """Tell every node once more with the next look: what was told last may have been lost."""
        self._cried = 0
        self._told.clear()
        self._review_at = self._clock.steady()

    def heard(self, envelope: Envelope) -> None:
        """Tell the sender of a message, if it knows an older roster; have a newer one brought."""
        role = self._wire.role_of(envelope.sender)
        if envelope.roster < self._wire.newest:
            self._tell_again(envelope.sender, role, beyond=envelope.roster)
        elif envelope.roster > self._wire.newest:
            self._ask(envelope.sender, role)

    def misheard(self, login: str, reason: str, *, exchange: str) -> None:
        """Tell who is logged in so, and signed with a key that is not known or does not count.

        It may be a member that has other keys, and does not know yet; or that is known by a roster
        that is not here.
        """
        role = self._wire.role_of(login)
        if reason not in UNBELIEVED:
            return
        if role is not None:
            self._tell_again(login, role, beyond=0)
        elif len(writers := SENDERS.get(exchange, frozenset())) == 1:
            self._ask(login, *writers)

    def _ask(self, name: str, role: Role | None) -> None:
        """Tell this roster to who may have a newer one: one of all who have it is enough."""
        if self._clock.steady() >= self._asks_at:
            self._asks_at = self._clock.steady() + PATIENCE_S
            self._tell_again(name, role, beyond=self._wire.version - 1)

    def _tell_again(self, name: str, role: Role | None, *, beyond: int) -> None:
        told, now = self._told.get(name), self._clock.steady()
        is_told = told is not None and told.version == self._wire.newest and now < told.until
        if role is not None and role in self._reaches and not is_told:
            self._tell([name], role, beyond=beyond)

    def _tell(self, names: Sequence[str], role: Role, *, beyond: int) -> None:
        notices = self._wire.notices(beyond=beyond)
        if not (notices and names):
            return
        for name in names:
            self._told[name] = self._telling(self._told.get(name))
        for version, notice in notices:
            self._say(notice, version, names, role)

    def _telling(self, last: _Telling | None) -> _Telling:
        patience_s, version = PATIENCE_S, self._wire.newest
        if last is not None and last.version == version:
            patience_s = min(LAST_PATIENCE_S, 2 * last.patience_s)
        return _Telling(version, patience_s, self._clock.steady() + patience_s)
