"""The port of a courier to its service: what becomes of messages once they are received."""

from typing import Protocol

from fedmq.messages.codec import Message
from fedmq.transport.inbox import TurnedAway
from fedmq.types import Digest


class Receiver(Protocol):
    """A service, as its courier sees it."""

    def accept(self, message: Message) -> None:
        """Make of a received message what follows; inside the transaction that receives it.

        Raises:
            ProtocolError: the message makes no sense here; it goes to the dead letters.
        """

    def wants_payload(self, message: Message) -> bool:
        """Return whether a message waits for its payload; else it is accepted at once, without."""

    def expect(self, message: Message) -> bool:
        """Note a message whose payload is not here; return whether it has to be asked for now."""

    def hear(self, message: Message) -> None:
        """Note an event or a greeting, which may be lost and is not kept."""

    def fetched(self, digest: Digest) -> None:
        """Note that a payload is here, whole."""

    def keeps(self, digest: Digest) -> bool:
        """Return whether somebody needs a payload that is here; else it is about to be removed."""

    def may_fetch(self, sender: str, digest: Digest) -> bool:
        """Return whether a payload of this service is meant for `sender`."""

    def turned_away(self, message: TurnedAway) -> None:
        """Note that a message was turned away; the journal has it already."""
