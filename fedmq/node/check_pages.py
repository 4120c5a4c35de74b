"""Check pages: what `fedmq node data check` drew of each dataset, one HTML file each, at the node.

They show patients: they never leave the site, and are gone as soon as one of them is withdrawn.
"""

from pathlib import Path
from typing import Final

from fedmq.disk import Disk

PAGES: Final = "checks"
"""The folder of the pages."""


class CheckPages:
    """Where the pages of one node stand."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def path(self, dataset: str) -> Path:
        """Return where the page of a dataset is, or would be."""
        return self._disk.path(_name(dataset))

    def remove(self, dataset: str) -> None:
        """There is no page of this dataset any more.

        Raises:
            StorageError: the disk refuses.
        """
        if self._disk.size_bytes(_name(dataset)) is not None:
            self._disk.remove(_name(dataset))


def _name(dataset: str) -> str:
    return f"{dataset}.html"
