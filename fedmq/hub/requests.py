"""What waits for the hub's operator: who wants to join, and members who want other keys.

Requests come through the broker or as files, and stay here until they are answered. What stands at
the broker is looked at and left there, each asker's newest request: nothing is lost whenever the
hub is killed. Which one was kept here is noted, so that it is not taken for a new one.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from fedmq.errors import ConfigurationError
from fedmq.hub.files import make_folder, replace_file
from fedmq.hub.members import Hub
from fedmq.security.joining import JOINER, JoinRequest
from fedmq.security.rotation import RotationRequest
from fedmq.transport import asking

Request = JoinRequest | RotationRequest
_ANY: Final[TypeAdapter[Request]] = TypeAdapter(Request)
_JOIN: Final = ".json"
_ROTATION: Final = ".keys.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Somebody who wants to become a member, or a member who wants other keys."""

    request: Request

    @property
    def fingerprint(self) -> str:
        """What the hub's operator compares with what the site reads out."""
        return self.request.public.fingerprint

    @property
    def wish(self) -> str:
        """What is asked for, in a word or two."""
        return "new keys" if isinstance(self.request, RotationRequest) else "to join"


class Requests:
    """The requests that wait at one hub."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self._hub = hub
        self._folder = folder / "requests"
        self._seen = self._folder / "seen"

    def waiting(self) -> tuple[Asked, ...]:
        """Return who asked and is not answered, by name; what waits at the broker is fetched.

        Raises:
            TransportError: the broker does not answer, or refuses.
        """
        self._fetch()
        make_folder(self._folder)
        found = (
            parse_request(path.read_text(), str(path))
            for path in sorted(self._folder.glob("*.json"))
        )
        return tuple(Asked(request=request) for request in found)

    def keep(self, request: Request) -> Asked:
        """Return a request that came; it waits to be admitted, and an older one does not."""
        make_folder(self._folder)
        replace_file(self._path(request), request.model_dump_json())
        return Asked(request=request)

    def forget(self, request: Request) -> None:
        """The request is answered."""
        self._path(request).unlink(missing_ok=True)

    def forget_all(self, name: str) -> None:
        """Nothing asked in a name waits any more; what stood at the broker went with its queue."""
        for ending in (_JOIN, _ROTATION):
            (self._folder / f"{name}{ending}").unlink(missing_ok=True)

    def _path(self, request: Request) -> Path:
        ending = _JOIN if isinstance(request, JoinRequest) else _ROTATION
        return self._folder / f"{request.name}{ending}"

    def _fetch(self) -> None:
        register = self._hub.register()
        management = self._hub.management(register)
        if management is None:
            return
        present = management.names("queues", register.vhost)
        for member in register.members:
            queue = asking.hub_requests(member.name)
            if queue not in present:
                continue
            found = management.look(register.vhost, queue, max_bytes=asking.REQUEST_BYTES)
            if found is not None:
                self._take(member.name, *found)

    def _take(self, name: str, user: str, body: bytes) -> None:
        """Keep what stands in somebody's queue, once."""
        digest = hashlib.sha256(body).hexdigest()
        noted = self._seen / name
        if noted.exists() and noted.read_text() == digest:
            return
        try:
            request = parse_request(body.decode(errors="replace"), "the broker")
        except ConfigurationError:
            return  # whoever may ask sends nonsense: there is nobody to tell
        # A member asks as itself: an invitation's login cannot ask for a member's other keys.
        prefix = JOINER if isinstance(request, JoinRequest) else ""
        if request.name == name and user == prefix + name:
            self.keep(request)
            make_folder(self._seen)
            replace_file(noted, digest)  # killed before this, it is kept again


def read_request(path: Path) -> Request:
    """Return the request that a site wrote to a file.

    Raises:
        ConfigurationError: the file cannot be read, or is none.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the request {path} cannot be read",
            why=str(error),
            fix="name the file that `join TOKEN --request FILE` or `rotate --request FILE` wrote "
            "at the site",
        ) from error
    return parse_request(text, str(path))


def parse_request(text: str, where: str) -> Request:
    """Return the request that a text holds, which came from somewhere.

    Raises:
        ConfigurationError: it holds none.
    """
    try:
        return _ANY.validate_json(text)
    except ValidationError as error:
        raise ConfigurationError(
            f"what comes from {where} is no request to join, nor one for new keys",
            why=f"{error.error_count()} of its fields are not what a site writes",
            fix="let the site ask again: join TOKEN --request FILE, or rotate --request FILE",
        ) from error


def require_fingerprint(asked: Asked, said: str) -> None:
    """Return if what a site read out is the fingerprint of the request.

    Raises:
        ConfigurationError: it is another's.
    """
    if "".join(said.split()).lower() != asked.fingerprint.replace(" ", ""):
        raise ConfigurationError(
            f"{asked.request.name} is not admitted",
            why="the fingerprint that was given is not that of the request",
            fix="ask the site to read it out again: it shows it where it asks; if they differ "
            "still, somebody else has sent this request",
        )
