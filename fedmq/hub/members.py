"""The hub's own folder: members, their credentials, and a broker that agrees with both."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from fedmq.errors import ConfigurationError
from fedmq.hub.authority import Authority
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.equipment import addresses, give_password
from fedmq.hub.kept_register import KeptRegister
from fedmq.hub.keyring import Keyring
from fedmq.hub.management import Management
from fedmq.hub.own_members import OwnMembers
from fedmq.hub.ports import LOOPBACK
from fedmq.hub.register import BUILT_IN, ExternalBroker, Member, Register
from fedmq.security.certificates import DAY_S, WARNING_DAYS
from fedmq.security.joining import JOINER
from fedmq.transport.declarations import Topology
from fedmq.types import Role, parse_id, with_article


class Hub:
    """The members of one federation, kept in a folder and on its broker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = Authority(folder / "authority")
        self.broker = PrivateBroker(folder / "broker")
        self._kept = KeptRegister(folder, self.authority, self.broker)
        self._own = OwnMembers(self._kept, self.authority, self.broker)

    @property
    def exists(self) -> bool:
        """Whether there is one; its authority may be on another machine."""
        return self.authority.exists or self._kept.exists

    def make(self, federation: str, hosts: Sequence[str] = (LOOPBACK,)) -> None:
        """There is a hub: an authority, and the members that every hub has.

        On its own broker members are known by certificates, which are for `hosts`.
        """
        with self._kept.locked():
            self.authority.make(parse_id(federation, kind="federation"), now=time.time())
            register = self.register()
            if register.external is None and not self.broker.has_tls:
                register = replace(register, hosts=tuple(hosts))
                self._own.certify_broker(register)
            self._kept.write(register)
        for name, role in BUILT_IN.items():
            if register.external is None or role is not Role.ADMIN:  # which has one of its own
                self.add_member(name, role)

    def add_member(self, name: str, role: Role) -> None:
        """There is such a member: the broker, if it runs, has its queues and rights.

        One of the hub's own gets its credentials, in the hub's folder; the others join.

        Raises:
            ConfigurationError: the name cannot be one, or is another's.
            TransportError: an external broker does not answer or refuses; ask again.
        """
        parse_id(name, kind=role)
        with self._kept.locked():
            register = self.register()
            known = register.find(name)
            if known is None:
                self._kept.require_free([name], register)
            elif known.role is not role:
                raise ConfigurationError(
                    f"{name} cannot become {with_article(role)}",
                    why=f"it is the name of {with_article(known.role)} of this federation",
                    fix="choose another name, or remove that member first",
                )
            if name.startswith(JOINER):
                raise ConfigurationError(
                    f"{name} cannot become {with_article(role)}",
                    why=f"logins that begin with {JOINER} are of those who are about to join",
                    fix="choose another name",
                )
            member = known or Member(name=name, role=role)
            register = register.with_member(member)
            if self._own.lacks(member):
                register = self._own.equip(register, name, role)
            self._kept.write(register)
            self._kept.load(register)

    def renew_own(self, *, now: float) -> tuple[str, ...]:
        """Return who of the hub's own folder has a new certificate, since the old one ends soon.

        That of the broker is shown from its next start on.
        """
        renewed = []
        with self._kept.locked():
            register = self.register()
            if register.external is not None or not self.broker.has_tls:
                return ()
            if self.broker.certified_until() < now + WARNING_DAYS * DAY_S:
                self._own.certify_broker(register)
                renewed.append("the broker")
            for member in register.members:
                if not member.is_own or member.certified_until > now + WARNING_DAYS * DAY_S:
                    continue
                if member.name in BUILT_IN or self._own.is_here(member.name):
                    register = self._own.certify(register, member, now)
                    renewed.append(member.name)
            self._kept.write(register)
        return tuple(renewed)

    def renew_here(self, name: str, *, now: float) -> bool:
        """Return whether a member's keys lie in the hub's folder; then its certificate is new."""
        with self._kept.locked():
            register = self.register()
            member = register.find(name)
            if member is None or not (member.is_own and self._own.is_here(name)):
                return False
            self._kept.write(self._own.certify(register, member, now))
            return True

    def replace_certificate(self, name: str) -> None:
        """One of the hub's own has a new certificate; with an earlier one nobody gets in.

        It is in the hub's folder, with its key, also where the member's own files are elsewhere.

        Whoever is connected in its name is cut off; its own program comes again.

        Raises:
            TransportError: the broker cuts nobody off; earlier ones are refused all the same.
        """
        with self._kept.locked():
            register = self.register()
            member = register.find(name)
            if member is None or register.external is not None:
                return
            register = register.without_certificates(member)
            bare = replace(member, serials=())
            register = self._own.certify(register, bare, time.time())
            self._kept.write(register)
            self._kept.cut_off(name, register)

    def replace_password(self, name: str) -> str:
        """Return the new password of a member at a broker of others; the old one counts no more.

        Whoever is connected with it is cut off. One of the hub's own folder has it in its file.

        Raises:
            ConfigurationError: there is no such member.
            TransportError: the broker does not answer, or refuses; it is done at `up`.
        """
        with self._kept.locked():
            password, new = give_password(self.require_member(name))
            register = self.register().with_member(new)
            self._kept.write(register)
            self._own.write_password(name, password)
            self._kept.cut_off(name, register)
            return password

    def change(self, change: Callable[[Register], Register]) -> Register:
        """Return the register after a change, with which the broker, if it runs, agrees."""
        with self._kept.locked():
            register = change(self.register())
            self._kept.write(register)
            self._kept.load(register)
            return register

    def keyrings(self) -> tuple[Keyring, ...]:
        """Return the keyrings of members that are kept in the hub's own folder."""
        return self._own.keyrings()

    def is_own(self, name: str) -> bool:
        """Return whether somebody is a member whose keys the hub makes."""
        member = self.register().find(name)
        return member is not None and member.is_own

    def require_member(self, name: str) -> Member:
        """Return the member of a name.

        Raises:
            ConfigurationError: there is none.
        """
        register = self.register()
        member = register.find(name)
        if member is None:
            raise ConfigurationError(
                f"{name} is no member",
                why="there is no such member at this hub",
                fix="name one of: " + ", ".join(one.name for one in register.members),
            )
        return member

    def require_removable(self, name: str) -> Member:
        """Return the member of a name, who may be removed.

        Raises:
            ConfigurationError: there is no such member, or the hub needs it.
        """
        member = self.require_member(name)
        if name in BUILT_IN:
            others = [one.name for one in self.members() if one.name not in BUILT_IN]
            raise ConfigurationError(
                f"{name} cannot be removed",
                why="the hub itself needs it",
                fix="name one of: " + ", ".join(others) if others else "nobody else is a member",
            )
        return member

    def remove_member(self, name: str) -> None:
        """The member cannot log in, is cut off if it is, and its queues are gone.

        Raises:
            ConfigurationError: there is no such member, or the hub needs it.
            StorageError: the disk keeps its files; it is cut off all the same.
            TransportError: an external broker does not answer or refuses; it is done at `up`.
        """
        with self._kept.locked():
            member = self.require_removable(name)
            register = self.register().without_member(member)
            try:
                self._own.remove(member)  # first: killed behind this, it is a member to be removed
            finally:
                self._kept.write(register)
                self._kept.load(register)

    def members(self) -> tuple[Member, ...]:
        """Return all members, by name."""
        return self.register().members

    def layout(self) -> Topology:
        """Return what stands on the broker."""
        return self.register().layout()

    def load(self) -> None:
        """The broker, if it runs, agrees with the register.

        Raises:
            ConfigurationError: an external one has a user of a member's name that is not the hub's.
            TransportError: an external one does not answer, or refuses.
        """
        with self._kept.locked():
            register = self.register()
            self._kept.require_free((member.name for member in register.members), register)
            self._kept.load(register)

    def use_external(
        self, external: ExternalBroker, vhost: str, logins: Collection[str] = ()
    ) -> None:
        """The hub keeps its members on a broker that it does not run, in this vhost.

        There is room for its members on that broker, and for `logins` that are to become some.

        Raises:
            ConfigurationError: the folder is that of another broker, or a name is taken at this
                one; nothing is written.
            TransportError: the broker does not answer, or refuses; nothing is written.
        """
        with self._kept.locked():
            register = self.register()
            new = replace(register, external=external, vhost=vhost)
            if register.members and addresses(new, self.broker) != addresses(register, self.broker):
                raise ConfigurationError(
                    "this hub has another broker already",
                    why="its members' credentials hold that broker's address",
                    fix="choose another folder for the new hub",
                )
            self._kept.require_free([*logins, *(member.name for member in register.members)], new)
            self._kept.write(new)

    def register(self) -> Register:
        """Return what the folder says.

        Raises:
            ConfigurationError: the file is damaged.
        """
        return self._kept.read()

    def credentials_path(self, name: str) -> Path:
        """Return where the credentials of a member lie."""
        return self._kept.credentials_path(name)

    def request_path(self, name: str) -> Path:
        """Return where the request is by which a member gets its next certificates."""
        return self._kept.request_path(name)

    def management(self, register: Register) -> Management | None:
        """Return the way to the broker's management, None where the hub's own is away."""
        return self._kept.management(register)
