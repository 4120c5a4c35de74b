"""Case lists: which cases a dataset had and which of them trained, as keyed hashes.

The key is made once and stays in the node's journal. Without it a hash says nothing; with it the
operator finds the entries of one case again, and nobody finds the case of an entry.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from typing import Final

from fedmq.transport.journal import Journal
from fedmq.types import Digest

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS case_key (
    key BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS case_lists (
    digest TEXT PRIMARY KEY,
    hashes BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS task_cases (
    task_id TEXT PRIMARY KEY,
    cases TEXT NOT NULL
) WITHOUT ROWID;
"""
KEY_BYTES: Final = 32
_HASH_BYTES: Final = 32

MakeKey = Callable[[int], bytes]


class CaseLists:
    """The case lists of one node; each that is the same as another is kept once."""

    def __init__(self, journal: Journal, make_key: MakeKey = secrets.token_bytes) -> None:
        self._journal = journal
        self._make_key = make_key

    def hash_of(self, dataset: str, case_id: str) -> Digest:
        """Return the keyed hash of a case of a dataset."""
        return Digest(_keyed(self._key(), dataset, case_id).hex())

    def keep(self, dataset: str, case_ids: Iterable[str]) -> Digest:
        """Return the digest of a list of cases, which is kept; call it inside a transaction."""
        key = self._key()
        hashes = b"".join(sorted(_keyed(key, dataset, one) for one in case_ids))
        digest = list_digest(hashes)
        self._journal.execute("INSERT OR IGNORE INTO case_lists VALUES (?, ?)", (digest, hashes))
        return digest

    def has(self, digest: str, case: Digest) -> bool:
        """Return whether the list of a digest has a case, given by its keyed hash."""
        found = self._journal.cell("SELECT hashes FROM case_lists WHERE digest = ?", (digest,))
        return isinstance(found, bytes) and bytes.fromhex(case) in _hashes(found)

    def lists_with(self, case: Digest) -> frozenset[Digest]:
        """Return the digests of the lists that have a case."""
        rows = self._journal.rows("SELECT digest, hashes FROM case_lists")
        wanted = bytes.fromhex(case)
        return frozenset(
            Digest(str(digest))
            for digest, hashes in rows
            if isinstance(hashes, bytes) and wanted in _hashes(hashes)
        )

    def sound(self) -> frozenset[str]:
        """Return the digests of the lists that are what their digest says."""
        rows = self._journal.rows("SELECT digest, hashes FROM case_lists")
        return frozenset(
            str(digest)
            for digest, hashes in rows
            if isinstance(hashes, bytes) and list_digest(hashes) == digest
        )

    def forget_all_but(self, needed: Iterable[str]) -> None:
        """Forget the lists that no entry names any more; call it inside a transaction."""
        rows = self._journal.rows("SELECT digest FROM case_lists")
        for digest in {str(row[0]) for row in rows} - set(needed):
            self._journal.execute("DELETE FROM case_lists WHERE digest = ?", (digest,))

    # The cases that the output of a task comes from, until it is answered.

    def keep_task(self, task_id: str, cases: Digest) -> None:
        """Note which cases a task was done with; forget those of tasks that are gone."""
        self._journal.execute(
            "DELETE FROM task_cases WHERE task_id NOT IN (SELECT task_id FROM tasks)"
        )
        self._journal.execute("INSERT OR REPLACE INTO task_cases VALUES (?, ?)", (task_id, cases))

    def of_task(self, task_id: str) -> Digest | None:
        """Return the digest of the cases that a task was done with, None where nobody noted it."""
        found = self._journal.cell("SELECT cases FROM task_cases WHERE task_id = ?", (task_id,))
        return None if found is None else Digest(str(found))

    def of_tasks(self) -> frozenset[str]:
        """Return the digests of the cases of all tasks that are done and not answered."""
        rows = self._journal.rows("SELECT DISTINCT cases FROM task_cases")
        return frozenset(str(row[0]) for row in rows)

    def _key(self) -> bytes:
        # Not kept in memory: the transaction that made it may yet be undone.
        with self._journal.transaction():
            key = self._journal.cell("SELECT key FROM case_key")
            if key is None:
                key = self._make_key(KEY_BYTES)
                self._journal.execute("INSERT INTO case_key VALUES (?)", (key,))
        if not isinstance(key, bytes):
            raise TypeError("the key of the case lists is not bytes")
        return key


def list_digest(hashes: bytes) -> Digest:
    """Return the digest of a list: SHA-256 of its keyed hashes, sorted, one behind the other."""
    return Digest(hashlib.sha256(hashes).hexdigest())


def _keyed(key: bytes, dataset: str, case_id: str) -> bytes:
    words = f"{dataset}\0{case_id}".encode(errors="surrogateescape")
    return hmac.digest(key, words, hashlib.sha256)


def _hashes(joined: bytes) -> frozenset[bytes]:
    return frozenset(joined[i : i + _HASH_BYTES] for i in range(0, len(joined), _HASH_BYTES))
