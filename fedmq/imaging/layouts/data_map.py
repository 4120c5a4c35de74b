"""Data maps: how a dataset's folder is read, found once and kept with the dataset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fedmq.errors import ConfigurationError
from fedmq.imaging.baseline import BaselineRule
from fedmq.imaging.layouts.patterns import leads_out, match_path
from fedmq.imaging.layouts.words import MODALITIES

CLINICAL_FILE: Final = "clinical.csv"
_STRICT: Final = ConfigDict(strict=True, extra="forbid")


class Layout(StrEnum):
    """The layouts that have a name."""

    FOLDERS = "folders"
    """A folder for each case, or for each scan of a case (`NAME_scan-1`); volumes by words."""
    STUDIES = "autopet"
    """A folder for each patient with one for each study; volumes by words."""
    BIDS = "bids-pet"
    HECKTOR = "hecktor"
    MSD = "msd"
    PATTERNS = "patterns"
    """As the operator wrote in a map of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMap:
    """Which file of a folder is which volume of which case, and which row is that case's."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    layout: Layout = Layout.FOLDERS
    volumes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Modality -> patterns, the best first; none where volumes are told by words."""
    table: str = CLINICAL_FILE
    """The clinical table in the folder, unless one elsewhere was named."""
    id_column: str = ""
    """The column that names the case; "": the one whose name says so."""
    scan_column: str = ""
    """The column that names the scan; "": the one whose name says so, where one does."""
    encoding: str = ""
    """Of the table; "": UTF-8, or what its byte order mark says."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Id in the table -> case, where they are not written alike and there is no doubt."""
    baseline: BaselineRule | None = None

    def __post_init__(self) -> None:
        if leads_out(self.table):
            raise ConfigurationError(
                "the table of a data map does not lie in the dataset's folder",
                why=f'table = "{self.table}" leads out of it',
                fix="leave it out of the map, and name the table by --clinical",
            )
        for modality, patterns in self.volumes.items():
            if modality not in MODALITIES:
                raise ConfigurationError(
                    f"a data map has no volumes called {modality}",
                    why=f"known are {', '.join(MODALITIES)}",
                    fix="leave the others out of the map",
                )
            for pattern in patterns:
                match_path(pattern, "")


_MAP: Final = TypeAdapter(DataMap)


def map_json(data_map: DataMap) -> str:
    """Return a data map as a line of JSON."""
    return _MAP.dump_json(data_map).decode()


def parse_map(text: str) -> DataMap:
    """Return the data map that `map_json` wrote.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return _MAP.validate_json(text)
    except ValidationError as error:
        raise ConfigurationError(
            "the data map of a dataset cannot be read",
            why="it is damaged, or of another version of fedmq",
            fix="remove the dataset, then add it again",
        ) from error
