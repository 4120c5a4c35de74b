"""A wire without keys, for federations in one process, where there is nobody to hide from."""

import hashlib
from collections.abc import Collection, Sequence

from fedmq.messages.codec import Message, decode, encode
from fedmq.messages.heads import SignedHead, ToldHead
from fedmq.messages.mandates import Mandate, Order
from fedmq.messages.notices import RosterNotice
from fedmq.security.heads import statement
from fedmq.security.identities import joined
from fedmq.types import ORCHESTRATOR, Role


class PlainWire:
    """Neither signs nor seals; a chunk's hash is looked at."""

    version = newest = 0

    def __init__(self, orchestrators: Sequence[str] = (ORCHESTRATOR,)) -> None:
        self._orchestrators = orchestrators

    def role_of(self, _name: str) -> Role | None:
        """Nobody vouches for anybody."""
        return None

    def members(self, role: Role) -> Sequence[str]:
        """Nobody is known but who leads."""
        return self._orchestrators if role is Role.ORCHESTRATOR else ()

    def seal(self, message: Message, readers: Collection[str] = ()) -> bytes:  # noqa: ARG002 - port
        """Return the bytes of a message."""
        return encode(message)

    def open(self, encoded: bytes) -> Message:
        """Return the message.

        Raises:
            ProtocolError: it is none.
        """
        return decode(encoded)

    def sign(self, order: Order) -> Mandate:
        """Return an order; nobody signs here."""
        return Mandate(content=order.model_dump_json(), signature="")

    def is_given(self, mandate: Mandate) -> bool:  # noqa: ARG002 - port
        """Everybody believes what it says."""
        return True

    def is_revoked(self, mandate: Mandate) -> bool:  # noqa: ARG002 - port
        """Nobody has keys."""
        return False

    def countersign(self, told: ToldHead, node: str, *, at_ms: int) -> SignedHead:
        """Return a head with a hash in the place of a signature."""
        signature = _seal(told, node, at_ms)
        return SignedHead(
            log=told.log, number=told.number, hash=told.hash, at_ms=at_ms, signature=signature
        )

    def is_countersigned(self, head: SignedHead, node: str, *, by: str) -> bool:  # noqa: ARG002
        """Return whether the hash is that of this head of this node."""
        return head.signature == _seal(head, node, head.at_ms)

    def learn(self, notice: RosterNotice) -> None:
        """Nothing is to be learnt."""

    def notice(self) -> RosterNotice | None:
        """There is no roster."""
        return None

    def notices(self, *, beyond: int) -> Sequence[tuple[int, RosterNotice]]:  # noqa: ARG002 - port
        """There is no roster."""
        return ()

    def review(self) -> None:
        """Nothing changes."""


def _seal(head: ToldHead | SignedHead, node: str, at_ms: int) -> str:
    words = statement(head, federation="", node=node, at_ms=at_ms)
    return hashlib.sha512(joined(b"audit head", words)).hexdigest()
