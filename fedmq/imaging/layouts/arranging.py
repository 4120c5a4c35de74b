"""Arranging: which file of a dataset is which volume of which case, by their names alone. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fedmq.imaging.layouts.data_map import DataMap, Layout
from fedmq.imaging.layouts.listing import Entry
from fedmq.imaging.layouts.patterns import Match, match_folder, match_path
from fedmq.imaging.layouts.words import is_volume, modality_by_words, plain_name

_SCAN_FOLDER: Final = re.compile(r"(.+)_(scan-\d+)", re.IGNORECASE | re.DOTALL)
_FEW: Final = 3
"""More files of a folder that are no volumes are told as one line."""
_READ_BESIDE: Final = (".json", "_sessions.tsv", "_scans.tsv")
"""Files that say something of volumes, or may."""
_NO_VOLUME: Final = "no volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFiles:
    """The volumes of one scan of a case."""

    case_id: str
    name: str
    """"" where the layout gives scans no names."""
    volumes: Mapping[str, str]
    """Modality -> path in the dataset's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """Files of which each could be the same volume of a case."""

    case_id: str
    modality: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """A volume whose name a pattern reads in two ways."""

    path: str
    pattern: str
    readings: tuple[Match, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A path that is no part of the dataset, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """What a data map finds in a folder."""

    cases: tuple[str, ...]
    """All of them, sorted, also those without any volume."""
    scans: Mapping[str, tuple[ScanFiles, ...]]
    """Case -> its scans, by name; one without a volume is none."""
    clashes: tuple[Clash, ...]
    unclear: tuple[Unclear, ...]
    ignored: tuple[Ignored, ...]
    folders: Mapping[str, tuple[str, ...]]
    """Case -> folders, at the top, in which nothing is of another case."""

    def scans_of(self, case_id: str) -> tuple[ScanFiles, ...]:
        """Return the scans of a case."""
        return self.scans.get(case_id, ())

    def files_of(self, case_id: str) -> tuple[str, ...]:
        """Return the volumes of a case that lie outside of its own folders."""
        own = self.folders.get(case_id, ())
        return tuple(
            sorted(
                path
                for scan in self.scans_of(case_id)
                for path in scan.volumes.values()
                if path.partition("/")[0] not in own
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What one file is."""

    case_id: str
    scan: str
    modality: str
    preference: int


def depth_of(data_map: DataMap) -> int:
    """Return how many names a path of the dataset has at most."""
    if data_map.layout is Layout.FOLDERS:
        return 2
    if data_map.layout is Layout.STUDIES:
        return 3
    return max(
        (one.count("/") + 1 for some in data_map.volumes.values() for one in some), default=1
    )


def arrange(entries: Sequence[Entry], data_map: DataMap) -> Arrangement:
    """Return the cases among `entries`, their scans, and what is no part of any."""
    found: dict[tuple[str, str], dict[str, dict[int, list[str]]]] = {}
    ignored: list[Ignored] = []
    unclear: list[Unclear] = []
    owners: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.fault:
            ignored.append(Ignored(path=entry.path, why=entry.fault))
            continue
        place = _place_of(entry.path, data_map)
        if entry.is_folder:
            if isinstance(place, _Place):
                why = "a folder, though it is called as a volume is"
                ignored.append(Ignored(path=entry.path, why=why))
            continue
        if isinstance(place, str):
            ignored.append(Ignored(path=entry.path, why=place))
            continue
        top = entry.path.partition("/")[0]
        if isinstance(place, Unclear):
            unclear.append(place)
            owners[top].update(plain_name(one.case_id) for one in place.readings)
            continue
        by_modality = found.setdefault((place.case_id, place.scan), {})
        by_modality.setdefault(place.modality, {}).setdefault(place.preference, []).append(
            entry.path
        )
        owners[top].add(place.case_id)
    folders = _own_folders(entries, data_map, owners)
    cases = sorted({case_id for case_id, _ in found} | set(folders))
    scans, clashes = _settle(found, ignored)
    return Arrangement(
        cases=tuple(cases),
        scans=scans,
        clashes=clashes,
        unclear=tuple(unclear),
        ignored=tuple(_summed(ignored, data_map)),
        folders={case: tuple(sorted(folders.get(case, ()))) for case in cases},
    )


def case_of_folder(name: str) -> tuple[str, str]:
    """Return the case and the scan that a folder is named after: `A_scan-2` is A's second."""
    name = plain_name(name)
    found = _SCAN_FOLDER.fullmatch(name)
    return (found[1], found[2].lower()) if found else (name, "")


def _place_of(path: str, data_map: DataMap) -> _Place | Unclear | str:
    """Return what a file is, or why it is nothing."""
    parts = path.split("/")
    if not is_volume(parts[-1]):
        if parts[-1].lower().endswith((".img", ".hdr", ".img.gz", ".hdr.gz")):
            return "half of a pair .img/.hdr: make one file of it, with nib-convert IMG NII.GZ"
        return _NO_VOLUME
    if data_map.volumes:
        return _by_patterns(path, data_map)
    depth = depth_of(data_map)
    if len(parts) != depth:
        owner = "a case" if data_map.layout is Layout.FOLDERS else "a scan, in that of its case"
        return (
            f"it lies too {'high' if len(parts) < depth else 'deep'}: not in the folder of {owner}"
        )
    words = modality_by_words(parts[-1], parts[-2])
    if isinstance(words, str):
        return words
    case_id, scan = case_of_folder(parts[0])
    if data_map.layout is Layout.STUDIES:
        case_id, scan = plain_name(parts[0]), parts[1]
    return _Place(case_id=case_id, scan=scan, modality=words[0], preference=words[1])


def _by_patterns(path: str, data_map: DataMap) -> _Place | Unclear | str:
    for modality, patterns in sorted(data_map.volumes.items()):
        for preference, pattern in enumerate(patterns):
            readings = match_path(pattern, path)
            if len(readings) > 1:
                return Unclear(path=path, pattern=pattern, readings=readings)
            if readings:
                return _Place(
                    case_id=plain_name(readings[0].case_id),
                    scan=readings[0].scan,
                    modality=modality,
                    preference=preference,
                )
    return f"a volume that fits no name of the layout {data_map.layout}"


def _own_folders(
    entries: Sequence[Entry], data_map: DataMap, owners: Mapping[str, set[str]]
) -> dict[str, list[str]]:
    """Return the folders, at the top, that are one case's: by their names, and what is inside."""
    folders: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        if not entry.is_folder or "/" in entry.path or entry.fault:
            continue
        case_id = _case_by_folder(entry.path, data_map)
        if case_id is not None and owners.get(entry.path, {case_id}) == {case_id}:
            folders[case_id].append(entry.path)
    return folders


def _case_by_folder(name: str, data_map: DataMap) -> str | None:
    if not data_map.volumes:
        is_flat = data_map.layout is Layout.FOLDERS
        return case_of_folder(name)[0] if is_flat else plain_name(name)
    for patterns in data_map.volumes.values():
        for pattern in patterns:
            case_id = match_folder(pattern, name)
            if case_id is not None:
                return plain_name(case_id)
    return None


def _settle(
    found: Mapping[tuple[str, str], Mapping[str, Mapping[int, list[str]]]], ignored: list[Ignored]
) -> tuple[dict[str, tuple[ScanFiles, ...]], tuple[Clash, ...]]:
    """Return the scans with the best file of each modality; the others are ignored, with why."""
    scans: dict[str, tuple[ScanFiles, ...]] = {}
    clashes = []
    for (case_id, name), by_modality in sorted(found.items()):
        volumes = {}
        for modality, by_preference in sorted(by_modality.items()):
            best, *others = (by_preference[key] for key in sorted(by_preference))
            volumes[modality] = best[0]
            if len(best) > 1:
                clashes.append(Clash(case_id=case_id, modality=modality, paths=tuple(best)))
            why = f"{best[0].rpartition('/')[2]} is taken for the {modality}"
            ignored.extend(Ignored(path=path, why=why) for some in others for path in some)
        scan = ScanFiles(case_id=case_id, name=name, volumes=volumes)
        scans[case_id] = (*scans.get(case_id, ()), scan)
    return scans, tuple(clashes)


def _summed(ignored: Sequence[Ignored], data_map: DataMap) -> Iterator[Ignored]:
    """Yield what is ignored but for the table and sidecars; many files of a folder as one line."""
    by_folder: dict[str, list[Ignored]] = defaultdict(list)
    for one in ignored:
        folder, _, name = one.path.rpartition("/")
        if one.why != _NO_VOLUME:
            yield one
        elif one.path != data_map.table and not name.lower().endswith(_READ_BESIDE):
            by_folder[folder].append(one)
    for folder, some in by_folder.items():
        if len(some) > _FEW:
            yield Ignored(path=f"{folder}/".lstrip("/"), why=f"{len(some)} files, no volumes")
        else:
            yield from some
