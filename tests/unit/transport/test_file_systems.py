"""Which folders other machines may see."""

from pathlib import Path, PurePosixPath

import pytest

from fedmq.transport.file_systems import is_shared
from fedmq.transport.journal import Journal

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /srv rw,relatime shared:9 - nfs4 store:/export rw,vers=4.2
41 40 8:2 / /srv/local rw - xfs /dev/sdb rw
42 22 0:36 / /mnt/two\040words rw - ceph :/ rw
43 22 0:37 / /over rw - nfs a:/ rw
44 22 8:3 / /over rw - ext4 /dev/sdc rw
broken line
"""
NOTES = "CREATE TABLE IF NOT EXISTS notes (note TEXT)"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/ada/.fedmq", False),
        ("/srv/fedmq/orchestrator", True),
        ("/srv", True),
        ("/srvs", False),
        ("/srv/local/fedmq", False),
        ("/mnt/two words/fedmq", True),
        ("/over/fedmq", False),
    ],
)
def test_the_innermost_mount_decides(path: str, *, expected: bool) -> None:
    """By its type; where two lie over each other, the later one."""
    assert is_shared(PurePosixPath(path), MOUNTS) is expected


def test_a_journal_on_a_shared_file_system_has_no_memory_in_common(tmp_path: Path) -> None:
    """SQLite's log of writes ahead needs some, and machines have none: it rolls back instead."""
    path = tmp_path / "journal.sqlite"
    Journal(path, NOTES).close()
    one, two = (Journal(path, NOTES, is_shared=True) for _ in range(2))
    assert one.cell("PRAGMA journal_mode") == "truncate"
    with one.transaction():
        one.execute("INSERT INTO notes VALUES ('one')")
    two.execute("INSERT INTO notes VALUES ('two')")
    one.settle()
    assert one.rows("SELECT note FROM notes") == [("one",), ("two",)]
    assert not path.with_name("journal.sqlite-shm").exists()
    one.close()
    two.close()
    here = Journal(path, NOTES, is_shared=False)
    assert here.cell("PRAGMA journal_mode") == "wal"
    here.close()
