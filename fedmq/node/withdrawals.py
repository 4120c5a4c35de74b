"""Withdrawals: cases whose patients took back their consent; no later round has them.

They stay withdrawn when their dataset is checked, removed or added again: nothing here forgets one.
"""

from dataclasses import dataclass
from typing import Final

from fedmq.transport.journal import Cell, Journal
from fedmq.types import Digest

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS withdrawn (
    dataset TEXT NOT NULL,
    case_id TEXT NOT NULL,
    case_hash TEXT NOT NULL,
    modalities TEXT NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (dataset, case_id)
) WITHOUT ROWID;
"""
_COLUMNS: Final = "dataset, case_id, case_hash, modalities, reason, at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A case that is withdrawn; its name and the reason stay on the site."""

    dataset: str
    case_id: str
    case_hash: Digest
    """As the audit log has it."""
    modalities: tuple[str, ...]
    """What it had fit for use: plans that had it in their split keep its place there empty."""
    reason: str
    at: float
    """Unix seconds."""


class Withdrawals:
    """The withdrawn cases of one node; the command line writes, the service reads."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __len__(self) -> int:
        return int(self._journal.cell("SELECT count(*) FROM withdrawn") or 0)

    def of(self, dataset: str) -> tuple[Withdrawal, ...]:
        """Return the withdrawn cases of a dataset, by name."""
        rows = self._journal.rows(
            f"SELECT {_COLUMNS} FROM withdrawn WHERE dataset = ? ORDER BY case_id",  # noqa: S608
            (dataset,),
        )
        return tuple(_withdrawal(row) for row in rows)

    def datasets_with(self, case_id: str) -> frozenset[str]:
        """Return the datasets in which a case of this name is withdrawn."""
        rows = self._journal.rows("SELECT dataset FROM withdrawn WHERE case_id = ?", (case_id,))
        return frozenset(str(row[0]) for row in rows)

    def names(self, dataset: str) -> frozenset[str]:
        """Return the names of the withdrawn cases of a dataset."""
        return frozenset(one.case_id for one in self.of(dataset))

    def add(self, withdrawal: Withdrawal) -> bool:
        """Note a withdrawal; return whether the case was not withdrawn before."""
        changed = self._journal.execute(
            "INSERT OR IGNORE INTO withdrawn VALUES (?, ?, ?, ?, ?, ?)",
            (
                withdrawal.dataset,
                withdrawal.case_id,
                withdrawal.case_hash,
                ",".join(withdrawal.modalities),
                withdrawal.reason,
                withdrawal.at,
            ),
        )
        return bool(changed)


def _withdrawal(row: tuple[Cell, ...]) -> Withdrawal:
    dataset, case_id, case_hash, modalities, reason, at = row
    return Withdrawal(
        dataset=str(dataset),
        case_id=str(case_id),
        case_hash=Digest(str(case_hash)),
        modalities=tuple(word for word in str(modalities).split(",") if word),
        reason=str(reason),
        at=float(at or 0.0),
    )
