"""Commands under watch, and what Linux says of memory."""

import os
import sys
import time

import pytest

from benchmarks.memory import Sample, TreeWatch, available_mb, find_tree, peak_mb, read_sample
from benchmarks.peers.watch import Ending, Limits, judge, run_watched
from fedmq.hub.processes import find_process

PLENTY = Limits(seconds=60.0)
LEAVES_A_CHILD = """
import subprocess, sys
command = [sys.executable, "-c", "import time; time.sleep(300)"]
child = subprocess.Popen(command, start_new_session=True)
print(child.pid, flush=True)
"""
STAYS_WITH_A_CHILD = LEAVES_A_CHILD + "child.wait()\n"


@pytest.mark.parametrize(
    ("seconds", "available", "ending"),
    [
        (1.0, 9_000.0, None),
        (59.9, 1_500.0, None),
        (1.0, 1_499.9, Ending.TOO_LARGE),
        (60.1, 9_000.0, Ending.LATE),
        (60.1, 100.0, Ending.TOO_LARGE),
    ],
)
def test_a_command_is_ended_for_the_machine_first(
    seconds: float, available: float, ending: Ending | None
) -> None:
    """Too little memory counts more than too much time."""
    assert judge(seconds=seconds, available=available, limits=PLENTY) is ending


def test_a_command_that_ends_leaves_its_words_and_its_peak() -> None:
    """Lines of stderr have the time at which they came."""
    program = "import sys, time; print('figures'); print('note', file=sys.stderr); time.sleep(0.5)"
    found = run_watched([sys.executable, "-c", program], os.environ, PLENTY)
    assert found.ending is Ending.FINISHED
    assert found.output == "figures\n"
    assert [note.text for note in found.notes] == ["note"]
    assert 0.0 < found.notes[0].at_s < found.seconds
    assert found.peak_mb > 1


def test_a_command_that_fails_says_so() -> None:
    """By its exit code."""
    assert run_watched([sys.executable, "-c", "exit(3)"], {}, PLENTY).ending is Ending.FAILED


def test_what_a_command_leaves_behind_is_ended_too() -> None:
    """Though it has a session of its own, and its parent is gone."""
    found = run_watched([sys.executable, "-c", LEAVES_A_CHILD], {}, PLENTY)
    assert found.ending is Ending.FINISHED
    assert find_process(int(found.output)) is None


def test_a_command_is_ended_with_its_children_when_the_machine_is_full() -> None:
    """As soon as too little is left."""
    left = iter([9_000.0, 9_000.0])
    found = run_watched(
        [sys.executable, "-c", STAYS_WITH_A_CHILD],
        {},
        PLENTY,
        available=lambda: next(left, 10.0),
    )
    assert found.ending is Ending.TOO_LARGE
    assert not found.output or find_process(int(found.output)) is None


def test_a_command_that_takes_too_long_is_ended() -> None:
    """With its children."""
    found = run_watched([sys.executable, "-c", STAYS_WITH_A_CHILD], {}, Limits(seconds=1.0))
    assert found.ending is Ending.LATE
    assert found.seconds < 30


def test_a_line_of_proc_is_read_whatever_the_name_holds() -> None:
    """A name may have brackets and spaces; a zombie holds nothing."""
    fields = ["S", "7", *["0"] * 19, "1000", "0"]
    stat = f"12 (a) b) {' '.join(fields)}"
    page = os.sysconf("SC_PAGE_SIZE")
    assert read_sample(stat) == Sample(parent=7, resident_mb=1000 * page / 1_000_000)
    assert read_sample(stat.replace(") S", ") Z")).resident_mb == 0.0


def test_a_tree_is_a_process_and_all_that_descend_from_it() -> None:
    """Roots that are gone are left out."""
    processes = {
        pid: Sample(parent=parent, resident_mb=1.0)
        for pid, parent in [(2, 1), (3, 2), (4, 3), (5, 1), (6, 5)]
    }
    assert find_tree(processes, [2, 99]) == {2, 3, 4}
    assert find_tree(processes, [3, 5]) == {3, 4, 5, 6}


def test_the_memory_of_this_program_is_more_than_nothing() -> None:
    """And less than the machine has."""
    assert 10 < peak_mb(os.getpid()) < 1_000_000
    assert available_mb() > 10
    assert peak_mb(0) == 0.0


def test_a_watch_keeps_the_most_that_a_tree_held() -> None:
    """Children count."""
    with TreeWatch({"me": os.getpid()}) as watch:
        deadline = time.monotonic() + 30
        while not watch.peaks_mb["me"] and time.monotonic() < deadline:
            time.sleep(0.01)
    assert watch.peaks_mb["me"] > 10
