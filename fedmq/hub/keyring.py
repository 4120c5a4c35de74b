"""A member's keyring: the folder with its own keys, the roster, and what it trusts.

keys.json         the member's private keys, for its owner alone
next.json         those that take their place once the roster names them, if there are some
trust.json        the key of the federation's governance, pinned when the member joined
roster.json       the newest roster, as the governance signed it
held.json         a newer one that a person has to look at first, if there is one: what it takes
                  away counts already
authority.pem     the certificate of who vouches for the broker, where there is TLS
certificate.pem   the member's own certificate for the broker, and its key
key.pem
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from fedmq.errors import IF_REVOKED, ConfigurationError, ProtocolError
from fedmq.hub.files import locked, make_folder, replace_file
from fedmq.messages.fields import Id, Value
from fedmq.messages.notices import RosterNotice
from fedmq.security.identities import SECRET_BYTES, Identity, make_identity
from fedmq.security.roster import (
    KeyHex,
    Roster,
    SignedRoster,
    open_roster,
    read_notice,
    restrict_roster,
    unproven,
)
from fedmq.security.rotation import keys_by_roster
from fedmq.security.wire import SealedWire
from fedmq.types import Role

AUTHORITY: Final = "authority.pem"
CERTIFICATE: Final = "certificate.pem"
CERTIFICATE_KEY: Final = "key.pem"
_KEYS: Final = "keys.json"
_NEXT: Final = "next.json"
_LOCK: Final = "lock"
_TRUST: Final = "trust.json"
_ROSTER: Final = "roster.json"
_HELD: Final = "held.json"
_COPY: Final = "put back a copy, or join the federation again"
_BROUGHT_AGAIN: Final = "remove it: other members bring that roster again"

_T = TypeVar("_T")


class _Keys(Value):
    """What keys.json holds."""

    name: Id
    role: Role = Field(strict=False)
    signing: KeyHex
    sealing: KeyHex
    payloads: KeyHex
    retired: list[KeyHex] = Field(default_factory=list)


class Trust(Value):
    """What a member was told when it joined, and believes no message about."""

    federation: Id
    governance: KeyHex


@dataclass(frozen=True, slots=True)
class Keyring:
    """One folder of keys."""

    folder: Path

    def write_identity(self, identity: Identity) -> None:
        """The folder holds these keys, for its owner alone."""
        make_folder(self.folder)
        replace_file(self.folder / _KEYS, _written(identity))

    def identity(self) -> Identity:
        """Return the member's keys.

        Raises:
            ConfigurationError: there are none, or the file is damaged.
        """
        return _read_back(self._read(_KEYS, TypeAdapter(_Keys)))

    def upcoming(self) -> Identity | None:
        """Return the keys that wait for a roster that names them, None where there are none.

        Raises:
            ConfigurationError: the file is damaged.
        """
        try:
            return _read_back(self._read(_NEXT, TypeAdapter(_Keys)))
        except ConfigurationError:
            if (self.folder / _NEXT).exists():
                raise
            return None  # or their turn has come this moment, in another program

    def prepare(self, *, is_fresh: bool = False) -> tuple[Identity, Identity]:
        """Return the member's keys and the next ones, which are made now unless some wait already.

        `is_fresh` makes others in the place of those that wait: who took a copy has them too.

        Raises:
            ConfigurationError: there are none, or a file is damaged.
        """
        with locked(self.folder / _LOCK):
            present, upcoming = self.identity(), self.upcoming()
            if upcoming is None or is_fresh:
                upcoming = new_identity(present.name, present.role)
                replace_file(self.folder / _NEXT, _written(upcoming))
            return present, upcoming

    def settle(self, roster: Roster) -> Identity:
        """Return the keys that the roster names: the next ones, once it is their turn.

        Killed at any moment and done again it comes to the same.

        Raises:
            ConfigurationError: there are no keys, or a file is damaged.
        """
        if self.upcoming() is None:
            return self.identity()  # nothing is written where there is nothing to change
        with locked(self.folder / _LOCK):
            present, upcoming = self.identity(), self.upcoming()
            found = keys_by_roster(roster, present, upcoming)
            if found != present:
                self.write_identity(found)
            if upcoming is not None and found.public == upcoming.public:
                (self.folder / _NEXT).unlink(missing_ok=True)
            return found

    def write_trust(self, trust: Trust) -> None:
        """The member trusts this governance."""
        make_folder(self.folder)
        replace_file(self.folder / _TRUST, trust.model_dump_json(indent=1))

    def trust(self) -> Trust:
        """Return whom the member trusts.

        Raises:
            ConfigurationError: the file is missing or damaged.
        """
        return self._read(_TRUST, TypeAdapter(Trust))

    def write_roster(self, signed: SignedRoster) -> None:
        """This is the member's roster; none is held back any more, but one that is newer."""
        replace_file(self.folder / _ROSTER, signed.notice.model_dump_json(indent=1))
        if (self.folder / _HELD).exists():
            with locked(self.folder / _LOCK):
                if self.held_roster() is None:
                    (self.folder / _HELD).unlink(missing_ok=True)

    def hold_roster(self, signed: SignedRoster) -> bool:
        """Return whether this roster waits for a person's word from now on.

        Not where it does already, or one of its version or a newer one waits or was accepted.
        """
        with locked(self.folder / _LOCK):
            accepted, held = self.rosters()
            is_newer = self.roster(held or accepted).version < self.roster(signed).version
            if is_newer:
                replace_file(self.folder / _HELD, signed.notice.model_dump_json(indent=1))
            return is_newer

    def signed_roster(self) -> SignedRoster:
        """Return the member's roster as it was signed.

        Raises:
            ConfigurationError: the file is missing or damaged.
        """
        return read_notice(self._read(_ROSTER, TypeAdapter(RosterNotice)))

    def held_roster(self) -> SignedRoster | None:
        """Return the newer roster that waits for a person's word, None where none does.

        Raises:
            ConfigurationError: as `rosters`.
        """
        return self.rosters()[1]

    def rosters(self) -> tuple[SignedRoster, SignedRoster | None]:
        """Return the member's roster, and the newer one that waits, if one does.

        What is in its place and is older, or was not signed by the governance, counts for nothing.

        Raises:
            ConfigurationError: a file is damaged, or there is no roster.
        """
        held = self._held()  # first: where somebody agrees, the other one is written before it goes
        signed = self.signed_roster()
        if held is not None and self.roster(held).version > self.roster(signed).version:
            return signed, held
        return signed, None

    def believed(self, accepted: Roster, held: SignedRoster | None) -> Roster:
        """Return a roster of the member less what one takes away that waits, if one does."""
        return accepted if held is None else restrict_roster(accepted, self.roster(held))

    def roster(self, signed: SignedRoster) -> Roster:
        """Return a roster that the member's governance signed.

        Raises:
            ProtocolError: it did not.
        """
        return open_roster(signed, bytes.fromhex(self.trust().governance))

    def roster_stamp(self) -> tuple[int, int]:
        """Return what changes when another program writes a roster, or one to be held."""
        return self._written_at(_ROSTER), self._written_at(_HELD)

    def _written_at(self, name: str) -> int:
        try:
            return (self.folder / name).stat().st_mtime_ns
        except OSError:
            return 0

    def _held(self) -> SignedRoster | None:
        """Return what waits, if the governance signed it."""
        try:
            signed = read_notice(self._read(_HELD, TypeAdapter(RosterNotice), _BROUGHT_AGAIN))
            self.roster(signed)
        except ProtocolError:
            return None
        except ConfigurationError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        return signed

    def write_certificate(self, *, authority: str, certificate: str, key: str) -> None:
        """The member shows this certificate to a broker for which the authority vouches."""
        make_folder(self.folder)
        replace_file(self.folder / AUTHORITY, authority)
        if certificate:
            replace_file(self.folder / CERTIFICATE_KEY, key)
            replace_file(self.folder / CERTIFICATE, certificate)

    def _read(self, name: str, adapter: TypeAdapter[_T], fix: str = _COPY) -> _T:
        path = self.folder / name
        try:
            return adapter.validate_json(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(
                f"the keys in {self.folder} cannot be read",
                why=f"{name}: {error.strerror or error}",
                fix=IF_REVOKED + "put back a copy, or have them let it in anew",
            ) from error
        except ValidationError as error:
            raise ConfigurationError(
                f"{path} is damaged",
                why=f"{error.error_count()} of its fields are not what this program writes",
                fix=fix,
            ) from error


def _written(identity: Identity) -> str:
    keys = _Keys(
        name=identity.name,
        role=identity.role,
        signing=identity.signing.hex(),
        sealing=identity.sealing.hex(),
        payloads=identity.payloads.hex(),
        retired=[key.hex() for key in identity.retired],
    )
    return keys.model_dump_json(indent=1)


def _read_back(keys: _Keys) -> Identity:
    return Identity(
        name=keys.name,
        role=keys.role,
        signing=bytes.fromhex(keys.signing),
        sealing=bytes.fromhex(keys.sealing),
        payloads=bytes.fromhex(keys.payloads),
        retired=tuple(map(bytes.fromhex, keys.retired)),
    )


def new_identity(name: str, role: Role) -> Identity:
    """Return an identity of fresh keys."""
    return make_identity(name, role, [os.urandom(SECRET_BYTES) for _ in range(3)])


class KeptWire(SealedWire):
    """The wire of a member by its keyring, which it keeps up to date."""

    def __init__(
        self, keyring: Keyring, tell: Callable[[str, int, str], None] = lambda *_: None
    ) -> None:
        """Read the keyring; `tell` hears what happens to the roster: what, its version, to whom."""
        self._keyring = keyring
        self._tell = tell
        self._stamp = keyring.roster_stamp()
        self._signed, held = keyring.rosters()
        self._accepted = keyring.roster(self._signed)
        identity, roster_hash = keyring.settle(self._accepted), self._signed.hash
        super().__init__(identity, self._accepted, random=os.urandom, roster_hash=roster_hash)
        self._hold(held)

    @property
    def newest(self) -> int:
        """The version of the newest roster that is known: one may wait for a person's word."""
        return self._known[-1][0]

    def learn(self, notice: RosterNotice) -> None:
        """Take a roster, if the governance signed it and it is newer than the one that is known.

        One in which an orchestrator has keys for which its earlier ones do not vouch waits until a
        person has looked at it; what it takes away counts at once.

        Raises:
            ProtocolError: roster_forged, roster_invalid; or roster_forked: the governance signed
                two different rosters of one version.
        """
        self.review()
        signed = read_notice(notice)
        roster = self._keyring.roster(signed)
        if roster.version == self.roster.version and signed.content != self._signed.content:
            raise ProtocolError("roster_forked", f"there are two rosters {roster.version}")
        if roster.version <= self.roster.version:
            return
        if roster.federation != self.roster.federation:
            raise ProtocolError("roster_forged", "the roster is of another federation")
        held = self._keyring.held_roster()
        is_rival = held is not None and signed.content != held.content
        if held is not None and is_rival and roster.version == self._keyring.roster(held).version:
            raise ProtocolError("roster_forked", f"there are two rosters {roster.version}")
        strangers = unproven(self._accepted, roster, Role.ORCHESTRATOR)
        if not strangers:
            self._keyring.write_roster(signed)
            self._refresh()
        elif self._keyring.hold_roster(signed):
            self._refresh()
            self._tell("roster_held", roster.version, ", ".join(one.name for one in strangers))

    def notice(self) -> RosterNotice | None:
        """Return the roster for others."""
        return self._signed.notice

    def notices(self, *, beyond: int) -> Sequence[tuple[int, RosterNotice]]:
        """Return the rosters for others that are newer than a version, one that waits too."""
        return [(version, one.notice) for version, one in self._known if version > beyond]

    def review(self) -> None:
        """Look whether another program of this machine has written a newer roster."""
        if self._keyring.roster_stamp() != self._stamp:
            self._refresh()

    def _refresh(self) -> None:
        stamp = self._keyring.roster_stamp()
        signed, held = self._keyring.rosters()
        roster = self._keyring.roster(signed)
        if roster.version > self.roster.version:
            self._take(signed, roster, held)
        else:
            self._hold(held)
        # That of before the reading: what was written since is read with the next look.
        self._stamp = stamp

    def _take(self, signed: SignedRoster, roster: Roster, held: SignedRoster | None) -> None:
        # The keys first: where the disk refuses them, the roster is taken again with the next look.
        before, identity = self.identity, self._keyring.settle(roster)
        self._signed, self._accepted, self.identity = signed, roster, identity
        self.roster_hash = signed.hash
        self._hold(held)
        if identity.public != before.public:
            self._tell("keys_changed", roster.version, "")
        self._tell("roster_learnt", roster.version, "")

    def _hold(self, held: SignedRoster | None) -> None:
        """What waits takes away from what is accepted, and is known to others by this member."""
        self.roster = self._keyring.believed(self._accepted, held)
        waiting = [] if held is None else [(self._keyring.roster(held).version, held)]
        self._known = [(self._accepted.version, self._signed), *waiting]
