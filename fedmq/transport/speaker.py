"""The speaker: writes a service's messages, and says those that may be lost."""

from collections.abc import Iterator
from dataclasses import replace

from fedmq.clocks import Clock
from fedmq.errors import ProtocolError
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope, Place
from fedmq.messages.registry import Body
from fedmq.transport import topology
from fedmq.transport.counters import Counters
from fedmq.transport.outbox import properties_of
from fedmq.transport.ports import Publication, Transport
from fedmq.transport.wires import Wire


class Speaker:
    """The voice of one service."""

    def __init__(
        self,
        me: str,
        wire: Wire,
        counters: Counters,
        transport: Transport,
        tickets: Iterator[int],
        clock: Clock,
    ) -> None:
        self._me = me
        self._wire = wire
        self._counters = counters
        self._transport = transport
        self._tickets = tickets
        self._clock = clock

    def write(
        self,
        body: Body,
        message_id: str,
        recipient: str,
        place: Place,
        answers: Envelope | None,
        expires_at: float | None,
    ) -> Message:
        """Return a message from this service."""
        envelope = Envelope(
            type=body.TYPE,
            message_id=message_id,
            correlation_id=None if answers is None else answers.message_id,
            sender=self._me,
            recipient=recipient,
            experiment=place.experiment,
            round=place.round,
            attempt=place.attempt,
            sent_at=self._clock.now(),
            expires_at=expires_at,
            roster=self._wire.version,
        )
        return Message(envelope=envelope, body=body)

    def counted(self, message: Message) -> Message:
        """Return a message that is kept, with its number; inside its transaction."""
        return self._numbered(message, self._counters.next_for(message.envelope.recipient))

    def say(
        self, message: Message, exchange: str, routing_key: str, *, mandatory: bool = True
    ) -> None:
        """Publish a message once; it may be lost."""
        numbered = self._numbered(message, self._counters.next_sign())
        readers = () if exchange == topology.EVENTS else (message.envelope.recipient,)
        try:
            body = self._wire.seal(numbered, readers)
        except ProtocolError as error:
            if error.reason != "unknown_reader":
                raise
            return  # who has no keys yet could not read it
        publication = Publication(
            exchange=exchange,
            routing_key=routing_key,
            body=body,
            properties=properties_of(message.envelope),
            mandatory=mandatory,
        )
        self._transport.publish(publication, next(self._tickets))

    def _numbered(self, message: Message, counter: int) -> Message:
        numbers = {"stream": self._counters.stream, "counter": counter}
        return replace(message, envelope=message.envelope.model_copy(update=numbers))
