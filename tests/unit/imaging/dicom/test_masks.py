"""Masks: regions of RTSTRUCT and SEG on the grid of the images that they were drawn on."""

import shutil
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRBigEndian

from fedmq.imaging.datasets import find_cases
from fedmq.imaging.dicom import files, masks
from fedmq.imaging.dicom.outcomes import Outcome
from fedmq.imaging.dicom.planning import Choices
from tests.support import dicom
from tests.support.enhanced import enhanced
from tests.unit.imaging.dicom.archive import SHAPE, Site, ct, pet

RAW = {"study": "one", "series": "raw"}
FINE = {"spacing": (2.0, 2.0, 3.0)}
"""The CT's; the PET has 4 mm."""


def box(
    number: int, x: tuple[float, float], y: tuple[float, float], step: float = 4.0
) -> NDArray[np.float64]:
    """Return a rectangle in voxels of a slice, as an outline in mm."""
    corners = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
    return np.array([(-10 + i * step, -20 + j * step, 100 + 3 * number) for i, j in corners])


def mask_of(site: Site, outcome: Outcome) -> NDArray[np.bool_]:
    """Return the mask that was written, as slices, rows and columns of the archive."""
    assert outcome.state == "written", outcome
    (case,) = find_cases(site.cases)
    array = case.volume("MASK").array
    assert set(np.unique(array)) <= {0.0, 1.0}
    return array[::-1, ::-1].T > 0.5


def put(site: Site, *drawn: FileDataset) -> None:
    """Have an archive with PET, CT and these files."""
    shutil.rmtree(site.archive)
    dicom.write(site.archive / "images", *pet(), *ct(None, **FINE))
    dicom.write(site.archive / "drawn", *drawn)


def test_an_outline_on_the_pet_is_a_mask_on_its_grid_with_its_hole(site: Site) -> None:
    """Voxels whose centres lie inside; only on the slices that were drawn on."""
    outer, hole = box(1, (0.5, 5.5), (0.5, 4.5)), box(1, (2.5, 3.5), (1.5, 2.5))
    put(site, dicom.structures(pet()[0], {"GTV-T": [outer, hole, box(3, (1.5, 2.5), (0.5, 1.5))]}))
    outcome = site.only()
    mask = mask_of(site, outcome)
    expected = np.zeros(SHAPE, np.bool_)
    expected[1, 1:5, 1:6] = True
    expected[1, 2, 3] = False
    expected[3, 1, 2] = True
    np.testing.assert_array_equal(mask, expected)
    assert outcome.taken["MASK"] == {"grid": "PET", "regions": 1, "volume_ml": 20 * 0.048}
    (case,) = find_cases(site.cases)
    np.testing.assert_array_equal(case.volume("MASK").affine, case.volume("PET").affine)


def test_an_outline_on_the_ct_is_a_mask_on_the_grid_of_the_ct(site: Site) -> None:
    """Its place is that in the patient, on finer voxels."""
    put(
        site,
        dicom.structures(ct(None, **FINE)[0], {"Lesion 1": [box(2, (0.5, 4.5), (1.5, 3.5), 2.0)]}),
    )
    outcome = site.only()
    mask = mask_of(site, outcome)
    assert mask.sum() == 4 * 2
    assert mask[2, 2:4, 1:5].all()
    assert outcome.taken["MASK"]["grid"] == "CT"


def test_several_regions_are_united_and_that_is_told(site: Site) -> None:
    """By the usual names of tumours, or as asked; what was not asked for is counted."""
    regions = {
        "GTV1": [box(1, (0.5, 2.5), (0.5, 2.5))],
        "Tumeur N": [box(1, (1.5, 3.5), (1.5, 3.5))],
        "Liver": [box(2, (0.5, 5.5), (0.5, 4.5))],
    }
    put(site, dicom.structures(pet()[0], regions))
    outcome = site.only()
    assert mask_of(site, outcome).sum() == 4 + 4 - 1
    assert "its mask unites 2 regions" in outcome.notes
    assert "regions drawn on the PET with names that were not asked for (--roi): 1" in outcome.notes
    assert mask_of(site, site.only(Choices(regions=("liv*",)))).sum() == 20
    nothing = site.only(Choices(regions=("lung",)))
    assert nothing.state == "written"
    assert "MASK" not in nothing.taken
    assert "regions drawn on the PET with names that were not asked for (--roi): 3" in nothing.notes


