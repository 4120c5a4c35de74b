"""Detection: the layout that a dataset's files are laid out by. Pure.

Facts of the layouts: BIDS 1.10 (Positron Emission Tomography; participants and sessions files);
HECKTOR 2021, 2022 and 2025 (`NAME__CT`, `NAME__PT`, masks beside them or in labelsTr); autoPET's
NIfTI (a folder for each patient with one for each study: SUV, CTres, SEG); the Medical
Segmentation Decathlon and nnU-Net (imagesTr, labelsTr, `_0000` as dataset.json names channels).
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from fedmq.errors import DatasetError
from fedmq.imaging.layouts.arranging import Arrangement, arrange
from fedmq.imaging.layouts.data_map import DataMap, Layout
from fedmq.imaging.layouts.listing import Entry
from fedmq.imaging.layouts.patterns import match_path
from fedmq.imaging.layouts.words import is_volume, modality_by_words, modality_of_channel

CHANNELS_FILE: Final = "dataset.json"
_SUBJECT: Final = "{case:sub-*}"
_SESSIONS: Final = (f"{_SUBJECT}/{{scan:ses-*}}/", f"{_SUBJECT}/")


def _bids(*names: str) -> tuple[str, ...]:
    return tuple(session + name for name in names for session in _SESSIONS)


BIDS: Final[Mapping[str, tuple[str, ...]]] = {
    "PET": _bids("pet/*_pet.nii*"),
    "CT": _bids("anat/*_ct.nii*", "ct/*_ct.nii*", "pet/*_ct.nii*"),
    "MASK": (
        *_bids("pet/*_mask.nii*", "pet/*_dseg.nii*", "anat/*_mask.nii*", "anat/*_dseg.nii*"),
        *(f"derivatives/*/{one}pet/*_mask.nii*" for one in _SESSIONS),
        *(f"derivatives/*/{one}pet/*_dseg.nii*" for one in _SESSIONS),
    ),
}
HECKTOR: Final[Mapping[str, tuple[str, ...]]] = {
    "PET": ("{case}__PT.nii*", "imagesTr/{case}__PT.nii*", "{case}_pt.nii*"),
    "CT": ("{case}__CT.nii*", "imagesTr/{case}__CT.nii*", "{case}_ct.nii*"),
    "MASK": (
        *("{case}__MASK.nii*", "{case}__SEG.nii*", "{case}__GTV*.nii*"),
        *("labelsTr/{case}.nii*", "{case}_gtv*.nii*"),
    ),
}
_OTHERS: Final = re.compile(r"labelstr|imagests|labelsts|derivatives", re.IGNORECASE)
"""Folders that are other layouts', and no case's; by themselves they tell nothing."""
_BY_WORDS: Final = {1: Layout.FOLDERS, 2: Layout.STUDIES}
"""By the number of folders above a volume."""


def detect_map(
    entries: Sequence[Entry], *, channels: str = "", layout: Layout | None = None
) -> DataMap:
    """Return the data map of the files; `layout` is the operator's word, None where it is open.

    `channels` is the text of dataset.json, where there is one.

    Raises:
        DatasetError: code two_layouts, unknown_layout or unknown_channels; the fix has the choices.
    """
    if layout is not None:
        return _map_of(layout, entries, channels)[0]
    examples = _examples(entries)
    if len(examples) > 1:
        seen = "; ".join(f"{one}: {name}" for one, name in sorted(examples.items()))
        raise DatasetError(
            "the folder looks like more than one layout",
            code="two_layouts",
            why=seen,
            fix="say which: " + ", ".join(f"--layout {one}" for one in sorted(examples)),
        )
    if examples:
        data_map, found = _map_of(next(iter(examples)), entries, channels)
        _require_pets(entries, data_map, found)
        return data_map
    volumes = _volumes(entries)
    if volumes and not any(one.is_folder for one in entries):
        raise DatasetError(
            "the layout of the folder is not known",
            code="unknown_layout",
            why=f"no layout has files called such as {volumes[0]}",
            fix="put each case's volumes in a folder of its own, and name the folder above; or "
            "write their names as patterns in a file, and add --map FILE; see docs/data.md",
        )
    return DataMap()  # folders of cases, perhaps without volumes


def _volumes(entries: Sequence[Entry]) -> list[str]:
    return [one.name for one in entries if not one.is_folder and is_volume(one.name)]


def _examples(entries: Sequence[Entry]) -> dict[Layout, str]:
    """Return the layouts that files speak for, each with the name of the first of them."""
    paths = [
        one.path for one in entries if not (one.is_folder or one.fault) and is_volume(one.name)
    ]
    found: dict[Layout, str] = {}
    for path in paths:
        if _fits(BIDS, path):
            found.setdefault(Layout.BIDS, path.rpartition("/")[2])
    for path in paths:
        layout = _layout_of(path)
        # Of a subject's folder what BIDS has no name for is no other layout's.
        if layout is not None and not (Layout.BIDS in found and path.startswith("sub-")):
            found.setdefault(layout, path.rpartition("/")[2])
    return found


def _layout_of(path: str) -> Layout | None:
    """Return the layout, other than BIDS, that a volume's path speaks for."""
    *folders, name = path.split("/")
    top, folder = (folders[0], folders[-1]) if folders else ("", "")
    if not _OTHERS.fullmatch(top) and _fits(HECKTOR, path):
        return Layout.HECKTOR
    if top.lower() == "imagestr":
        return Layout.MSD
    if _OTHERS.fullmatch(top) or isinstance(modality_by_words(name, folder), str):
        return None
    return _BY_WORDS.get(path.count("/"))


