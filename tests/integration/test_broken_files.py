"""One broken file, in every layout: its case is refused by name, and a round goes on without it."""

import gzip
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.imaging.contents import MapChoices
from fedmq.imaging.layouts.data_map import Layout
from fedmq.learning.trainer_jobs import perform
from fedmq.learning.trainer_protocol import Done
from fedmq.node.records import Records, open_records
from fedmq.transport.home import LocalHome
from tests.support.layouts import put_volume
from tests.support.tiny_plan import SOURCE, write_job

LAYOUTS = {
    Layout.BIDS: ("sub-{}/pet/sub-{}_pet.nii.gz", "sub-{}/anat/sub-{}_ct.nii.gz"),
    Layout.STUDIES: ("{}/study/SUV.nii.gz", "{}/study/CT.nii.gz"),
    Layout.HECKTOR: ("{}__PT.nii.gz", "{}__CT.nii.gz"),
    Layout.MSD: ("imagesTr/{}_0000.nii.gz", "imagesTr/{}_0001.nii.gz"),
    Layout.FOLDERS: ("{}/PET.nii.gz", "{}/CT.nii.gz"),
    Layout.PATTERNS: ("scans/{} fdg.nii.gz", "scans/{} low dose.nii.gz"),
}
NAMES = ("001", "002", "003", "004", "005")
MAP = '[volumes]\nPET = "scans/{case} fdg.nii.gz"\nCT = "scans/{case} low dose.nii.gz"\n'


def cut(place: Path) -> None:
    """Leave the first half of a file."""
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])


def boast(place: Path) -> None:
    """Let the header tell of more voxels than there are."""
    content = bytearray(gzip.decompress(place.read_bytes()))
    struct.pack_into("<4h", content, 40, 3, 30_000, 30_000, 30_000)
    place.write_bytes(gzip.compress(bytes(content)))


BREAKS: dict[str, Callable[[Path], object]] = {
    "cut": cut,
    "empty": lambda place: place.write_bytes(b""),
    "text": lambda place: place.write_text("not an image\n" * 50),
    "dicom": lambda place: place.write_bytes(bytes(128) + b"DICM" + bytes(600)),
    "boast": boast,
}


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """Return the records of a node."""
    made = open_records(LocalHome(tmp_path / "home"))
    yield made
    made.close()


def put(folder: Path, layout: Layout) -> MapChoices:
    """Write five cases of a layout, with a table; return what an operator says of it."""
    for name in NAMES:
        for modality, pattern in zip(("PET", "CT"), LAYOUTS[layout], strict=True):
            put_volume(folder / pattern.format(name, name), modality)
    (folder / "dataset.json").write_text('{"channel_names": {"0": "PET", "1": "CT"}}')
    ids = [f"sub-{name}" if layout is Layout.BIDS else name for name in NAMES]
    rows = "\n".join(["case_id,x", *(f"{one},{number}" for number, one in enumerate(ids))])
    for table in ("clinical.csv", "participants.tsv"):
        (folder / table).write_text(rows)
    if layout is not Layout.PATTERNS:
        return MapChoices()
    (folder.parent / "map.toml").write_text(MAP)
    return MapChoices(file=folder.parent / "map.toml")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_broken_file_costs_its_case_alone(
    records: Records, tmp_path: Path, layout: Layout
) -> None:
    """When the dataset is added, when it is checked, and in a round that comes before a check."""
    pet = LAYOUTS[layout][0]
    job = write_job(tmp_path)
    reads = "[case.volume(one) for case in cases for one in case.volumes]\n        total ="
    source = SOURCE.replace("total =", reads, 1).replace("modalities = ()", 'modalities = ("PET",)')
    (tmp_path / "plan.py").write_text(source)
    for what, damage in BREAKS.items():
        folder = tmp_path / what
        choices = put(folder, layout)
        broken = folder / pet.format("002", "002")
        damage(broken)
        added = records.datasets.add(f"{layout}-{what}", folder, None, choices=choices, now=1.0)
        assert added.contents.data_map.layout is layout
        (finding,) = added.findings
        assert (finding.case_id.removeprefix("sub-"), finding.code) == ("002", "corrupt_file")
        assert broken.name in finding.text
        assert (len(added.cases), added.num_sound) == (5, 4)
        assert added.counted.num_with == {"CT": 5, "PET": 4}

        damage(folder / pet.format("004", "004"))
        job = replace(
            write_job(tmp_path, validation_share=0.0),
            dataset_folder=str(folder),
            data_map=added.contents.data_map,
            spoiled=tuple(sorted(records.datasets.spoiled(f"{layout}-{what}"))),
        )
        done = perform(job, lambda _share, _text: None)
        assert isinstance(done, Done)
        assert [name.removeprefix("sub-") for name in done.cases] == ["001", "003", "005"]
        assert (done.num_cases, done.num_cases_left_out) == (3, 2)
        (why,) = done.unreadable
        assert "004" in why
        checked = records.datasets.check(f"{layout}-{what}")
        assert len(checked.spoiled) == 2
        assert checked.num_sound == 3
