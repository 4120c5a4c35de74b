"""Studies: one study of an archive becomes the folder of one case."""

import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from fedmq.disk import NO_ROOM
from fedmq.errors import DatasetError, DiskFull, FedmqError, StorageError
from fedmq.imaging.dicom.case_masks import unite_masks
from fedmq.imaging.dicom.choosing import Chosen, choose_ct, choose_pet
from fedmq.imaging.dicom.files import DAMAGED_REGIONS, LARGE_REGIONS, Entry, read_dataset
from fedmq.imaging.dicom.outcomes import Outcome, from_json, refused, to_json
from fedmq.imaging.dicom.pet import read_pet_facts
from fedmq.imaging.dicom.planning import Choices, Refusal, Study
from fedmq.imaging.dicom.series import Series, as_volume, count_tags, load, read_series
from fedmq.imaging.dicom.sidecars import KEPT, Sidecar, ct_sidecar, pet_sidecar
from fedmq.imaging.suv import find_doubts, find_suv_scale
from fedmq.imaging.volumes import Volume, save_volume

OUTCOME_FILE: Final = "import.json"
PART: Final = ".part-"
"""Before the name of a folder: it is no case, and only waits to be removed."""
OLD: Final = ".old-"
"""Before the name of a case whose place another one is about to take."""

_UNREAD_REGIONS: Final = {
    LARGE_REGIONS: "too_large: a file of them has more bytes or items than are read; export them in"
    " several files",
    DAMAGED_REGIONS: "damaged_file: a file of them is cut off or damaged; export it again",
}
_NO_MEMORY: Final = Refusal(
    code="memory",
    why="there was not enough memory for it",
    fix="import again with fewer --jobs, or where there is more memory",
)


