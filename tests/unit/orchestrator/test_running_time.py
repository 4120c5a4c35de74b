"""Running time: deadlines count the time in which the orchestrator runs, whatever clocks say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.orchestrator import running_time, store
from fedmq.orchestrator.running_time import KEEP_S, RunningTime
from fedmq.transport.journal import Journal


class SetClock:
    """A machine's clocks, of which somebody sets the wall's."""

    def __init__(self, wall: float) -> None:
        self.wall = wall
        self.gone_by = 0.0

    def now(self) -> float:
        """Return what the wall says."""
        return self.wall

    def steady(self) -> float:
        """Return what has gone by."""
        return self.gone_by


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Return an orchestrator's journal."""
    made = Journal(tmp_path / "journal.sqlite", store.SCHEMA, running_time.SCHEMA)
    yield made
    made.close()


def test_it_begins_by_the_wall_and_goes_on_by_what_goes_by(journal: Journal) -> None:
    """A wall that is set by ten years changes nothing."""
    clock = SetClock(1_000.0)
    time = RunningTime(journal, clock)
    clock.wall += 3e8
    clock.gone_by = 7.0
    assert time.now() == 1_007.0


def test_the_next_life_goes_on_where_the_last_was_kept(journal: Journal) -> None:
    """Absence is not counted, nor is a wall that was wrong meanwhile."""
    clock = SetClock(1_000.0)
    time = RunningTime(journal, clock)
    clock.gone_by = KEEP_S
    time.keep()
    again = RunningTime(journal, SetClock(9e9))
    assert again.now() == 1_000.0 + KEEP_S


def test_a_first_life_that_was_cut_off_at_once_has_set_the_beginning(journal: Journal) -> None:
    """Else a wall that is put right between two lives would end every wait."""
    RunningTime(journal, SetClock(1_000.0))
    assert RunningTime(journal, SetClock(9e9)).now() == 1_000.0


def test_it_is_never_before_an_event_of_an_experiment(journal: Journal) -> None:
    """What was logged after it was kept last is known to have been."""
    RunningTime(journal, SetClock(1_000.0))
    journal.execute("PRAGMA foreign_keys = OFF")
    journal.execute("INSERT INTO events VALUES ('lung', 1, 1030.0, '{}')")
    assert RunningTime(journal, SetClock(5.0)).now() == 1_030.0
