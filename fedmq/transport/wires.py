"""The port to other members: how messages become bytes, and bytes messages of somebody known."""

from collections.abc import Collection, Sequence
from typing import Protocol

from fedmq.messages.codec import Message
from fedmq.messages.heads import SignedHead, ToldHead
from fedmq.messages.mandates import Mandate, Order
from fedmq.messages.notices import RosterNotice
from fedmq.types import Role


class Wire(Protocol):
    """How messages become bytes that only their readers read, and how it is known who sent them."""

    @property
    def version(self) -> int:
        """The version of the roster."""

    @property
    def newest(self) -> int:
        """The version of the newest roster that is known: one may wait for a person's word."""

    def role_of(self, name: str) -> Role | None:
        """Return what the roster says that somebody is; None where nobody vouches for that."""

    def members(self, role: Role) -> Sequence[str]:
        """Return the names of the members with a role."""

    def seal(self, message: Message, readers: Collection[str] = ()) -> bytes:
        """Return the bytes of a message for its readers.

        Raises:
            ProtocolError: unknown_reader; nobody knows a reader's keys.
        """

    def open(self, encoded: bytes) -> Message:
        """Return the message, if its sender is who it says and meant it for this member.

        Raises:
            ProtocolError: it is not, or it is no message.
        """

    def sign(self, order: Order) -> Mandate:
        """Return an order of this member, signed."""

    def is_given(self, mandate: Mandate) -> bool:
        """Return whether the researcher that a mandate names signed it, as far as is known."""

    def is_revoked(self, mandate: Mandate) -> bool:
        """Return whether it is signed with a key of its researcher that was revoked."""

    def countersign(self, told: ToldHead, node: str, *, at_ms: int) -> SignedHead:
        """Return a head of a node's audit log, signed by this member."""

    def is_countersigned(self, head: SignedHead, node: str, *, by: str) -> bool:
        """Return whether `by` signed a head of a node's audit log, as an orchestrator."""

    def learn(self, notice: RosterNotice) -> None:
        """Take a roster, if it is genuine and newer.

        Raises:
            ProtocolError: it is not genuine.
        """

    def notice(self) -> RosterNotice | None:
        """Return the roster for others, None where there is none."""

    def notices(self, *, beyond: int) -> Sequence[tuple[int, RosterNotice]]:
        """Return the rosters for others that are newer than a version, one that waits too."""

    def review(self) -> None:
        """Look whether another program of this machine has a newer roster."""