def _fits(volumes: Mapping[str, tuple[str, ...]], path: str) -> bool:
    return any(match_path(one, path) for patterns in volumes.values() for one in patterns)


def _map_of(layout: Layout, entries: Sequence[Entry], channels: str) -> tuple[DataMap, Arrangement]:
    match layout:
        case Layout.BIDS:
            data_map = DataMap(layout=layout, volumes=BIDS, table="participants.tsv")
        case Layout.HECKTOR:
            data_map = DataMap(layout=layout, volumes=HECKTOR)
        case Layout.MSD:
            data_map = DataMap(layout=layout, volumes=_channels(channels))
        case Layout.PATTERNS:
            raise DatasetError(
                "patterns are not guessed",
                code="unknown_layout",
                why="they are the operator's own",
                fix="write them in a file, and add --map FILE; see docs/data.md",
            )
        case _:
            data_map = DataMap(layout=layout)
    found = arrange(entries, data_map)
    # Folders are cases in any layout; a layout in which none has a volume is another one.
    if not found.cases or (_volumes(entries) and not found.scans):
        raise DatasetError(
            f"the folder is not laid out as {layout}",
            code="unknown_layout",
            why="no volume in it has a name and a place of that layout",
            fix="leave --layout out, or write the names as patterns; see docs/data.md",
        )
    return data_map, found


def _require_pets(entries: Sequence[Entry], data_map: DataMap, found: Arrangement) -> None:
    """Return unless the layout takes no PET, and volumes that it does not take say that they are.

    Raises:
        DatasetError: code unknown_layout; it would be a dataset of CTs, and look like one.
    """
    taken = [scan.volumes for scans in found.scans.values() for scan in scans]
    if any("PET" in volumes for volumes in taken):
        return
    own = {path for volumes in taken for path in volumes.values()}
    left = [one for one in entries if not (one.is_folder or one.fault or one.path in own)]
    pets = [one.name for one in left if is_volume(one.name) and _says_pet(one.name)]
    if pets:
        raise DatasetError(
            "the layout of the folder is not known",
            code="unknown_layout",
            why=f"it looks like {data_map.layout}, which has no place for such as {pets[0]}",
            fix="write the names of all volumes as patterns in a file, and add --map FILE; see "
            f"docs/data.md; or leave the PETs: --layout {data_map.layout}",
        )


def _says_pet(name: str) -> bool:
    words = modality_by_words(name, "")
    return not isinstance(words, str) and words[0] == "PET"


def _channels(text: str) -> dict[str, tuple[str, ...]]:
    """Return the patterns of the channels that a dataset.json names as PET or CT."""
    try:
        found = json.loads(text)
        named = found.get("channel_names") or found.get("modality") or {}
        modalities = {int(key): modality_of_channel(str(name)) for key, name in named.items()}
    except (ValueError, AttributeError, TypeError, RecursionError):
        modalities = {}
    volumes: dict[str, tuple[str, ...]] = {"MASK": ("labelsTr/{case}.nii*",)}
    for number, modality in sorted(modalities.items()):
        if modality is None or modality in volumes:
            continue
        numbered = f"imagesTr/{{case}}_{number:04}.nii*"
        plain = ("imagesTr/{case}.nii*",) if len(modalities) == 1 else ()
        volumes[modality] = (numbered, *plain)
    if len(volumes) == 1:
        raise DatasetError(
            "nobody can tell which channel is the PET and which the CT",
            code="unknown_channels",
            why=f"{CHANNELS_FILE} is missing, or names no channel so",
            fix=f'write into {CHANNELS_FILE} such as "channel_names": {{"0": "PET", "1": "CT"}}',
        )
    return volumes
