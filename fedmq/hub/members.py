"""The hub's own folder: members, their credentials, and a broker that agrees with both.

A change is written first and brought to the broker next; what the broker missed because it was
away, it gets at its next start. Loading definitions only adds, so the roster remembers whom the
broker has yet to forget.
"""

import json
import secrets
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from fedmq.errors import ConfigurationError
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.credentials import Credentials, Role, read_credentials, write_credentials
from fedmq.hub.definitions import SALT_BYTES, password_hash
from fedmq.hub.files import locked, make_folder, replace_file
from fedmq.hub.management import Management
from fedmq.hub.ports import LOOPBACK
from fedmq.hub.roster import ExternalBroker, Member, Roster
from fedmq.transport.topology import Topology
from fedmq.types import parse_id

ADMIN: Final = "hub-admin"
BUILT_IN: Final = {
    ADMIN: Role.ADMIN,
    "monitor": Role.MONITOR,
    "orchestrator": Role.ORCHESTRATOR,
}
"""Logins that every hub has; they cannot be removed."""
_PASSWORD_BYTES: Final = 24
_ROSTER: Final = TypeAdapter(Roster)


class Hub:
    """The members of one federation, kept in a folder and on its broker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "members.json"
        self.broker = PrivateBroker(folder / "broker")

    def add_member(self, name: str, role: Role) -> Credentials:
        """Return the member's credentials, the same each time; the broker knows it, if it runs.

        Where the file of its credentials is gone, the member gets a new password.

        Raises:
            ConfigurationError: the name cannot be one, or is another's.
            TransportError: an external broker does not answer or refuses; ask again.
        """
        parse_id(name, kind=role)
        with locked(self._folder / "lock"):
            roster = self.roster()
            known = roster.find(name)
            if known is None:
                self._must_be_free([name], roster)
            elif known.role is not role:
                raise ConfigurationError(
                    f"{name} cannot become a {role}",
                    why=f"it is the name of a {known.role} of this federation",
                    fix="choose another name, or remove that member first",
                )
            path = self.credentials_path(name)
            if known is None or not path.exists():
                password = secrets.token_urlsafe(_PASSWORD_BYTES)
                hashed = password_hash(password, secrets.token_bytes(SALT_BYTES))
                roster = roster.with_member(Member(name=name, role=role, password_hash=hashed))
                self._save(roster)
                make_folder(path.parent)
                write_credentials(path, self._credentials(roster, name, role, password))
            self._load(roster)
            return read_credentials(path)

    def remove_member(self, name: str) -> None:
        """The member cannot log in, is cut off if it is, and its queues are gone.

        Raises:
            ConfigurationError: there is no such member, or the hub needs it.
            TransportError: an external broker does not answer or refuses; it is done at `up`.
        """
        with locked(self._folder / "lock"):
            roster = self.roster()
            member = roster.find(name)
            if member is None or name in BUILT_IN:
                raise ConfigurationError(
                    f"{name} cannot be removed",
                    why="the hub itself needs it" if member else "there is no such member",
                    fix="name one of: " + ", ".join(m.name for m in roster.members),
                )
            roster = roster.without_member(member)
            self._save(roster)
            self.credentials_path(name).unlink(missing_ok=True)
            self._load(roster)

    def members(self) -> tuple[Member, ...]:
        """Return all members, by name."""
        return self.roster().members

    def layout(self) -> Topology:
        """Return what stands on the broker."""
        return self.roster().layout()

    def load(self) -> None:
        """The broker, if it runs, agrees with the roster.

        Raises:
            ConfigurationError: an external one has a user of a member's name that is not the hub's.
            TransportError: an external one does not answer, or refuses.
        """
        with locked(self._folder / "lock"):
            roster = self.roster()
            self._must_be_free((member.name for member in roster.members), roster)
            self._load(roster)

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
            roster = self.roster()
            new = replace(roster, external=external, vhost=vhost)
            if roster.members and addresses(new, self.broker) != addresses(roster, self.broker):
                raise ConfigurationError(
                    "this hub has another broker already",
                    why="its members' credentials hold that broker's address",
                    fix="choose another folder for the new hub",
                )
            self._must_be_free([*logins, *(member.name for member in roster.members)], new)
            self._save(new)

    def roster(self) -> Roster:
        """Return what the folder says.

        Raises:
            ConfigurationError: the file is damaged.
        """
        try:
            return _ROSTER.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return Roster()
        except ValidationError as error:
            raise ConfigurationError(
                f"the hub's roster {self._file} is damaged",
                why=f"{error.error_count()} of its fields are not what the hub writes",
                fix="put back a copy of the hub's folder",
            ) from error

    def credentials_path(self, name: str) -> Path:
        """Return where the credentials of a member lie."""
        return self._folder / "credentials" / f"{name}.toml"

    def _credentials(self, roster: Roster, name: str, role: Role, password: str) -> Credentials:
        url, admin_url = addresses(roster, self.broker)
        return Credentials(
            url=url,
            user=name,
            password=password,
            role=role,
            admin_url=admin_url if role.sees_management else "",
        )

    def _save(self, roster: Roster) -> None:
        make_folder(self._folder)
        replace_file(self._file, _ROSTER.dump_json(roster, indent=1).decode())
        if roster.external is None:
            self.broker.ports()  # makes the broker's folder
            at_boot = roster.definitions(is_booting=True)
            replace_file(self.broker.definitions, json.dumps(at_boot, indent=1))

    def _load(self, roster: Roster) -> None:
        management = self._management(roster)
        if management is None:
            return
        management.post("definitions", content=roster.definitions())
        if roster.removed:
            for user in management.names("users") & roster.abandoned_logins():
                management.delete("users", user)
            for queue in management.names("queues", roster.vhost) & roster.abandoned_queues():
                management.delete("queues", roster.vhost, queue)
            self._save(replace(roster, removed=()))

    def _must_be_free(self, names: Iterable[str], roster: Roster) -> None:
        """An external broker may have users of its own, whose passwords are not to change."""
        management = self._management(roster) if roster.external else None
        if management is None:
            return
        taken = roster.foreign_logins(names, management.password_hashes())
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

    def _management(self, roster: Roster) -> Management | None:
        external = roster.external
        if external is not None:
            return Management(
                url=external.admin_url, user=external.user, password=external.password
            )
        path = self.credentials_path(ADMIN)
        if self.broker.running() is None or not path.exists():
            return None
        admin = read_credentials(path)
        return Management(url=admin.admin_url, user=admin.user, password=admin.password)


def addresses(roster: Roster, broker: PrivateBroker) -> tuple[str, str]:
    """Return the AMQP address and that of the management pages."""
    if roster.external is not None:
        return roster.external.url, roster.external.admin_url
    ports = broker.ports()
    amqp = f"amqp://{LOOPBACK}:{ports.amqp}/{roster.vhost}"
    return amqp, f"http://{LOOPBACK}:{ports.management}"
