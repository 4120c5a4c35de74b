"""A membership: what a member's program needs, read from the file of its credentials."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.hub.credentials import Credentials, read_credentials, write_credentials
from fedmq.hub.files import replace_file
from fedmq.hub.keyring import AUTHORITY, CERTIFICATE, CERTIFICATE_KEY, KeptWire, Keyring
from fedmq.security.certificates import expires_at, good_from, is_of
from fedmq.security.joining import NewPassword, read_new_password
from fedmq.types import Role

if TYPE_CHECKING:
    from fedmq.transport.proxy import Proxy
    from fedmq.transport.rabbitmq import Login


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A member's credentials, and the keys beside them."""

    credentials: Credentials
    folder: Path
    """Where the file of the credentials is."""
    file: Path | None = None
    """That file; None where there is none yet."""

    @property
    def keyring(self) -> Keyring:
        """The member's keys."""
        return Keyring(self.folder / self.credentials.identity)

    def certified_until(self) -> float | None:
        """Return the second at which the member's certificate ends; None where it has none."""
        path = self.keyring.folder / CERTIFICATE
        return expires_at(path.read_text()) if path.exists() else None

    def certified_from(self) -> float | None:
        """Return the second at which the member's certificate begins; None where it has none."""
        path = self.keyring.folder / CERTIFICATE
        return good_from(path.read_text()) if path.exists() else None

    def renew(self, text: str) -> float | None:
        """The member has the new certificate, or the new password, that the hub's operator sent.

        Return the second at which the certificate ends; None where it is a password.

        Raises:
            ConfigurationError: it is not of this federation, or for another key.
        """
        if self.certified_until() is None:
            self._take_password(text)
            return None
        return self._take_certificate(text)

    def _take_password(self, text: str) -> None:
        try:
            given = NewPassword.model_validate_json(text)
            password = read_new_password(given, self.keyring.identity(), self._governance())
        except (ValidationError, ProtocolError) as error:
            raise ConfigurationError(
                "the password cannot be used",
                why="the federation's governance has not sealed it for this member",
                fix=f"ask the hub's operator for: fedmq hub renew {self.credentials.user}",
            ) from error
        if self.file is not None:
            write_credentials(self.file, replace(self.credentials, password=password))

    def _governance(self) -> bytes:
        return bytes.fromhex(self.keyring.trust().governance)

    def _take_certificate(self, certificate: str) -> float:
        keys = self.keyring.folder
        authority, key = ((keys / name).read_text() for name in (AUTHORITY, CERTIFICATE_KEY))
        if not is_of(certificate, key, self.credentials.user, authority):
            raise ConfigurationError(
                "the certificate cannot be used",
                why="it is not of this federation's authority, or for another key or name",
                fix=f"ask the hub's operator for: fedmq hub renew {self.credentials.user}",
            )
        replace_file(keys / CERTIFICATE, certificate)
        return expires_at(certificate)

    def login(
        self,
        program: str,
        *,
        heartbeat_s: int = 30,
        allows_tls_1_2: bool = False,
        proxy: "Proxy | None" = None,
    ) -> "Login":
        """Return the way to the broker, through a proxy where one is given.

        Raises:
            ConfigurationError: the address cannot be used.
        """
        # The broker's library is needed by those who connect, not by those who read a file.
        from fedmq.transport.rabbitmq import make_login
        from fedmq.transport.rabbitmq_tls import Tls

        known, keys = self.credentials, self.folder / self.credentials.identity
        tls = Tls(authority=None, allows_1_2=allows_tls_1_2)  # whom the system trusts
        if (keys / AUTHORITY).exists():
            has_certificate = (keys / CERTIFICATE).exists()
            tls = Tls(
                authority=keys / AUTHORITY,
                certificate=keys / CERTIFICATE if has_certificate else None,
                key=keys / CERTIFICATE_KEY if has_certificate else None,
                allows_1_2=allows_tls_1_2,
            )
        login = make_login(
            known.url,
            user=known.user,
            password=known.password,
            program=program,
            heartbeat_s=heartbeat_s,
            tls=tls,
            proxy=proxy,
        )
        file = self.file
        if file is None or not known.password:
            return login
        return replace(login, read_password=lambda: read_credentials(file).password)

    def wire(self, tell: Callable[[str, int, str], None] = lambda *_: None) -> KeptWire:
        """Return how the member signs and seals; `tell` hears what happens to its roster.

        Raises:
            ConfigurationError: there are no keys, or they are damaged.
        """
        if not self.credentials.identity:
            raise ConfigurationError(
                f"{self.credentials.user} has no keys",
                why="its credentials name no folder of keys",
                fix="join the federation: ask the hub's operator for a token",
            )
        return KeptWire(self.keyring, tell)


def read_membership(path: Path, role: Role | None = None) -> Membership:
    """Return what a file of credentials, and the folder beside it, say.

    Raises:
        ConfigurationError: as `read_credentials`.
    """
    return Membership(credentials=read_credentials(path, role), folder=path.parent, file=path)
