"""A membership: what a member's program needs, read from the file of its credentials."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedmq.errors import ConfigurationError
from fedmq.hub.credentials import Credentials, read_credentials
from fedmq.hub.files import replace_file
from fedmq.hub.keyring import AUTHORITY, CERTIFICATE, CERTIFICATE_KEY, KeptWire, Keyring
from fedmq.security.certificates import expires_at, good_from, is_of
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

    def renew(self, certificate: str) -> float:
        """Return the second at which a new certificate ends, which is the member's from now on.

        Raises:
            ConfigurationError: it is not of this federation's authority, or for another key.
        """
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
        return make_login(
            known.url,
            user=known.user,
            password=known.password,
            program=program,
            heartbeat_s=heartbeat_s,
            tls=tls,
            proxy=proxy,
        )

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
    return Membership(credentials=read_credentials(path, role), folder=path.parent)
