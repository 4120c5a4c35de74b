"""Fuzz: damaged files end in a named refusal of their case; the rest goes on, in little memory."""

import os
import random
import re
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedmq.disk import LocalDisk
from fedmq.imaging.dicom.importing import Imported, import_archive
from fedmq.imaging.dicom.outcomes import Outcome
from fedmq.imaging.dicom.planning import Choices
from tests.support import dicom

SHAPE = (3, 4, 4)
PATIENTS_AT_ONCE = 20
MAX_GROWTH_KB = 300_000
Damage = Callable[[random.Random, bytes], bytes]


@pytest.fixture(autouse=True)
def no_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no disk: nobody pulls a plug here, and waiting is all the time that this takes."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def cut(chance: random.Random, content: bytes) -> bytes:
    """Return a file that ends early."""
    return content[: chance.randrange(len(content))]


def flip(chance: random.Random, content: bytes) -> bytes:
    """Return a file with some bits turned."""
    made = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 8, 64])):
        made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
    return bytes(made)


def lie(chance: random.Random, content: bytes) -> bytes:
    """Return a file in which a length, a size or a value claims anything."""
    at = chance.randrange(132, len(content) - 4)
    worst = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff\xff", b"9e99", b"-1\\9"]
    claim = chance.choice(worst)
    return content[:at] + claim + content[at + len(claim) :]


def tear(chance: random.Random, content: bytes) -> bytes:
    """Return a file of which a piece is missing, doubled or zero."""
    begin = chance.randrange(len(content))
    end = min(len(content), begin + chance.choice([1, 2, 8, 100]))
    piece = chance.choice([b"", content[begin:end] * 2, bytes(end - begin)])
    return content[:begin] + piece + content[end:]


def names(chance: random.Random, content: bytes) -> bytes:
    """Return a file in which a number in text has become another text."""
    found = list(re.finditer(rb"\d+\.?\d*", content[400:]))
    one = chance.choice(found)
    width = one.end() - one.start()
    wrong = chance.choice([b"nan", b"inf", b"1e308", b"", b"\xff\xfe", b"-5", b"0"])
    return content[: 400 + one.start()] + wrong[:width].ljust(width) + content[400 + one.end() :]


DAMAGES: tuple[Damage, ...] = (cut, flip, lie, tear, names)


def patient_files(folder: Path) -> dict[str, bytes]:
    """Return the files of one patient: PET, CT, regions on one and segments on the other."""
    pixels = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16) * 100
    pet, ct = dicom.series("PT", pixels), dicom.series("CT", pixels)
    for one in pet:
        one.NumberOfSlices = SHAPE[0]
    outline = np.array([[-9.0, -19, 103], [1, -19, 103], [1, -9, 103]])
    drawn = dicom.structures(pet[0], {"GTV": [outline]})
    segments = dicom.segmentation(ct, {"lesion": pixels > 2000})
    dicom.write(folder / "images", *pet, *ct)
    dicom.write(folder / "drawn", drawn, segments)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def put(folder: Path, files: dict[str, bytes], patient: str) -> None:
    """Write the files of a patient of this id, which is as long as any."""
    old = dicom.SECRETS["id"].encode()
    for name, content in files.items():
        path = folder / patient / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.replace(old, patient.encode()))


def run(tmp_path: Path, seed: int, files: dict[str, bytes]) -> list[Outcome]:
    """Import a sound patient and as many with one damaged file each."""
    chance = random.Random(seed)
    archive = tmp_path / f"archive-{seed}"
    width = len(dicom.SECRETS["id"])
    put(archive, files, "sound".ljust(width, "-"))
    for number in range(PATIENTS_AT_ONCE):
        name = chance.choice(list(files))
        damaged = chance.choice(DAMAGES)(chance, files[name])
        put(archive, {**files, name: damaged}, f"p{number}".ljust(width, "-"))
    home = LocalDisk(tmp_path / "home")
    cases = tmp_path / f"cases-{seed}"
    made = import_archive(archive, cases, home, Choices(), progress=lambda *_: None)
    written = {one.case_id for one in made.outcomes if one.state == "written"}
    assert {path.name for path in cases.iterdir() if path.is_dir()} == written
    with (tmp_path / "home" / "links.csv").open() as links:
        (sound,) = [line.split(",")[0] for line in links if ",sound" in line]
    outcomes = {one.case_id: one for one in made.outcomes}
    assert outcomes[sound].state == "written"
    assert outcomes[sound].taken.keys() == {"PET", "CT", "MASK"}
    for one in made.outcomes:
        assert one.state == "written" or (one.code and one.why and one.fix), one
    require_that_every_file_is_told(archive, made)
    return list(made.outcomes)


def require_that_every_file_is_told(archive: Path, made: Imported) -> None:
    """Each is a slice of a volume, or was left out, or belongs to a case that was refused."""
    studies, outcomes = made.plan.studies, made.outcomes
    num_files = sum(path.is_file() for path in archive.rglob("*"))
    in_studies = [len(one.images) + len(one.drawn) + sum(one.left_out.values()) for one in studies]
    assert num_files == sum(in_studies) + sum(made.plan.left_out.values())
    for study, outcome in zip(studies, outcomes, strict=True):
        assert study.case_id == outcome.case_id
        if outcome.state == "written":
            slices = [one["slices"] for one in outcome.taken.values() if "slices" in one]
            copies = [int(found) for found in re.findall(r"byte: (\d+)", " ".join(outcome.notes))]
            others = [
                number
                for kind, number in outcome.left_out.items()
                if not kind.startswith(("RTSTRUCT", "SEG"))
            ]
            assert sum(slices) + sum(copies) + sum(others) == len(study.images) + sum(
                study.left_out.values()
            ), outcome


def batches(tmp_path: Path, seeds: range) -> None:
    """Run many; both ends are met, and memory does not grow."""
    files = patient_files(tmp_path / "one")
    outcomes = run(tmp_path, -1, files)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        outcomes += run(tmp_path, seed, files)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < MAX_GROWTH_KB
    codes = {one.code for one in outcomes}
    assert codes >= {"", "damaged_file"}
    assert len(codes) > 5, codes


def test_damaged_files_are_refused_by_name_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Two hundred, each in a patient of its own."""
    batches(tmp_path, range(9))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_damaged_files(tmp_path: Path, part: int) -> None:
    """Ten times a thousand."""
    batches(tmp_path, range(1000 + part * 50, 1050 + part * 50))
