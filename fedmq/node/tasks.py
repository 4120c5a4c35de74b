"""Tasks: the work that a node has accepted and not yet answered, and the payloads it keeps."""

from dataclasses import dataclass
from typing import Final

from fedmq.messages.codec import Message, decode, encode
from fedmq.messages.requests import PrepareRequest
from fedmq.transport.journal import Journal
from fedmq.types import Digest

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tasks (
    message_id TEXT PRIMARY KEY,
    experiment TEXT NOT NULL,
    round INTEGER NOT NULL,
    encoded BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS undecided (
    experiment TEXT PRIMARY KEY,
    encoded BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS payloads (
    digest TEXT NOT NULL,
    experiment TEXT NOT NULL,
    round INTEGER NOT NULL,
    is_update INTEGER NOT NULL,
    PRIMARY KEY (experiment, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS over (
    experiment TEXT PRIMARY KEY
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One request that is waiting or in hand; it stays until its answer is in the outbox."""

    request: Message

    @property
    def task_id(self) -> str:
        """The request's id."""
        return self.request.envelope.message_id


class Tasks:
    """The work of one node, in the order in which it came."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __len__(self) -> int:
        return int(self._journal.cell("SELECT count(*) FROM tasks") or 0)

    def add(self, request: Message) -> None:
        """Accept work; what the experiment had waiting from older rounds is dropped."""
        envelope = request.envelope
        self._journal.execute(
            "DELETE FROM tasks WHERE experiment = ? AND round < ?",
            (envelope.experiment, envelope.round),
        )
        self._journal.execute(
            "INSERT OR IGNORE INTO tasks VALUES (?, ?, ?, ?)",
            (envelope.message_id, envelope.experiment, envelope.round, encode(request)),
        )

    def next(self) -> Task | None:
        """Return the oldest task."""
        rows = self._journal.rows("SELECT encoded FROM tasks ORDER BY rowid LIMIT 1")
        return None if not rows else Task(request=_message(rows[0][0]))

    def has(self, task_id: str) -> bool:
        """Return whether a task is neither answered nor dropped."""
        return (
            self._journal.cell("SELECT 1 FROM tasks WHERE message_id = ?", (task_id,)) is not None
        )

    def remove(self, task_id: str) -> None:
        """The task is answered."""
        self._journal.execute("DELETE FROM tasks WHERE message_id = ?", (task_id,))

    # Experiments whose plan the operator has to decide on.

    def leave_undecided(self, request: Message) -> None:
        """Answer this request once more when the operator has decided."""
        self._journal.execute(
            "INSERT OR REPLACE INTO undecided VALUES (?, ?)",
            (request.envelope.experiment, encode(request)),
        )

    def undecided(self) -> list[tuple[Message, PrepareRequest]]:
        """Return the requests that wait for the operator."""
        rows = self._journal.rows("SELECT encoded FROM undecided ORDER BY rowid")
        messages = [_message(row[0]) for row in rows]
        return [(one, one.body) for one in messages if isinstance(one.body, PrepareRequest)]

    def decided(self, experiment: str) -> None:
        """The operator has decided."""
        self._journal.execute("DELETE FROM undecided WHERE experiment = ?", (experiment,))

    # Payloads and endings.

    def keep_payload(
        self, digest: Digest, experiment: str, number: int, *, is_update: bool
    ) -> None:
        """Note that a round of an experiment needs a payload."""
        self._journal.execute(
            "INSERT INTO payloads VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET round = max(round, excluded.round)",
            (digest, experiment, number, is_update),
        )

    def is_update(self, digest: Digest) -> bool:
        """Return whether a payload is an update that this node made."""
        found = self._journal.cell(
            "SELECT 1 FROM payloads WHERE digest = ? AND is_update", (digest,)
        )
        return found is not None

    def release_payloads(self, experiment: str, before: int | None = None) -> tuple[Digest, ...]:
        """Return the payloads that no round needs any more, and forget them.

        Of the experiment's, those of rounds before `before`; of one that is over, all.
        """
        limit = 2**62 if before is None else before
        rows = self._journal.rows(
            "SELECT digest FROM payloads WHERE experiment = ? AND round < ?", (experiment, limit)
        )
        self._journal.execute(
            "DELETE FROM payloads WHERE experiment = ? AND round < ?", (experiment, limit)
        )
        digests = (Digest(str(row[0])) for row in rows)
        return tuple(digest for digest in digests if not self._is_needed(digest))

    def end(self, experiment: str) -> None:
        """The experiment is over: nothing of it is run or answered again."""
        for table in ("tasks", "undecided"):
            self._journal.execute(
                f"DELETE FROM {table} WHERE experiment = ?",  # noqa: S608 - own names
                (experiment,),
            )
        self._journal.execute("INSERT OR IGNORE INTO over VALUES (?)", (experiment,))

    def is_over(self, experiment: str) -> bool:
        """Return whether an experiment is over."""
        found = self._journal.cell("SELECT 1 FROM over WHERE experiment = ?", (experiment,))
        return found is not None

    def _is_needed(self, digest: Digest) -> bool:
        found = self._journal.cell("SELECT 1 FROM payloads WHERE digest = ?", (digest,))
        return found is not None


def _message(encoded: object) -> Message:
    return decode(encoded if isinstance(encoded, bytes) else b"")
