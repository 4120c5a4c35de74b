"""The register: who belongs to a federation, with which role, and what that makes of its broker."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import ConfigDict

from fedmq.hub.definitions import Entry, User, make_definitions
from fedmq.hub.limits import JOINER_LIMITS, limits_of
from fedmq.hub.ports import LOOPBACK
from fedmq.security.certificates import expires_at
from fedmq.security.joining import JOINER
from fedmq.security.revocation import serial_of
from fedmq.transport import asking, topology
from fedmq.transport.declarations import Topology
from fedmq.transport.rights import (
    Rights,
    join_rights,
    monitor_rights,
    node_rights,
    orchestrator_rights,
    researcher_rights,
)
from fedmq.transport.topology import Profile, profile_at
from fedmq.types import NodeId, ResearcherId, Role

VHOST: Final = "fedmq"
ADMIN: Final = "hub-admin"
BUILT_IN: Final = {
    ADMIN: Role.ADMIN,
    "monitor": Role.MONITOR,
    "orchestrator": Role.ORCHESTRATOR,
}
"""Logins that every hub has; they cannot be removed."""
_TAGS: Final[dict[Role, tuple[str, ...]]] = {
    Role.ADMIN: ("administrator",),
    Role.MONITOR: ("monitoring",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A join token that was handed out, without its secret."""

    secret_hash: str
    expires_at: float
    password_hash: str = ""
    """Of the login of who joins; empty where it shows the token's certificate."""
    serials: tuple[str, ...] = ()
    """Of that certificate, in hexadecimal."""
    is_used: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One login of the federation."""

    name: str
    role: Role
    password_hash: str = field(default="", repr=False)
    """Empty where it shows a certificate, and before it has joined."""
    invitation: Invitation | None = None
    certified_until: float = 0.0
    """Unix seconds; 0 where it has no certificate."""
    serials: tuple[str, ...] = ()
    """Of the certificates that it was given and that still count, in hexadecimal."""

    @property
    def is_own(self) -> bool:
        """Whether the hub makes its keys, in its own folder; the others make theirs and join."""
        return self.role not in {Role.NODE, Role.RESEARCHER}

    @property
    def is_equipped(self) -> bool:
        """Whether it was given something to show to the broker."""
        return bool(self.certified_until or self.password_hash)

    @property
    def all_serials(self) -> tuple[str, ...]:
        """Those of its invitation too."""
        return (*self.serials, *(self.invitation.serials if self.invitation else ()))

    def certified(self, certificate: str) -> "Member":
        """Return the member with one more certificate (PEM)."""
        return replace(
            self,
            certified_until=expires_at(certificate),
            serials=(*self.serials, serial_of(certificate)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalBroker:
    """A broker that the hub does not run: its addresses, and an administrator's login there."""

    url: str
    admin_url: str
    user: str
    password: str = field(repr=False)
    authority: str = ""
    """PEM of who vouches for it; empty: whom members' systems trust."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """The members of a federation, and those whose traces the broker has yet to lose."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    vhost: str = VHOST
    external: ExternalBroker | None = None
    hosts: tuple[str, ...] = (LOOPBACK,)
    """Names and addresses at which members reach the hub's own broker, the usual one first."""
    members: tuple[Member, ...] = ()
    removed: tuple[Member, ...] = ()
    revoked: tuple[str, ...] = ()
    """Serial numbers of certificates that count no more, in hexadecimal."""

    def find(self, name: str) -> Member | None:
        """Return the member of this name."""
        return next((member for member in self.members if member.name == name), None)

    def with_member(self, new: Member) -> "Register":
        """Return the register with a member added, or in the place of the one of its name."""
        kept = [member for member in self.members if member.name != new.name]
        return replace(
            self,
            members=tuple(sorted([*kept, new], key=lambda member: member.name)),
        )

    def without_member(self, gone: Member) -> "Register":
        """Return the register with a member moved to those who are removed."""
        return replace(
            self,
            members=tuple(member for member in self.members if member != gone),
            removed=(*self.removed, gone),
            revoked=(*self.revoked, *gone.all_serials),
        )

    def invited(self, name: str, invitation: Invitation | None) -> "Register":
        """Return the register in which a member's earlier invitation counts no more.

        Nor does the certificate of that token; None: there is no new one.
        """
        member = self.find(name)
        if member is None:
            return self
        void = member.invitation.serials if member.invitation else ()
        new = self.with_member(replace(member, invitation=invitation))
        return replace(new, revoked=(*self.revoked, *void))

    def without_certificates(self, member: Member) -> "Register":
        """Return the register in which a member has no certificate that counts."""
        revoked = (*self.revoked, *member.serials)
        return replace(self.with_member(replace(member, serials=())), revoked=revoked)

    def layout(self) -> Topology:
        """Return what stands on the broker."""
        profile = Profile.SINGLE if self.external is None else profile_at(self.external.url)
        return _layout(self.members, profile)

    def definitions(self, *, is_booting: bool = False) -> Entry:
        """Return what the broker loads: the layout, and the users with their rights.

        At a boot streams are not bound: RabbitMQ 4.0 has not set them to work by then, and would
        end over that. They keep their bindings; those of a new stream come once it works.
        """
        users = [
            User(
                name=member.name,
                password_hash=member.password_hash,
                rights=rights(member),
                tags=_TAGS.get(member.role, ()),
                limits=limits_of(member.role),
            )
            for member in self.members
        ]
        users += [
            User(
                name=JOINER + member.name,
                password_hash=member.invitation.password_hash,
                rights=join_rights(member.name),
                limits=JOINER_LIMITS,
            )
            for member in self.members
            if member.invitation is not None
        ]
        return make_definitions(self.vhost, self.layout(), users, binds_streams=not is_booting)

    def foreign_logins(self, names: Iterable[str], hashes: Mapping[str, str]) -> list[str]:
        """Return which of the names a broker's users have whom this hub did not make.

        `hashes` are those of its users' passwords, by name: nobody else has one with the same salt.
        """
        own = {member.name: member.password_hash for member in (*self.removed, *self.members)}
        return sorted(name for name in set(names) & hashes.keys() if own.get(name) != hashes[name])

    def abandoned_logins(self) -> set[str]:
        """Return the names that no member has any more."""
        invited = {JOINER + one.name for one in self.members if one.invitation is not None}
        joined = {JOINER + one.name for one in self.members if one.invitation is None}
        gone = _names(self.removed) | {JOINER + one.name for one in self.removed} | joined
        return gone - _names(self.members) - invited

    def abandoned_queues(self) -> set[str]:
        """Return the queues that no member has any more."""
        joins = {asking.join_answers(one.name) for one in (*self.members, *self.removed)}
        return (_queue_names(self.removed) | joins) - _queue_names(self.members)

    def abandoned_exchanges(self) -> set[str]:
        """Return the exchanges that no member has any more."""
        return _exchange_names(self.removed) - _exchange_names(self.members)


