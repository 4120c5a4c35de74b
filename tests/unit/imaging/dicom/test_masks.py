"""Masks: regions of RTSTRUCT and SEG on the grid of the images that they were drawn on."""

import shutil
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items
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


def outlines_of(drawn: FileDataset) -> list[Dataset]:
    """Return the outlines of the first region."""
    return list(drawn.ROIContourSequence[0].ContourSequence)


def test_outlines_that_exclude_each_other_are_read(site: Site) -> None:
    """CLOSEDPLANAR_XOR, as PS3.3 spells it; of one region all are combined so, if one says so."""
    boxes = [box(1, (0.5, 3.5), (0.5, 4.5)), box(1, (1.5, 5.5), (0.5, 4.5))]
    for number in (1, 2):
        drawn = dicom.structures(pet()[0], {"GTV": boxes})
        for one in outlines_of(drawn)[:number]:
            one.ContourGeometricType = "CLOSEDPLANAR_XOR"
        put(site, drawn)
        outcome = site.only()
        assert mask_of(site, outcome)[1, 1:5].sum(axis=0).tolist() == [0, 4, 0, 0, 4, 4, 0]
        assert outcome.notes == ()


def test_outlines_that_overlap_or_stand_twice_lose_nothing(site: Site) -> None:
    """Even-odd made holes of what two of them cover."""
    boxes = [box(1, (0.5, 3.5), (0.5, 4.5)), box(1, (1.5, 5.5), (0.5, 4.5))]
    put(site, dicom.structures(pet()[0], {"GTV": [*boxes, boxes[0]]}))
    assert mask_of(site, site.only()).sum() == 5 * 4


def test_what_marks_nothing_is_counted_and_told(site: Site) -> None:
    """Open outlines, points, regions that nobody drew, lesions between the voxels' centres."""
    around, line = box(1, (0.5, 2.5), (0.5, 2.5)), box(2, (0.5, 2.5), (0.5, 2.5))
    regions = {"GTV": [around, line, line[:1]], "GTV 2": [], "GTV 3": [box(2, (0.6, 0.9), (1, 2))]}
    drawn = dicom.structures(pet()[0], regions)
    outlines_of(drawn)[1].ContourGeometricType = "OPEN_PLANAR"
    outlines_of(drawn)[2].ContourGeometricType = "POINT"
    put(site, drawn)
    outcome = site.only()
    assert mask_of(site, outcome).sum() == 4
    assert outcome.notes == (
        "regions drawn on the PET that mark no voxel: 2",
        "outlines drawn on the PET that enclose nothing (open, or points): 2",
        "its mask unites 2 regions",
    )


def test_a_tumour_that_marks_no_voxel_is_no_mask_of_zeros(site: Site) -> None:
    """That would be a patient without a tumour; frames of zeros say that there is none."""
    put(site, dicom.structures(pet()[0], {"GTV": [box(2, (0.6, 0.9), (1, 2))]}))
    outcome = site.only()
    assert outcome.taken.keys() == {"PET", "CT"}
    assert any("no voxel has its centre in them" in note for note in outcome.notes)
    none = dicom.segmentation(pet(), {"Lesion": np.ones(SHAPE, np.bool_)})
    none.PixelData = bytes(len(none.PixelData))
    put(site, none)
    outcome = site.only()
    assert not mask_of(site, outcome).any()
    assert "its mask is empty" in outcome.notes


def test_a_copy_of_regions_counts_once_and_two_versions_not_at_all(site: Site) -> None:
    """A copy is told as one of images is; of versions nobody sees which one counts."""
    drawn = dicom.structures(pet()[0], {"GTV": [box(1, (0.5, 2.5), (0.5, 2.5))]})
    put(site, drawn)
    dicom.write(site.archive / "copy", drawn)
    outcome = site.only()
    assert outcome.taken["MASK"]["regions"] == 1
    assert outcome.notes == ("files of its regions that were copies, byte for byte: 1",)
    older = dicom.structures(pet()[0], {"GTV": [box(1, (0.5, 4.5), (0.5, 2.5))]})
    dicom.write(site.archive / "copy", older)
    require_no_mask(site.only(), "RTSTRUCT", "bad_mask: two files that differ have one SOP Inst")


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


