"""Receipts: what a service owes the senders of what it has received.

A request that is answered has no other receipt: its answer says as much, and that is one message
less for both ends and the broker. So the receipt of a request waits for a moment, and is not sent
if the answer has come to be sent by then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fedmq.clocks import Clock
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.heads import ObjectedHead, SignedHead
from fedmq.messages.registry import ANSWERED
from fedmq.transport.speaker import Speaker

PATIENCE_S: Final = 1.0
"""So long a receipt waits for an answer in its place."""


@dataclass(frozen=True, slots=True)
class _Owed:
    """A receipt that waits."""

    message: Message
    exchange: str
    due: float


class Receipts:
    """The receipts of one service."""

    def __init__(
        self,
        speaker: Speaker,
        clock: Clock,
        witness: Callable[[Message], SignedHead | ObjectedHead | None],
    ) -> None:
        self._speaker = speaker
        self._clock = clock
        self._witness = witness
        self._owed: dict[tuple[str, str], _Owed] = {}
        """By sender and message id, the oldest first."""
        self._answered: set[tuple[str, str]] = set()
        """Messages that were answered while they were received."""

    def give(self, message: Message, exchange: str) -> None:
        """Tell the sender of a message, which came through `exchange`, that it is kept here.

        At once, or in a moment if no answer does.
        """
        key = (message.envelope.sender, message.envelope.message_id)
        if key in self._answered or key in self._owed:
            self._answered.discard(key)
        elif isinstance(message.body, ANSWERED):
            self._owed[key] = _Owed(message, exchange, self._clock.steady() + PATIENCE_S)
        else:
            self._say(message, exchange)

    def answered(self, answer: Envelope) -> None:
        """Owe no receipt of the message that is answered, if this is an answer."""
        if answer.correlation_id is not None:
            key = (answer.recipient, answer.correlation_id)
            if self._owed.pop(key, None) is None:
                self._answered.add(key)

    def tick(self) -> None:
        """Give the receipts that have waited long enough."""
        self._answered.clear()
        now = self._clock.steady()
        for key, owed in list(self._owed.items()):
            if owed.due > now:
                return
            del self._owed[key]
            self._say(owed.message, owed.exchange)

    def _say(self, message: Message, exchange: str) -> None:
        self._speaker.say_receipt(message, exchange, self._witness(message))
