"""The hub's own members: their keys, certificates and credentials are made in the hub's folder.

Those that every hub has, and the orchestrators that were added. Their files may have been moved to
another machine since. All others join with a token, and the hub never sees their keys.
"""

import shutil
import time
from dataclasses import replace

from fedmq.errors import StorageError
from fedmq.hub.authority import Authority
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.credentials import Credentials, read_credentials, write_credentials
from fedmq.hub.equipment import addresses, enrol, give_password
from fedmq.hub.files import make_folder, replace_file
from fedmq.hub.kept_register import KeptRegister
from fedmq.hub.keyring import Keyring
from fedmq.hub.ports import LOOPBACK
from fedmq.hub.register import BUILT_IN, Member, Register
from fedmq.security.certificates import certify, certify_broker, make_request
from fedmq.types import Role


class OwnMembers:
    """What lies in one hub's folder for members of its own, and for its broker."""

    def __init__(self, kept: KeptRegister, authority: Authority, broker: PrivateBroker) -> None:
        self._kept = kept
        self._authority = authority
        self._broker = broker

    def is_here(self, name: str) -> bool:
        """Return whether the credentials of a member lie here, and not elsewhere or nowhere."""
        return self._kept.credentials_path(name).exists()

    def keyring(self, name: str) -> Keyring:
        """Return the keyring of one of them."""
        return Keyring(self._kept.credentials_path(name).with_suffix(".keys"))

    def keyrings(self) -> tuple[Keyring, ...]:
        """Return all keyrings that lie here."""
        return tuple(Keyring(path) for path in sorted(self._kept.credentials.glob("*.keys")))

    def lacks(self, member: Member) -> bool:
        """Return whether a member has yet to get what it needs.

        What every hub has is made anew where it is lost. An orchestrator that was added has its
        files where they were moved to.
        """
        if member.name in BUILT_IN:
            return not self.is_here(member.name)
        return member.is_own and not member.is_equipped

    def equip(self, register: Register, name: str, role: Role) -> Register:
        """Return the register in which one of them has all it needs, in files of the folder.

        Killed before the register is written, it is not equipped, and gets all of it anew.
        """
        path, keyring = self._kept.credentials_path(name), self.keyring(name)
        make_folder(path.parent)
        member = register.find(name) or Member(name=name, role=role)
        password = ""
        if register.external is None:
            register = self.certify(register, member, time.time())
            member = register.find(name) or member
        elif register.external.authority:
            keyring.write_certificate(authority=register.external.authority, certificate="", key="")
        if register.external is not None or role.sees_management:
            password, member = give_password(member)
        keyring.write_trust(self._authority.trust())
        keyring.write_roster(self._authority.signed_roster())
        if role is Role.ORCHESTRATOR:
            enrol(self._authority, keyring, name, role, self.keyrings())
        url, admin_url = addresses(register, self._broker)
        credentials = Credentials(
            url=url,
            user=name,
            password=password,
            role=role,
            admin_url=admin_url if role.sees_management else "",
            identity=keyring.folder.name,
        )
        write_credentials(path, credentials)
        return register.with_member(member)

    def certify(self, register: Register, member: Member, now: float) -> Register:
        """Return the register in which a member has a new certificate, which its keyring has.

        The register knows it before anybody has it: one that it does not know, nobody can revoke.
        """
        authority = self._authority.certificates()
        pair = certify(authority, member.name, now=now)
        new = member.certified(pair.certificate)
        self._kept.write(register.with_member(replace(new, certified_until=member.certified_until)))
        self.keyring(member.name).write_certificate(
            authority=authority.certificate, certificate=pair.certificate, key=pair.key
        )
        request = self._kept.request_path(member.name)  # for when the key is elsewhere
        make_folder(request.parent)
        replace_file(request, make_request(pair.key, member.name))
        return register.with_member(new)

    def certify_broker(self, register: Register) -> None:
        """The broker shows a certificate for the names under which members reach it."""
        authority = self._authority.certificates()
        pair = certify_broker(authority, [*register.hosts, LOOPBACK], now=time.time())
        self._broker.use_tls(authority=authority.certificate, pair=pair)

    def write_password(self, name: str, password: str) -> None:
        """The credentials of a member have this password, if they lie here."""
        path = self._kept.credentials_path(name)
        if path.exists():
            write_credentials(path, replace(read_credentials(path), password=password))

    def remove(self, member: Member) -> None:
        """Nothing that the hub made for a member lies here.

        Raises:
            StorageError: the disk refuses.
        """
        path, folder = self._kept.credentials_path(member.name), self.keyring(member.name).folder
        try:
            path.unlink(missing_ok=True)
            if member.is_own and folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise StorageError(
                f"{member.name} is out, and its files are still here",
                why=error.strerror or str(error),
                fix=f"remove {path} and {folder} by hand; nobody gets in with them",
            ) from error
