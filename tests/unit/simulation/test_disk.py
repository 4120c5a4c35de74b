"""The disk in memory: what is synced stays, everything else may go or be torn."""

from pathlib import Path
from random import Random

import pytest

from fedmq.errors import StorageError
from fedmq.simulation.disk import Drawn, SimulatedDisk, SimulatedHome


def no_step(_word: str) -> None:
    """Let everything happen."""


def make_disk() -> SimulatedDisk:
    """Return an empty disk."""
    return SimulatedDisk(Path("/machine"), no_step)


@pytest.mark.parametrize("seed", range(20))
def test_what_was_synced_outlives_a_crash(seed: int) -> None:
    """Its bytes and its name, whatever was written afterwards beside it."""
    disk = make_disk()
    disk.write("model", 0, b"0123456789")
    disk.sync("model")
    disk.sync_names()
    disk.write("other", 0, b"x")
    disk.crash(Drawn(Random(seed)))
    assert disk.read("model", 0, 100) == b"0123456789"


def test_what_was_not_synced_may_be_lost_kept_or_torn() -> None:
    """Over many crashes each of the three is seen, and nothing else."""
    seen = set()
    for seed in range(200):
        disk = make_disk()
        disk.write("model", 0, b"abcd")
        disk.sync("model")
        disk.sync_names()
        disk.write("model", 2, b"XY")
        disk.crash(Drawn(Random(seed)))
        seen.add(disk.read("model", 0, 100))
    assert seen == {b"abcd", b"abXd", b"abXY"}


def test_a_rename_that_was_not_synced_happened_or_did_not() -> None:
    """Never both names, never none."""
    seen = set()
    for seed in range(50):
        disk = make_disk()
        disk.write("new", 0, b"1")
        disk.sync("new")
        disk.sync_names()
        disk.rename("new", "final")
        disk.crash(Drawn(Random(seed)))
        seen.add(disk.names())
    assert seen == {("new",), ("final",)}


def test_what_was_synced_may_have_no_name_yet() -> None:
    """Its folder has to be synced too."""
    seen = set()
    for seed in range(50):
        disk = make_disk()
        disk.write("model", 0, b"1")
        disk.sync("model")
        disk.crash(Drawn(Random(seed)))
        seen.add(disk.names())
        assert all(disk.read(name, 0, 9) == b"1" for name in disk.names())
    assert seen == {(), ("model",)}


def test_changes_of_names_happened_up_to_some_moment() -> None:
    """A later one is not there without an earlier one."""
    for seed in range(50):
        disk = make_disk()
        for name in "abc":
            disk.write(name, 0, b"1")
        disk.crash(Drawn(Random(seed)))
        assert disk.names() in {(), ("a",), ("a", "b"), ("a", "b", "c")}


def test_a_link_shares_the_bytes_and_outlives_the_first_name() -> None:
    """As a model does its payload."""
    one, other = make_disk(), make_disk()
    one.write("payload", 0, b"model")
    one.sync("payload")
    one.link("payload", other, "round-0001")
    other.sync_names()
    one.remove("payload")
    other.crash(Drawn(Random(1)))
    assert other.read("round-0001", 0, 9) == b"model"


def test_a_file_that_is_not_there_cannot_be_read() -> None:
    """As on a real disk, it is a StorageError."""
    with pytest.raises(StorageError, match="no such file"):
        make_disk().read("nothing", 0, 1)


def test_a_journal_keeps_what_was_committed_and_nothing_else() -> None:
    """A transaction under way is gone after a crash, whole."""
    home = SimulatedHome("node", no_step)
    journal = home.journal("CREATE TABLE IF NOT EXISTS t (x INTEGER);")
    with journal.transaction():
        journal.execute("INSERT INTO t VALUES (1)")
    journal.execute("BEGIN IMMEDIATE")
    journal.execute("INSERT INTO t VALUES (2)")
    home.crash(Drawn(Random(0)))
    again = home.journal("CREATE TABLE IF NOT EXISTS t (x INTEGER);")
    assert again.rows("SELECT x FROM t") == [(1,)]
    assert home.count("t") == 1
    assert home.count("no_such_table") == 0
    home.close()


@pytest.mark.parametrize("seed", range(20))
def test_a_sync_that_failed_loses_for_good_what_it_was_to_write(seed: int) -> None:
    """It is still read, and later syncs say yes; after a crash it is gone, as on Linux."""
    fails = [False]

    def step(word: str) -> None:
        if word == "sync" and fails[0]:
            raise StorageError("the disk failed")

    disk = SimulatedDisk(Path("/machine"), step)
    disk.write("model", 0, b"old!")
    disk.sync("model")
    disk.sync_names()
    disk.write("model", 0, b"lost")
    fails[0] = True
    with pytest.raises(StorageError):
        disk.sync("model")
    fails[0] = False
    disk.write("model", 4, b"new")
    disk.sync("model")
    assert disk.read("model", 0, 9) == b"lostnew"
    disk.crash(Drawn(Random(seed)))
    assert disk.read("model", 0, 9) == b"old!new"
