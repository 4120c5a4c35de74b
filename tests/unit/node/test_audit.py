"""The audit log in the journal: with what it tells or not at all, and never two behind one."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

import fedmq
from fedmq.audit.chain import BEGINNING, Head
from fedmq.errors import StorageError
from fedmq.messages.heads import SignedHead
from fedmq.node.audit_facts import DatasetChanged, NodeStarted
from fedmq.node.audit_verify import verify_records
from fedmq.node.records import Records, open_records
from fedmq.transport.home import LocalHome
from fedmq.types import Digest
from tests.support.clock import FakeClock
from tests.support.tiny_plan import write_cases

STARTED: Final = NodeStarted(node="chu-lyon", version="1")
WRITER: Final = """
import sys
from contextlib import nullcontext
from pathlib import Path
from fedmq.node.audit_facts import NodeStarted
from fedmq.node.records import open_records
from fedmq.transport.home import LocalHome

records = open_records(LocalHome(Path(sys.argv[1])))
name = sys.argv[2]
print("ready", flush=True)
for number, _ in enumerate(sys.stdin):
    with records.journal.transaction() if len(sys.argv) > 3 else nullcontext():
        cells = (name + str(number),)
        if len(sys.argv) > 3:
            records.journal.execute("INSERT INTO courses (experiment) VALUES (?)", cells)
        records.audit.note(NodeStarted(node=name, version=str(number)))
    print(number, flush=True)
