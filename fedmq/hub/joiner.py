"""Joining, at the site: keys are made here and stay here, and the hub is believed by fingerprint.

While it is under way, all of it is in a folder beside the credentials that it will end in; begun
again with the same token it goes on with the same keys. The credentials are written last.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.hub.credentials import Credentials, read_credentials, write_credentials
from fedmq.hub.files import make_folder, replace_file
from fedmq.hub.keyring import (
    AUTHORITY,
    CERTIFICATE,
    CERTIFICATE_KEY,
    Keyring,
    Trust,
    new_identity,
)
from fedmq.hub.membership import Membership
from fedmq.security.certificates import is_of, make_key, make_request
from fedmq.security.joining import (
    JOINER,
    JoinAnswer,
    JoinRequest,
    JoinToken,
    make_join_request,
    open_password,
    require_answer,
)
from fedmq.security.roster import governance_fingerprint, read_notice

_REQUEST: Final = "request.json"
_INVITATION: Final = "invitation.txt"
_WAY: Final = "way"


@dataclass(frozen=True, slots=True)
class Joiner:
    """One joining, which ends in a file of credentials."""

    credentials: Path

    @property
    def folder(self) -> Path:
        """Where everything is until it is over."""
        return self.credentials.with_suffix(".joining")

    @property
    def _own(self) -> Keyring:
        return Keyring(self.folder / "keys")

    @property
    def _keys(self) -> Path:
        """Where the keys are once it is over."""
        return self.credentials.with_suffix(".keys")

    def begin(self, token: JoinToken) -> JoinRequest:
        """Return the request of keys that are made now, or were when this token came first.

        Raises:
            ConfigurationError: these credentials are of a member already.
        """
        if self.credentials.exists():
            known = read_credentials(self.credentials)
            raise ConfigurationError(
                f"{known.user} has joined already",
                why=f"{self.credentials} holds its credentials",
                fix="choose another FEDMQ_HOME, or remove the member's folder to begin anew",
            )
        if self._keys.exists() and not self._own.folder.exists() and self.folder.exists():
            self._keys.rename(self._own.folder)  # killed just before the credentials were written
        if self._read(_INVITATION) == token.text and (self.folder / _REQUEST).exists():
            return JoinRequest.model_validate_json(self._read(_REQUEST))
        shutil.rmtree(self.folder, ignore_errors=True)
        make_folder(self.folder)
        identity = new_identity(token.name, token.role)
        self._own.write_identity(identity)
        self._own.write_trust(Trust(federation=token.federation, governance=token.governance))
        certificate_request = ""
        if token.way.certificate:
            key = make_key()
            replace_file(self._own.folder / CERTIFICATE_KEY, key)
            certificate_request = make_request(key, token.name)
        if token.way.authority:
            Keyring(self.folder / _WAY).write_certificate(
                authority=token.way.authority,
                certificate=token.way.certificate,
                key=token.way.key,
            )
        request = make_join_request(token, identity, certificate_request)
        replace_file(self.folder / _REQUEST, request.model_dump_json())
        replace_file(self.folder / _INVITATION, token.text)
        return request

    def way(self, token: JoinToken) -> Membership:
        """Return what lets this machine ask, and nothing else."""
        login = Credentials(
            url=token.way.url,
            user=JOINER + token.name,
            role=token.role,
            password=token.way.password,
            identity=_WAY,
        )
        return Membership(credentials=login, folder=self.folder)

    def finish(self, token: JoinToken, answer: JoinAnswer) -> Credentials:
        """Return the credentials that the hub's answer makes; this machine is the member now.

        Raises:
            ConfigurationError: the answer is not this federation's, or is for another request.
        """
        identity = self._own.identity()
        request = JoinRequest.model_validate_json(self._read(_REQUEST))
        try:
            require_answer(answer, request, bytes.fromhex(token.governance))
            signed = read_notice(answer.roster)
            known = self._own.roster(signed).find(token.name)
            password = open_password(answer.password, identity) if answer.password else ""
        except ProtocolError as error:
            raise _not_ours(str(error)) from error
        if known is None or known.public != identity.public:
            raise _not_ours("the roster has other keys for this member")
        if answer.authority != token.way.authority:
            # The token came by a way of its own: it may be the one that somebody has altered.
            raise _not_ours("another authority vouches for its broker than the token says")
        if answer.certificate:
            key = (self._own.folder / CERTIFICATE_KEY).read_text()
            if not is_of(answer.certificate, key, token.name, answer.authority):
                raise _not_ours("its certificate is not of this authority, or for another key")
            replace_file(self._own.folder / CERTIFICATE, answer.certificate)
        if answer.authority:
            replace_file(self._own.folder / AUTHORITY, answer.authority)
        self._own.write_roster(signed)
        shutil.rmtree(self._keys, ignore_errors=True)
        self._own.folder.rename(self._keys)
        credentials = Credentials(
            url=answer.url,
            user=token.name,
            role=token.role,
            password=password,
            identity=self._keys.name,
        )
        write_credentials(self.credentials, credentials)
        shutil.rmtree(self.folder, ignore_errors=True)
        return credentials

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text()
        except OSError:
            return ""


def federation_fingerprint(token: JoinToken) -> str:
    """Return the fingerprint that the hub's operator reads out, and the site compares."""
    return governance_fingerprint(bytes.fromhex(token.governance))


def read_answer(text: str | bytes) -> JoinAnswer:
    """Return the hub's answer.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return JoinAnswer.model_validate_json(text)
    except ValidationError as error:
        raise ConfigurationError(
            "this is no answer of a hub",
            why=f"{error.error_count()} of its fields are not what a hub writes",
            fix="ask the hub's operator for the file again: fedmq hub admit NAME --answer FILE",
        ) from error


def _not_ours(why: str) -> ConfigurationError:
    return ConfigurationError(
        "the hub's answer is not believed",
        why=why,
        fix="tell the hub's operator, and have it sent again: fedmq hub admit NAME --answer FILE;"
        " if that is not believed either, somebody is in between, or the token is not theirs",
    )