def require_no_mask(outcome: Outcome, kind: str, why: str) -> None:
    """Raise unless the case has its images, no mask, and a note that says why."""
    assert (outcome.state, outcome.taken.keys()) == ("written", {"PET", "CT"})
    assert outcome.left_out == {f"{kind} that cannot be used": 1}
    assert outcome.notes[0].startswith(f"{kind} left out: {why}")
    assert "export" in outcome.notes[0]


@pytest.mark.parametrize("what", BROKEN)
def test_regions_that_do_not_fit_make_no_mask_and_the_images_stay(site: Site, what: str) -> None:
    """Told by name; no mask is cut or moved to fit."""
    code, drawn = BROKEN[what]
    one = drawn()
    put(site, one)
    require_no_mask(site.only(), str(one.Modality), f"{code}: ")
    assert f"note: {one.Modality} left out" in (site.cases / "import-report.txt").read_text()


@pytest.mark.parametrize("is_open", [False, True], ids=["lengths told", "lengths open"])
def test_regions_that_are_cut_off_make_no_mask(site: Site, *, is_open: bool) -> None:
    """Wherever they end, outlines or frames: what is left would pass as the whole tumour."""
    boxes = [box(number, (0.5, 2.5), (0.5, 2.5)) for number in (1, 2, 3)]
    put(site, dicom.segmentation(pet(), {"Lesion": segments()}))
    drawn = dicom.structures(pet()[0], {"GTV 1": boxes[:1], "GTV 2": boxes[1:]})
    drawn["ROIContourSequence"].is_undefined_length = is_open
    paths = [*dicom.write(site.archive / "outlines", drawn), site.archive / "drawn" / "0000"]
    for path in paths:
        whole = path.read_bytes()
        for cut in (2, 40, 150, 400):
            path.write_bytes(whole[:-cut])
            outcome = site.only()
            assert outcome.taken.keys() == {"PET", "CT"}, cut
            assert any("damaged_file" in note for note in outcome.notes), cut
        path.write_bytes(whole)
        assert "MASK" in site.only().taken


def test_outlines_that_cannot_be_read_make_no_mask(site: Site) -> None:
    """A length within them that is wrong loses those that follow it; so does a cut before them."""
    boxes = [box(number, (0.5, 2.5), (0.5, 2.5)) for number in (1, 2)]
    drawn = dicom.structures(pet()[0], {"GTV 1": boxes, "GTV 2": boxes})
    put(site, drawn)
    path = site.archive / "drawn" / "0000"
    whole = path.read_bytes()
    tag = b"\x06\x30\x50\x00DS"  # Contour Data
    for at in (whole.index(tag), whole.rindex(tag)):
        length = int.from_bytes(whole[at + 6 : at + 8], "little") + 256
        path.write_bytes(whole[: at + 6] + length.to_bytes(2, "little") + whole[at + 8 :])
        require_no_mask(site.only(), "RTSTRUCT", "damaged_file: ")
    at = whole.index(b"\x06\x30\x20\x00SQ") + 16  # how long the first name's item is
    path.write_bytes(whole[:at] + (56).to_bytes(4, "little") + whole[at + 4 :])
    outcome = site.only()
    assert outcome.taken.keys() == {"PET", "CT"}
    assert outcome.notes[0].startswith("its regions were left out: damaged_file: ")
    del drawn.StructureSetROISequence[1]
    put(site, drawn)
    require_no_mask(site.only(), "RTSTRUCT", "bad_mask: it has outlines of a region that it does")
    del drawn.ROIContourSequence
    put(site, drawn)
    require_no_mask(site.only(), "RTSTRUCT", "bad_mask: it names regions, and has no outlines")


