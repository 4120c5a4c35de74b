"""The courier: every message received once, kept, receipted; every message sent until receipted.

It stands between a transport and a service. A delivery becomes durable in one transaction with all
that the service makes of it, then it is acknowledged, then its sender gets a receipt; a message
that announces a payload counts as received once the payload is here, whole. The courier has no
thread: its driver gives it the transport's events (`handle`) and lets time pass (`tick`).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

from fedmq.clocks import Clock
from fedmq.errors import ProtocolError, StorageError
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope, Place
from fedmq.messages.fields import Manifest
from fedmq.messages.heads import ObjectedHead, SignedHead
from fedmq.messages.notices import (
    Heartbeat,
    Hello,
    NodeOnline,
    Overview,
    Receipt,
    RosterNotice,
    Welcome,
)
from fedmq.messages.payloads import Chunk, ResendRequest
from fedmq.messages.registry import Body, payload_of
from fedmq.transport import counters, inbox, outbox, topology
from fedmq.transport.counters import Counters
from fedmq.transport.crier import Crier
from fedmq.transport.fetcher import Fetcher
from fedmq.transport.genuine import require_genuine
from fedmq.transport.inbox import Inbox, TurnedAway
from fedmq.transport.journal import Journal
from fedmq.transport.outbox import Outbox
from fedmq.transport.ports import (
    Confirmed,
    Connected,
    Delivered,
    Delivery,
    Disconnected,
    Nacked,
    Returned,
    Transport,
    TransportEvent,
)
from fedmq.transport.pusher import Pusher
from fedmq.transport.receipts import Receipts
from fedmq.transport.receiver import Receiver
from fedmq.transport.routes import Route, event_key, way_back
from fedmq.transport.speaker import Speaker
from fedmq.transport.spool import Spool
from fedmq.transport.topology import Lane
from fedmq.transport.troubles import Troubles, refusal_of
from fedmq.transport.wires import Wire
from fedmq.types import Digest

SCHEMA: Final = outbox.SCHEMA + inbox.SCHEMA + counters.SCHEMA


class Courier:
    """The sending and receiving of one service."""

    def __init__(  # noqa: PLR0913 - everything that messages pass through
        self,
        *,
        me: str,
        transport: Transport,
        wire: Wire,
        journal: Journal,
        spool: Spool,
        clock: Clock,
        brings_rosters: bool = False,
        is_alone: bool = False,
        witness: Callable[[Message], SignedHead | ObjectedHead | None] = lambda _: None,
        admit: Callable[[Envelope], None] = lambda _: None,
    ) -> None:
        """`is_alone`: no other program has the journal; `admit` raises for what is not taken.

        `brings_rosters`: to all nodes, as orchestrators do.
        """
        self.me = me
        self._admit = admit
        self.spool = spool
        self._troubles = Troubles()
        self._transport = transport
        self._wire = wire
        self._journal = journal
        self._clock = clock
        self._receiver: Receiver
        self._written: list[Callable[[], None]] = []
        """What is done once the transaction under way is written."""
        self._newest: dict[str, float] = {}
        """By sender: when its last message was sent, less the steady clock."""
        self._tickets = itertools.count(1)
        self._counters = Counters(journal, is_alone=is_alone)
        self._outbox = Outbox(journal, transport, wire, self._tickets, clock)
        self.inbox = Inbox(journal, self._counters, clock)
        self._pusher = Pusher(me, spool, transport, wire, self._tickets, clock)
        self._speaker = Speaker(me, wire, self._counters, transport, self._tickets, clock)
        self._receipts = Receipts(self._speaker, clock, witness)
        self._crier = Crier(wire, clock, self._speaker.say_roster, tells_nodes=brings_rosters)
        self._fetcher = Fetcher(spool, clock, self._ask, self._accept_waiting)

    def attach(self, receiver: Receiver) -> None:
        """Take up the messages that waited for their payloads when the last life ended."""
        self._receiver = receiver
        for exchange, message in self.inbox.waiting():
            self._await_payload(message, exchange)

    @property
    def trouble(self) -> str:
        """Why nothing goes or comes, for people; empty while all is well."""
        return self._troubles.words or self._outbox.trouble

    @property
    def num_unsent(self) -> int:
        """How many messages have no receipt yet."""
        return len(self._outbox)

    @property
    def num_awaited(self) -> int:
        """How many payloads are on their way here."""
        return len(self._fetcher)

    @property
    def is_sending(self) -> bool:
        """Whether chunks are on their way to the broker."""
        return self._pusher.is_busy

    def bytes_received(self, exchange: str, experiment: str) -> int:
        """Return the bytes of chunks that came through an exchange in this life."""
        return self.inbox.bytes_of.get((exchange, experiment), 0)

    def bytes_sent(self, exchange: str, experiment: str) -> int:
        """Return the bytes of chunks that went to an exchange in this life."""
        return self._pusher.bytes_of.get((exchange, experiment), 0)

    def hour_at(self, sender: str) -> float:
        """Return the time of a member: that of its last message, and what has gone by since.

        Whoever has read a backlog to its end knows it well; before that it lies in the past.
        """
        return self._newest.get(sender, -math.inf) + self._clock.steady()

    # Sending.

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all that happens inside or nothing; then payloads leave, and what tells of them."""
        if self._journal.is_writing:
            with self._journal.transaction():
                yield
            return
        try:
            with self._journal.transaction():
                yield
        except BaseException:
            self._written.clear()
            raise
        self._flush()

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
        return self._speaker.write(
            body, message_id, recipient, place, answers=answers, expires_at=expires_at
        )

    def post(self, message: Message, route: Route) -> None:
        """Send `message` until its receipt comes; call it inside a transaction."""
        if not self._outbox.has(message.envelope.message_id):
            self._outbox.add(self._speaker.counted(message), route)
            self._written.append(partial(self._receipts.answered, message.envelope))

    def drop(self, experiment: str, *, keep: str = "") -> None:
        """Send nothing more for an experiment but the message `keep`; await nothing of it."""
        self._outbox.drop(experiment, keep=keep)
        self.inbox.drop(experiment)
        self._fetcher.drop(experiment)

    def push(self, manifest: Manifest, routes: Sequence[Route], experiment: str) -> None:
        """Send a payload of the spool once to all `routes`; whoever misses some of it asks."""
        self._written.append(partial(self._pusher.push, manifest, routes, experiment))
        if not self._journal.is_writing:
            self._flush()

    def fetch(
        self, manifest: Manifest, route: Route, experiment: str, *, at_once: bool = True
    ) -> None:
        """Ask for a payload until it is here; said again, not `at_once`, it changes nothing."""
        self._fetcher.want(manifest, route, experiment, at_once=at_once)

    def _flush(self) -> None:
        while self._written:
            self._written.pop(0)()
        self._outbox.flush()

    def say(self, message: Message, route: Route) -> None:
        """Publish a small message once; it may be lost."""
        self._speaker.say_to(message, route)

    def tell(self, message: Message, kind: str) -> None:
        """Publish an event, which may be lost."""
        if self._troubles.is_blocked:
            return  # it would be old, one of many, when the broker takes messages again
        key = event_key(message.envelope.experiment, self.me, kind)
        self._speaker.say(message, topology.EVENTS, key, mandatory=False)

    # Receiving.

    def tick(self) -> None:
        """Do what is due: repeat what has no receipt, ask for what has not come."""
        self._crier.tick()
        self._outbox.settle()
        self._flush()
        self._receipts.tick()
        self._fetcher.tick()

    def settle(self) -> None:
        """Write down which messages have their receipts, before the journal is closed.

        On a disk that refuses they are sent once more in the next life.
        """
        with suppress(StorageError):
            self._outbox.settle()

    def handle(self, event: TransportEvent) -> None:
        """Take an event of the transport."""
        self._troubles.note(event)
        match event:
            case Delivered(delivery=delivery):
                self._receive(delivery)
            case Confirmed(ticket=ticket):
                self._outbox.confirmed(ticket)
                self._pusher.ended(ticket)
            case Nacked(ticket=ticket) | Returned(ticket=ticket):
                self._outbox.refused(ticket, refusal_of(event))
                self._pusher.ended(ticket)
            case Connected():
                self._pusher.connected()
                self._crier.connected()
                self._crier.tick()  # before what new keys signed
                self._outbox.connected()
                self._fetcher.connected()
            case Disconnected():
                self._pusher.disconnected()
                self._outbox.disconnected()
                self._fetcher.disconnected()
            case _:
                pass  # a trouble, or whoever asked has heard it

    def _receive(self, delivery: Delivery) -> None:
        try:
            message = self._wire.open(delivery.body)
            envelope = message.envelope
            role = self._wire.role_of(envelope.sender)
            require_genuine(envelope, delivery, me=self.me, role=role)
            self._dispatch(message, delivery)
        except ProtocolError as error:
            self._turn_away(TurnedAway.of_delivery(delivery, error.reason))
            self._transport.reject(delivery)
            login, exchange = delivery.properties.user_id, delivery.exchange
            self._crier.misheard(login, error.reason, exchange=exchange)
        else:
            self._transport.acknowledge(delivery)
            self._finish(message, delivery)

    def _turn_away(self, message: TurnedAway) -> None:
        self.inbox.note_rejected(message)
        self._receiver.turned_away(message)

    def _dispatch(self, message: Message, delivery: Delivery) -> None:
        """Make durable what came."""
        if isinstance(message.body, RosterNotice):  # signed within: its envelope proves nothing
            self._wire.learn(message.body)
            self._crier.heard(message.envelope)
            return
        self._newest[message.envelope.sender] = message.envelope.sent_at - self._clock.steady()
        self._crier.heard(message.envelope)
        self._outbox.heard(message.envelope.sender, message.envelope.roster)
        match message.body:
            case Chunk() as chunk:
                if self.spool.add(chunk, message.data):
                    self._fetcher.arrived(chunk.manifest)
                self._fetcher.saw_chunk(chunk.manifest, message.envelope.correlation_id)
                self.inbox.count_bytes(
                    delivery.exchange, message.envelope.experiment, len(delivery.body)
                )
            case Receipt() as receipt:
                self._take_receipt(receipt, message)
            case ResendRequest() as request if self._is_news(message.envelope):
                self._resend(request, message.envelope, delivery.exchange)
            case Hello() | Welcome() | NodeOnline() | Heartbeat() | Overview():
                if self._is_news(message.envelope):
                    self._receiver.hear(message)
            case ResendRequest():
                pass  # a copy
            case body:
                self._take(message, delivery.exchange, payload_of(body))

    def _take_receipt(self, receipt: Receipt, message: Message) -> None:
        self._outbox.received(receipt.of, by=message.envelope.sender)
        if receipt.head is not None:
            with self._journal.transaction():
                self._receiver.hear(message)

    def _take(self, message: Message, exchange: str, manifest: Manifest | None) -> None:
        if self.inbox.taken.contradicts(message):
            raise ProtocolError("number_taken", "another message came under this number")
        if self.inbox.has(message.envelope):
            return
        self._admit(message.envelope)
        self._outbox.answered(message.envelope)
        is_whole = manifest is None or self.spool.has(manifest.digest)
        if is_whole or not self._receiver.wants_payload(message):
            with self.transaction():
                self.inbox.taken.add(message)
                self.inbox.receive(message.envelope)
                self._receiver.accept(message)
            return
        with self._journal.transaction():
            self.inbox.taken.add(message)
            self.inbox.wait(message, exchange)

    def _finish(self, message: Message, delivery: Delivery) -> None:
        """Do what may happen only once the delivery is off its queue."""
        match message.body:
            case Chunk(manifest=manifest):
                if self.spool.has(manifest.digest):
                    self._accept_waiting(manifest.digest)
            case Receipt() | ResendRequest() | Hello() | Welcome() | RosterNotice():
                pass
            case NodeOnline() | Heartbeat() | Overview():
                pass
            case _ if self.inbox.is_received(message.envelope):
                self._receipts.give(message, delivery.exchange)
            case _:
                self._await_payload(message, delivery.exchange)

    def _await_payload(self, message: Message, exchange: str) -> None:
        manifest = payload_of(message.body)
        if manifest is None:
            return
        if not self.spool.missing(manifest):
            self._accept_waiting(manifest.digest)
            return
        at_once = self._receiver.expect(message)
        route = self._way_back(message.envelope, exchange)
        self._fetcher.want(manifest, route, message.envelope.experiment, at_once=at_once)

    def _accept_waiting(self, digest: Digest) -> None:
        self._receiver.fetched(digest)
        for exchange, message in self.inbox.waiting_for(digest):
            with self.transaction():
                self.inbox.receive(message.envelope)
                try:
                    self._receiver.accept(message)
                except ProtocolError as error:
                    self._turn_away(TurnedAway.of_waiting(message, exchange, error.reason))
            self._receipts.give(message, exchange)

    def _resend(self, request: ResendRequest, envelope: Envelope, exchange: str) -> None:
        manifest = request.manifest
        if not (self.spool.has(manifest.digest) and self._receiver.keeps(manifest.digest)):
            return  # asked in time and read late: nobody needs it any more, and nobody did wrong
        if not self._receiver.may_fetch(envelope.sender, manifest.digest):
            raise ProtocolError("not_for_sender")
        route = self._way_back(envelope, exchange, Lane.BULK)
        chunks, asked = request.missing or None, envelope.message_id
        self._pusher.push(manifest, [route], envelope.experiment, chunks=chunks, answers=asked)

    def _is_news(self, envelope: Envelope) -> bool:
        return self._counters.is_news(envelope)

    def _ask(self, manifest: Manifest, missing: Sequence[int], route: Route, exp: str) -> str:
        return self._speaker.ask(manifest, missing, route.reader, route, Place(experiment=exp))

    def _way_back(self, envelope: Envelope, exchange: str, lane: Lane = Lane.CONTROL) -> Route:
        return way_back(
            exchange,
            me=self.me,
            sender=envelope.sender,
            experiment=envelope.experiment,
            lane=lane,
        )
