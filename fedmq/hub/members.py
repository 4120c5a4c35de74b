"""The hub's own folder: members, their credentials, and a broker that agrees with both.

A change is written first and brought to the broker next; what the broker missed because it was
away, it gets at its next start. Loading definitions only adds, so the register remembers whom the
broker has yet to forget.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from fedmq.errors import ConfigurationError
from fedmq.hub.authority import Authority
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.credentials import Credentials, read_credentials, write_credentials
from fedmq.hub.equipment import addresses, enrol, give_password
from fedmq.hub.files import locked, make_folder, replace_file
from fedmq.hub.keyring import Keyring
from fedmq.hub.management import Management
from fedmq.hub.ports import LOOPBACK
from fedmq.hub.register import ExternalBroker, Member, Register
from fedmq.security.certificates import (
    DAY_S,
    WARNING_DAYS,
    certify,
    certify_broker,
)
from fedmq.security.joining import JOINER
from fedmq.security.revocation import list_name, make_revocation_list
from fedmq.transport.topology import Topology
from fedmq.types import Role, parse_id

ADMIN: Final = "hub-admin"
BUILT_IN: Final = {
    ADMIN: Role.ADMIN,
    "monitor": Role.MONITOR,
    "orchestrator": Role.ORCHESTRATOR,
}
"""Logins that every hub has; they cannot be removed."""
_REGISTER: Final = TypeAdapter(Register)


class Hub:
    """The members of one federation, kept in a folder and on its broker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "members.json"
        self.authority = Authority(folder / "authority")
        self.broker = PrivateBroker(folder / "broker")

    @property
    def exists(self) -> bool:
        """Whether there is one; its authority may be on another machine."""
        return self.authority.exists or self._file.exists()

    def make(self, federation: str, hosts: Sequence[str] = (LOOPBACK,)) -> None:
        """There is a hub: an authority, and the members that every hub has.

        On its own broker members are known by certificates, which are for `hosts`.
        """
        with locked(self._folder / "lock"):
            self.authority.make(parse_id(federation, kind="federation"), now=time.time())
            register = self.register()
            if register.external is None and not self.broker.has_tls:
                register = replace(register, hosts=tuple(hosts))
                self._certify_broker(register)
            self._save(register)
        for name, role in BUILT_IN.items():
            if register.external is None or role is not Role.ADMIN:  # which has one of its own
                self.add_member(name, role)

    def add_member(self, name: str, role: Role) -> None:
        """There is such a member: the broker, if it runs, has its queues and rights.

        One that every hub has gets its credentials, in the hub's own folder; the others join.

        Raises:
            ConfigurationError: the name cannot be one, or is another's.
            TransportError: an external broker does not answer or refuses; ask again.
        """
        parse_id(name, kind=role)
        with locked(self._folder / "lock"):
            register = self.register()
            known = register.find(name)
            if known is None:
                self._must_be_free([name], register)
            elif known.role is not role:
                raise ConfigurationError(
                    f"{name} cannot become a {role}",
                    why=f"it is the name of a {known.role} of this federation",
                    fix="choose another name, or remove that member first",
                )
            if name.startswith(JOINER):
                raise ConfigurationError(
                    f"{name} cannot become a {role}",
                    why=f"logins that begin with {JOINER} are of those who are about to join",
                    fix="choose another name",
                )
            register = register.with_member(known or Member(name=name, role=role))
            if name in BUILT_IN and not self.credentials_path(name).exists():
                register = self._equip(register, name, role)
            self._save(register)
            self._load(register)

    def renew_own(self, *, now: float) -> tuple[str, ...]:
        """Return who of the hub's own folder has a new certificate, since the old one ends soon.

        That of the broker is shown from its next start on.
        """
        register, renewed = self.register(), []
        if register.external is not None or not self.broker.has_tls:
            return ()
        with locked(self._folder / "lock"):
            if self.broker.certified_until() < now + WARNING_DAYS * DAY_S:
                self._certify_broker(register)
                renewed.append("the broker")
            for name in BUILT_IN:
                member = register.find(name)
                if member is None or member.certified_until > now + WARNING_DAYS * DAY_S:
                    continue
                register = self._certify(register, member, self._keyring_of(name), now)
                renewed.append(name)
            self._save(register)
        return tuple(renewed)

    def replace_certificate(self, name: str) -> None:
        """One of the hub's own folder has a new certificate; with an earlier one nobody gets in.

        Whoever is connected in its name is cut off; its own program comes again.

        Raises:
            TransportError: the broker cuts nobody off; earlier ones are refused all the same.
        """
        with locked(self._folder / "lock"):
            register = self.register()
            member = register.find(name)
            if member is None or register.external is not None:
                return
            register = register.without_certificates(member)
            bare = replace(member, serials=())
            register = self._certify(register, bare, self._keyring_of(name), time.time())
            self._save(register)
            management = self.management(register)
            if management is not None:
                if name in management.names("users"):  # else it was killed here, the last time
                    management.delete("users", name)  # which ends its connections
                self._load(register)

    def replace_password(self, name: str) -> str:
        """Return the new password of a member at a broker of others; the old one counts no more.

        Whoever is connected with it is cut off. One of the hub's own folder has it in its file.

        Raises:
            ConfigurationError: there is no such member.
            TransportError: the broker does not answer, or refuses; it is done at `up`.
        """
        with locked(self._folder / "lock"):
            own = self.credentials_path(name)
            known = self.register().find(name) if own.exists() else self.require_removable(name)
            password, new = give_password(known or self.require_removable(name))
            register = self.register().with_member(new)
            self._save(register)
            if own.exists():
                write_credentials(own, replace(read_credentials(own), password=password))
            management = self.management(register)
            if management is not None and name in management.names("users"):
                management.delete("users", name)  # which ends its connections
            self._load(register)
            return password

    def change(self, change: Callable[[Register], Register]) -> Register:
        """Return the register after a change, with which the broker, if it runs, agrees."""
        with locked(self._folder / "lock"):
            register = change(self.register())
            self._save(register)
            self._load(register)
            return register

    def keyrings(self) -> tuple[Keyring, ...]:
        """Return the keyrings of members that are kept in the hub's own folder."""
        folders = sorted((self._folder / "credentials").glob("*.keys"))
        return tuple(Keyring(folder) for folder in folders)

    def require_removable(self, name: str) -> Member:
        """Return the member of a name, who may be removed.

        Raises:
            ConfigurationError: there is no such member, or the hub needs it.
        """
        register = self.register()
        member = register.find(name)
        if member is None or name in BUILT_IN:
            raise ConfigurationError(
                f"{name} cannot be removed",
                why="the hub itself needs it" if member else "there is no such member",
                fix="name one of: " + ", ".join(m.name for m in register.members),
            )
        return member

    def remove_member(self, name: str) -> None:
        """The member cannot log in, is cut off if it is, and its queues are gone.

        Raises:
            ConfigurationError: there is no such member, or the hub needs it.
            TransportError: an external broker does not answer or refuses; it is done at `up`.
        """
        with locked(self._folder / "lock"):
            register = self.register().without_member(self.require_removable(name))
            self._save(register)
            self.credentials_path(name).unlink(missing_ok=True)
            self._load(register)

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
        with locked(self._folder / "lock"):
            register = self.register()
            self._must_be_free((member.name for member in register.members), register)
            self._load(register)

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
        with locked(self._folder / "lock"):
            register = self.register()
            new = replace(register, external=external, vhost=vhost)
            if register.members and addresses(new, self.broker) != addresses(register, self.broker):
                raise ConfigurationError(
                    "this hub has another broker already",
                    why="its members' credentials hold that broker's address",
                    fix="choose another folder for the new hub",
                )
            self._must_be_free([*logins, *(member.name for member in register.members)], new)
            self._save(new)

    def register(self) -> Register:
        """Return what the folder says.

        Raises:
            ConfigurationError: the file is damaged.
        """
        try:
            return _REGISTER.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return Register()
        except ValidationError as error:
            raise ConfigurationError(
                f"the hub's register {self._file} is damaged",
                why=f"{error.error_count()} of its fields are not what the hub writes",
                fix="put back a copy of the hub's folder",
            ) from error

    def credentials_path(self, name: str) -> Path:
        """Return where the credentials of a member lie."""
        return self._folder / "credentials" / f"{name}.toml"

    def _certify_broker(self, register: Register) -> None:
        """The broker shows a certificate for the names under which members reach it."""
        authority = self.authority.certificates()
        pair = certify_broker(authority, [*register.hosts, LOOPBACK], now=time.time())
        self.broker.use_tls(authority=authority.certificate, pair=pair)

    def _certify(
        self, register: Register, member: Member, keyring: Keyring, now: float
    ) -> Register:
        """Return the register in which a member has a new certificate, which its keyring has.

        The register knows it before anybody has it: one that it does not know, nobody can revoke.
        """
        authority = self.authority.certificates()
        pair = certify(authority, member.name, now=now)
        new = member.certified(pair.certificate)
        self._save(register.with_member(replace(new, certified_until=member.certified_until)))
        keyring.write_certificate(
            authority=authority.certificate, certificate=pair.certificate, key=pair.key
        )
        return register.with_member(new)

    def _keyring_of(self, name: str) -> Keyring:
        return Keyring(self.credentials_path(name).with_suffix(".keys"))

    def _equip(self, register: Register, name: str, role: Role) -> Register:
        """Return the register in which a member of the hub's own folder has all it needs."""
        path = self.credentials_path(name)
        make_folder(path.parent)
        keyring = Keyring(path.parent / f"{name}.keys")
        member = Member(name=name, role=role)
        password = ""
        if register.external is None:
            register = self._certify(register, member, keyring, time.time())
            member = register.find(name) or member
        elif register.external.authority:
            keyring.write_certificate(authority=register.external.authority, certificate="", key="")
        if register.external is not None or role.sees_management:
            password, member = give_password(member)
        keyring.write_trust(self.authority.trust())
        keyring.write_roster(self.authority.signed_roster())
        if role is Role.ORCHESTRATOR:
            enrol(self.authority, keyring, name, role, self.keyrings())
        url, admin_url = addresses(register, self.broker)
        credentials = Credentials(
            url=url,
            user=name,
            password=password,
            role=role,
            admin_url=admin_url if role.sees_management else "",
            identity=keyring.folder.name,
        )
        write_credentials(path, credentials)
        return register.with_member(member)

    def _save(self, register: Register) -> None:
        make_folder(self._folder)
        replace_file(self._file, _REGISTER.dump_json(register, indent=1).decode())
        if register.external is None:
            self.broker.ports()  # makes the broker's folder
            at_boot = register.definitions(is_booting=True)
            replace_file(self.broker.definitions, json.dumps(at_boot, indent=1))
        if register.external is None and self.broker.has_tls and self.authority.exists:
            # Where the authority is away the list stays as it is: nobody can be revoked there.
            authority = self.authority.certificates()
            revoked = make_revocation_list(authority, register.revoked, now=time.time())
            self.broker.list_revoked(list_name(authority.certificate), revoked)

    def _load(self, register: Register) -> None:
        management = self.management(register)
        if management is None:
            return
        management.post("definitions", content=register.definitions())
        for user in management.names("users") & register.abandoned_logins():
            management.delete("users", user)
        for queue in management.names("queues", register.vhost) & register.abandoned_queues():
            management.delete("queues", register.vhost, queue)
        if exchanges := register.abandoned_exchanges():
            for exchange in management.names("exchanges", register.vhost) & exchanges:
                management.delete("exchanges", register.vhost, exchange)
        if register.removed:
            self._save(replace(register, removed=()))

    def _must_be_free(self, names: Iterable[str], register: Register) -> None:
        """An external broker may have users of its own, whose passwords are not to change."""
        management = self.management(register) if register.external else None
        if management is None:
            return
        taken = register.foreign_logins(names, management.password_hashes())
        if taken:
            raise ConfigurationError(
                f"the broker has a user {' and a user '.join(taken)} already",
                why="this hub has not made it, for its password is another",
                fix="if nobody needs it, delete it at the broker: "
                + ", ".join(f"rabbitmqctl delete_user {name}" for name in taken)
                + "; if not, use another "
                + ("broker" if set(taken) <= BUILT_IN.keys() else "name or another broker")
                + ", since all vhosts of a broker share its users",
            )

    def management(self, register: Register) -> Management | None:
        """Return the way to the broker's management, None where the hub's own is away."""
        external = register.external
        if external is not None:
            return Management(
                url=external.admin_url, user=external.user, password=external.password
            )
        path = self.credentials_path(ADMIN)
        if self.broker.running() is None or not path.exists():
            return None
        admin = read_credentials(path)
        return Management(url=admin.admin_url, user=admin.user, password=admin.password)