def test_one_outline_beyond_the_images_leaves_out_all_that_was_drawn(site: Site) -> None:
    """In that file and in others: a part of a tumour would pass as all of it."""
    inside, beyond = box(1, (0.5, 5.5), (0.5, 4.5)), box(5, (0.5, 5.5), (0.5, 4.5))
    put(
        site,
        dicom.structures(pet()[0], {"GTV": [inside, beyond]}),
        dicom.segmentation(pet(), {"Lesion": segments()}),
    )
    outcome = site.only()
    require_no_mask(outcome, "RTSTRUCT", "contour_off_grid: an outline lies above or below")
    assert "so were its other regions: a part of a tumour is not all of it" in outcome.notes


def test_what_fails_on_the_ct_takes_nothing_from_what_was_drawn_on_the_pet(site: Site) -> None:
    """That comes first anyway; and what nobody asked for may be as it likes."""
    on_ct = dicom.structures(ct(None, **FINE)[0], {"GTV": [box(9, (0.5, 4.5), (1.5, 3.5), 2.0)]})
    organs = dicom.structures(pet()[0], {"Liver": [box(9, (0.5, 4.5), (1.5, 3.5))]})
    organs.file_meta.MediaStorageSOPInstanceUID = organs.SOPInstanceUID = "1.2.3"
    put(site, dicom.segmentation(pet(), {"Lesion": segments()}), on_ct, organs)
    outcome = site.only()
    np.testing.assert_array_equal(mask_of(site, outcome), segments())
    assert outcome.left_out == {"RTSTRUCT that cannot be used": 1}


THIN = {"spacing": (2.0, 2.0, 2.4)}
"""Of a CT whose slices lie between the PET's."""


def drawn_on_thin(images: list[FileDataset]) -> FileDataset:
    """Return an outline on the third slice of a thin CT, in a study of its own."""
    outline = np.add(box(0, (0.5, 4.5), (1.5, 3.5), 2.0), [0, 0, 4.8])
    return other_study(dicom.structures(images[0], {"GTV": [outline]}))


def test_of_two_series_that_a_file_names_it_was_drawn_on_the_one_that_it_fits(site: Site) -> None:
    """Planning systems name the PET too, which was only looked at."""
    images = ct(None, **THIN)
    drawn = drawn_on_thin(images)
    frame = drawn.ReferencedFrameOfReferenceSequence[0]
    also = Dataset()
    also.SeriesInstanceUID = pet()[0].SeriesInstanceUID
    frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence.append(also)
    dicom.write(site.archive, *pet(), *images)
    dicom.write(site.archive / "drawn", drawn)
    outcome = site.only()
    assert mask_of(site, outcome)[2].sum() == 4 * 2
    assert outcome.taken["MASK"]["grid"] == "CT"


def test_a_file_that_names_its_frame_of_reference_alone_goes_with_the_images_in_it(
    site: Site,
) -> None:
    """They share coordinates; of two studies that do, none is guessed."""
    images = ct(None, **THIN)
    drawn = drawn_on_thin(images)
    frame = drawn.ReferencedFrameOfReferenceSequence[0]
    del frame.RTReferencedStudySequence
    frame.FrameOfReferenceUID = images[0].FrameOfReferenceUID
    dicom.write(site.archive, *pet(), *images)
    dicom.write(site.archive / "drawn", drawn)
    assert mask_of(site, site.only())[2].sum() == 4 * 2

    def in_the_same_frame(one: Dataset) -> None:
        one.FrameOfReferenceUID = images[0].FrameOfReferenceUID

    dicom.write(site.archive / "later", *pet(in_the_same_frame, study="later"))
    made = site.run()
    assert all("MASK" not in outcome.taken for outcome in made.outcomes)
    assert made.plan.left_out == {"RTSTRUCT": 1}


