"""An invented archive, and what an import makes of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from fedmq.disk import LocalDisk
from fedmq.imaging.dicom.importing import Imported, import_archive
from fedmq.imaging.dicom.outcomes import Outcome
from fedmq.imaging.dicom.planning import Choices
from tests.support import dicom

SHAPE = (5, 6, 7)
"""Slices, rows, columns."""


def stored(seed: int = 0, high: int = 3000) -> NDArray[np.int16]:
    """Return pixels that are all different enough."""
    return np.random.default_rng(seed).integers(0, high, SHAPE).astype(np.int16)


def pet(change: dicom.Change | None = None, **told: object) -> list[FileDataset]:
    """Return the slices of a PET."""
    return dicom.series("PT", stored(), change, **told)


def ct(change: dicom.Change | None = None, **told: object) -> list[FileDataset]:
    """Return the slices of a CT that is longer than wide."""
    return dicom.series("CT", stored(1), change, **told)


@dataclass(frozen=True)
class Site:
    """One node's archive, dataset and home."""

    folder: Path

    @property
    def archive(self) -> Path:
        """Where the archive exports to."""
        return self.folder / "archive"

    @property
    def cases(self) -> Path:
        """The dataset."""
        return self.folder / "cases"

    @property
    def home(self) -> Path:
        """What stays at the site."""
        return self.folder / "home"

    def run(self, choices: Choices | None = None, jobs: int = 1) -> Imported:
        """Import everything."""
        return import_archive(
            self.archive,
            self.cases,
            LocalDisk(self.home),
            choices or Choices(),
            jobs=jobs,
            progress=lambda *_: None,
        )

    def only(self, choices: Choices | None = None) -> Outcome:
        """Import the only case; return what became of it."""
        (outcome,) = self.run(choices).outcomes
        return outcome

    def names(self) -> list[str]:
        """Return the folders of the dataset."""
        return sorted(path.name for path in self.cases.iterdir() if path.is_dir())

    def sidecar(self, case_id: str, name: str = "PET") -> Any:  # noqa: ANN401 - JSON
        """Return what stands beside a volume."""
        return json.loads((self.cases / case_id / f"{name}.json").read_text())
