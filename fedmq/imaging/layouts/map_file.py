"""Map files: data maps that an operator wrote, in TOML."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from fedmq.errors import ConfigurationError
from fedmq.imaging.baseline import BaselineRule, Pick
from fedmq.imaging.fault_words import first_of, meant
from fedmq.imaging.layouts.data_map import CLINICAL_FILE, DataMap, Layout
from fedmq.imaging.layouts.patterns import leads_out, match_path
from fedmq.imaging.layouts.words import MODALITIES
from fedmq.imaging.toml_files import Part, read_part


def _as_list(said: object) -> object:
    """Return one pattern as a list of one."""
    return (said,) if isinstance(said, str) else said


Patterns = Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)]


class _Baseline(Part):
    """Which of several scans counts."""

    pick: Pick = Pick.LAST
    scan: str = ""
    window_days: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.pick is Pick.NAMED and not self.scan:
            raise ValueError('pick = "named" goes with scan = "...", the name of the scan')
        if self.scan and self.pick is not Pick.NAMED:
            raise ValueError(f'scan = "{self.scan}" goes with pick = "named"')
        if self.window_days is not None and self.window_days[0] > self.window_days[1]:
            raise ValueError("window_days ends before it begins: write the earlier day first")
        return self


class _MapFile(Part):
    """What an operator may write in a map."""

    volumes: Annotated[dict[str, Patterns], Field(validate_default=True, default_factory=dict)]
    table: Annotated[str, Field(min_length=1)] = CLINICAL_FILE
    id_column: str = ""
    scan_column: str = ""
    encoding: str = ""
    aliases: dict[str, str] = Field(default_factory=dict)
    baseline: _Baseline | None = None

    @field_validator("table")
    @classmethod
    def _is_in_the_folder(cls, table: str) -> str:
        if leads_out(table):
            raise ValueError(
                f"{table} leads out of the dataset's folder: name the table by --clinical"
            )
        return table

    @field_validator("volumes")
    @classmethod
    def _are_patterns(cls, volumes: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        if not volumes:
            raise ValueError('write [volumes], and below it such as PET = "{case}/PET.nii.gz"')
        if faults := first_of(_faults_of(volumes)):
            raise ValueError(faults)
        return volumes


def _faults_of(volumes: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for one in volumes:
        if one not in MODALITIES:
            yield f"there are no volumes called {one}{meant(one, MODALITIES)}"
    for pattern in (one for some in volumes.values() for one in some):
        try:
            match_path(pattern, "")
        except ConfigurationError as error:
            yield f"{pattern} is no pattern: {error.why}; {error.fix}"


def read_map_file(path: Path) -> DataMap:
    """Return the data map that an operator wrote.

    Raises:
        ConfigurationError: it cannot be read, or used; the text says the line or the key, and what
            to write there.
    """
    said = read_part(path, _MapFile, "data map", "docs/data.md")
    scans = said.baseline
    return DataMap(
        layout=Layout.PATTERNS,
        volumes=said.volumes,
        table=said.table,
        id_column=said.id_column,
        scan_column=said.scan_column,
        encoding=said.encoding,
        aliases=said.aliases,
        baseline=None
        if scans is None
        else BaselineRule(pick=scans.pick, scan=scans.scan, window_days=scans.window_days),
    )
