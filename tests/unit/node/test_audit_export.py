"""An exported log: exact bytes, whole or not at all, verified by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.audit.chain import Head
from fedmq.audit.check import Verdict
from fedmq.audit.export import export_log
from fedmq.audit.files import verify_file
from fedmq.errors import ConfigurationError, StorageError
from fedmq.node.audit_facts import NodeStarted
from fedmq.node.records import Records, open_records
from fedmq.transport.home import LocalHome
from tests.support.clock import FakeClock


class Time:
    """A clock that goes on by a day for each look."""

    def __init__(self) -> None:
        self.days = 0

    def read(self) -> float:
        """Return the time."""
        self.days += 1
        return self.days * 86_400.0


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """Return the records of a node with ten entries, one of each day."""
    made = open_records(LocalHome(tmp_path / "home"), FakeClock(Time().read))
    for number in range(10):
        made.audit.note(NodeStarted(node="chu-lyon", version=str(number)))
    yield made
    made.close()


def verdict_on(path: Path, *heads: Head) -> Verdict:
    """Return what is found of a file."""
    return verify_file(path, heads)


def names(folder: Path) -> list[str]:
    """Return what lies in a folder beside the home."""
    return sorted(path.name for path in folder.iterdir() if path.name != "home")


def test_a_file_has_the_bytes_of_the_log(records: Records, tmp_path: Path) -> None:
    """A line for each entry."""
    path = tmp_path / "log.jsonl"
    exported = export_log(records.audit, path)
    assert path.read_bytes() == b"".join(line + b"\n" for line in records.audit.lines())
    assert verdict_on(path, records.audit.head()) == Verdict(
        num_entries=10,
        first=1,
        began_at=86_400.0,
        ended_at=864_000.0,
        head=records.audit.head(),
        num_heads=1,
        fault=None,
    )
    assert exported.head == records.audit.head()
    assert names(tmp_path) == ["log.jsonl"]


def test_an_export_may_begin_with_a_day(records: Records, tmp_path: Path) -> None:
    """What stood before is told by a head only."""
    path = tmp_path / "log.jsonl"
    assert export_log(records.audit, path, since=3.5 * 86_400).first == 4
    found = verdict_on(path)
    assert (found.first, found.num_entries, found.fault) == (4, 7, None)
    with pytest.raises(ConfigurationError, match="no entry to export"):
        export_log(records.audit, tmp_path / "none.jsonl", since=1e9)
    assert names(tmp_path) == ["log.jsonl"]


def test_every_byte_of_a_file_counts(records: Records, tmp_path: Path) -> None:
    """Each one changed in its turn, the line feeds too; and every tail that is cut in a line."""
    path = tmp_path / "log.jsonl"
    export_log(records.audit, path, since=8 * 86_400)
    content = path.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert verdict_on(path).fault is not None, place
    ends = {place for place, byte in enumerate(content, start=1) if byte == ord("\n")}
    for size in range(1, len(content)):
        path.write_bytes(content[:size])
        assert (verdict_on(path).fault is None) == (size in ends)
        assert verdict_on(path, records.audit.head()).fault is not None


def test_no_file_is_replaced_and_none_is_left_half(records: Records, tmp_path: Path) -> None:
    """A damaged log is no export, and a disk that refuses leaves nothing."""
    path = tmp_path / "log.jsonl"
    path.write_text("mine")
    with pytest.raises(ConfigurationError, match="is there already"):
        export_log(records.audit, path)
    assert path.read_text() == "mine"
    path.unlink()
    records.journal.execute("DELETE FROM audit WHERE number = 5")
    with pytest.raises(StorageError, match="entry 6 of the audit log is damaged"):
        export_log(records.audit, path)
    assert names(tmp_path) == []


def test_an_empty_log_is_no_file(tmp_path: Path) -> None:
    """There is nothing to give to anybody."""
    records = open_records(LocalHome(tmp_path / "home"))
    with pytest.raises(ConfigurationError, match="no entry to export"):
        export_log(records.audit, tmp_path / "log.jsonl")
    records.close()
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [None, b""])
def test_a_file_that_holds_nothing_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    """It is missing, or empty."""
    path = tmp_path / "log.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"log\.jsonl"):
        verify_file(path)
