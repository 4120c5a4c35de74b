"""Checks of a whole body with one fault planted in it: that one is found, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedmq.imaging.cases import Case
from fedmq.imaging.checks import check_volumes
from fedmq.imaging.findings import Finding
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.imaging.volumes import Volume, load_volume
from tests.support.whole_body import turned, whole_body

Body = dict[str, Volume]
CASE = Case(case_id="A", volumes={}, clinical={})


def changed(volume: Volume, array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Volume:
    """Return the volume with another array."""
    return Volume(array=np.asarray(array, np.float32), affine=volume.affine)


def found(body: Body) -> list[Finding]:
    """Return what is found in a case of these volumes."""
    return list(check_volumes(CASE, body))


def both_turned(body: Body) -> Body:
    """Head and feet exchanged in all of it."""
    return {modality: turned(volume) for modality, volume in body.items()}


def pet_turned(body: Body) -> Body:
    """Head and feet exchanged in the PET alone."""
    return body | {"PET": turned(body["PET"])}


def ct_turned(body: Body) -> Body:
    """Head and feet exchanged in the CT alone."""
    return body | {"CT": turned(body["CT"])}


def ct_alone_turned(body: Body) -> Body:
    """A site without PET."""
    return {"CT": turned(body["CT"])}


def pet_alone_turned(body: Body) -> Body:
    """A site without CT."""
    return {"PET": turned(body["PET"])}


def with_gap(body: Body) -> Body:
    """Three slices of the PET are missing, and were filled with nothing."""
    array = body["PET"].array.copy()
    array[:, :, 30:33] = 0.0
    return body | {"PET": changed(body["PET"], array)}


def with_gap_in_ct(body: Body) -> Body:
    """A slice of the CT is air."""
    array = body["CT"].array.copy()
    array[:, :, 50] = -1000.0
    return body | {"CT": changed(body["CT"], array)}


def without_offset_twice(body: Body) -> Body:
    """The CT's rescale offset was taken off twice; metal keeps its highest value high."""
    array = body["CT"].array - 1024.0
    array[0, 0, 0] = 1500.0
    return body | {"CT": changed(body["CT"], array)}


def with_mask_in_air(body: Body) -> Body:
    """The mask lies beside the body."""
    return body | {"MASK": changed(body["MASK"], np.roll(body["MASK"].array, 21, axis=0))}


def with_mask_elsewhere(body: Body) -> Body:
    """The mask lies where the PET is not."""
    affine = body["MASK"].affine.copy()
    affine[2, 3] += 2000.0
    return body | {"MASK": Volume(array=body["MASK"].array, affine=affine)}


def test_a_whole_body_has_no_findings() -> None:
    """From the head to the thighs, and from the neck; PET alone and CT alone."""
    body = whole_body()
    assert found(body) == []
    for modality in ("PET", "CT"):
        assert found({modality: body[modality]}) == []
    neck = {
        modality: changed(volume, volume.array[:, :, : round(820 / volume.spacing_mm[2])])
        for modality, volume in body.items()
    }
    assert found(neck) == []


@pytest.mark.parametrize(
    ("plant", "codes", "is_doubt"),
    [
        (both_turned, ["upside_down"], False),
        (pet_turned, ["upside_down"], True),
        (ct_turned, ["upside_down"], True),
        (ct_alone_turned, ["upside_down"], True),
        (pet_alone_turned, ["upside_down"], True),
        (with_gap, ["gap"], False),
        (with_gap_in_ct, ["gap"], False),
        (without_offset_twice, ["ct_without_tissue"], False),
        (with_mask_in_air, ["mask_outside_body"], False),
        (with_mask_elsewhere, ["mask_outside_body"], False),
    ],
)
def test_a_planted_fault_is_found(
    plant: Callable[[Body], Body], codes: list[str], *, is_doubt: bool
) -> None:
    """By its code; what one image alone says is a doubt, and says so."""
    faults = found(plant(whole_body()))
    assert [fault.code for fault in faults] == codes
    assert {fault.is_doubt for fault in faults} == {is_doubt}


def test_how_sure_a_check_is_stands_in_its_words() -> None:
    """Both images, which of two, one alone."""
    body = whole_body()
    texts = [found(plant(body))[0].text for plant in (both_turned, pet_turned, pet_alone_turned)]
    for text, words in zip(
        texts,
        ("almost certain", "the PET seems to be upside down", "by the PET alone"),
        strict=True,
    ):
        assert words in text


def test_slices_of_nothing_at_the_ends_are_no_gap() -> None:
    """A scanner pads what it did not see."""
    body = whole_body()
    array = np.pad(body["PET"].array, ((0, 0), (0, 0), (4, 4)))
    assert found({"PET": changed(body["PET"], array)}) == []


def test_the_table_below_a_patient_is_no_lung() -> None:
    """Hollow from end to end, it would hide where the lungs are."""
    ct = whole_body()["CT"]
    array = ct.array.copy()
    array[10:50, 0:4, :] = -300.0
    array[11:49, 1:3, :] = -850.0
    (doubt,) = found({"CT": turned(changed(ct, array))})
    assert doubt.code == "upside_down"


def test_a_short_scan_is_not_judged() -> None:
    """Of a box around a tumour nobody can tell where the head is."""
    short = {
        modality: changed(volume, volume.array[:, :, : round(500 / volume.spacing_mm[2])])
        for modality, volume in both_turned(whole_body()).items()
    }
    assert "upside_down" not in [fault.code for fault in found(short)]


@pytest.mark.parametrize(("num_large", "num_small"), [(0, 1), (40, 100), (40, 0)])
def test_lesions_smaller_than_the_voxels_of_the_pet_are_a_doubt(
    num_large: int, num_small: int
) -> None:
    """Drawn on a fine CT, they are on the PET's grid by chance: one alone, or many."""
    body = whole_body()
    array = np.repeat(np.repeat(np.repeat(body["MASK"].array, 2, 0), 2, 1), 2, 2)
    array *= num_large / 40
    some = array[40:60:4, 28:36:4, 100:140:4]
    some[np.unravel_index(np.arange(num_small), some.shape)] = 1.0
    affine = np.diag([5.0, 5.0, 5.0, 1.0])
    affine[:3, 3] = body["MASK"].affine[:3, 3] - 2.5
    ours = found(body | {"MASK": Volume(array=array, affine=affine)})
    assert all(one.is_doubt for one in ours)
    expected = ["mask_shrinks"] if num_small else []
    assert [one.code for one in ours] == [*expected, "mask_off_grid"]


def test_cases_of_the_invented_sites_have_no_findings(tmp_path: Path) -> None:
    """The checks hold nothing against what is sound."""
    for site in SITES.values():
        write_cohort(site, tmp_path / site.name, num_cases=2)
        for case in sorted(path for path in (tmp_path / site.name).iterdir() if path.is_dir()):
            volumes = {
                modality: load_volume(case / f"{modality}.nii.gz")
                for modality in ("PET", "CT", "MASK")
            }
            assert found(volumes) == []
