"""Lists of cases as keyed hashes: told by who has the key, kept once, the key made once."""

import hashlib
from contextlib import suppress
from pathlib import Path

from fedmq.node.case_lists import list_digest
from fedmq.node.records import Records, open_records
from fedmq.transport.home import LocalHome


class Stopped(Exception):  # noqa: N818 - what happens, not a fault
    """The program ended here."""


def records_in(folder: Path) -> Records:
    """Return the records in a folder."""
    return open_records(LocalHome(folder))


def test_a_hash_is_of_this_node_and_dataset_and_stays(tmp_path: Path) -> None:
    """Another node, another dataset, another hash; no plain hash of the name."""
    one, other = records_in(tmp_path / "a"), records_in(tmp_path / "b")
    found = one.case_lists.hash_of("lung", "case-1")
    assert found == one.case_lists.hash_of("lung", "case-1")
    one.close()
    one = records_in(tmp_path / "a")
    assert one.case_lists.hash_of("lung", "case-1") == found
    others = {
        one.case_lists.hash_of("lung", "case-2"),
        one.case_lists.hash_of("liver", "case-1"),
        one.case_lists.hash_of("lungc", "ase-1"),
        other.case_lists.hash_of("lung", "case-1"),
        hashlib.sha256(b"case-1").hexdigest(),
    }
    assert len(others) == 5
    assert found not in others
    one.close()
    other.close()


def test_a_list_is_of_its_cases_in_any_order(tmp_path: Path) -> None:
    """It is kept once, under the digest of the hashes of its cases."""
    records = records_in(tmp_path)
    lists = records.case_lists
    digest = lists.keep("lung", ["a", "b"])
    assert lists.keep("lung", ["b", "a"]) == digest
    assert lists.keep("lung", ["a"]) != digest
    hashes = sorted(bytes.fromhex(lists.hash_of("lung", name)) for name in "ab")
    assert digest == list_digest(b"".join(hashes))
    assert lists.has(digest, lists.hash_of("lung", "a"))
    assert not lists.has(digest, lists.hash_of("lung", "c"))
    assert not lists.has("no list", lists.hash_of("lung", "a"))
    assert len(lists.lists_with(lists.hash_of("lung", "a"))) == 2
    assert len(lists.lists_with(lists.hash_of("lung", "b"))) == 1
    assert records.journal.cell("SELECT count(*) FROM case_lists") == 2
    records.close()


def test_a_key_that_was_made_in_vain_is_not_used(tmp_path: Path) -> None:
    """The transaction that made it was undone: what is kept later has the key that is kept."""
    records = records_in(tmp_path)
    with suppress(Stopped), records.journal.transaction():
        records.case_lists.hash_of("lung", "a")
        raise Stopped
    found = records.case_lists.hash_of("lung", "a")
    records.close()
    records = records_in(tmp_path)
    assert records.case_lists.hash_of("lung", "a") == found
    records.close()
