"""Keys of a federation's members, for tests on a broker that no hub has set up."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from fedmq.hub.credentials import read_credentials, write_credentials
from fedmq.hub.keyring import Keyring, Trust, new_identity
from fedmq.security.identities import Identity
from fedmq.security.roster import Roster, SignedRoster, enrolled, sign_roster
from fedmq.security.wire import SealedWire
from fedmq.types import Role

FEDERATION: Final = "trial"
ISSUED_AT: Final = 1_800_000_000.0


class Keys:
    """The identities of some members, their governance, and the roster that it signed."""

    def __init__(self, roles: Mapping[str, Role], *, version: int = 1) -> None:
        self.governance = new_identity(FEDERATION, Role.ADMIN)
        self.identities = {name: new_identity(name, role) for name, role in roles.items()}
        self.roster = self.make_roster(version, *self.identities)

    def make_roster(self, version: int, *names: str) -> Roster:
        """Return a roster of some of the members."""
        return Roster(
            federation=FEDERATION,
            version=version,
            issued_at=ISSUED_AT,
            members=[enrolled(self.identities[name].public) for name in sorted(names)],
        )

    @property
    def signed(self) -> SignedRoster:
        """The roster as its governance signed it."""
        return sign_roster(self.roster, self.governance)

    def wire(self, name: str) -> SealedWire:
        """Return a member's wire."""
        signed = self.signed
        return SealedWire(
            self.identities[name], self.roster, random=os.urandom, roster_hash=signed.hash
        )

    def write_keyring(self, folder: Path, identity: Identity | None) -> Keyring:
        """Return the keyring of a member, or of somebody who only watches."""
        keyring = Keyring(folder)
        governance = self.governance.public.signing.hex()
        keyring.write_trust(Trust(federation=FEDERATION, governance=governance))
        keyring.write_roster(self.signed)
        if identity is not None:
            keyring.write_identity(identity)
        return keyring


def move_in(credentials: Path, place: Path) -> None:
    """Copy a member's credentials and keys to where its program looks for them."""
    known = read_credentials(credentials)
    keys = place.with_suffix(".keys")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(credentials.parent / known.identity, keys, dirs_exist_ok=True)
    write_credentials(place, replace(known, identity=keys.name))
