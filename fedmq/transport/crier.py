"""The crier: brings the newest roster to members who know an older one.

All nodes hear of a new roster from orchestrators at once, in one message: a roster is as long as
there are members. Whoever writes with an old one hears it then, an orchestrator that is on another
machine than the hub from the nodes. What is brought may be lost; who has missed it still writes
with the old one, and is told again.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from fedmq.clocks import Clock
from fedmq.messages.envelope import Envelope
from fedmq.messages.notices import RosterNotice
from fedmq.transport.wires import Wire
from fedmq.types import Role

REVIEW_S: Final = 1.0
"""So often it is looked whether there is a newer roster on this machine."""
PATIENCE_S: Final = 5.0
"""So long after a member was told, it is not told again."""

Say = Callable[[RosterNotice, Sequence[str], Role], None]


class Crier:
    """What one service knows of the rosters of others."""

    def __init__(self, wire: Wire, clock: Clock, say: Say, *, reaches: Collection[Role]) -> None:
        """`reaches`: to whom the service may write."""
        self._reaches = reaches
        self._wire = wire
        self._clock = clock
        self._say = say
        self._review_at = clock.steady()
        self._told_at: dict[str, float] = {}
        self._cried = wire.version

    def tick(self, *, tells_all: bool) -> None:
        """Look for a newer roster; tell every node of one, if that is this service's part."""
        if self._clock.steady() < self._review_at:
            return
        self._review_at = self._clock.steady() + REVIEW_S
        self._wire.review()
        if tells_all and self._wire.version != self._cried:
            self._cried = self._wire.version
            self._tell(self._wire.members(Role.NODE), Role.NODE)

    def connected(self) -> None:
        """Tell every node once more with the next look: what was told last may have been lost."""
        self._cried = 0
        self._review_at = self._clock.steady()

    def heard(self, envelope: Envelope) -> None:
        """Tell the sender of a message, if it knows an older roster."""
        if envelope.roster < self._wire.version:
            self._tell_again(envelope.sender)

    def misheard(self, login: str) -> None:
        """Tell who is logged in so, and signed with a key that does not count.

        It may be a member that has other keys, and does not know yet.
        """
        self._tell_again(login)

    def _tell_again(self, name: str) -> None:
        role = self._wire.role_of(name)
        told_at = self._told_at.get(name)
        is_told = told_at is not None and self._clock.steady() < told_at + PATIENCE_S
        if role is not None and role in self._reaches and not is_told:
            self._tell([name], role)

    def _tell(self, names: Sequence[str], role: Role) -> None:
        notice = self._wire.notice()
        if notice is not None and names:
            self._told_at |= dict.fromkeys(names, self._clock.steady())
            self._say(notice, names, role)