"""


class Stopped(Exception):  # noqa: N818 - what happens, not a fault
    """The program ended here."""


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """Return the records of a node to which nothing has happened."""
    made = open_records(LocalHome(tmp_path), FakeClock(lambda: 1_000.0), by="ann")
    yield made
    made.close()


def signed_head(head: Head) -> SignedHead:
    """Return a head as an orchestrator sends it back."""
    return SignedHead(
        log=Digest("a" * 64), number=head.number, hash=head.hash, at_ms=5_000, signature="0" * 128
    )


def fault_of(records: Records) -> int | None:
    """Return the number of the first entry that is wrong."""
    fault = verify_records(records).fault
    return None if fault is None else fault.number


class Writer:
    """A process that writes an entry for each line that it is given; a row too, given a word."""

    def __init__(self, home: Path, name: str, *words: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-c", WRITER, str(home), name, *words],
            env={"PYTHONPATH": str(Path(fedmq.__file__).parent.parent), "PATH": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.says() == "ready\n"

    def ask(self, count: int = 1) -> None:
        """Let it write so many entries."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n" * count)
        self._process.stdin.flush()

    def says(self) -> str:
        """Return what it says next: that an entry is written."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        assert self.end() == -signal.SIGKILL

    def end(self) -> int:
        """Return its exit code, once it has written all."""
        self._process.communicate(timeout=60)
        return self._process.returncode


def test_entries_follow_each_other_and_outlive_the_process(
    records: Records, tmp_path: Path
) -> None:
    """Each has the hash of the one before."""
    assert records.audit.head() == BEGINNING
    first = records.audit.note(STARTED)
    second = records.audit.note(STARTED)
    assert (first.number, second.number) == (1, 2)
    other = open_records(LocalHome(tmp_path))
    assert other.audit.head() == second
    entries = list(other.audit.entries())
    assert [(one.number, one.at, one.previous) for one in entries] == [
        (1, 1_000.0, BEGINNING.hash),
        (2, 1_000.0, first.hash),
    ]
    assert list(other.audit.facts(NodeStarted)) == [STARTED, STARTED]
    assert [one.number for one in other.audit.last(1)] == [2]
    other.close()


def test_an_entry_is_undone_with_what_it_tells(records: Records) -> None:
    """A fault in the middle of a transaction leaves neither, and the next entry has its number."""
    records.audit.note(STARTED)
    with suppress(Stopped), records.journal.transaction():
        records.audit.note(STARTED)
        raise Stopped
    assert records.audit.head().number == 1
    assert records.audit.note(STARTED).number == 2
    assert fault_of(records) is None


def test_a_dataset_that_is_not_registered_is_not_told(records: Records, tmp_path: Path) -> None:
    """The entry stands in the transaction of the registration."""
    folder = write_cases(tmp_path / "cases", 2)
    with suppress(Stopped), records.journal.transaction():
        records.datasets.add("petct", folder, now=0.0)
        raise Stopped
    assert records.audit.head() == BEGINNING
    assert records.datasets.all() == ()
    records.datasets.add("petct", folder, now=0.0)
    (fact,) = records.audit.facts(DatasetChanged)
    assert (fact.change, fact.num_cases, fact.by) == ("added", 2, "ann")
    assert fault_of(records) is None


def test_two_processes_that_write_at_once_make_one_chain(tmp_path: Path) -> None:
    """As the service and the command line do: no fork, nothing lost."""
    writers = [Writer(tmp_path, name) for name in ("a", "b")]
    for _ in range(60):
        for one in writers:
            one.ask()
        for one in writers:
            one.says()
    assert [one.end() for one in writers] == [0, 0]
    records = open_records(LocalHome(tmp_path))
    verdict = verify_records(records)
    assert (verdict.fault, verdict.num_entries) == (None, 120)
    facts = list(records.audit.facts(NodeStarted))
    for name in ("a", "b"):
        assert [one.version for one in facts if one.node == name] == [str(n) for n in range(60)]
    records.close()


def test_a_kill_at_any_moment_leaves_a_chain(tmp_path: Path) -> None:
    """With exactly the rows that it tells of; another process goes on meanwhile."""
    stays = Writer(tmp_path, "stays", "rows")
    stays.ask(200)
    for number in range(4):
        killed = Writer(tmp_path, f"killed-{number}-", "rows")
        killed.ask(2_000)
        for _ in range(1 + 3 * number):
            killed.says()
        killed.kill()
    assert stays.end() == 0
    records = open_records(LocalHome(tmp_path))
    assert fault_of(records) is None
    told = {one.node + one.version for one in records.audit.facts(NodeStarted)}
    assert told == {str(row[0]) for row in records.journal.rows("SELECT experiment FROM courses")}
    assert sum(one.startswith("stays") for one in told) == 200
    records.close()


def test_entries_cannot_be_changed_by_accident(records: Records) -> None:
    """SQLite says no to whoever tries."""
    records.audit.note(STARTED)
    with pytest.raises(StorageError):
        records.journal.execute("UPDATE audit SET kind = 'other'")


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("UPDATE audit SET line = replace(line, 'chu-lyon', 'chu-lyom') WHERE number = 2", 2),
        ("UPDATE audit SET kind = 'node_left' WHERE number = 3", 3),
        ("UPDATE audit SET hash = 'x' WHERE number = 4", 4),
        ("DELETE FROM audit WHERE number = 2", 3),
        ("DELETE FROM audit WHERE number = 1", 2),
        ("UPDATE audit SET number = 9 WHERE number = 2", 3),
    ],
)
def test_what_is_done_to_the_tables_is_seen(records: Records, sql: str, number: int) -> None:
    """By whoever may write the file."""
    for _ in range(4):
        records.audit.note(STARTED)
    assert fault_of(records) is None
    records.journal.execute("DROP TRIGGER audit_is_fixed")
    records.journal.execute(sql)
    assert fault_of(records) == number


@pytest.mark.parametrize("sql", ["UPDATE case_lists SET hashes = x'00'", "DELETE FROM case_lists"])
def test_a_list_of_cases_that_is_changed_or_gone_is_seen(
    records: Records, tmp_path: Path, sql: str
) -> None:
    """The entry that names it is told."""
    records.audit.note(STARTED)
    records.datasets.add("petct", write_cases(tmp_path / "cases", 2), now=0.0)
    assert fault_of(records) is None
    records.journal.execute(sql)
    assert fault_of(records) == 2


def test_a_head_that_somebody_signed_has_to_stay(records: Records) -> None:
    """A journal from yesterday's backup, or with its tail cut, does not have it."""
    audit = records.audit
    audit.note(STARTED)
    head = audit.note(STARTED)
    assert records.heads.keep(signed_head(head), by="orchestrator", roster=None)
    (kept,) = records.heads.countersigned()
    assert (kept.head, kept.by, records.heads.heads()) == (
        signed_head(head),
        "orchestrator",
        (head,),
    )
    assert (fault_of(records), verify_records(records).num_heads) == (None, 1)
    records.journal.execute("DELETE FROM audit WHERE number = 2")
    assert fault_of(records) == 2
    audit.note(STARTED)
    assert fault_of(records) is None or audit.head() == head  # written at the same moment: the same
    records.journal.execute("DELETE FROM audit WHERE number = 2")
    audit.note(NodeStarted(node="another", version="1"))
    assert fault_of(records) == 2


def test_a_signature_of_another_log_is_not_kept(records: Records) -> None:
    """Of a head that is not here, or has another hash here."""
    head = records.audit.note(STARTED)
    for other in (Head(number=2, hash=head.hash), Head(number=1, hash=Digest("1" * 64)), BEGINNING):
        assert not records.heads.keep(signed_head(other), by="o", roster=None)
    assert records.heads.countersigned() == ()


def test_long_logs_are_read_page_by_page(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left out at the seams."""
    monkeypatch.setattr("fedmq.audit.log._PAGE", 3)
    for _ in range(7):
        records.audit.note(STARTED)
    assert [one.number for one in records.audit.entries()] == list(range(1, 8))
    assert [one.number for one in records.audit.entries(5)] == [5, 6, 7]
    assert verify_records(records).num_entries == 7
