"""Feature tables: what was measured in the cases of each dataset, one CSV file each, at the node.

They hold patients' numbers: they never leave the site, and a withdrawn case's row goes with it.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from fedmq.disk import Disk
from fedmq.errors import StorageError
from fedmq.imaging.feature_table import FeatureRow, parse_table, table_text
from fedmq.node.withdrawals import Withdrawals
from fedmq.transport.journal import Journal

FEATURES: Final = "features"
"""The folder of the tables."""
_NEW: Final = ".new"


class FeatureTables:
    """The feature tables of one node; the command line writes them, the service hands them in.

    Who writes does so in a transaction of the journal: a withdrawal is before or after it, and a
    table that was being made cannot bring a row back.
    """

    def __init__(self, disk: Disk, journal: Journal, withdrawals: Withdrawals) -> None:
        self._disk = disk
        self._journal = journal
        self._withdrawals = withdrawals

    def path(self, dataset: str) -> Path | None:
        """Return the table of a dataset, None where there is none."""
        name = _name(dataset)
        return None if self._disk.size_bytes(name) is None else self._disk.path(name)

    def rows(self, dataset: str) -> tuple[FeatureRow, ...]:
        """Return the rows of a dataset, by case; none where there is no table, or a damaged one."""
        size = self._disk.size_bytes(_name(dataset))
        if size is None:
            return ()
        with contextlib.suppress(UnicodeDecodeError, StorageError):
            return parse_table(self._disk.read(_name(dataset), 0, size).decode("utf-8"))
        return ()

    def save(self, dataset: str, rows: Iterable[FeatureRow]) -> None:
        """Let these be the rows of a dataset, but for those of withdrawn cases.

        Raises:
            StorageError: the disk refuses; the rows before are still there.
        """
        with self._journal.transaction():
            gone = self._withdrawals.names(dataset)
            self._write(dataset, [row for row in rows if row.case_id not in gone])

    def forget(self, dataset: str, case_id: str) -> None:
        """There is no row of this case any more.

        Raises:
            StorageError: the disk refuses.
        """
        with self._journal.transaction():
            rows = self.rows(dataset)
            rest = [row for row in rows if row.case_id != case_id]
            if rest and len(rest) == len(rows):
                return
            if rest:
                self._write(dataset, rest)
            else:
                # A table that cannot be read may hold the row.
                self.remove(dataset)

    def remove(self, dataset: str) -> None:
        """There is no table of this dataset any more.

        Raises:
            StorageError: the disk refuses.
        """
        for name in (_name(dataset), _name(dataset) + _NEW):
            if self._disk.size_bytes(name) is not None:
                self._disk.remove(name)

    def _write(self, dataset: str, rows: Iterable[FeatureRow]) -> None:
        name = _name(dataset)
        new = name + _NEW
        self._disk.remove(new)
        self._disk.write(new, 0, table_text(rows).encode("utf-8"))
        self._disk.sync(new)
        self._disk.rename(new, name)
        self._disk.sync_names()


def _name(dataset: str) -> str:
    return f"{dataset}.csv"
