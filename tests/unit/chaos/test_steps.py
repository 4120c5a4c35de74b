"""A program notes its steps, and dies where it is ordered to."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chaos.machine import NotedHome
from benchmarks.chaos.steps import Notes, Order, Side, Steps
from fedmq.transport.journal import Journal

PROGRAM = """
import sys
from pathlib import Path
from benchmarks.chaos.steps import Steps
steps = Steps(Path(sys.argv[1]), "node")
for number in range(4):
    with steps.at("write"):
        Path(sys.argv[1], f"written-{number}").touch()
    with steps.at("sync"):
        pass
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Return the program, as it begins."""
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[3])  # noqa: S603 - this one


def run(folder: Path) -> int:
    """Return how the program ends."""
    with start(folder) as program:
        return program.wait()


@pytest.mark.parametrize(("side", "num_written"), [(Side.BEFORE, 1), (Side.AFTER, 2)])
def test_a_program_is_killed_at_the_step_that_it_was_ordered(
    tmp_path: Path, side: Side, num_written: int
) -> None:
    """The second of the name, on that side of it; the next life is not killed again."""
    notes = Notes(tmp_path, "node")
    order = Order(step="write", number=2, side=side)
    notes.order([order, Order(step="sync", number=9, side=Side.AFTER)])
    assert run(tmp_path) == -signal.SIGKILL
    assert len(list(tmp_path.glob("written-*"))) == num_written
    killed = notes.take_obeyed()
    assert killed is not None
    assert killed[1] == order
    assert notes.take_obeyed() is None
    last = notes.read()[-1]
    assert last.side is Side.AFTER
    assert last.step == ("sync" if side is Side.BEFORE else "write")
    assert run(tmp_path) == 0
    assert len(notes.read()) == 16


def test_a_program_stands_still_where_it_was_ordered_and_goes_on(tmp_path: Path) -> None:
    """Another one is killed meanwhile; the order is carried out once."""
    notes = Notes(tmp_path, "node")
    notes.order([Order(step="write", number=2, side=Side.AFTER)], signal.SIGSTOP)
    with start(tmp_path) as program:
        _, status = os.waitpid(program.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert len(list(tmp_path.glob("written-*"))) == 2
        assert notes.take_obeyed() is not None
        program.send_signal(signal.SIGCONT)
        assert program.wait() == 0
    assert len(notes.read()) == 16


def test_an_order_that_is_withdrawn_kills_nobody(tmp_path: Path) -> None:
    """The program goes through."""
    notes = Notes(tmp_path, "node")
    notes.order([Order(step="write", number=1, side=Side.BEFORE)])
    notes.withdraw()
    assert run(tmp_path) == 0


def test_whatever_a_home_keeps_is_a_step(tmp_path: Path) -> None:
    """Files and commits; what changes nothing is none, what is rolled back is none."""
    home = NotedHome(tmp_path / "home", Steps(tmp_path, "node"))
    disk = home.disk("payloads")
    disk.write("x.update", 0, b"one")
    disk.sync("x.update")
    disk.rename("x.update", 64 * "a")
    disk.sync_names()
    disk.link(64 * "a", home.disk("experiments", "lung"), "round-0001.safetensors")
    disk.remove(64 * "a")
    disk.remove("not-there")
    journal = home.journal("CREATE TABLE received (id TEXT); CREATE TABLE outbox (id TEXT)")
    with journal.transaction():
        journal.execute("INSERT INTO received VALUES (?)", ("1",))
        journal.execute("INSERT INTO outbox VALUES (?)", ("2",))
    journal.execute("DELETE FROM outbox WHERE id = ?", ("2",))
    journal.execute("DELETE FROM outbox WHERE id = ?", ("2",))
    with pytest.raises(ZeroDivisionError):
        _roll_back(journal)
    journal.close()
    taken = [note.step for note in Notes(tmp_path, "node").read() if note.side is Side.AFTER]
    assert taken == [
        "write payloads/update",
        "sync payloads/update",
        "rename payloads/update",
        "sync payloads/names",
        "link payloads/payload",
        "remove payloads/payload",
        "commit +received +outbox",
        "commit -outbox",
    ]


def _roll_back(journal: Journal) -> None:
    with journal.transaction():
        journal.execute("INSERT INTO received VALUES (?)", ("3",))
        raise ZeroDivisionError
