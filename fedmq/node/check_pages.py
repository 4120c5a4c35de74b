"""Check pages: what `fedmq node data check` drew of each dataset, one HTML file each, at the node.

They show patients: they never leave the site, and are gone as soon as one of them is withdrawn. Of
those that the operator had drawn elsewhere is known where they are.
"""

from pathlib import Path
from typing import Final

from fedmq.disk import Disk
from fedmq.transport.journal import Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS pages_elsewhere (
    dataset TEXT NOT NULL,
    page TEXT NOT NULL,
    PRIMARY KEY (dataset, page)
) WITHOUT ROWID;
"""
PAGES: Final = "checks"
"""The folder of the pages."""


class CheckPages:
    """Where the pages of one node stand."""

    def __init__(self, disk: Disk, journal: Journal) -> None:
        self._disk = disk
        self._journal = journal

    def path(self, dataset: str) -> Path:
        """Return where the page of a dataset is, or would be."""
        return self._disk.path(_name(dataset))

    def note(self, dataset: str, page: Path) -> None:
        """A page of this dataset is drawn at a place of the operator's choice."""
        cells = (dataset, str(page.resolve()))
        self._journal.execute("INSERT OR IGNORE INTO pages_elsewhere VALUES (?, ?)", cells)

    def elsewhere(self, dataset: str) -> tuple[Path, ...]:
        """Return the pages of this dataset that the operator had drawn, and that are still there.

        Also those of a dataset that had its name before.
        """
        rows = self._journal.rows(
            "SELECT page FROM pages_elsewhere WHERE dataset = ? ORDER BY page", (dataset,)
        )
        pages = [Path(str(row[0])) for row in rows]
        places = [place for page in pages for place in (page, page.with_name(_half(page.name)))]
        return tuple(place for place in places if place.is_file())

    def remove(self, dataset: str) -> None:
        """There is no page of this dataset here any more, nor one that was being put in its place.

        Raises:
            StorageError: the disk refuses.
        """
        self._disk.remove(_name(dataset))
        self._disk.remove(_half(_name(dataset)))


def _name(dataset: str) -> str:
    return f"{dataset}.html"


def _half(name: str) -> str:
    """Return what a page is called before it is whole: a check that is killed leaves it so."""
    return f".{name}.new"