def rights(member: Member) -> Rights:
    """Return what a member may do in the federation's vhost."""
    match member.role:
        case Role.NODE:
            return node_rights(NodeId(member.name))
        case Role.RESEARCHER:
            return researcher_rights(ResearcherId(member.name))
        case Role.ORCHESTRATOR:
            return orchestrator_rights(member.name)
        case Role.MONITOR:
            return monitor_rights()
        case Role.ADMIN:
            return Rights(configure=".*", write=".*", read=".*")


def _layout(members: tuple[Member, ...], profile: Profile = Profile.SINGLE) -> Topology:
    layout = topology.federation(
        nodes=[NodeId(member.name) for member in members if member.role is Role.NODE],
        researchers=[
            ResearcherId(member.name) for member in members if member.role is Role.RESEARCHER
        ],
        orchestrators=[member.name for member in members if member.role is Role.ORCHESTRATOR],
        profile=profile,
    )
    joins = tuple(
        asking.join_queue(member.name) for member in members if member.invitation is not None
    )
    names = [one.name for one in members if not one.role.sees_management]
    return replace(
        layout,
        exchanges=(*layout.exchanges, *map(asking.asking_exchange, names)),
        queues=(*layout.queues, *map(asking.request_queue, names), *joins),
        policies=(*layout.policies, *asking.policies()),
    )


def _names(members: tuple[Member, ...]) -> set[str]:
    return {member.name for member in members}


def _queue_names(members: tuple[Member, ...]) -> set[str]:
    return {queue.name for queue in _layout(members).queues}


def _exchange_names(members: tuple[Member, ...]) -> set[str]:
    return {exchange.name for exchange in _layout(members).exchanges}
