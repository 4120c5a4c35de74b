"""Import: what an archive holds becomes cases, or is refused or left out by name."""

import contextlib
import csv
import errno
import fcntl
import gzip
import json
import os
import re
import shutil
import stat
import tracemalloc
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless

from fedmq.disk import LocalDisk
from fedmq.errors import DatasetError, DiskFull
from fedmq.imaging.checks import check_volumes, read_volumes
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.dicom import files, series, studies
from fedmq.imaging.dicom.files import Foreign, read_entry
from fedmq.imaging.dicom.importing import import_archive
from fedmq.imaging.dicom.planning import Choices
from fedmq.imaging.suv import average_count_rate_time_s
from fedmq.imaging.volumes import load_volume
from tests.support import dicom
from tests.support.enhanced import enhanced
from tests.unit.imaging.dicom.archive import Site, ct, pet, stored

LATER = "20210714"


def dated(day: str) -> dicom.Change:
    """Return what moves a file to a day; the injection too."""

    def change(one: Dataset) -> None:
        one.StudyDate = one.SeriesDate = one.AcquisitionDate = day
        if "RadiopharmaceuticalInformationSequence" in one:
            drug = one.RadiopharmaceuticalInformationSequence[0]
            drug.RadiopharmaceuticalStartDateTime = f"{day}100000"

    return change


def test_a_study_becomes_a_case_that_a_dataset_understands(site: Site) -> None:
    """SUV and HU by hand, in RAS+; slices lie in any tree, in any order, without suffixes."""
    dicom.write(site.archive / "a" / "deep", *pet()[::2])
    dicom.write(site.archive / "b", *pet()[1::2])
    dicom.write(site.archive / "c", *ct(), name="IMG{}.dcm")
    outcome = site.only()
    assert (outcome.state, outcome.notes, outcome.left_out) == ("written", (), {})
    (case,) = find_cases(site.cases)
    assert case.volumes.keys() == {"PET", "CT"}
    left = 300e6 * 2 ** (-3600 / 6586.2)
    suv = stored() * 2.5 * 70_000 / left
    volume = case.volume("PET")
    np.testing.assert_allclose(volume.array[::-1, ::-1], suv.T, rtol=1e-6)
    np.testing.assert_allclose(
        volume.affine @ [6, 5, 0, 1], [10, 20, 100, 1]
    )  # the first pixel, LPS -10, -20
    hounsfield = case.volume("CT").array[::-1, ::-1]
    np.testing.assert_allclose(hounsfield, stored(1).T - 1024.0)
    found = check_volumes(case, *read_volumes(case))
    assert {one.code for one in found} <= {"implausible_suv"}


def test_slope_and_intercept_are_each_slices_own(site: Site) -> None:
    """Scanners scale each slice of a PET to its highest value."""

    def scale(one: Dataset) -> None:
        one.RescaleSlope = 0.5 + int(one.InstanceNumber)

    dicom.write(site.archive, *pet(scale))
    case_id = site.only().case_id
    slopes = 0.5 + np.arange(5)
    expected = stored() * slopes[:, None, None] * 70_000 / (300e6 * 2 ** (-3600 / 6586.2))
    volume = load_volume(site.cases / case_id / "PET.nii.gz")
    np.testing.assert_allclose(volume.array[::-1, ::-1], expected.T, rtol=1e-6)


def test_each_slice_has_the_factor_of_its_own_bed(site: Site) -> None:
    """Not corrected for decay, later beds are brought up; slices come in any order."""

    def scan_feet_first(one: Dataset) -> None:
        one.DecayCorrection, one.CorrectedImage = "NONE", ["ATTN"]
        one.AcquisitionTime = f"11{40 - 10 * int(one.InstanceNumber):02}00"

    dicom.write(site.archive, *pet(scan_feet_first))
    volume = load_volume(site.cases / site.only().case_id / "PET.nii.gz")
    minutes = 60 + 40 - 10 * np.arange(5) + average_count_rate_time_s(120.0, 6586.2) / 60
    left = 300e6 * 2 ** (-minutes * 60 / 6586.2)
    expected = stored() * 2.5 * 70_000 / left[:, None, None]
    np.testing.assert_allclose(volume.array[::-1, ::-1], expected.T, rtol=1e-5)


@pytest.mark.parametrize("limit", [None, -1990, -2010])
def test_padding_of_a_ct_is_air(site: Site, limit: int | None) -> None:
    """Outside of its circle a scanner writes a value that is no density, or any of a range."""

    def pad(one: Dataset) -> None:
        pixels = np.frombuffer(one.PixelData, "<i2").copy()
        pixels[0] = one.PixelPaddingValue = -2000
        if limit is not None:
            one.PixelPaddingRangeLimit = pixels[0] = limit
        one.PixelData = pixels.tobytes()

    dicom.write(site.archive, *ct(pad))
    volume = load_volume(site.cases / site.only().case_id / "CT.nii.gz")
    assert set(volume.array[-1, -1]) == {-1024.0}
    np.testing.assert_array_equal(volume.array[-2, -1], stored(1)[:, 0, 1] - 1024.0)


def test_nothing_of_a_patient_is_in_what_is_written(site: Site) -> None:
    """No name, id, date, institution, serial number, free text, UID or file name, in any byte."""
    slices = [*pet(), *ct()]
    drawn = dicom.structures(ct()[0], {"GTV DUPONTEL": [np.full((3, 3), [-9.0, -19.0, 103.0])]})
    for one in slices:
        one.private_block(0x0029, "GLYCINES", create=True).add_new(0x01, "LO", dicom.SECRETS["id"])
        one.PatientComments = one.ImageComments = dicom.SECRETS["free text"]
    paths = dicom.write(site.archive / "DUPONTEL Amandine", *slices, name="Dupontel{}.dcm")
    dicom.write(site.archive / "drawn", drawn)
    (site.archive / "Dupontel.txt").write_text("no DICOM")
    outcome = site.only()
    assert outcome.state == "written"
    told = {*dicom.SECRETS.values(), "DUPONTEL", "Glycines", "Amandine", "2021-06-14", "1948-03-17"}
    told |= {str(one.SOPInstanceUID) for one in slices} | {str(slices[0].StudyInstanceUID)}
    told |= {str(one.SeriesInstanceUID) for one in slices} | {path.name for path in paths}
    secret = (site.home / "import.secret").read_text()
    files = [path for path in site.cases.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"PET.nii.gz", "PET.json", "CT.json", "import.json"}
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)[:348]  # beyond the header are voxels
        for one in {*told, secret}:
            where = f"{one} in {path.name}"
            assert one.lower().encode() not in content.lower(), where
            assert one.lower() not in str(path.relative_to(site.cases)).lower()
        if path.suffix == ".json":
            # A time of day, or a date, in any spelling.
            dates = re.findall(rb"\b(?:19|20)\d{6}\b|\d{2}:\d{2}:\d{2}", content)
            assert set(dates) <= {b"00:00:00"}, path.name
    assert outcome.dropped_tags["PatientName"] == 10
    assert outcome.dropped_tags["private"] == 20
    report = json.loads((site.cases / "import-report.json").read_text())
    assert report["files_in_no_case"] == {"no DICOM": 1}