def test_what_was_drawn_on_the_pet_comes_before_what_was_drawn_on_the_ct(site: Site) -> None:
    """Two files; the other one is told."""
    on_pet = dicom.structures(pet()[0], {"GTV": [box(1, (0.5, 2.5), (0.5, 2.5))]})
    on_ct = dicom.structures(ct(None, **FINE)[0], {"GTV": [box(2, (0.5, 4.5), (1.5, 3.5), 2.0)]})
    on_ct.file_meta.MediaStorageSOPInstanceUID = on_ct.SOPInstanceUID = "1.2.3"
    put(site, on_pet, on_ct)
    outcome = site.only()
    assert outcome.taken["MASK"]["grid"] == "PET"
    assert "regions drawn on the CT were left out: others were drawn on the PET" in outcome.notes


def segments() -> NDArray[np.bool_]:
    """Return any mask."""
    return np.random.default_rng(3).random(SHAPE) > 0.6


def test_a_segmentation_is_unpacked_to_its_slices(site: Site) -> None:
    """One bit a voxel, frames of the slices that have any; segments by name."""
    drawn = dicom.segmentation(pet(), {"Lesion": segments(), "liver": ~segments()})
    put(site, drawn)
    np.testing.assert_array_equal(mask_of(site, site.only()), segments())
    np.testing.assert_array_equal(
        mask_of(site, site.only(Choices(regions=("LIVER",)))), ~segments()
    )
    united = site.only(Choices(regions=("*",)))
    assert mask_of(site, united).all()
    assert united.taken["MASK"]["regions"] == 2


def test_a_segmentation_on_voxels_that_are_longer_than_wide(site: Site) -> None:
    """Rows and columns are not mistaken for each other."""
    slices = pet(spacing=(4.0, 5.0, 3.0))
    dicom.write(site.archive, *slices, dicom.segmentation(slices, {"Lesion": segments()}))
    np.testing.assert_array_equal(mask_of(site, site.only()), segments())


def other_study(one: FileDataset) -> FileDataset:
    """Return a file that a planning system made a study of its own of."""
    one.StudyInstanceUID = "1.2.3.4"
    return one


def test_what_was_drawn_in_a_study_of_its_own_goes_with_its_images(site: Site) -> None:
    """By the series that it refers to."""
    put(site, other_study(dicom.segmentation(pet(), {"Lesion": segments()})))
    np.testing.assert_array_equal(mask_of(site, site.only()), segments())


def test_what_was_drawn_on_images_that_are_not_there_is_left_out_and_told(site: Site) -> None:
    """A mask on the wrong images is worse than none."""
    put(site, dicom.segmentation(pet(series="another"), {"Lesion": segments()}))
    outcome = site.only()
    assert outcome.left_out == {"SEG drawn on other images": 1}
    assert "MASK" not in outcome.taken


def changed(one: FileDataset, **told: object) -> FileDataset:
    """Return a file with other elements."""
    for key, value in told.items():
        setattr(one, key, value)
    return one


def bad_segmentation(**told: object) -> FileDataset:
    """Return a segmentation with other elements."""
    return changed(dicom.segmentation(pet(), {"Lesion": segments()}), **told)


def shifted() -> FileDataset:
    """Return a segmentation half a voxel aside."""
    one = bad_segmentation()
    for frame in one.PerFrameFunctionalGroupsSequence:
        place = frame.PlanePositionSequence[0]
        place.ImagePositionPatient = [float(place.ImagePositionPatient[0]) + 2, -20, 100]
    return one


def spaced() -> FileDataset:
    """Return a segmentation of other voxels."""
    one = bad_segmentation()
    one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [4.1, 4.1]
    return one


def outlined(points: list[str]) -> FileDataset:
    """Return an RTSTRUCT whose outline is this text."""
    one = dicom.structures(pet()[0], {"GTV": [box(1, (0.5, 2.5), (0.5, 2.5))]})
    contour: Dataset = one.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = points
    return one


