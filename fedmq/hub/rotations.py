"""Rotations: members whose signing and sealing keys change, one for the other, by the roster."""

from pathlib import Path

from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.hub.members import Hub
from fedmq.hub.requests import Asked, Requests, require_fingerprint
from fedmq.security.roster import SignedRoster, with_next_keys, without_earlier_keys
from fedmq.security.rotation import RotationRequest, require_rotation


class Rotations:
    """The changes of keys at one hub."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self._hub = hub
        self._requests = Requests(hub, folder)

    def present(self, name: str) -> str:
        """Return the fingerprint of the keys that a member has; empty where it is none."""
        member = self._hub.authority.roster().find(name)
        return "" if member is None else member.public.fingerprint

    def admit(
        self, request: RotationRequest, fingerprint: str, *, are_stolen: bool = False
    ) -> SignedRoster:
        """Return the roster in which a member has the keys that it asked for.

        `fingerprint` is what the site read out: who has stolen the present keys can ask with them
        too. Where they are stolen, nothing that they sign counts from now on, and an orchestrator
        gets another certificate, in the hub's folder. Killed between the roster and the rest, the
        same again comes to the same.

        Raises:
            ConfigurationError: the fingerprint is another's, or the request does not hold.
            TransportError: the broker does not cut the thief off; the same again does.
        """
        require_fingerprint(Asked(request=request), fingerprint)
        authority = self._hub.authority
        known = authority.roster().find(request.name)
        if known is not None and known.public == request.public:
            signed = authority.spread(self._hub.keyrings())
            roster = authority.roster()
            if are_stolen and not all(map(roster.is_revoked, known.all_signing_keys[1:])):
                signed = authority.change(
                    lambda roster, at: without_earlier_keys(roster, request.name, at=at),
                    self._hub.keyrings(),
                )
        else:
            try:
                require_rotation(request, authority.roster())
            except ProtocolError as error:
                raise ConfigurationError(
                    f"{request.name} does not get other keys",
                    why=str(error),
                    fix="let it ask again: rotate, where its keys are; if those are lost, revoke it"
                    " and invite it under another name",
                ) from error
            signed = authority.change(
                lambda roster, at: with_next_keys(
                    roster, request.public, request.proof, are_stolen=are_stolen, at=at
                ),
                self._hub.keyrings(),
            )
        if are_stolen and self._hub.is_own(request.name):
            self._hub.replace_certificate(request.name)
        self._requests.forget(request)
        return signed
