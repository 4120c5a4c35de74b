"""A wire that says in every message with which epoch its sender leads, and sends for nobody else.

Everything that leaves an orchestrator goes through it, what an earlier life had left unsent too.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from fedmq.messages.codec import Message
from fedmq.messages.heads import SignedHead, ToldHead
from fedmq.messages.mandates import Mandate, Order
from fedmq.messages.notices import RosterNotice
from fedmq.orchestrator.leadership import Leadership
from fedmq.transport.wires import Wire
from fedmq.types import Role


class EpochWire:
    """The wire of a program that leads (`fedmq.transport.wires.Wire`)."""

    def __init__(self, wire: Wire, leadership: Leadership) -> None:
        self._wire = wire
        self._leadership = leadership

    @property
    def version(self) -> int:
        """The version of the roster."""
        return self._wire.version

    @property
    def newest(self) -> int:
        """The version of the newest roster that is known."""
        return self._wire.newest

    def role_of(self, name: str) -> Role | None:
        """Return what the roster says that somebody is."""
        return self._wire.role_of(name)

    def members(self, role: Role) -> Sequence[str]:
        """Return the names of the members with a role."""
        return self._wire.members(role)

    def seal(self, message: Message, readers: Collection[str] = ()) -> bytes:
        """Return the bytes of a message, with the epoch.

        Raises:
            LeaseLost: another program leads by now.
            ProtocolError: as the wire's.
        """
        self._leadership.require()
        epoch = {"epoch": self._leadership.epoch}
        envelope = message.envelope.model_copy(update=epoch)
        return self._wire.seal(replace(message, envelope=envelope), readers)

    def open(self, encoded: bytes) -> Message:
        """Return the message.

        Raises:
            ProtocolError: as the wire's.
        """
        return self._wire.open(encoded)

    def sign(self, order: Order) -> Mandate:
        """Return an order of this member, signed."""
        return self._wire.sign(order)

    def is_given(self, mandate: Mandate) -> bool:
        """Return whether the researcher that a mandate names signed it."""
        return self._wire.is_given(mandate)

    def is_revoked(self, mandate: Mandate) -> bool:
        """Return whether it is signed with a key of its researcher that was revoked."""
        return self._wire.is_revoked(mandate)

    def countersign(self, told: ToldHead, node: str, *, at_ms: int) -> SignedHead:
        """Return a head of a node's audit log, signed by this member."""
        return self._wire.countersign(told, node, at_ms=at_ms)

    def is_countersigned(self, head: SignedHead, node: str, *, by: str) -> bool:
        """Return whether `by` signed a head of a node's audit log."""
        return self._wire.is_countersigned(head, node, by=by)

    def learn(self, notice: RosterNotice) -> None:
        """Take a roster, if it is genuine and newer.

        Raises:
            ProtocolError: it is not genuine.
        """
        self._wire.learn(notice)

    def notice(self) -> RosterNotice | None:
        """Return the roster for others, None where there is none."""
        return self._wire.notice()

    def notices(self, *, beyond: int) -> Sequence[tuple[int, RosterNotice]]:
        """Return the rosters for others that are newer than a version."""
        return self._wire.notices(beyond=beyond)

    def review(self) -> None:
        """Look whether another program of this machine has a newer roster."""
        self._wire.review()
