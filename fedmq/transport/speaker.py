"""The speaker: writes a service's messages, and says those that may be lost."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fedmq.clocks import Clock
from fedmq.errors import ProtocolError
from fedmq.messages.codec import MAX_READERS, Message
from fedmq.messages.envelope import Envelope, Place
from fedmq.messages.fields import Manifest
from fedmq.messages.heads import ObjectedHead, SignedHead
from fedmq.messages.notices import ExperimentOver, Receipt, RosterNotice
from fedmq.messages.payloads import ResendRequest
from fedmq.messages.registry import Body
from fedmq.transport import topology
from fedmq.transport.counters import Counters
from fedmq.transport.outbox import properties_of
from fedmq.transport.ports import Publication, Transport
from fedmq.transport.routes import (
    Route,
    from_node,
    from_researcher,
    to_node,
    to_researcher,
    way_back,
)
from fedmq.transport.topology import Lane
from fedmq.transport.wires import Wire
from fedmq.types import NOWHERE, NodeId, ResearcherId, Role


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
        *,
        answers: Envelope | None = None,
        expires_at: float | None = None,
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
        self,
        message: Message,
        exchange: str,
        routing_key: str,
        *,
        also_to: tuple[str, ...] = (),
        mandatory: bool = True,
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
            also_to=also_to,
            body=body,
            properties=properties_of(message.envelope),
            mandatory=mandatory,
        )
        self._transport.publish(publication, next(self._tickets))

    def say_to(self, message: Message, route: Route) -> None:
        """Publish a small message once to whom the route leads; it may be lost."""
        self.say(message, route.exchange, route.key(Lane.CONTROL))

    def say_roster(
        self, notice: RosterNotice, version: int, members: Sequence[str], role: Role
    ) -> None:
        """Send a roster to members of one role, once for as many as a message goes to."""
        for first in range(0, len(members), MAX_READERS):
            group = members[first : first + MAX_READERS]
            routes = [self._to_member(name, role) for name in group]
            recipient = group[0] if len(group) == 1 else NOWHERE
            message_id = f"roster.{version}.{group[0]}"
            key, *others = (route.key(Lane.CONTROL) for route in routes)
            message = self.write(notice, message_id, recipient, Place())
            self.say(message, routes[0].exchange, key, also_to=tuple(others))

    def say_receipt(
        self, message: Message, exchange: str, head: SignedHead | ObjectedHead | None
    ) -> None:
        """Tell the sender of a message, which came through an exchange, that it is kept here."""
        of = message.envelope
        # The queue of an experiment that is over is gone by then.
        place = Place() if isinstance(message.body, ExperimentOver) else of.place
        token = hashlib.sha256(of.message_id.encode()).hexdigest()[:16]
        body = Receipt(of=of.message_id, head=head)
        receipt = self.write(body, f"receipt.{token}", of.sender, place, answers=of)
        route = way_back(exchange, me=self._me, sender=of.sender, experiment=place.experiment)
        self.say_to(receipt, route)

    def ask(
        self, manifest: Manifest, missing: Sequence[int], of: str, route: Route, place: Place
    ) -> str:
        """Ask `of` for chunks of a payload; return the id of the request."""
        message_id = f"resend.{manifest.digest[:16]}.{next(self._tickets)}"
        body = ResendRequest(manifest=manifest, missing=list(missing))
        self.say_to(self.write(body, message_id, of, place), route)
        return message_id

    def _numbered(self, message: Message, counter: int) -> Message:
        numbers = {"stream": self._counters.stream, "counter": counter}
        return replace(message, envelope=message.envelope.model_copy(update=numbers))

    def _to_member(self, name: str, role: Role) -> Route:
        """Return the way to a member: orchestrators reach nodes and researchers, and these them."""
        match role:
            case Role.NODE:
                return to_node(NodeId(name))
            case Role.RESEARCHER:
                return to_researcher(ResearcherId(name))
            case _ if self._wire.role_of(self._me) is Role.RESEARCHER:
                return from_researcher(ResearcherId(self._me), name)
            case _:
                return from_node(NodeId(self._me), name)