def test_outlines_that_name_their_slices_were_drawn_on_these(site: Site) -> None:
    """Whatever series the file names: here the PET, whose slices lie at the same heights."""
    images = ct(None, **FINE)
    drawn = dicom.structures(pet()[0], {"GTV": [box(2, (0.5, 4.5), (1.5, 3.5), 2.0)]})
    named = Dataset()
    named.ReferencedSOPInstanceUID = images[2].SOPInstanceUID
    outlines_of(drawn)[0].ContourImageSequence = Items([named])
    put(site, drawn)
    outcome = site.only()
    assert outcome.taken["MASK"] == {"grid": "CT", "regions": 1, "volume_ml": 0.1}


def test_an_outline_of_endless_text_is_not_made_numbers_of(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes several times the memory of its text."""
    monkeypatch.setattr(masks, "MAX_OUTLINE_BYTES", 100)
    put(site, outlined(["1"] * 90))
    require_no_mask(
        site.only(), "RTSTRUCT", "bad_mask: an outline has more points than anybody draws"
    )


def test_regions_of_a_size_that_nobody_draws_are_left_out_unread(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By bytes, and by items, each of which takes many times its bytes; others go with them."""
    put(site, dicom.segmentation(pet(), {"Lesion": segments()}))
    assert "MASK" in site.only().taken
    other = dicom.structures(pet()[0], {"GTV": [box(1, (0.5, 2.5), (0.5, 2.5))]})
    dicom.write(site.archive / "images", other, name="other")
    drawn = next((site.archive / "drawn").iterdir())
    bounds = {"MAX_FILE_BYTES": drawn.stat().st_size - 1, "MAX_ITEMS": 15}
    for name, bound in bounds.items():
        with monkeypatch.context() as patch:
            patch.setattr(files, name, bound)
            outcome = site.only()
        assert outcome.taken.keys() == {"PET", "CT"}
        assert outcome.left_out == {"too large file of regions": 1}
        assert any("too_large" in note for note in outcome.notes)
        assert "MASK" in site.only().taken
    swapped = dicom.segmentation(pet(), {"Lesion": segments()})
    swapped.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dcmwrite(drawn, swapped, enforce_file_format=True)
    monkeypatch.setattr(files, "MAX_ITEMS", 15)
    assert site.only().left_out == {"too large file of regions": 1}


@pytest.mark.parametrize("why", ["too_large", "damaged_file"])
def test_unread_regions_in_a_study_of_their_own_may_be_of_any_of_their_patients(
    site: Site, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """The rest of the tumour is no mask of it; another patient's is."""
    for patient in ("a", "b"):
        images = pet(patient=patient)
        part = dicom.structures(images[0], {"GTV": [box(1, (0.5, 2.5), (0.5, 2.5))]})
        dicom.write(site.archive / patient, *images, part)
    boxes = [box(2, (0.5, 2.5), (0.5, 2.5))] * 50
    rest = other_study(dicom.structures(pet(patient="a")[0], {"GTV 2": boxes}))
    (path,) = dicom.write(site.archive / "rest", rest)
    if why == "too_large":
        monkeypatch.setattr(files, "MAX_ITEMS", 40)
    else:
        path.write_bytes(path.read_bytes()[:-40])
    imported = site.run()
    by_patient = {one.patient_id: one.case_id for one in imported.plan.studies}
    outcomes = {one.case_id: one for one in imported.outcomes}
    assert "MASK" in outcomes[by_patient["b"]].taken
    of_a = outcomes[by_patient["a"]]
    assert of_a.taken.keys() == {"PET"}
    assert of_a.notes[0].startswith(f"its regions were left out: {why}: ")
    assert imported.plan.left_out == {}


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
    counts = [len(one.contours) for _, one in masks.read_regions(dataset, range(1, 31))]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts == [10] * 30
    assert peak < 1.3 * path.stat().st_size
