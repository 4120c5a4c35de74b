"""What drives a transport under test: how members join, things settle, connections break."""

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from fedmq.transport import topology
from fedmq.transport.declarations import Topology
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import (
    Connected,
    Delivered,
    Delivery,
    Disconnected,
    Transport,
    TransportEvent,
)
from fedmq.transport.rabbitmq import RabbitTransport
from fedmq.transport.topology import Profile
from fedmq.types import NodeId, ResearcherId
from tests.support.broker import TestBroker, open_rights
from tests.support.proxy import Proxy

T = TypeVar("T")
LYON, PARIS, BASEL = NodeId("chu-lyon"), NodeId("ghu-paris"), NodeId("umc-basel")
PATIENCE_S = 60.0
QUIET_S = 0.15
"""So long nothing may happen before a test believes that nothing will."""


def make_layout(profile: Profile) -> Topology:
    """Return what stands on the broker."""
    return topology.federation(
        nodes=[LYON, PARIS, BASEL], researchers=[ResearcherId("r-one")], profile=profile
    )


class Member:
    """A transport with everything that it has told so far."""

    def __init__(self) -> None:
        self.events: list[TransportEvent] = []
        self.transport: Transport

    def of(self, kind: type[T]) -> list[T]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def deliveries(self) -> list[Delivery]:
        """Return what was handed over, in order."""
        return [event.delivery for event in self.of(Delivered)]

    @property
    def bodies(self) -> list[bytes]:
        """Return the bodies of what was handed over."""
        return [delivery.body for delivery in self.deliveries]


class Wire(Protocol):
    """Members on one broker."""

    @property
    def profile(self) -> Profile:
        """Whether that is one broker or a cluster."""

    def join(self, user: str) -> Member:
        """Return a connected member."""

    def settle(self, until: Callable[[], bool] | None = None) -> None:
        """Let everything happen that is under way, at least until `until` holds."""

    def cut(self, member: Member) -> None:
        """Break a member's connection; it is not yet back."""

    def mend(self, member: Member) -> None:
        """Bring the member's connection back."""

    def close(self) -> None:
        """End everything."""


class MemoryWire:
    """Members on one broker in the process."""

    profile = Profile.SINGLE

    def __init__(self) -> None:
        self.broker = MemoryBroker(make_layout(self.profile))
        self._transports: dict[int, MemoryTransport] = {}

    def join(self, user: str) -> Member:
        """Return a connected member."""
        member = Member()
        transport = MemoryTransport(self.broker, user, member.events.append)
        member.transport = transport
        self._transports[id(member)] = transport
        transport.start()
        self.settle()
        return member

    def settle(self, until: Callable[[], bool] | None = None) -> None:
        """Take all steps."""
        self.broker.run_until_idle()
        assert until is None or until()

    def cut(self, member: Member) -> None:
        """Break a member's connection."""
        self._transports[id(member)].disconnect()

    def mend(self, member: Member) -> None:
        """Bring it back."""
        self._transports[id(member)].connect()
        self.settle()

    def close(self) -> None:
        """Nothing runs."""


class RabbitWire:
    """Members on a vhost of a real RabbitMQ, each behind a proxy that can be cut.

    In a cluster each member is at the next node.
    """

    def __init__(self, broker: TestBroker) -> None:
        self.profile = broker.profile
        self._broker = broker
        self._ports = itertools.cycle(broker.amqp_ports)
        self._members: list[Member] = []
        self._proxies: dict[int, Proxy] = {}
        self._vhost = broker.make_vhost(
            make_layout(self.profile), open_rights(LYON, PARIS, BASEL, "orchestrator", "operator")
        )

    def join(self, user: str) -> Member:
        """Return a connected member."""
        member, proxy = Member(), Proxy(next(self._ports))
        login = self._broker.login(self._vhost, user, proxy.port)
        member.transport = RabbitTransport(replace(login, reconnect_s=0.05), member.events.append)
        self._members.append(member)
        self._proxies[id(member)] = proxy
        member.transport.start()
        self.settle(lambda: len(member.of(Connected)) == 1)
        return member

    def settle(self, until: Callable[[], bool] | None = None) -> None:
        """Wait for the condition, then until nothing has happened for a while."""
        deadline = time.monotonic() + PATIENCE_S
        while until is not None and not until():
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {self._told()}"
            time.sleep(0.002)
        known, since = self._num_events(), time.monotonic()
        while time.monotonic() - since < QUIET_S:
            time.sleep(0.005)
            if self._num_events() != known:
                known, since = self._num_events(), time.monotonic()

    def cut(self, member: Member) -> None:
        """Drop a member's connections and refuse new ones."""
        count = len(member.of(Disconnected))
        self._proxies[id(member)].cut()
        deadline = time.monotonic() + PATIENCE_S
        while len(member.of(Disconnected)) == count:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def mend(self, member: Member) -> None:
        """Let the member through again."""
        count = len(member.of(Connected))
        self._proxies[id(member)].mend()
        self.settle(lambda: len(member.of(Connected)) > count)

    def close(self) -> None:
        """End transports, proxies and the vhost."""
        for member in self._members:
            member.transport.close()
            self._proxies[id(member)].close()
        self._broker.remove_vhost(self._vhost)

    def _num_events(self) -> int:
        # A member that is cut off tries again and fails for ever; that is nothing new.
        return sum(
            not isinstance(event, Disconnected)
            for member in self._members
            for event in tuple(member.events)
        )

    def _told(self) -> list[list[str]]:
        return [[type(event).__name__ for event in one.events[-5:]] for one in self._members]
