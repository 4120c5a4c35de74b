"""Enrolment: who is invited, who asks, who is admitted, and who is out again.

An invitation is a token with a secret that the hub keeps the hash of, and a login that can ask and
nothing else. It is good once, and for a day. Whoever is admitted is in the next roster.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.hub.equipment import addresses, give_password, require_not_revoked
from fedmq.hub.files import make_folder, replace_file
from fedmq.hub.members import Hub
from fedmq.hub.register import Invitation, Member, Register
from fedmq.hub.requests import Asked, Requests, require_fingerprint
from fedmq.messages.fields import Value
from fedmq.security.certificates import certify, certify_member
from fedmq.security.joining import (
    JOINER,
    SECRET_BYTES,
    TOKEN_HOURS,
    JoinAnswer,
    JoinRequest,
    JoinToken,
    Way,
    hash_secret,
    make_join_answer,
    make_new_password,
    open_invitation,
)
from fedmq.security.revocation import serial_of
from fedmq.security.roster import SignedRoster, enrolled, with_member, without_member
from fedmq.transport import asking
from fedmq.types import Role

Now = Callable[[], float]


class _Noted(Value):
    """Who was let in, and what they were answered; the password in it is sealed to them."""

    request: JoinRequest
    answer: JoinAnswer


class Enrolment:
    """The comings and goings at one hub."""

    def __init__(self, hub: Hub, folder: Path, now: Now = time.time) -> None:
        self._hub = hub
        self._requests = Requests(hub, folder)
        self._answers = folder / "answers"
        self._now = now

    def invite(self, name: str, role: Role, *, hours: float = TOKEN_HOURS) -> JoinToken:
        """Return a token for a member, whose queues stand from now on; an older token is void.

        Raises:
            ConfigurationError: the name cannot be one, is another's, or is in the roster already.
            TransportError: an external broker does not answer or refuses.
        """
        if self._hub.authority.roster().find(name) is not None:
            raise ConfigurationError(
                f"{name} has joined already",
                why="its keys are in the roster",
                fix=f"if they are lost or stolen: fedmq hub revoke {name}",
            )
        require_not_revoked(self._hub.authority.roster(), name)
        self._hub.add_member(name, role)
        secret, until = secrets.token_hex(SECRET_BYTES), self._now() + hours * 3600
        way, password_hash = self._way(name, hours)
        invitation = Invitation(
            secret_hash=hash_secret(secret),
            expires_at=until,
            password_hash=password_hash,
            serials=(serial_of(way.certificate),) if way.certificate else (),
        )
        if self._is_invited(name):
            self.close(name)  # who is in with the older token is cut off
        self._hub.change(lambda register: register.invited(name, invitation))
        governance = self._hub.authority.governance().public
        return JoinToken(
            federation=governance.name,
            name=name,
            role=role,
            way=way,
            governance=governance.signing.hex(),
            mailbox=governance.sealing.hex(),
            secret=secret,
            expires_at=until,
        )

    def admit(self, request: JoinRequest, fingerprint: str) -> JoinAnswer:
        """Return the answer that makes a member of who asked; the site has it by the broker too.

        `fingerprint` is what the site read out: the request is not taken at its word. The same
        request again has the same answer, so that nobody is half in where this is killed.

        Raises:
            ConfigurationError: it is another's; or the token is unknown, used or too old.
            TransportError: the broker does not answer, or refuses; the member is in all the same,
                and has the answer when it is admitted once more.
        """
        require_fingerprint(Asked(request=request), fingerprint)
        answer = self._answered(request) or self._let_in(request)
        if self._publish(request.name, answer):
            self._hub.change(partial(_fetchable, request.name))
        self._requests.forget(request)
        return answer

    def _answered(self, request: JoinRequest) -> JoinAnswer | None:
        """Return the answer to a request that was admitted before; its member is still in."""
        noted = self._noted(request.name)
        is_same = noted is not None and noted.request == request and self._is_in(request)
        return noted.answer if noted is not None and is_same else None

    def admitted(self, name: str) -> Asked | None:
        """Return what a member asked who was admitted, for one whose answer got lost."""
        noted = self._noted(name)
        return Asked(request=noted.request) if noted and self._is_in(noted.request) else None

    def _noted(self, name: str) -> "_Noted | None":
        try:
            return _Noted.model_validate_json((self._answers / f"{name}.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def _is_in(self, request: JoinRequest) -> bool:
        member = self._hub.authority.roster().find(request.name)
        return member is not None and member.public == request.public

    def _let_in(self, request: JoinRequest) -> JoinAnswer:
        """Return the answer to a new member, which is noted before anybody has it."""
        password, new = "", self._invited(request)
        certificate = ""
        if request.certificate_request and self._hub.register().external is None:
            certificate = certify_member(
                self._hub.authority.certificates(),
                request.certificate_request,
                request.name,
                now=self._now(),
            )
            new = new.certified(certificate)
        else:
            password, new = give_password(new)
        register = self._hub.change(lambda known: known.with_member(new))
        signed = self._enrol(request)
        answer = make_join_answer(
            request,
            self._hub.authority.governance(),
            url=addresses(register, self._hub.broker)[0],
            authority=self._authority(register),
            certificate=certificate,
            password=password,
            roster=signed.notice,
        )
        if certificate:
            path = self._hub.request_path(request.name)
            make_folder(path.parent)
            replace_file(path, request.certificate_request)
        make_folder(self._answers)
        noted = _Noted(request=request, answer=answer)
        replace_file(self._answers / f"{request.name}.json", noted.model_dump_json())
        return answer

    def renew(self, name: str) -> str:
        """Return a new certificate for the key that a member has, as PEM.

        At a broker of others it is a new password, sealed to the member, in the place of the one
        that it has. It is no secret: any way to the member will do. Empty: it is done, for one
        whose keys lie in the hub's folder.

        Raises:
            ConfigurationError: there is no such member, or it has nothing of this hub to renew.
            TransportError: a broker of others does not answer, or refuses.
        """
        known = self._hub.authority.roster().find(name)
        if known is not None and self._hub.register().external is not None:
            password = self._hub.replace_password(name)
            governance = self._hub.authority.governance()
            if self._hub.credentials_path(name).exists():
                return ""
            return make_new_password(password, known.public, governance).model_dump_json()
        if self._hub.renew_here(name, now=self._now()):
            return ""
        try:
            request = self._hub.request_path(name).read_text()
        except OSError as error:
            raise ConfigurationError(
                f"{name} has no certificate to renew",
                why="it did not join here with one, and its keys are not in the hub's folder",
                fix="fedmq hub status lists the members",
            ) from error
        self._hub.require_member(name)
        authority = self._hub.authority.certificates()
        certificate = certify_member(authority, request, name, now=self._now())
        self._hub.change(partial(_certified, name, certificate))
        return certificate

    def revoke(self, name: str, reason: str) -> SignedRoster:
        """Return the roster without a member: it is cut off, and what it signs counts no more.

        What was asked in its name is gone too, and so are its files in the hub's folder.

        Raises:
            ConfigurationError: there is no such member, or the hub needs it.
            StorageError: the disk keeps its files; it is cut off all the same.
            TransportError: an external broker does not answer or refuses; it is done at `up`.
        """
        self._hub.require_removable(name)
        signed = self._hub.authority.change(
            lambda roster, at: without_member(roster, name, reason, at=at), self._hub.keyrings()
        )
        self._hub.remove_member(name)
        self._requests.forget_all(name)
        return signed

    def close(self, name: str) -> None:
        """The login and queue of who joined as `name` are gone, and so is its certificate."""
        self._hub.change(lambda register: register.invited(name, None))

    def tidy(self) -> None:
        """Invitations that are too old, or whose answer was fetched, have no login any more."""
        register = self._hub.register()
        for member in register.members:
            if self._is_done(register, member):
                self.close(member.name)

    def is_over(self, name: str) -> bool:
        """Return whether who was admitted has fetched the answer; its login is gone then."""
        register = self._hub.register()
        member = register.find(name)
        if member is not None and self._is_done(register, member):
            self.close(name)
        return not self._is_invited(name)

    def _is_invited(self, name: str) -> bool:
        member = self._hub.register().find(name)
        return member is not None and member.invitation is not None

    def _is_done(self, register: Register, member: Member) -> bool:
        if member.invitation is None:
            return False
        if member.invitation.expires_at < self._now():
            return True
        return member.invitation.is_used and self._is_fetched(register, member.name)

    def _is_fetched(self, register: Register, name: str) -> bool:
        """Return whether no answer is left in a queue; where the broker is away, that is not known.

        It is looked at: what the broker counts is a second old, and was nothing then.
        """
        management = self._hub.management(register)
        if management is None:
            return False
        queue = asking.join_answers(name)
        if queue not in management.names("queues", register.vhost):
            return True
        return management.look(register.vhost, queue, max_bytes=1) is None

    def _way(self, name: str, hours: float) -> tuple[Way, str]:
        """Return the way of who joins, and the hash of its password where it has one."""
        register = self._hub.register()
        url, _ = addresses(register, self._hub.broker)
        if register.external is not None:
            password, member = give_password(Member(name=name, role=Role.NODE))
            way = Way(url=url, authority=register.external.authority, password=password)
            return way, member.password_hash
        authority = self._hub.authority.certificates()
        pair = certify(authority, JOINER + name, now=self._now(), days=hours / 24)
        way = Way(
            url=url,
            authority=authority.certificate,
            certificate=pair.certificate,
            key=pair.key,
        )
        return way, ""

    def _authority(self, register: Register) -> str:
        if register.external is not None:
            return register.external.authority
        return self._hub.authority.certificates().certificate

    def _invited(self, request: JoinRequest) -> Member:
        try:
            secret = open_invitation(request, self._hub.authority.governance())
        except ProtocolError as error:
            raise ConfigurationError(
                f"{request.name} is not admitted", why=str(error), fix="ask again with a new token"
            ) from error
        member = self._hub.register().find(request.name)
        invitation = None if member is None else member.invitation
        why = ""
        if member is None or invitation is None or member.role is not request.role:
            why = "nobody of that name and role is invited"
        elif not secrets.compare_digest(invitation.secret_hash, hash_secret(secret)):
            why = "the token is not the newest one for that name"
        elif self._hub.authority.roster().find(request.name) and not self._is_in(request):
            why = "its token was used already"
        elif invitation.expires_at < self._now():
            why = "its token is too old"
        if why or member is None:
            raise ConfigurationError(
                f"{request.name} is not admitted",
                why=why,
                fix=f"invite it again: fedmq hub add-{request.role} {request.name}",
            )
        return member

    def _enrol(self, request: JoinRequest) -> SignedRoster:
        if self._is_in(request):  # killed behind this, the last time
            return self._hub.authority.spread(self._hub.keyrings())
        new = enrolled(request.public)
        return self._hub.authority.change(
            lambda roster, at: with_member(roster, new, at=at), self._hub.keyrings()
        )

    def _publish(self, name: str, answer: JoinAnswer) -> bool:
        """Return whether the broker has the answer; where it is away, a file brings it.

        So it does where the invitation is over, and its queue is gone.
        """
        register = self._hub.register()
        management = self._hub.management(register)
        if management is None:
            return False
        queue = asking.join_answers(name)
        return management.publish(register.vhost, queue, answer.model_dump_json().encode())


def _certified(name: str, certificate: str, register: Register) -> Register:
    member = register.find(name)
    return register if member is None else register.with_member(member.certified(certificate))


def _fetchable(name: str, register: Register) -> Register:
    """Return the register in which an invitation is over once its answer was fetched."""
    member = register.find(name)
    if member is None or member.invitation is None:
        return register
    used = replace(member.invitation, is_used=True)
    return register.with_member(replace(member, invitation=used))
