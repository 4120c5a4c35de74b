"""The register on the disk, and the broker that is brought to agree with it.

A change is written first and brought to the broker next; what the broker missed because it was
away, it gets at its next start. Loading definitions only adds, so the register remembers whom the
broker has yet to forget.
"""

import json
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from fedmq.errors import ConfigurationError
from fedmq.hub.authority import Authority
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.credentials import read_credentials
from fedmq.hub.files import locked, make_folder, replace_file
from fedmq.hub.management import Management
from fedmq.hub.register import ADMIN, BUILT_IN, Register
from fedmq.security.revocation import list_name, make_revocation_list

_REGISTER: Final = TypeAdapter(Register)


class KeptRegister:
    """The register of one hub."""

    def __init__(self, folder: Path, authority: Authority, broker: PrivateBroker) -> None:
        self._folder = folder
        self._file = folder / "members.json"
        self._authority = authority
        self._broker = broker

    @property
    def exists(self) -> bool:
        """Whether something was written yet."""
        return self._file.exists()

    def locked(self) -> AbstractContextManager[None]:
        """Keep other programs from changing the hub for a while."""
        return locked(self._folder / "lock")

    @property
    def credentials(self) -> Path:
        """Where those of the hub's own members are made."""
        return self._folder / "credentials"

    def credentials_path(self, name: str) -> Path:
        """Return where the credentials of one of the hub's own members are made."""
        return self.credentials / f"{name}.toml"

    def request_path(self, name: str) -> Path:
        """Return where the request is by which a member gets its next certificates."""
        return self._folder / "certified" / f"{name}.csr"

    def read(self) -> Register:
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

    def write(self, register: Register) -> None:
        """The folder says so, with what the hub's own broker reads when it starts."""
        make_folder(self._folder)
        replace_file(self._file, _REGISTER.dump_json(register, indent=1).decode())
        if register.external is None:
            self._broker.ports()  # makes the broker's folder
            at_boot = register.definitions(is_booting=True)
            replace_file(self._broker.definitions, json.dumps(at_boot, indent=1))
        if register.external is None and self._broker.has_tls and self._authority.exists:
            # Where the authority is away the list stays as it is: nobody can be revoked there.
            authority = self._authority.certificates()
            revoked = make_revocation_list(authority, register.revoked, now=time.time())
            self._broker.list_revoked(list_name(authority.certificate), revoked)

    def load(self, register: Register) -> None:
        """The broker, if it runs, agrees with a register that was written.

        Raises:
            TransportError: an external one does not answer, or refuses.
        """
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
            self.write(replace(register, removed=()))

    def require_free(self, names: Iterable[str], register: Register) -> None:
        """Return if no name is that of a user whom an external broker has on its own.

        Raises:
            ConfigurationError: some are; passwords of others are not to change.
            TransportError: it does not answer, or refuses.
        """
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

    def cut_off(self, name: str, register: Register) -> None:
        """Whoever is connected in a name is so no more; the broker, if it runs, has it anew.

        Raises:
            TransportError: the broker does not answer, or refuses.
        """
        management = self.management(register)
        if management is None:
            return
        if name in management.names("users"):  # else it was killed here, the last time
            management.delete("users", name)  # which ends its connections
        self.load(register)

    def management(self, register: Register) -> Management | None:
        """Return the way to the broker's management, None where the hub's own is away."""
        external = register.external
        if external is not None:
            return Management(
                url=external.admin_url, user=external.user, password=external.password
            )
        path = self.credentials_path(ADMIN)
        if self._broker.running() is None or not path.exists():
            return None
        admin = read_credentials(path)
        return Management(url=admin.admin_url, user=admin.user, password=admin.password)