def test_the_site_alone_knows_who_is_who(site: Site) -> None:
    """Secret, links and names of files: in the node's home, for its owner."""
    dicom.write(site.archive, *pet())
    (site.archive / "report.pdf").write_text("of Mme D.")
    case_id = site.only().case_id
    for name in ("import.secret", "links.csv", "left-out.csv", "regions.csv"):
        assert stat.S_IMODE((site.home / name).stat().st_mode) == 0o600
    with (site.home / "links.csv").open() as file:
        assert list(csv.reader(file))[1:] == [[case_id, dicom.SECRETS["id"]]]
    with (site.home / "left-out.csv").open() as file:
        assert list(csv.reader(file))[1:] == [["report.pdf", "no DICOM"]]


def test_a_pseudonym_is_the_same_at_one_site_and_another_at_the_next(tmp_path: Path) -> None:
    """It hangs on the site's secret, which is made once."""
    names = []
    for home, cases in (("one", "a"), ("one", "b"), ("two", "c")):
        dicom.write(tmp_path / "archive", *pet())
        made = import_archive(
            tmp_path / "archive",
            tmp_path / cases,
            LocalDisk(tmp_path / home),
            Choices(),
            progress=lambda *_: None,
        )
        names.append(made.outcomes[0].case_id)
    assert names[0] == names[1] != names[2]


def test_intervals_stand_in_the_place_of_times(site: Site) -> None:
    """By the names of PET-BIDS; words that are on no list are left out."""
    dicom.write(site.archive, *pet(), *ct())
    told = site.sidecar(site.only().case_id)
    assert told["TimeZero"] == "00:00:00"
    assert (told["ScanStart"], told["InjectionStart"]) == (0, -3600.0)
    assert told["ImageDecayCorrectionTime"] == 0
    assert told["InjectedRadioactivity"] == 300.0
    assert (told["Units"], told["TracerName"], told["TracerRadionuclide"]) == ("g/mL", "FDG", "F18")
    assert (told["Manufacturer"], told["ManufacturersModelName"]) == ("Siemens", "Biograph")
    assert told["ReconMethodName"] == "PSF TOF"
    assert told["fedmq"]["patient_weight_kg"] == 70.0


def test_scans_of_a_patient_are_cases_by_date_with_days_for_dates(site: Site) -> None:
    """Days count from the first scan, or from time zero where a table of the site tells it."""
    dicom.write(site.archive / "1", *pet(dated(LATER), study="later"))
    dicom.write(site.archive / "2", *pet(study="earlier"))
    outcomes = site.run().outcomes
    first, second = (one.case_id for one in outcomes)
    assert (first[-7:], second[-7:], first[:-7]) == ("_scan-1", "_scan-2", second[:-7])
    days = [site.sidecar(name)["fedmq"] for name in (first, second)]
    assert days[0]["days_from_first_scan"] == 0
    assert days[1]["days_from_first_scan"] == 30
    assert all("scan_day" not in one and one["time_zero"] == "first scan" for one in days)
    zero = {dicom.SECRETS["id"]: date(2021, 6, 20).toordinal()}
    assert [one.scan_day for one in site.run(Choices(time_zero=zero)).outcomes] == [-6, 24]
    told = site.sidecar(second)["fedmq"]
    assert (told["scan_day"], told["time_zero"]) == (24, "treatment")
    assert "days_from_first_scan" not in told


def test_run_again_finished_cases_are_not_made_again(site: Site) -> None:
    """By content: a file that was only copied elsewhere is the same."""
    dicom.write(site.archive / "a", *pet(patient="a"))
    dicom.write(site.archive / "b", *pet(patient="b"))
    before = {one.case_id: one for one in site.run().outcomes}
    times = {name: (site.cases / name / "PET.nii.gz").stat().st_mtime_ns for name in site.names()}
    (site.archive / "b").rename(site.archive / "c")
    again = site.run()
    assert {one.state for one in again.outcomes} == {"kept"}
    assert {one.case_id: one.taken for one in again.outcomes} == {
        name: json.loads(json.dumps(one.taken)) for name, one in before.items()
    }
    assert times == {
        name: (site.cases / name / "PET.nii.gz").stat().st_mtime_ns for name in site.names()
    }
    # Other content, or other choices, make it anew; other patients' stay.
    dicom.write(site.archive / "c", *pet(lambda one: setattr(one, "RescaleSlope", 3), patient="b"))
    assert sorted(one.state for one in site.run().outcomes) == ["kept", "written"]
    assert {one.state for one in site.run(Choices(regions=("x",))).outcomes} == {"written"}


class KilledError(BaseException):
    """The end of a process."""