BROKEN = {
    "fractional": ("bad_mask", lambda: bad_segmentation(SegmentationType="FRACTIONAL")),
    "a million frames": ("bad_mask", lambda: bad_segmentation(NumberOfFrames=1_000_000)),
    "huge frames": ("bad_mask", lambda: bad_segmentation(Rows=65535, Columns=65535)),
    "more rows": ("damaged_file", lambda: bad_segmentation(Rows=600)),
    "aside": ("mask_other_grid", shifted),
    "other voxels": ("mask_other_grid", spaced),
    "no triples": ("bad_mask", lambda: outlined(["1", "2", "3", "4"])),
    "far away": (
        "contour_off_grid",
        lambda: dicom.structures(pet()[0], {"GTV": [box(90, (0.5, 2.5), (0.5, 2.5))]}),
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_regions_that_do_not_fit_refuse_the_case(site: Site, what: str) -> None:
    """By name; no mask is cut or moved to fit."""
    code, drawn = BROKEN[what]
    put(site, drawn())
    outcome = site.only()
    assert (outcome.state, outcome.code) == ("refused", code)
    assert outcome.fix


def test_an_outline_of_endless_text_is_not_made_numbers_of(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes several times the memory of its text."""
    monkeypatch.setattr(masks, "MAX_OUTLINE_BYTES", 100)
    put(site, outlined(["1"] * 90))
    outcome = site.only()
    assert (outcome.code, outcome.why) == (
        "bad_mask",
        "an outline has more points than anybody draws",
    )


def test_regions_of_a_size_that_nobody_draws_refuse_the_case_unread(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By bytes, and by items, each of which takes many times its bytes; a mask is not left out."""
    put(site, dicom.segmentation(pet(), {"Lesion": segments()}))
    assert site.only().state == "written"
    with monkeypatch.context() as patch:
        drawn = next((site.archive / "drawn").iterdir())
        patch.setattr(files, "MAX_FILE_BYTES", drawn.stat().st_size - 1)
        outcome = site.only()
    assert (outcome.state, outcome.code) == ("refused", "too_large")
    assert outcome.left_out == {"too large file of regions": 1}
    with monkeypatch.context() as patch:
        patch.setattr(files, "MAX_ITEMS", 8)
        assert site.only().code == "too_large"
        swapped = dicom.segmentation(pet(), {"Lesion": segments()})
        swapped.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dcmwrite(drawn, swapped, enforce_file_format=True)
        assert site.only().code == "too_large"


def test_a_large_file_that_no_case_is_made_of_is_left_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scanners keep raw data of gigabytes beside their images."""
    raw = dicom.base("1.2.840.10008.5.1.4.1.1.66", 1, patient=dicom.SECRETS["id"], **RAW)
    raw.add_new(0x7FE00010, "OB", bytes(5000))
    dicom.write(site.archive / "images", *pet())
    dicom.write(site.archive / "images", raw, name="raw")
    (site.archive / "images" / "export.zip").write_bytes(bytes(5000))
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 4000)
    imported = site.run()
    assert imported.outcomes[0].left_out == {"other object": 1}
    assert imported.plan.left_out == {"no DICOM": 1}


def test_a_volume_in_one_file_may_be_larger_than_regions(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read frame by frame."""
    (path,) = dicom.write(site.archive, enhanced(ct()))
    monkeypatch.setattr(files, "MAX_FILE_BYTES", path.stat().st_size - 1)
    assert site.only().state == "written"
    monkeypatch.setattr(files, "MAX_IMAGE_BYTES", path.stat().st_size - 1)
    assert site.only().code == "too_large"


def test_regions_are_made_numbers_of_one_after_the_other(site: Site) -> None:
    """Thirty regions take their text, and the numbers of one of them."""
    circle = np.column_stack(
        [np.tile(box(1, (0.5, 2.5), (0.5, 2.5))[:, :2], (250, 1)), [103] * 1000]
    )
    regions = {f"GTV {number}": [circle] * 10 for number in range(30)}
    (path,) = dicom.write(site.folder / "drawn", dicom.structures(pet()[0], regions))
    dataset = files.parse(path, path.read_bytes(), with_pixels=False)
    tracemalloc.start()
    names = [one.name for one in masks.read_regions(dataset)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(names) == 30
    assert peak < 1.3 * path.stat().st_size
