"""The turns of an orchestrator's program: whoever is not to stand by is told that another leads."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from fedmq.claims import claimed
from fedmq.cli.leading import Turns, this_program
from fedmq.clocks import Clock, SystemClock
from fedmq.errors import ConfigurationError, LeaseLost, StorageError
from fedmq.orchestrator.lease import Sign
from fedmq.orchestrator.signs import Signs
from fedmq.transport.home import LocalHome
from fedmq.transport.lives import Lives
from tests.support.clock import FakeClock

NORTH = " --credentials centre-north.toml"


class FakeLives:
    """What is led: each turn ends as a test wants it to."""

    def __init__(self, ends: list[Callable[[], None]]) -> None:
        self.ends = ends
        self.num_turns = 0

    def run(self) -> None:
        """Lead, and end."""
        self.num_turns += 1
        self.ends.pop(0)()

    def stop(self) -> None:
        """It has ended by then."""


def make_turns(
    folder: Path,
    lives: FakeLives,
    *,
    stands_by: bool,
    clock: Clock | None = None,
    options: str = "",
) -> Turns:
    """Return the turns of one program."""
    return Turns(
        folder,
        clock=clock or SystemClock(),
        lease_s=0.1,
        stands_by=stands_by,
        options=options,
        make_lives=lambda _succession: cast("Lives", lives),
    )


def test_who_was_not_to_stand_by_is_told_who_has_the_folder(tmp_path: Path) -> None:
    """And how it would wait for its turn."""
    with claimed(tmp_path, "an orchestrator"), pytest.raises(ConfigurationError) as caught:
        make_turns(tmp_path, FakeLives([]), stands_by=False, options=NORTH).run()
    assert "runs already" in str(caught.value)
    assert caught.value.fix.endswith(f": fedmq orchestrator start --stand-by{NORTH}")


def test_who_was_not_to_stand_by_is_told_of_a_leader_without_the_lock(tmp_path: Path) -> None:
    """On another machine: its next sign says that it lives."""
    signs, number = Signs(LocalHome(tmp_path)), 0

    def tick() -> float:
        nonlocal number
        number += 1
        signs.lead(
            Sign(program="p", words="process 7 on far", machine="far", number=number, at=0.0)
        )
        return 0.0

    turns = make_turns(
        tmp_path, FakeLives([]), stands_by=False, clock=FakeClock(tick), options=NORTH
    )
    with pytest.raises(ConfigurationError) as caught:
        turns.run()
    assert "process 7 on far leads them" in caught.value.why
    assert caught.value.fix.endswith(f": fedmq orchestrator start --stand-by{NORTH}")


def lose() -> None:
    """Another program has taken over."""
    raise LeaseLost("taken over", why="the process 7 leads")


def fail() -> None:
    """The disk refuses."""
    raise StorageError("the journal is locked")


def test_who_stands_by_does_so_again_when_it_was_replaced(tmp_path: Path) -> None:
    """Or when the disk refused its turn; it ends when it is stopped."""
    lives = FakeLives([lose, fail])
    turns = make_turns(tmp_path, lives, stands_by=True)
    lives.ends.append(turns.stop)
    with capture_logs() as logged:
        turns.run()
    assert lives.num_turns == 3
    events = [one["event"] for one in logged if one["event"] != "stands_by"]
    assert events == ["leads", "lease_lost", "leads", "could_not_lead", "leads"]


@pytest.mark.parametrize("end", [lose, fail])
def test_who_was_not_to_stand_by_ends_with_the_error(
    tmp_path: Path, end: Callable[[], None]
) -> None:
    """Its folder is free then."""
    with pytest.raises(StorageError):
        make_turns(tmp_path, FakeLives([end]), stands_by=False).run()
    with claimed(tmp_path, "an orchestrator"):
        pass


def test_each_program_has_a_name_of_its_own_on_one_machine() -> None:
    """Two starts of one process id are two programs."""
    one, two = this_program(), this_program()
    assert one.name != two.name
    assert one.machine == two.machine
