"""Payloads: which files of the spool a node still needs, and for whom."""

from typing import Final

from fedmq.messages.fields import Manifest
from fedmq.node.audit_facts import UpdateSent
from fedmq.transport.journal import Cell, Journal
from fedmq.types import Digest

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS payloads (
    digest TEXT NOT NULL,
    experiment TEXT NOT NULL,
    round INTEGER NOT NULL,
    reply_id TEXT NOT NULL,
    PRIMARY KEY (experiment, digest, reply_id)
) WITHOUT ROWID;
"""
_MODEL: Final = ""
"""Stands where an update has the id of the reply that announces it."""

_IS_SENT: Final = (
    "reply_id != ? AND NOT EXISTS"
    " (SELECT 1 FROM outbox WHERE outbox.message_id = payloads.reply_id)"
)


class Payloads:
    """The models that rounds begin with and the updates that were made, by experiment."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def need_model(self, model: Manifest, experiment: str, number: int) -> None:
        """Note that a round of an experiment begins with a model, here or on its way."""
        self._keep(model, experiment, number, _MODEL)

    def keep_update(self, update: Manifest, experiment: str, number: int, *, reply_id: str) -> None:
        """Note that an update was made, and is to be sent with a reply."""
        self._keep(update, experiment, number, reply_id)

    def is_update_for(self, orchestrator: str, digest: Digest) -> bool:
        """Return whether a payload is an update of an experiment that an orchestrator leads."""
        found = self._journal.cell(
            "SELECT 1 FROM payloads JOIN leaders USING (experiment)"
            " WHERE digest = ? AND reply_id != ? AND orchestrator = ?",
            (digest, _MODEL, orchestrator),
        )
        return found is not None

    def is_needed(self, digest: str) -> bool:
        """Return whether any experiment needs a payload."""
        found = self._journal.cell("SELECT 1 FROM payloads WHERE digest = ?", (digest,))
        return found is not None

    def release_older(self, experiment: str, number: int) -> tuple[Digest, ...]:
        """Forget the models of rounds before `number`; return those that nobody needs now."""
        return self._forget(
            "experiment = ? AND round < ? AND reply_id = ?", (experiment, number, _MODEL)
        )

    def sent(self) -> tuple[UpdateSent, ...]:
        """Return the updates whose receipt came, and that were not forgotten yet."""
        rows = self._journal.own_rows(
            f"SELECT experiment, round, digest FROM payloads WHERE {_IS_SENT}",  # noqa: S608 - own
            (_MODEL,),
        )
        return tuple(
            UpdateSent(experiment=str(experiment), round=int(number or 0), update=str(digest))
            for experiment, number, digest in rows
        )

    def release_sent(self) -> tuple[Digest, ...]:
        """Forget the updates whose receipt came; return those that nobody needs now.

        The receipt says that the payload is there too. The outbox forgets a reply when its receipt
        comes, and when nobody waits for it any more.
        """
        return self._forget(_IS_SENT, (_MODEL,))

    def release(self, experiment: str) -> tuple[Digest, ...]:
        """Forget all that an experiment needed; return what nobody needs now."""
        return self._forget("experiment = ?", (experiment,))

    def _keep(self, payload: Manifest, experiment: str, number: int, reply_id: str) -> None:
        self._journal.execute(
            "INSERT INTO payloads VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET round = max(round, excluded.round)",
            (payload.digest, experiment, number, reply_id),
        )

    def _forget(self, which: str, cells: tuple[Cell, ...]) -> tuple[Digest, ...]:
        rows = self._journal.own_rows(
            f"SELECT DISTINCT digest FROM payloads WHERE {which}",  # noqa: S608 - own words
            cells,
        )
        if not rows:
            return ()
        self._journal.execute(f"DELETE FROM payloads WHERE {which}", cells)  # noqa: S608 - own
        return tuple(Digest(str(row[0])) for row in rows if not self.is_needed(str(row[0])))
