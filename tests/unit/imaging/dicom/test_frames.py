"""Frames: the slices of a file that holds several are those of as many files, bit by bit."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import RLELossless

from tests.support import dicom
from tests.support.enhanced import enhanced, mapping
from tests.unit.imaging.dicom.archive import Site, ct, pet, stored
from tests.unit.imaging.dicom.test_fuzz import DAMAGES

SECRET = "import.secret"  # noqa: S105 - the file's name


def written(site: Site, *files: FileDataset) -> dict[str, bytes]:
    """Import these files into a dataset of their own; return its only case."""
    for folder in (site.archive, site.cases):
        shutil.rmtree(folder, ignore_errors=True)
    dicom.write(site.archive, *files)
    outcome = site.only()
    assert outcome.state == "written", outcome
    folder = site.cases / outcome.case_id
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "import.json"}


def axes(angle: float) -> np.ndarray:
    """Return directions that are turned about the body's axis."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    data=st.data(),
    slopes=st.lists(st.floats(0.001, 50), min_size=5, max_size=5),
    order=st.permutations(range(5)),
    angle=st.floats(-0.5, 0.5),
    converted=st.booleans(),
)
def test_a_pet_in_one_file_is_the_same_as_in_many(
    *, data: st.DataObject, slopes: list[float], order: list[int], angle: float, converted: bool
) -> None:
    """SUV and affine, byte for byte; sidecars; each frame with its own slope and its bed's time."""
    decay = data.draw(st.sampled_from(["START", "ADMIN", "NONE"]))
    mega = data.draw(st.integers(50, 900))

    def change(one: Dataset) -> None:
        number = int(one.InstanceNumber)
        one.RescaleSlope = float(f"{slopes[number]:.6g}")
        one.DecayCorrection = decay
        one.CorrectedImage = ["ATTN", "SCAT"] if decay == "NONE" else ["DECY", "ATTN", "SCAT"]
        one.AcquisitionTime = f"11{number // 2 * 3:02}00"
        one.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = mega * 1e6

    slices = pet(change, axes=axes(angle))
    with TemporaryDirectory() as folder:
        site = Site(Path(folder))
        singly = written(site, *slices)
        together = written(site, enhanced([slices[index] for index in order], converted=converted))
    assert together.keys() == singly.keys() == {"PET.nii.gz", "PET.json"}
    assert together["PET.nii.gz"] == singly["PET.nii.gz"]
    sidecars = [json.loads(one["PET.json"]) for one in (singly, together)]
    rules = [one["fedmq"].pop("suv_rule") for one in sidecars]
    if not converted:  # the standard has no such words for these
        assert sidecars[1].pop("ReconMethodName") == "n/a"
        del sidecars[0]["ReconMethodName"]
    assert sidecars[0] == sidecars[1]
    is_by_time = decay != "NONE" and not converted
    assert rules == [decay.lower(), "date_time" if is_by_time else decay.lower()]


@pytest.mark.parametrize("converted", [False, True], ids=["enhanced", "converted"])
def test_a_ct_in_one_file_is_the_same_as_in_many(site: Site, *, converted: bool) -> None:
    """HU, padding, affine and sidecar; beside a PET in files of its own."""

    def pad(one: Dataset) -> None:
        one.PixelPaddingValue = int(stored(1)[0, 0, 0])

    slices, others = ct(pad), pet()
    singly = written(site, *slices, *others)
    together = written(site, enhanced(slices[::-1], converted=converted), *others)
    assert together == singly
    assert together.keys() == {"PET.nii.gz", "PET.json", "CT.nii.gz", "CT.json"}


def changed(change: Callable[[Dataset], None]) -> FileDataset:
    """Return an enhanced PET with something else in it."""
    one = enhanced(pet())
    change(one)
    return one


def frames_of(one: Dataset, group: str) -> list[Dataset]:
    """Return a functional group of each frame."""
    return [frame[group].value[0] for frame in one.PerFrameFunctionalGroupsSequence]


def each(group: str, **told: object) -> Callable[[Dataset], None]:
    """Return what sets elements in a group of the later frames."""

    def change(one: Dataset) -> None:
        for item in frames_of(one, group)[3:]:
            for key, value in told.items():
                setattr(item, key, value)

    return change


def mapped(*mappings: Dataset) -> Callable[[Dataset], None]:
    """Return what gives each frame these mappings alone."""

    def change(one: Dataset) -> None:
        for frame in one.PerFrameFunctionalGroupsSequence:
            frame.RealWorldValueMappingSequence = Items(mappings)

    return change


def narrow() -> Dataset:
    """Return a mapping of fewer values than there are."""
    one = mapping("Bq/ml", 2.5)
    one[0x00409211].value = 100
    return one


def dose(mega: float) -> Callable[[Dataset], None]:
    """Return what sets the dose as it is written."""
    return lambda one: setattr(
        one.RadiopharmaceuticalInformationSequence[0], "RadionuclideTotalDose", mega
    )


def told(**elements: object) -> Callable[[Dataset], None]:
    """Return what sets elements of the file."""

    def change(one: Dataset) -> None:
        for key, value in elements.items():
            setattr(one, key, value)

    return change


def without(key: str) -> Callable[[Dataset], None]:
    """Return what takes an element out of the file."""
    return lambda one: delattr(one, key)