@dataclass(slots=True)
class _Making:
    """What has been found out about a case so far."""

    volumes: dict[str, Volume] = field(default_factory=dict)
    sidecars: dict[str, Sidecar] = field(default_factory=dict)
    taken: dict[str, Mapping[str, object]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


def import_study(study: Study, source: Path, target: Path, choices: Choices) -> Outcome:
    """The case's folder in `target` is whole, or the outcome says why it is not there.

    Raises:
        StorageError: the disk refuses: that is no fault of the case.
    """
    try:
        return _import(study, source, target, choices)
    except MemoryError:
        settle(study.case_id, target)
        return refused(study, _NO_MEMORY)


def _import(study: Study, source: Path, target: Path, choices: Choices) -> Outcome:
    try:
        made = _make(study, source, choices)
    except DatasetError as error:
        return refused(study, Refusal(code=error.code, why=_why(error), fix=error.fix))
    except (FedmqError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - files are hostile: one case, never the rest
        why = f"something in its files is as no program makes it ({type(error).__name__})"
        return refused(study, Refusal(code="unreadable", why=why, fix="export it again"))
    outcome = Outcome(
        case_id=study.case_id,
        state="written",
        scan_day=study.when.days,
        time_zero=study.when.time_zero,
        taken=made.taken,
        notes=tuple(made.notes),
        left_out=dict(sorted(made.left_out.items())),
        dropped_tags=dict(sorted(made.dropped.items())),
        token=study.token,
        key=study.key,
        site=study.site,
    )
    try:
        _write(made, outcome, target)
    except OSError as error:
        kind = DiskFull if error.errno in NO_ROOM else StorageError
        raise kind(
            f"case {study.case_id} could not be written",
            why=os.strerror(error.errno) if error.errno else "",
            fix="free space on the disk, or choose a folder that you may write",
        ) from error
    return outcome


def read_outcome(folder: Path) -> Outcome | None:
    """Return what an earlier import says of a case's folder; None if it made none."""
    try:
        return from_json((folder / OUTCOME_FILE).read_text())
    except (OSError, UnicodeDecodeError):
        return None


def folders_by_patient(target: Path) -> Mapping[str, list[Path]]:
    """Return pseudonym -> the folders of a patient in the dataset: one, or one for each scan."""
    found: dict[str, list[Path]] = defaultdict(list)
    for folder in sorted(target.iterdir()):
        found[folder.name.partition("_scan-")[0]].append(folder)
    return found


def settle(case_id: str, target: Path) -> None:
    """What a killed import left of a case is gone; the case that was there before is there."""
    place, part, old = (target / f"{mark}{case_id}" for mark in ("", PART, OLD))
    if not place.exists() and read_outcome(old) is not None:
        old.rename(place)
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)


def _why(error: DatasetError) -> str:
    """Return why, without `what`, which may name a file."""
    return error.why or error.code.replace("_", " ")


def _make(study: Study, source: Path, choices: Choices) -> _Making:
    made = _Making(left_out=Counter(study.left_out), notes=list(study.notes))
    by_series: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in study.images:
        by_series[entry.kind, entry.series_uid].append(entry)
    series: dict[str, list[Series]] = {"PT": [], "CT": []}
    for (modality, _), entries in sorted(by_series.items()):
        series[modality].append(read_series(source, modality, entries))
    pet = choose_pet(series["PT"], choices.pet_series)
    ct = choose_ct(series["CT"], choices.ct_series, pet.taken)
    for one, what in (*pet.left_out, *ct.left_out):
        made.left_out[what] += len(one.entries)
    if pet.taken is None and ct.taken is None:
        raise DatasetError("the study has no image", code="no_image", why="no series is left")
    if pet.taken is not None:
        _add_pet(made, pet.taken, study, source, choices)
    if ct.taken is not None:
        _add_ct(made, ct.taken, study, source)
    images = {name: one.taken for name, one in (("PET", pet), ("CT", ct)) if one.taken is not None}
    _add_mask(made, study, source, choices, images)
    if study.when.time_zero != "treatment" and choices.time_zero:
        made.notes.append("the table of time zero does not have it: days count from its first scan")
    if pet.taken and ct.taken and not pet.taken.series.frame_of_reference:
        made.notes.append("PET and CT name no frame of reference: that they share one is not sure")
    return made


def _add_pet(made: _Making, chosen: Chosen, study: Study, source: Path, choices: Choices) -> None:
    facts = read_pet_facts(chosen.series.heads, choices.tracer)
    scale = find_suv_scale(facts)
    if not facts.names_tracer:
        made.notes.append("its PET names no tracer: FDG by the operator's word (--tracer)")
    made.notes += find_doubts(facts)
    array = load(source, chosen.series, chosen.grid, scale.factors)
    made.volumes["PET"] = as_volume(array, chosen.grid)
    made.sidecars["PET"] = pet_sidecar(chosen.series.head, facts, scale, study.when)
    delay_min = None if scale.delay_s is None else round(scale.delay_s / 60, 1)
    _tell(
        made,
        "PET",
        chosen,
        {"suv_by": scale.rule, "delay_min": delay_min, "suv_max": round(float(array.max()), 2)},
    )


def _add_ct(made: _Making, chosen: Chosen, study: Study, source: Path) -> None:
    array = load(source, chosen.series, chosen.grid)
    made.volumes["CT"] = as_volume(array, chosen.grid)
    made.sidecars["CT"] = ct_sidecar(chosen.series.head, study.when)
    _tell(
        made,
        "CT",
        chosen,
        {"hu_min": round(float(array.min())), "hu_max": round(float(array.max()))},
    )


def _add_mask(
    made: _Making, study: Study, source: Path, choices: Choices, images: Mapping[str, Chosen]
) -> None:
    unread = [why for kind, why in _UNREAD_REGIONS.items() if kind in study.left_out]
    if unread:  # with others: a part of a tumour is not all of it
        made.notes += [f"its regions were left out: {why}" for why in unread]
        return

    def read(entry: Entry) -> Dataset:
        return read_dataset(source / entry.path, entry.digest, with_pixels=True)

    mask = unite_masks(study.drawn, read, images, choices.regions)
    made.dropped.update(f"all of {entry.kind}" for entry in study.drawn)
    made.left_out.update(mask.left_out)
    made.notes += mask.notes
    if mask.array is None:
        return
    volume = as_volume(mask.array.astype(np.float32), images[mask.drawn_on].grid)
    made.volumes["MASK"] = volume
    made.taken["MASK"] = {
        "grid": mask.drawn_on,
        "regions": mask.num_united,
        "volume_ml": round(float(mask.array.sum()) * volume.voxel_ml, 2),
    }


def _tell(made: _Making, name: str, chosen: Chosen, figures: Mapping[str, object]) -> None:
    spacing = made.volumes[name].spacing_mm
    made.taken[name] = {
        "slices": chosen.grid.shape[2],
        "spacing_mm": [round(one, 3) for one in spacing],
        **figures,
    }
    copies = {chosen.series.places[index].entry for index in chosen.grid.duplicates}
    if copies:
        made.notes.append(f"files of its {name} that were copies, byte for byte: {len(copies)}")
    made.dropped.update(count_tags(chosen.series, KEPT))


def _write(made: _Making, outcome: Outcome, target: Path) -> None:
    """Write everything under another name, then give it its own: no case is there in part."""
    settle(outcome.case_id, target)
    part, old = target / f"{PART}{outcome.case_id}", target / f"{OLD}{outcome.case_id}"
    part.mkdir(mode=0o700)
    for name, volume in made.volumes.items():
        save_volume(volume, part / f"{name}.nii.gz")
    for name, sidecar in made.sidecars.items():
        (part / f"{name}.json").write_text(json.dumps(sidecar, indent=1) + "\n")
    (part / OUTCOME_FILE).write_text(to_json(outcome))
    for path in (*part.iterdir(), part):
        _sync(path)
    place = target / outcome.case_id
    if place.exists():
        place.rename(old)
    part.rename(place)
    _sync(target)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
