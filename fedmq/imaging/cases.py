"""Cases: one patient study each, as the files and the clinical row that belong together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from fedmq.errors import DatasetError

if TYPE_CHECKING:
    from fedmq.imaging.volumes import StoredVolume, Volume

FILE_FAULTS: Final = frozenset(
    {"missing_file", "unreadable", "corrupt_file", "not_3d", "bad_affine", "not_finite"}
)
"""Codes of volumes that cannot be read."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One patient study; what it lacks is simply not in `volumes` or `clinical`."""

    case_id: str
    volumes: Mapping[str, Path]
    """Modality (PET, CT, MASK) -> file."""
    clinical: Mapping[str, str]
    """Column -> cell of the site's clinical table, as written there."""

    def volume(self, modality: str) -> "Volume":
        """Return the volume of `modality`.

        Raises:
            DatasetError: the case has none (code missing_modality), or it cannot be read.
        """
        # nibabel comes with an extra: who submits a plan, or trains on tables, does without.
        from fedmq.imaging.volumes import load_volume

        return self._load(modality, load_volume)

    def stored_volume(self, modality: str) -> "StoredVolume":
        """Return the volume of `modality` with the numbers of its file, to be resampled.

        Raises:
            DatasetError: as for `volume`.
        """
        from fedmq.imaging.volumes import load_stored

        return self._load(modality, load_stored)

    def _load(self, modality: str, load: Callable[[Path], T]) -> T:
        path = self.volumes.get(modality)
        if path is None:
            raise DatasetError(
                f"case {self.case_id} has no {modality}",
                code="missing_modality",
                case=self.case_id,
                why=f"it has {', '.join(sorted(self.volumes)) or 'no volume at all'}",
                fix="add the file, or use a plan that learns without it",
            )
        try:
            return load(path)
        except DatasetError as error:  # of a file, which may be called as in every other case
            raise DatasetError(
                f"case {self.case_id}: {error.what}",
                code=error.code,
                case=self.case_id,
                why=error.why,
                fix=error.fix,
            ) from error