def dying(act: Callable[..., None], left: list[int]) -> Callable[..., None]:
    """Return what acts as long as something is left of the one number, and then dies."""

    def maybe(*arguments: object, **options: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KilledError
        act(*arguments, **options)

    return maybe


@pytest.mark.parametrize("again", [False, True], ids=["new", "another in its place"])
def test_killed_at_any_step_no_case_is_there_in_part(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    again: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Every sync, rename and removal is a place to die; the next run ends the work."""
    dicom.write(site.archive / "a", *pet()[:2])
    for step in range(80):
        if again:
            site.run(Choices(regions=(f"{step}",)))
        elif step % 2:
            shutil.rmtree(site.cases)
        with monkeypatch.context() as patch:
            left = [step]
            patch.setattr(os, "fsync", dying(os.fsync, left))
            patch.setattr(os, "unlink", dying(os.unlink, left))
            patch.setattr(Path, "rename", dying(Path.rename, left))
            try:
                site.run()
            except KilledError:
                pass
            else:
                break
        for name in site.names():
            if not name.startswith("."):
                files = {path.name for path in (site.cases / name).iterdir()}
                assert files == {"PET.nii.gz", "PET.json", "import.json"}
    else:
        pytest.fail("never through")
    assert step > 5
    assert site.only().state == "kept"
    assert site.names() == [site.only().case_id]


def test_a_case_without_enough_memory_is_refused_by_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on, and what was imported before stays."""
    for patient in "ab":
        dicom.write(site.archive / patient, *pet(patient=patient))
    before = {one.case_id for one in site.run().outcomes}
    read, left = series.pixel_array, [6]

    def run_short(dataset: Dataset, index: int | None) -> np.ndarray:
        left[0] -= 1
        if left[0] < 0:
            raise MemoryError
        return read(dataset, index=index)

    monkeypatch.setattr(series, "pixel_array", run_short)
    outcomes = site.run(Choices(regions=("anew",))).outcomes
    assert sorted(one.code for one in outcomes) == ["", "memory"]
    assert set(site.names()) == before


def test_a_file_without_enough_memory_is_one_that_cannot_be_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends nothing but its own case."""
    for patient in "ab":
        dicom.write(site.archive / patient, *pet(patient=patient))
    (path,) = dicom.write(site.archive / "b", *pet(patient="b")[:1], name="large")
    path.write_bytes(path.read_bytes() + bytes(2**20))
    read = Path.read_bytes

    def run_short(path: Path) -> bytes:
        if path.name == "large":
            raise MemoryError
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", run_short)
    assert sorted(one.code for one in site.run().outcomes) == ["", "damaged_file"]


def test_several_processes_make_the_same_as_one(site: Site, tmp_path: Path) -> None:
    """Byte for byte; a refused case stops nobody."""
    for patient in "abc":
        dicom.write(site.archive / patient, *pet(patient=patient))
    dicom.write(site.archive / "d", *pet(lambda one: delattr(one, "PatientWeight"), patient="d"))
    site.run(jobs=2)
    other = Site(tmp_path / "other")
    shutil.copytree(site.archive, other.archive)
    shutil.copytree(site.home, other.home)
    other.run()
    assert site.names() == other.names()
    assert len(site.names()) == 3
    for path in site.cases.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (other.cases / path.relative_to(site.cases)).read_bytes()


def without(*keys: str) -> dicom.Change:
    """Return what takes elements out of a file."""

    def change(one: Dataset) -> None:
        for key in keys:
            delattr(one, key)

    return change


def having(**told: object) -> dicom.Change:
    """Return what sets elements of a file."""

    def change(one: Dataset) -> None:
        for key, value in told.items():
            setattr(one, key, value)

    return change


def drug(**told: object) -> dicom.Change:
    """Return what sets elements of the radiopharmaceutical."""
    return lambda one: having(**told)(one.RadiopharmaceuticalInformationSequence[0])


def compressed(one: FileDataset) -> None:
    """Claim a compression that nothing here reads."""
    one.file_meta.TransferSyntaxUID = JPEG2000Lossless
    one.PixelData = encapsulate([one.PixelData])


def half(change: dicom.Change) -> dicom.Change:
    """Return what changes every other slice."""
    return lambda one: change(one) if int(one.InstanceNumber) % 2 else None


REFUSED: dict[str, tuple[str, dicom.Change]] = {
    "no weight": ("weight", without("PatientWeight")),
    "weight 0": ("weight", having(PatientWeight=0)),
    "MBq": ("dose", drug(RadionuclideTotalDose=300)),
    "half-life 0": ("half_life", drug(RadionuclideHalfLife=0)),
    "psma": ("tracer", drug(Radiopharmaceutical="PSMA-1007")),
    "units": ("units", having(Units="PROPCPS")),
    "not corrected": ("corrections", having(CorrectedImage=["DECY"])),
    "half corrected": ("corrections", half(having(CorrectedImage=["ATTN"]))),
    "late": ("delay", having(SeriesTime="140000", AcquisitionTime="140000")),
    "two doses": ("mixed_series", half(drug(RadionuclideTotalDose=310e6))),
    "two weights": ("mixed_series", half(having(PatientWeight=71))),
    "no position": ("no_position", without("ImagePositionPatient")),
    "no slope": ("no_rescale", without("RescaleSlope")),
    "colour": ("bad_pixels", having(SamplesPerPixel=3)),
    "two spacings": ("mixed_series", half(having(PixelSpacing=[4, 4.5]))),
    "compressed": ("transfer_syntax", compressed),
    "fewer pixels": ("damaged_file", having(PixelData=b"\0\0")),
    "more rows": ("damaged_file", having(Rows=4000, Columns=4000)),
    "huge": ("bad_size", having(Rows=65535, Columns=65535)),
    "intercept": ("not_plausible", having(RescaleIntercept=-1e30)),
    "endless slope": ("not_plausible", having(RescaleSlope=1e300)),
    "slope": ("not_plausible", having(RescaleSlope=1e30)),
    "more slices told": ("missing_slices", having(NumberOfSlices=6)),
    "no id": ("no_patient_id", having(PatientID="")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_case_that_is_not_sound_is_refused_and_the_others_are_written(
    site: Site, what: str
) -> None:
    """By name, with why and what to do; nothing of it is in the dataset."""
    code, change = REFUSED[what]
    dicom.write(site.archive / "bad", *pet(change, patient="bad"))
    dicom.write(site.archive / "good", *pet(patient="good"))
    imported = site.run()
    by_state = {one.state: one for one in imported.outcomes}
    assert by_state.keys() == {"refused", "written"}
    bad = by_state["refused"]
    assert bad.code == code
    assert bad.why
    assert bad.fix
    assert site.names() == [by_state["written"].case_id]
    assert imported.num_refused == 1
    assert f"{bad.case_id}: refused: {code}: " in (site.cases / "import-report.txt").read_text()


def test_a_tracer_that_is_named_nowhere_may_be_said(site: Site) -> None:
    """Refused until then; report and sidecar say whose word it is, and that it is not needed."""
    dicom.write(site.archive, *pet(drug(Radiopharmaceutical="")))
    refused = site.only()
    assert (refused.code, refused.why) == (
        "tracer_not_named",
        "it does not say which tracer was given",
    )
    assert "--tracer FDG" in refused.fix
    outcome = site.only(Choices(tracer="FDG"))
    assert outcome.notes == ("its PET names no tracer: FDG by the operator's word (--tracer)",)
    assert outcome.notes[0] in (site.cases / "import-report.txt").read_text()
    told = site.sidecar(outcome.case_id)
    assert (told["TracerName"], told["fedmq"]["tracer_named_by"]) == ("FDG", "operator")
    forgotten = site.only()
    assert forgotten.code == "tracer_not_named"
    assert forgotten.notes[0].startswith("its folder stays")
    assert site.names() == [outcome.case_id]
    dicom.write(site.archive, *pet(drug(Radiopharmaceutical="PSMA-1007")))
    assert site.only(Choices(tracer="FDG")).code == "tracer"
    dicom.write(site.archive, *pet())
    named = site.only(Choices(tracer="FDG"))
    assert named.notes == ()
    assert site.sidecar(named.case_id)["fedmq"]["tracer_named_by"] == "series"


def test_a_case_that_was_written_and_is_refused_by_now_is_taken_out(site: Site) -> None:
    """What it was made of is no longer what the archive says; that is told."""
    dicom.write(site.archive, *pet())
    case_id = site.only().case_id
    dicom.write(site.archive, *pet(without("PatientWeight")))
    imported = site.run()
    assert imported.outcomes[0].state == "refused"
    assert imported.removed == (case_id,)
    assert site.names() == []


def test_a_wrong_choice_takes_no_case_out(site: Site) -> None:
    """A typing error in an option is no word of the archive's; that the case stays is told."""
    dicom.write(site.archive, *pet())
    case_id = site.only().case_id
    imported = site.run(Choices(pet_series="*TOFF*"))
    (refused,) = imported.outcomes
    assert (refused.code, imported.removed) == ("series_not_found", ())
    assert refused.notes[0].startswith("its folder stays")
    assert "note: its folder stays" in (site.cases / "import-report.txt").read_text()
    assert site.names() == [case_id]
    dicom.write(site.archive / "other", *pet(series="other"))
    assert site.only().code == "several_series"
    assert site.names() == [case_id]


def test_a_dataset_made_with_another_secret_is_refused(site: Site) -> None:
    """Every patient would be there twice, under two names."""
    dicom.write(site.archive, *pet())
    case_id = site.only().case_id
    shutil.rmtree(site.home)
    with pytest.raises(DatasetError) as caught:
        site.run()
    assert caught.value.code == "other_site"
    assert site.names() == [case_id]
    assert not (site.home / "links.csv").exists()
    assert stat.S_IMODE((site.cases / case_id).stat().st_mode) == 0o700


@pytest.mark.parametrize("broken", [b"", b"\0" * 128 + b"DICM\x02\0"], ids=["empty", "cut off"])
def test_a_file_that_cannot_be_read_refuses_the_cases_beside_it(site: Site, broken: bytes) -> None:
    """It may be their last slice, and without it a volume looks whole."""
    dicom.write(site.archive / "a", *pet(patient="a"))
    dicom.write(site.archive / "b", *pet(patient="b"))
    (site.archive / "b" / "0004").write_bytes(broken)
    by_state = {one.state: one.code for one in site.run().outcomes}
    assert by_state == {"written": "", "refused": "damaged_file"}


@pytest.mark.parametrize("name", [".lock", "export.log", "._p0-0000.dcm"])
def test_a_stray_file_is_no_slice(site: Site, name: str) -> None:
    """What macOS puts beside each file, and empty files that are named as no slice is."""
    dicom.write(site.archive, *pet(), name="p0-{:04}.dcm")
    apple = b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(60)
    (site.archive / name).write_bytes(apple if name.startswith("._") else b"")
    imported = site.run()
    assert [one.state for one in imported.outcomes] == ["written"]
    assert imported.plan.left_out == {"no DICOM": 1}


def test_a_large_file_that_is_no_dicom_is_not_read(site: Site) -> None:
    """Such as the whole export, packed, beside what came out of it."""
    dicom.write(site.archive, *pet())
    with (site.archive / "export.zip").open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(2**28)
    tracemalloc.start()
    assert site.only().state == "written"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_damaged_file_refuses_the_study_that_it_names(site: Site) -> None:
    """Of all in one folder, and in another one; and every study beside it if it names none."""
    for patient in "abc":
        slices = pet(patient=patient)
        paths = dicom.write(site.archive, *slices, name=f"{patient}-{{:04}}.dcm")
    whole = paths[4].read_bytes()
    cut = whole[: whole.index(str(slices[0].StudyInstanceUID).encode()) + 70]
    paths[4].write_bytes(cut)
    assert [one.code for one in site.run().outcomes].count("damaged_file") == 1
    (site.archive / "other").mkdir()
    paths[4].rename(site.archive / "other" / "cut.dcm")
    (refused,) = [one for one in site.run().outcomes if one.state == "refused"]
    assert refused.code == "damaged_file"
    assert "left-out.csv" in refused.fix
    assert "other/cut.dcm,damaged" in (site.home / "left-out.csv").read_text()
    paths[4].write_bytes(b"")
    assert {one.code for one in site.run().outcomes} == {"damaged_file"}


@pytest.mark.parametrize("length", [0, 200])
def test_a_damaged_file_alone_in_its_folder_refuses_the_nearest_studies(
    site: Site, length: int
) -> None:
    """Archives may give each file a folder; without its last slice a volume takes no place."""
    for patient in "ab":
        for number, one in enumerate(pet(patient=patient)):
            (path,) = dicom.write(site.archive / patient / f"{number}", one, name="slice")
    before = {one.case_id for one in site.run().outcomes}
    path.write_bytes(path.read_bytes()[:length])
    assert sorted(one.code for one in site.run().outcomes) == ["", "damaged_file"]
    for folder in site.archive.glob("?/?"):  # and all of them side by side
        folder.rename(site.archive / f"{folder.parent.name}{folder.name}")
    imported = site.run()
    assert {one.code for one in imported.outcomes} == {"damaged_file"}
    assert imported.plan.num_astray == 0
    assert {*site.names()} == before


def test_a_damaged_file_below_a_folder_of_slices_may_be_of_them(site: Site) -> None:
    """Whoever else lies there."""
    for patient in "ab":
        dicom.write(site.archive, *pet(patient=patient), name=f"{patient}-{{}}")
    (site.archive / "more").mkdir()
    (site.archive / "more" / "slice").touch()
    assert {one.code for one in site.run().outcomes} == {"damaged_file"}


def test_a_damaged_file_beside_the_folders_of_whole_patients_is_of_none_of_them(
    site: Site,
) -> None:
    """One may be all of its patient: the others are written, and that one lacks is told."""
    for patient in "ab":
        dicom.write(site.archive / patient, *pet(patient=patient))
    (site.archive / "c").mkdir()
    (site.archive / "c" / "slice").touch()
    imported = site.run()
    assert [one.state for one in imported.outcomes] == ["written", "written"]
    assert imported.plan.num_astray == 1


def test_a_damaged_file_of_regions_alone_in_its_folder_is_not_dropped(site: Site) -> None:
    """The mask would be what the other one drew, and pass as all of the tumour."""
    slices = pet()
    dicom.write(site.archive / "images", *slices)
    square = [[-4, -10, 106], [12, -10, 106], [12, 2, 106], [-4, 2, 106]]
    for name in ("GTVp", "GTVn"):
        drawn = dicom.structures(slices[0], {name: [np.array(square)]})
        (path,) = dicom.write(site.archive / name, drawn, name="regions")
    path.write_bytes(b"")
    assert site.only().code == "damaged_file"


@pytest.mark.parametrize("part", [b"1", b"1.", b"1.1", b"1" * 39 + b".", b"1.1.1\0"])
def test_a_damaged_file_of_digits_is_looked_through_in_one_go(site: Site, part: bytes) -> None:
    """Files are hostile: no place of a million is tried from each of them."""
    uid = b"\0" + dicom.uid("s").encode() + b"\0"
    (site.archive / "x.dcm").write_bytes(uid + part * (2**20 // len(part)))
    found = read_entry(site.archive, "x.dcm")
    assert isinstance(found, Foreign)
    assert found.why == "damaged"
    assert dicom.uid("s") in found.uids


def test_a_file_that_cannot_be_read_takes_no_case_out(site: Site) -> None:
    """It says nothing against what was imported before: that stays, and it is told."""
    (path, *_) = dicom.write(site.archive, *pet(), name="{:04}.dcm")
    whole = path.read_bytes()
    case_id = site.only().case_id
    for damaged in (whole[:200], whole[:-8]):  # found while planning, and while importing
        path.write_bytes(damaged)
        imported = site.run()
        (outcome,) = imported.outcomes
        assert (outcome.code, imported.removed) == ("damaged_file", ())
        assert outcome.notes[0].startswith("its folder stays")
        assert site.names() == [case_id]


def fail(*_: object) -> None:
    """Raise what only files that no program makes do."""
    raise KeyError


UNREAD: dict[str, tuple[list[FileDataset], object, str, object]] = {
    "transfer_syntax": (pet(compressed), files, "MAX_ITEMS", 2**18),
    "multi_frame": (pet(having(NumberOfFrames=6)), files, "MAX_ITEMS", 2**18),
    "too_large": ([*pet(), enhanced(ct())], files, "MAX_ITEMS", 3),
    "unreadable": (pet(series="anew"), studies, "choose_pet", fail),
}


@pytest.mark.parametrize("code", UNREAD)
def test_what_cannot_be_read_any_more_takes_no_case_out(
    site: Site, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """An archive that packs its files anew says nothing against what was imported before."""
    dicom.write(site.archive, *pet())
    case_id = site.only().case_id
    slices, module, name, value = UNREAD[code]
    dicom.write(site.archive, *slices)
    monkeypatch.setattr(module, name, value)
    imported = site.run()
    (refused,) = imported.outcomes
    assert (refused.code, imported.removed) == (code, ())
    assert refused.notes[0].startswith("its folder stays")
    assert site.names() == [case_id]


def test_what_is_no_slice_is_left_out_by_name(site: Site) -> None:
    """Localisers, projections, captures, reports, DICOMDIR, text; counted for each case."""
    dicom.write(site.archive / "a", *pet(), *ct())
    others = {
        "localiser": (dicom.CT, ["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        "projection": (dicom.PT, ["DERIVED", "SECONDARY", "MIP"]),
        "secondary capture": ("1.2.840.10008.5.1.4.1.1.7", []),
        "report": ("1.2.840.10008.5.1.4.1.1.88.67", []),
        "other object": ("1.2.840.10008.5.1.4.1.1.11.1", []),
    }
    for name, (sop_class, kind) in others.items():
        one = dicom.base(sop_class, 1, patient=dicom.SECRETS["id"], study="one", series=name)
        one.ImageType = kind
        dicom.write(site.archive / name, one)
    (site.archive / "README.TXT").write_text("exported by somebody")
    listing = dicom.base("1.2.840.10008.1.3.10", 1, patient="", study="", series="")
    listing.clear()
    dicom.write(site.archive, listing, name="DICOMDIR")
    imported = site.run()
    assert imported.outcomes[0].left_out == dict.fromkeys(sorted(others), 1)
    assert imported.plan.left_out == {"no DICOM": 1, "DICOMDIR": 1}


def test_a_folder_that_cannot_be_read_is_no_empty_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cases would be dropped without a word."""
    dicom.write(site.archive / "a", *pet(patient="a"))
    dicom.write(site.archive / "b", *pet(patient="b"))
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("b"):
            raise PermissionError(errno.EACCES, "no", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DatasetError) as caught:
        site.run()
    assert caught.value.code == "unreadable_folder"
    assert str(site.folder) not in str(caught.value)


def test_copies_of_files_are_left_out_and_told(site: Site) -> None:
    """An archive that exported twice; the volume is the same."""
    dicom.write(site.archive / "a", *pet())
    shutil.copytree(site.archive / "a", site.archive / "b")
    outcome = site.only()
    assert outcome.notes == ("files of its PET that were copies, byte for byte: 5",)
    assert outcome.taken["PET"]["slices"] == 5


def test_of_several_series_none_is_guessed(site: Site) -> None:
    """Refused, until a pattern says which; one without attenuation correction is no choice."""
    raw = having(CorrectedImage=["DECY"])
    dicom.write(site.archive / "1", *pet(series="WB TOF"))
    dicom.write(site.archive / "2", *pet(raw, series="WB NAC"))
    assert site.only().left_out == {"PET without attenuation correction": 5}
    dicom.write(site.archive / "3", *pet(series="Head"))
    refused = site.only()
    assert (refused.state, refused.code) == ("refused", "several_series")
    assert "--pet-series" in refused.fix
    assert "WB" not in refused.why
    chosen = site.only(Choices(pet_series="*tof"))
    assert chosen.state == "written"
    assert chosen.left_out == {"PET series not asked for": 10}
    assert site.only(Choices(pet_series="brain")).code == "series_not_found"


def test_a_series_is_chosen_as_the_archive_writes_it(site: Site) -> None:
    """Brackets are no pattern; of two that are called alike the number tells which is meant."""
    dicom.write(site.archive / "1", *pet(series="PET WB [AC]"))
    dicom.write(site.archive / "2", *pet(having(SeriesNumber=12), series="PET WB [AC] TOF"))
    left_out = {"PET series not asked for": 5}
    assert site.only(Choices(pet_series="pet wb [ac]")).left_out == left_out
    alike = having(SeriesNumber=12, SeriesDescription="PET WB [AC]")
    dicom.write(site.archive / "2", *pet(alike, series="PET WB [AC] TOF"))
    refused = site.only(Choices(pet_series="PET WB [AC]"))
    assert "number 12" in refused.why
    assert "number" in refused.fix
    assert site.only(Choices(pet_series="12")).left_out == left_out
    assert site.only(Choices(pet_series="2")).code == "series_not_found"


def test_a_region_is_chosen_as_it_is_written(site: Site) -> None:
    """Brackets in its name are no pattern."""
    dicom.write(site.archive / "1", *pet())
    outline = np.array([[-9.0, -19, 103], [1, -19, 103], [1, -9, 103]])
    drawn = dicom.structures(pet()[0], {"node [1]": [outline]})
    dicom.write(site.archive / "2", drawn)
    assert site.only(Choices(regions=("Node [1]",))).taken["MASK"]["regions"] == 1


def test_a_ct_of_another_place_is_left_out(site: Site) -> None:
    """It has to share the PET's frame of reference; of several the one as long as the PET."""
    dicom.write(site.archive / "pet", *pet())
    dicom.write(site.archive / "other", *ct(having(FrameOfReferenceUID="1.2.3"), series="other"))
    outcome = site.only()
    assert outcome.left_out == {"CT in another frame of reference": 5}
    assert outcome.taken.keys() == {"PET"}
    dicom.write(site.archive / "thin", *ct(series="lung", origin=(-10, -20, 109))[:3])
    dicom.write(site.archive / "ct", *ct())
    outcome = site.only()
    assert outcome.taken["CT"]["slices"] == 5
    assert outcome.left_out["CT series that covers less than the PET"] == 3


@pytest.mark.parametrize("kind", ["MGML", "Z_EFF"])
def test_a_map_of_iodine_or_atomic_numbers_is_no_ct(site: Site, kind: str) -> None:
    """Beside a CT, or a PET alone, it is left out; alone it is refused."""
    dicom.write(site.archive / "map", *ct(having(RescaleType=kind), series="map"))
    assert site.only().code == "no_rescale"
    dicom.write(site.archive / "pet", *pet())
    left_out = {"CT series that is no map of Hounsfield units": 5}
    outcome = site.only()
    assert (outcome.taken.keys(), outcome.left_out) == ({"PET"}, left_out)
    dicom.write(site.archive / "ct", *ct(having(RescaleType="HU")))
    outcome = site.only()
    assert (outcome.taken.keys(), outcome.left_out) == ({"PET", "CT"}, left_out)


def test_a_ct_that_is_shorter_than_the_pet_is_left_out_though_it_is_the_only_one(
    site: Site,
) -> None:
    """By name; two of them are no reason to refuse the PET."""
    dicom.write(site.archive / "pet", *pet())
    dicom.write(site.archive / "thin", *ct()[:3])
    for number in (3, 5):
        outcome = site.only()
        assert outcome.taken.keys() == {"PET"}
        assert outcome.left_out == {"CT series that covers less than the PET": number}
        dicom.write(site.archive / "thinner", *ct(series="other")[:2])


def test_without_a_frame_of_reference_a_ct_beside_the_pet_is_left_out(site: Site) -> None:
    """Two series that name no frame may have any two."""
    nameless = having(FrameOfReferenceUID="")
    dicom.write(site.archive / "pet", *pet(nameless))
    dicom.write(site.archive / "ct", *ct(nameless, origin=(500, 500, 100)))
    assert site.only().left_out == {"CT series that covers less than the PET": 5}
    dicom.write(site.archive / "ct", *ct(nameless))
    outcome = site.only()
    assert outcome.taken.keys() == {"PET", "CT"}
    assert outcome.notes == (
        "PET and CT name no frame of reference: that they share one is not sure",
    )


def test_a_pet_that_lacks_a_slice_does_not_give_way_to_another_one(site: Site) -> None:
    """The whole body is what was meant; a head bed that is whole is not."""
    dicom.write(site.archive / "body", *pet(series="body")[:2], *pet(series="body")[3:])
    dicom.write(site.archive / "head", *pet(series="head")[:3])
    refused = site.only()
    assert (refused.state, refused.code) == ("refused", "several_series")
    assert "no volume: gap" in refused.why
    assert site.only(Choices(pet_series="body")).code == "gap"
    assert site.only(Choices(pet_series="head")).taken["PET"]["slices"] == 3


def test_a_weight_that_may_be_in_pounds_is_told_in_the_report(site: Site) -> None:
    """The case is written: somebody may weigh as much."""
    dicom.write(site.archive, *pet(having(PatientWeight=154.3)))
    (note,) = site.only().notes
    assert "lb" in note
    assert f"note: {note}" in (site.cases / "import-report.txt").read_text()


def test_two_patients_with_one_id_are_refused(site: Site) -> None:
    """Their dates of birth differ."""
    dicom.write(site.archive / "1", *pet())
    dicom.write(site.archive / "2", *pet(having(PatientBirthDate="19990101"), study="two"))
    assert {one.code for one in site.run().outcomes} == {"patients_mixed"}


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"PatientName": "AUTRE^Jean"}, "patients_mixed"),
        ({"PatientSex": "M"}, "patients_mixed"),
        ({"PatientName": "dupontel amandiné"}, ""),
        ({"PatientName": "", "PatientSex": "O"}, ""),
    ],
)
def test_two_persons_with_one_id_are_no_scans_of_a_patient(
    site: Site, told: dict[str, str], code: str
) -> None:
    """Without a date of birth, as of the PatientID ANON: by name and sex, however written."""
    anonymous = having(PatientBirthDate="")
    dicom.write(site.archive / "1", *pet(anonymous, patient="ANON"))
    dicom.write(
        site.archive / "2", *pet(having(PatientBirthDate="", **told), patient="ANON", study="two")
    )
    assert {one.code for one in site.run().outcomes} == {code}


@pytest.mark.parametrize(
    ("patient", "codes"),
    [("ANON", {"no_patient_id"}), ("anonymous ", {"no_patient_id"}), ("Anon-017", {""})],
)
def test_scans_that_nothing_but_an_id_makes_one_patients(
    site: Site, patient: str, codes: set[str]
) -> None:
    """Refused if it is a word for nobody; else that is told."""
    nobody = having(PatientBirthDate="", PatientName="Anonymous", PatientSex="")
    dicom.write(site.archive / "1", *pet(nobody, patient=patient))
    assert site.only().notes == ()
    shutil.rmtree(site.cases)
    dicom.write(site.archive / "2", *pet(nobody, patient=patient, study="two"))
    outcomes = site.run().outcomes
    assert {one.code for one in outcomes} == codes
    assert all(one.code or "PatientID alone" in one.notes[0] for one in outcomes)


def test_of_several_scans_one_without_a_date_is_refused(site: Site) -> None:
    """Nobody knows which came first; the other one is written."""
    dicom.write(site.archive / "1", *pet())
    dicom.write(site.archive / "2", *pet(without("StudyDate", "SeriesDate"), study="two"))
    assert {one.state: one.code for one in site.run().outcomes} == {
        "refused": "no_date",
        "written": "",
    }


def test_a_deflated_file_is_not_inflated(site: Site) -> None:
    """A small one may grow to any size; it is refused with those beside it."""
    slices = pet()
    dicom.write(site.archive / "a", *slices[:4])
    slices[4].file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    slices[4].PixelData = bytes(50_000_000)
    (path,) = dicom.write(site.archive / "b", slices[4])
    assert path.stat().st_size < 100_000
    path.rename(site.archive / "a" / "deflated")
    for begin in (0, 132):  # with the mark of DICOM, then without
        deflated = site.archive / "a" / "deflated"
        deflated.write_bytes(deflated.read_bytes()[begin:])
        tracemalloc.start()
        assert site.only().code == "damaged_file"
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20_000_000


def test_a_linked_folder_is_read_once_and_in_no_circle(site: Site) -> None:
    """Exports are put together with links; what lies there is no less of the archive."""
    dicom.write(site.folder / "elsewhere", *pet())
    for name in ("link", "same"):
        (site.archive / name).symlink_to(site.folder / "elsewhere")
    (site.folder / "elsewhere" / "back").symlink_to(site.archive)
    outcome = site.only()
    assert (outcome.state, outcome.notes, outcome.left_out) == ("written", (), {})


def test_a_pipe_in_the_archive_is_left_out_by_name(site: Site) -> None:
    """To read it would never end."""
    dicom.write(site.archive, *pet())
    os.mkfifo(site.archive / "pipe.dcm")
    imported = site.run()
    assert imported.outcomes[0].state == "written"
    assert imported.plan.left_out == {"no plain file": 1}


def test_two_imports_at_once_do_not_meet(site: Site) -> None:
    """The second one says so and changes nothing."""
    dicom.write(site.archive, *pet())
    site.home.mkdir()
    handle = os.open(site.home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(DatasetError) as caught:
            site.run()
    finally:
        os.close(handle)
    assert caught.value.code == "busy"
    assert site.only().state == "written"


def test_a_file_that_changes_meanwhile_refuses_its_case(site: Site) -> None:
    """An export that still goes on: what was looked at is not what would be written."""
    paths = dicom.write(site.archive, *pet())

    def change(what: str, done: int, of: int) -> None:
        if what == "file" and done == of:
            paths[2].write_bytes(paths[2].read_bytes() + b"\0")

    made = import_archive(
        site.archive, site.cases, LocalDisk(site.home), Choices(), progress=change
    )
    assert [one.code for one in made.outcomes] == ["changed_file"]
    assert site.only().state == "written"


def test_a_full_disk_ends_the_import_and_is_no_fault_of_a_case(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is made, and it goes on."""
    dicom.write(site.archive, *pet())

    def refuse(_path: Path, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        with pytest.raises(DiskFull) as caught:
            site.run()
    assert str(site.folder) not in str(caught.value)
    assert site.only().state == "written"


def test_folders_of_others_are_left_alone(site: Site) -> None:
    """Of a person, or of a scan that is not in this archive."""
    dicom.write(site.archive, *pet())
    case_id = site.only().case_id
    shutil.rmtree(site.archive)
    dicom.write(site.archive, *pet(dated(LATER), study="later"))
    outcome = site.only()
    assert (outcome.state, outcome.code) == ("refused", "other_scans")
    assert site.names() == [case_id]
    (site.cases / case_id / "import.json").unlink()
    assert site.only().code == "folder_taken"
    assert site.names() == [case_id]


def test_what_a_killed_import_left_of_others_is_removed(site: Site) -> None:
    """Parts of cases that are in no archive any more."""
    for name in (".part-pt-0123456789ab", ".old-pt-0123456789ab", ".part-pt-ba9876543210"):
        (site.cases / name).mkdir(parents=True)
        (site.cases / name / "PET.nii.gz").write_bytes(b"half")
    dicom.write(site.archive, *pet())
    case_id = site.only().case_id
    assert site.names() == [case_id]


def test_killed_between_two_renames_no_case_is_lost(site: Site) -> None:
    """The case that was about to give way is there again, though no other comes in its place."""
    dicom.write(site.archive, *pet(series="A"), *pet(series="B"))
    case_id = site.only(Choices(pet_series="A")).case_id
    (site.cases / case_id).rename(site.cases / f".old-{case_id}")
    (site.cases / f".part-{case_id}").mkdir()
    assert site.only().code == "several_series"
    assert site.names() == [case_id]
    assert {path.name for path in (site.cases / case_id).iterdir()} == {
        "PET.nii.gz",
        "PET.json",
        "import.json",
    }


def test_a_second_scan_renames_the_first_case(site: Site) -> None:
    """Both are in the archive: the case without a number gets one, and that is told."""
    dicom.write(site.archive / "1", *pet())
    case_id = site.only().case_id
    dicom.write(site.archive / "2", *pet(dated(LATER), study="later"))
    imported = site.run()
    assert site.names() == [f"{case_id}_scan-1", f"{case_id}_scan-2"]
    assert imported.removed == ()
    told = f"it was {case_id} before: the archive has another number of scans by now"
    assert [one.notes for one in imported.outcomes] == [(told,), ()]
    assert {one.state for one in site.run().outcomes} == {"kept"}


def scans_of(site: Site) -> dict[str, str]:
    """Return the folders, and which study each holds, by its keyed hash."""
    return {
        name: json.loads((site.cases / name / "import.json").read_text())["token"]
        for name in site.names()
    }


@pytest.mark.parametrize("day", [LATER, "20210501"], ids=["later", "earlier"])
def test_a_scan_that_comes_with_a_wrong_choice_costs_no_scan_of_before(
    site: Site, day: str
) -> None:
    """What was imported stays, under the number that it has by now; once right, all is there."""
    dicom.write(site.archive / "1", *pet())
    case_id = site.only().case_id
    (token,) = scans_of(site).values()
    before = (site.cases / case_id / "PET.nii.gz").read_bytes()
    dicom.write(site.archive / "2", *pet(dated(day), study="other"))
    number = 1 if day == LATER else 2
    imported = site.run(Choices(pet_series="*TOFF*"))
    assert {one.code for one in imported.outcomes} == {"series_not_found"}
    assert imported.removed == ()
    assert scans_of(site) == {f"{case_id}_scan-{number}": token}
    assert (site.cases / f"{case_id}_scan-{number}" / "PET.nii.gz").read_bytes() == before
    assert any("its folder stays" in note for note in imported.outcomes[number - 1].notes)
    site.run()
    assert scans_of(site)[f"{case_id}_scan-{number}"] == token
    assert len(scans_of(site)) == 2


def test_of_three_scans_a_choice_that_fits_one_takes_the_place_of_none(site: Site) -> None:
    """The new first scan is written, where the second one was before."""
    dicom.write(site.archive / "b", *pet(series="old"))
    dicom.write(site.archive / "c", *pet(dated(LATER), study="later", series="old"))
    site.run()
    before = list(scans_of(site).values())
    dicom.write(site.archive / "a", *pet(dated("20210501"), study="earlier", series="new"))
    imported = site.run(Choices(pet_series="new"))
    assert [one.state for one in imported.outcomes] == ["written", "refused", "refused"]
    assert list(scans_of(site).values())[1:] == before
    assert imported.removed == ()


def test_a_copy_of_a_case_under_another_scans_name_ends_no_import(site: Site) -> None:
    """It is in the way of the scan whose name it has, and of no scan itself."""
    dicom.write(site.archive / "1", *pet())
    dicom.write(site.archive / "2", *pet(dated(LATER), study="later"))
    site.run()
    before = scans_of(site)
    first, second = site.names()
    (site.cases / first).rename(site.cases / first.replace("scan-1", "scan-3"))
    shutil.copytree(site.cases / second, site.cases / first)
    imported = site.run()
    assert [one.state for one in imported.outcomes] == ["kept", "kept"]
    assert scans_of(site) == before


@pytest.mark.parametrize("killed_at", [0, 1, 2, 99])
def test_scans_whose_dates_were_mended_change_places(
    site: Site, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    """Also if the import is killed between: nothing is lost, though neither fits the choice."""
    dicom.write(site.archive / "1", *pet(series="old"))
    dicom.write(site.archive / "2", *pet(dated(LATER), study="two", series="old"))
    site.run()
    first, second = scans_of(site).values()
    dicom.write(site.archive / "2", *pet(dated("20210501"), study="two", series="old"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying(Path.rename, [killed_at]))
        with contextlib.suppress(KilledError):
            site.run(Choices(pet_series="none"))
    assert set(scans_of(site).values()) == {first, second}
    assert any(name.endswith("_scan-0") for name in site.names()) == (killed_at in {1, 2})
    site.run(Choices(pet_series="none"))
    assert list(scans_of(site).values()) == [second, first]
    assert site.names() == [one.case_id for one in site.run().outcomes]


def test_an_archive_without_images_and_one_within_its_dataset_are_refused(site: Site) -> None:
    """Said before anything is written."""
    (site.archive / "x.txt").write_text("x")
    with pytest.raises(DatasetError) as caught:
        site.run()
    assert caught.value.code == "empty"
    for source, target in ((site.archive, site.archive / "cases"), (site.archive, site.folder)):
        with pytest.raises(DatasetError) as caught:
            import_archive(
                source, target, LocalDisk(site.home), Choices(), progress=lambda *_: None
            )
        assert caught.value.code == "folder_within"
    with pytest.raises(DatasetError) as caught:
        import_archive(
            site.folder / "none",
            site.cases,
            LocalDisk(site.home),
            Choices(),
            progress=lambda *_: None,
        )
    assert caught.value.code == "missing_file"
    assert str(site.folder) not in str(caught.value)
