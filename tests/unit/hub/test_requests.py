"""Requests to the hub: looked at where they stand, kept, and never lost in between."""

from pathlib import Path
from typing import Final, cast

import pytest

from fedmq.hub.local import enrol_here
from fedmq.hub.management import Management
from fedmq.hub.members import Hub
from fedmq.hub.membership import read_membership
from fedmq.hub.register import Register
from fedmq.hub.requests import Requests
from fedmq.security.rotation import RotationRequest, make_rotation_request
from fedmq.transport import asking
from fedmq.types import Role
from tests.unit.hub.killing import killed

LYON: Final = "chu-lyon"
PARIS: Final = "ghu-paris"


class FakeBroker:
    """The newest message of each queue, as the management shows it."""

    def __init__(self) -> None:
        self.messages: dict[str, tuple[str, bytes]] = {}

    def names(self, *_path: str) -> set[str]:
        """Return the names of the queues."""
        return {asking.hub_requests(name) for name in (LYON, PARIS)}

    def look(self, _vhost: str, queue: str, *, max_bytes: int) -> tuple[str, bytes] | None:
        """Return a queue's message."""
        found = self.messages.get(queue)
        return None if found is None else (found[0], found[1][:max_bytes])


class Watched(Hub):
    """A hub whose broker is the fake."""

    fake: FakeBroker | None = None

    def management(self, register: Register) -> Management | None:
        """Return the way to the fake."""
        del register
        return cast("Management | None", self.fake)


class Place:
    """A hub and two sites."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "hub"
        self.hub = Watched(self.folder)
        self.hub.make("trial")
        self.requests: dict[str, RotationRequest] = {}
        for name in (LYON, PARIS):
            path = folder / name / "credentials.toml"
            enrol_here(self.folder, name, Role.NODE, path)
            keyring = read_membership(path).keyring
            self.requests[name] = make_rotation_request(*keyring.prepare())
        self.hub.fake = FakeBroker()

    def asks(self, name: str, body: bytes = b"", *, by: str = "", queue: str = "") -> None:
        """A request of a member stands in its queue, or something else."""
        assert self.hub.fake is not None
        found = body or self.requests[name].model_dump_json().encode()
        self.hub.fake.messages[asking.hub_requests(queue or name)] = (by or name, found)

    @property
    def waiting(self) -> list[str]:
        """Who waits, as another life of the hub finds it."""
        found = Requests(self.hub, self.folder).waiting()
        return [asked.request.name for asked in found]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a hub and two sites."""
    return Place(tmp_path)


def test_what_somebody_asked_waits_until_it_is_answered_and_not_again(place: Place) -> None:
    """It still stands at the broker then: what was kept once is not new."""
    place.asks(LYON)
    assert place.waiting == place.waiting == [LYON]
    Requests(place.hub, place.folder).forget(place.requests[LYON])
    assert place.waiting == []


def test_a_file_that_was_brought_later_is_not_replaced_by_what_stands_at_the_broker(
    place: Place,
) -> None:
    """It is the newer one, and the one whose fingerprint is read out."""
    place.asks(LYON)
    assert place.waiting == [LYON]
    newer = replace_signing(place.requests[LYON])
    Requests(place.hub, place.folder).keep(newer)
    (asked,) = Requests(place.hub, place.folder).waiting()
    assert asked.request == newer


def replace_signing(request: RotationRequest) -> RotationRequest:
    """Return a request for other keys."""
    return request.model_copy(update={"sealing": "ab" * 32})


def test_killed_at_any_step_the_hub_has_the_request_or_reads_it_again(place: Place) -> None:
    """What was asked through the broker is on the hub's disk, or still at the broker."""
    num_killed = 0
    for step in range(50):
        place.asks(LYON, replace_signing(place.requests[LYON]).model_dump_json().encode())
        _ = place.waiting
        place.asks(LYON)
        has_died = killed(lambda: place.waiting, place.folder / "requests", step)
        (asked,) = Requests(place.hub, place.folder).waiting()
        assert asked.request == place.requests[LYON], step
        num_killed += has_died
        if not has_died:
            break
    assert num_killed > 3


@pytest.mark.parametrize(
    ("body", "by", "queue"),
    [
        (b"\xff\xfe", LYON, LYON),
        (b"{" + b" " * asking.REQUEST_BYTES, LYON, LYON),
        (b"", PARIS, LYON),
        (b"", "join-chu-lyon", LYON),
        (b"", "", LYON),
        (b"", LYON, PARIS),
        (b"", PARIS, PARIS),
    ],
    ids=[
        "no text",
        "cut off",
        "by another",
        "by an invitation",
        "by nobody",
        "in another's queue",
        "for another",
    ],
)
def test_what_is_no_request_of_its_sender_is_left_alone(
    place: Place, body: bytes, by: str, queue: str
) -> None:
    """And keeps nobody else from asking."""
    assert place.hub.fake is not None
    place.asks(LYON, body, by=by, queue=queue)
    if not by:
        place.hub.fake.messages[asking.hub_requests(queue)] = (
            "",
            place.requests[LYON].model_dump_json().encode(),
        )
    if queue == PARIS:
        assert place.waiting == []
        return
    place.asks(PARIS)
    assert place.waiting == [PARIS]
