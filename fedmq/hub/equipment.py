"""What a member is given: a password, keys that the roster names, the broker's addresses."""

import secrets
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from fedmq.errors import ConfigurationError
from fedmq.hub.authority import Authority
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.definitions import SALT_BYTES, password_hash
from fedmq.hub.keyring import Keyring, new_identity
from fedmq.hub.ports import LOOPBACK
from fedmq.hub.register import Member, Register
from fedmq.security.roster import Roster, enrolled, with_member
from fedmq.types import Role

_PASSWORD_BYTES: Final = 24


def give_password(member: Member) -> tuple[str, Member]:
    """Return a new password, and the member that logs in with it."""
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    hashed = password_hash(password, secrets.token_bytes(SALT_BYTES))
    return password, replace(member, password_hash=hashed)


def enrol(
    authority: Authority, keyring: Keyring, name: str, role: Role, others: Iterable[Keyring]
) -> None:
    """A member whose keys lie in a keyring of this machine is in the roster."""
    identity = new_identity(name, role)
    keyring.write_identity(identity)
    new = enrolled(identity.public)
    authority.change(lambda roster, at: with_member(roster, new, at=at), [*others, keyring])


def require_not_revoked(roster: Roster, name: str) -> None:
    """Return if nobody of this name was put out.

    Raises:
        ConfigurationError: somebody was.
    """
    if any(one.name == name for one in roster.revoked):
        raise ConfigurationError(
            f"{name} cannot join again",
            why="it was revoked, and what it did is to stay told apart",
            fix=f"choose another name, such as {name}-2",
        )


def addresses(register: Register, broker: PrivateBroker) -> tuple[str, str]:
    """Return the AMQP address and that of the management pages."""
    if register.external is not None:
        return register.external.url, register.external.admin_url
    ports = broker.ports()
    host = f"[{register.hosts[0]}]" if ":" in register.hosts[0] else register.hosts[0]
    amqp = f"amqps://{host}:{ports.amqp}/{register.vhost}"
    return amqp, f"http://{LOOPBACK}:{ports.management}"
