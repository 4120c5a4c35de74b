"""TLS to RabbitMQ: whom to believe, what to show, and which versions are good enough."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from fedmq.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Who vouches for the broker, and what this program shows it."""

    authority: Path | None
    """PEM of those who vouch for the broker; None: those that the system trusts."""
    certificate: Path | None = None
    key: Path | None = None
    allows_1_2: bool = False

    def authorities(self) -> str:
        """Return those who vouch for the broker, as PEM; empty: those that the system trusts."""
        try:
            return "" if self.authority is None else self.authority.read_text()
        except (OSError, UnicodeDecodeError):
            return ""

    def context(self) -> ssl.SSLContext:
        """Return the rules of a connection.

        Raises:
            ConfigurationError: a file is missing or is none.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        older = ssl.TLSVersion.TLSv1_2 if self.allows_1_2 else ssl.TLSVersion.TLSv1_3
        context.minimum_version = older
        try:
            if self.authority is None:
                context.load_default_certs()
            else:
                context.load_verify_locations(cafile=self.authority)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                "the certificates for the broker cannot be used",
                why=f"{self.certificate or self.authority}: {error.strerror or error}",
                fix="put back a copy; if the hub removed it, ask its operator whether this member"
                " was revoked",
            ) from error
        return context