REFUSED: dict[str, tuple[str, Callable[[Dataset], None]]] = {
    "two stacks": ("mixed_series", each("FrameContentSequence", StackID="2")),
    "two times": ("mixed_series", each("FrameContentSequence", TemporalPositionIndex=2)),
    "in one place": (
        "duplicate_slice",
        each("PlanePositionSequence", ImagePositionPatient=[-10, -20, 100]),
    ),
    "no place": ("no_position", each("PlanePositionSequence", ImagePositionPatient=None)),
    "more frames told": ("multi_frame", told(NumberOfFrames=6)),
    "a million frames told": ("multi_frame", told(NumberOfFrames=1_000_000)),
    "no frames described": ("multi_frame", without("PerFrameFunctionalGroupsSequence")),
    "a part": ("multi_frame", told(ConcatenationUID="1.2.3")),
    "fewer pixels": ("damaged_file", told(PixelData=b"\0" * 200)),
    "no units": ("units", mapped()),
    "units of lean body mass": ("units", mapped(mapping("g/ml{SUVlbm}", 1.0))),
    "two mappings": ("units", mapped(mapping("Bq/ml", 1.0), mapping("Bq/ml", 2.0))),
    "pixels beyond the mapping": ("no_rescale", mapped(narrow())),
    "no decay correction told": ("decay_correction", without("DecayCorrectionDateTime")),
    "corrected to before": ("times_disagree", told(DecayCorrectionDateTime="20210614095900")),
    "corrected to a later day": ("times_disagree", told(DecayCorrectionDateTime="20210615110000")),
    "no attenuation": ("corrections", told(AttenuationCorrected="NO")),
    "Bq for MBq": ("dose", dose(300e6)),
    "no weight": ("weight", without("PatientWeight")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_file_of_several_slices_does_not_tell_is_refused_by_name(
    site: Site, what: str
) -> None:
    """Never guessed."""
    code, change = REFUSED[what]
    dicom.write(site.archive, changed(change))
    outcome = site.only()
    assert (outcome.state, outcome.code) == ("refused", code)
    assert outcome.why
    assert outcome.fix


def test_times_of_frames_tell_the_clock_of_the_file(site: Site) -> None:
    """Injected at 08:00 UTC, an hour before the frames, which are told by +0200; or by no clock."""
    one = enhanced(pet())
    drug = one.RadiopharmaceuticalInformationSequence[0]
    drug.RadiopharmaceuticalStartDateTime = "20210614080000+0000"
    dicom.write(site.archive, one)
    assert site.only().taken["PET"]["delay_min"] == 60.0
    one.TimezoneOffsetFromUTC = "+0300"
    dicom.write(site.archive, one)
    assert site.only().taken["PET"]["delay_min"] is None


def test_a_mapping_to_suv_is_taken_as_it_is(site: Site) -> None:
    """Where there is none to Bq/ml."""
    content = changed(mapped(mapping("g/ml{SUVbw}", 0.01), mapping("g/ml{SUVlbm}", 7.0)))
    dicom.write(site.archive, content)
    outcome = site.only()
    assert outcome.taken["PET"]["suv_by"] == "gml"
    assert outcome.taken["PET"]["suv_max"] == round(stored().max() * 0.01, 2)


def test_frames_that_are_compressed_are_taken_one_by_one(site: Site) -> None:
    """Each is a piece of its own; run lengths need no decoder from elsewhere."""
    singly = written(site, *ct())
    one = enhanced(ct()[::-1])
    one.compress(RLELossless)
    assert written(site, one) == singly


def test_a_ct_that_is_no_map_of_density_is_refused(site: Site) -> None:
    """Of two energies a scanner makes maps of atomic numbers and of iodine, too."""
    one = enhanced(ct())
    shared = one.SharedFunctionalGroupsSequence[0]
    shared.PixelValueTransformationSequence[0].RescaleType = "Z_EFF"
    dicom.write(site.archive, one)
    assert site.only().code == "no_rescale"


def test_copies_and_what_is_dropped_are_counted_by_file(site: Site) -> None:
    """Not by frame; what lies in a frame is told too."""
    one = enhanced(ct(), converted=True)
    dicom.write(site.archive / "a", one)
    dicom.write(site.archive / "b", one)
    outcome = site.only()
    assert outcome.notes == ("files of its CT that were copies, byte for byte: 1",)
    assert outcome.taken["CT"]["slices"] == 5
    assert outcome.dropped_tags["PatientName"] == 2
    assert outcome.dropped_tags["InstitutionName"] == 2


def test_a_projection_in_an_enhanced_file_is_left_out(site: Site) -> None:
    """By how its volume was used."""
    one = changed(told(VolumeBasedCalculationTechnique="MAX_IP"))
    one.SeriesInstanceUID = "1.2.3"
    dicom.write(site.archive, one, *ct())
    assert site.only().left_out == {"projection": 1}


@pytest.mark.parametrize("converted", [False, True], ids=["enhanced", "converted"])
def test_a_damaged_file_of_several_slices_is_refused_by_name(
    site: Site, monkeypatch: pytest.MonkeyPatch, *, converted: bool
) -> None:
    """Or read as it is; a hundred, each in a patient of its own."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    (path,) = dicom.write(site.folder / "sound", enhanced(pet(), converted=converted))
    chance, content = random.Random(7), path.read_bytes()
    for number in range(100):
        patient = f"p{number}".ljust(len(dicom.SECRETS["id"]), "-").encode()
        mine = content.replace(dicom.SECRETS["id"].encode(), patient)
        folder = site.archive / f"{number}"
        folder.mkdir()
        (folder / "x.dcm").write_bytes(chance.choice(DAMAGES)(chance, mine))
    outcomes = site.run().outcomes
    for one in outcomes:
        assert one.state == "written" or (one.code and one.why and one.fix), one
        assert one.code != "unreadable", one
    assert len({one.code for one in outcomes}) > 4
