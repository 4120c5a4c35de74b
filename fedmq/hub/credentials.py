"""A member's way to the broker: addresses, login and role, in a file for its owner alone."""

import json
import stat
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fedmq.errors import ConfigurationError
from fedmq.hub.files import replace_file
from fedmq.types import Role, with_article

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a member's program needs to log in."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    url: str
    """AMQP address with the vhost, such as amqps://broker.example.org:443/fedmq."""
    user: str
    role: Role
    password: str = field(default="", repr=False)
    """Empty where the member shows a certificate."""
    admin_url: str = ""
    """Address of the management pages and API; empty for roles that have no use for them."""
    identity: str = ""
    """The folder of the member's keys, beside the file; empty where there are none."""


_FIX: Final = {
    Role.NODE: "join as a node: fedmq node join TOKEN",
    Role.RESEARCHER: "join as a researcher: fedmq join TOKEN",
    Role.ORCHESTRATOR: "use the hub's hub/credentials/orchestrator.toml, or the file that "
    "fedmq hub add-orchestrator NAME made",
    Role.MONITOR: "use the hub's hub/credentials/monitor.toml",
    Role.ADMIN: "use the hub's hub/credentials/admin.toml",
}


def write_credentials(path: Path, credentials: Credentials) -> None:
    """The file holds the credentials, and only its owner reads it.

    Raises:
        StorageError: the disk refuses.
    """
    lines = [f"{key} = {_quote(value)}" for key, value in asdict(credentials).items() if value]
    replace_file(path, "\n".join([*lines, ""]))


def read_credentials(path: Path, role: Role | None = None) -> Credentials:
    """Return what the hub wrote, for a member of that role if one is given.

    Raises:
        ConfigurationError: the file is missing, is not the hub's, others may read it, or it is of
            a member with another role.
    """
    known = _read(path)
    if role is not None:
        require_role(known, role)
    return known


def require_role(known: Credentials, role: Role) -> None:
    """Return if the credentials are of a member with this role.

    Raises:
        ConfigurationError: they are another's; the error says what was expected, and what came.
    """
    if known.role is not role:
        raise ConfigurationError(
            f"the credentials of {known.user} are not {with_article(role)}'s",
            why=f"expected: role {role}; got: role {known.role}",
            fix=_FIX[role],
        )


def _read(path: Path) -> Credentials:
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
                raise ConfigurationError(
                    f"the credentials {path} are not kept secret",
                    why="other users of this machine may read or change the file",
                    fix=f"chmod 600 {path}",
                )
            content = tomllib.load(file)
        return TypeAdapter(Credentials).validate_python(content)
    except OSError as error:
        raise ConfigurationError(
            f"the credentials {path} cannot be read",
            why=error.strerror or str(error),
            fix="ask the hub's operator for the file that the hub wrote for this member",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigurationError(
            f"the credentials {path} are damaged",
            why=_reason(error),
            fix="ask the hub's operator for the file again",
        ) from error


def _quote(value: str) -> str:
    """Return a TOML string: JSON's, without its pairs of surrogates, and with DEL escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")


def _reason(error: ValueError) -> str:
    """Return what is wrong, without the value: it may be the password."""
    if not isinstance(error, ValidationError):
        return "it is no TOML"
    return ", ".join(
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        for fault in error.errors(include_input=False)
    )
