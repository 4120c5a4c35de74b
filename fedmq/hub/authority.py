"""The hub's authority: who vouches for the broker and for members, and signs the roster.

Its folder may lie on another machine than the broker: without it nobody joins and nothing is
signed, and everything else goes on.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from fedmq.errors import ConfigurationError
from fedmq.hub.files import locked, make_folder, replace_file
from fedmq.hub.keyring import Keyring, Trust, new_identity
from fedmq.security.certificates import KeyPair, make_authority
from fedmq.security.identities import Identity
from fedmq.security.roster import Roster, SignedRoster, sign_roster
from fedmq.types import Role

_KEY: Final = "ca-key.pem"
_CERTIFICATE: Final = "ca.pem"
_LOCK: Final = "lock"


class Authority:
    """The authority of one federation, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keyring = Keyring(folder)

    @property
    def keyring(self) -> Keyring:
        """The governance's keys and the newest roster, which may be on another machine."""
        return self._keyring

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return (self._folder / _CERTIFICATE).exists()

    def make(self, federation: str, *, now: float) -> None:
        """There is an authority, with a roster of nobody; one that is there stays."""
        if self.exists:
            return
        make_folder(self._folder)
        governance = new_identity(federation, Role.ADMIN)
        self._keyring.write_identity(governance)
        trust = Trust(federation=federation, governance=governance.public.signing.hex())
        self._keyring.write_trust(trust)
        empty = Roster(federation=federation, version=1, issued_at=now, members=[])
        self._keyring.write_roster(sign_roster(empty, governance))
        pair = make_authority(f"{federation} authority", now=now)
        replace_file(self._folder / _KEY, pair.key)
        replace_file(self._folder / _CERTIFICATE, pair.certificate)

    def governance(self) -> Identity:
        """Return the keys that sign rosters and open requests to join.

        Raises:
            ConfigurationError: they are not on this machine.
        """
        return self._keyring.identity()

    def trust(self) -> Trust:
        """Return what members have to trust."""
        return self._keyring.trust()

    def certificates(self) -> KeyPair:
        """Return the key pair that signs certificates.

        Raises:
            ConfigurationError: it is not on this machine.
        """
        try:
            return KeyPair(
                key=(self._folder / _KEY).read_text(),
                certificate=(self._folder / _CERTIFICATE).read_text(),
            )
        except OSError as error:
            raise ConfigurationError(
                "the hub's authority is not on this machine",
                why=f"{_KEY}: {error.strerror}",
                fix="bring the folder `authority` back, or use the machine that has it",
            ) from error

    def signed_roster(self) -> SignedRoster:
        """Return the newest roster."""
        return self._keyring.signed_roster()

    def roster(self) -> Roster:
        """Return the newest roster, read."""
        return self._keyring.roster(self.signed_roster())

    def change(
        self, change: Callable[[Roster, float], Roster], keyrings: Iterable[Keyring]
    ) -> SignedRoster:
        """Return the next roster, which these keyrings of this machine have too."""
        with locked(self._folder / _LOCK):  # two rosters of one version would be a fork
            signed = sign_roster(change(self.roster(), time.time()), self.governance())
            self._keyring.write_roster(signed)
            return self._spread(keyrings)

    def spread(self, keyrings: Iterable[Keyring]) -> SignedRoster:
        """Return the newest roster, which these keyrings of this machine have too."""
        with locked(self._folder / _LOCK):  # or an older one might come after a newer one
            return self._spread(keyrings)

    def _spread(self, keyrings: Iterable[Keyring]) -> SignedRoster:
        signed = self.signed_roster()
        for keyring in keyrings:
            keyring.write_roster(signed)
        return signed
