"""A wire without keys, for federations in one process, where there is nobody to hide from."""

from collections.abc import Collection, Sequence

from fedmq.messages.codec import Message, decode, encode
from fedmq.messages.mandates import Mandate, Order
from fedmq.messages.notices import RosterNotice
from fedmq.messages.payloads import Chunk, check_travelled
from fedmq.types import Role


class PlainWire:
    """Neither signs nor seals; a chunk's hash is looked at."""

    version = 0

    def role_of(self, _name: str) -> Role | None:
        """Nobody vouches for anybody."""
        return None

    def members(self, _role: Role) -> Sequence[str]:
        """Nobody is known."""
        return ()

    def seal(self, message: Message, readers: Collection[str] = ()) -> bytes:  # noqa: ARG002 - port
        """Return the bytes of a message."""
        return encode(message)

    def open(self, encoded: bytes) -> Message:
        """Return the message.

        Raises:
            ProtocolError: it is none, or its data are not those of its hash.
        """
        message = decode(encoded)
        if isinstance(message.body, Chunk):
            check_travelled(message.body, message.data)
        return message

    def sign(self, order: Order) -> Mandate:
        """Return an order; nobody signs here."""
        return Mandate(content=order.model_dump_json(), signature="")

    def is_given(self, mandate: Mandate) -> bool:  # noqa: ARG002 - port
        """Everybody believes what it says."""
        return True

    def learn(self, notice: RosterNotice) -> None:
        """Nothing is to be learnt."""

    def notice(self) -> RosterNotice | None:
        """There is no roster."""
        return None

    def review(self) -> None:
        """Nothing changes."""
