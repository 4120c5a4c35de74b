"""Checks of a case: each way to be wrong has its code, a good case has none."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fedmq.imaging.cases import Case
from fedmq.imaging.checks import check_volumes, read_volumes
from fedmq.imaging.findings import Finding
from fedmq.imaging.volumes import Volume, save_volume


def grid(spacing_mm: float, *, x: float = 0.0) -> NDArray[np.float64]:
    """Return an affine that begins at `x` mm."""
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[0, 3] = x
    return affine


def good_volumes() -> dict[str, Volume]:
    """Return a PET, a CT on a finer grid, and a mask on the PET's."""
    pet = np.ones((8, 8, 8), np.float32)
    pet[4, 4, 4] = 9.0
    ct = np.full((16, 16, 16), 40.0, np.float32)
    ct[0] = -1000.0
    return {
        "PET": Volume(array=pet, affine=grid(4.0)),
        "CT": Volume(array=ct, affine=grid(2.0, x=-1.0)),
        "MASK": Volume(array=np.float32(pet > 5), affine=grid(4.0)),
    }


def findings_of(paths: dict[str, Path]) -> tuple[Finding, ...]:
    """Return what is found in a case of these files."""
    case = Case(case_id="A", volumes=paths, clinical={})
    return check_volumes(case, *read_volumes(case))


def codes(folder: Path, volumes: dict[str, Volume]) -> list[str]:
    """Return the codes of what is found in a case of these volumes."""
    for modality, volume in volumes.items():
        save_volume(volume, folder / f"{modality}.nii.gz")
    paths = {modality: folder / f"{modality}.nii.gz" for modality in volumes}
    findings = findings_of(paths)
    assert all(finding.case_id == "A" and str(folder) not in finding.text for finding in findings)
    return [finding.code for finding in findings]


def test_a_good_case_has_no_findings(tmp_path: Path) -> None:
    """PET and CT may differ in grid, origin and size."""
    assert codes(tmp_path, good_volumes()) == []


@pytest.mark.parametrize("modality", ["PET", "CT", "MASK"])
def test_what_a_case_lacks_is_no_fault(tmp_path: Path, modality: str) -> None:
    """Missing is normal, and told elsewhere."""
    volumes = good_volumes()
    del volumes[modality]
    assert codes(tmp_path, volumes) == []


def test_a_damaged_file_is_found_beside_the_rest(tmp_path: Path) -> None:
    """One bad file does not hide what is wrong with the others."""
    volumes = good_volumes()
    volumes["PET"].array[:] = 0.0
    assert codes(tmp_path, volumes) == ["implausible_suv"]
    (tmp_path / "CT.nii.gz").write_bytes(b"no image")
    paths = {modality: tmp_path / f"{modality}.nii.gz" for modality in volumes}
    found = findings_of(paths)
    assert [finding.code for finding in found] == ["corrupt_file", "implausible_suv"]


@pytest.mark.parametrize(
    ("modality", "scale", "offset", "code"),
    [
        ("PET", 1000.0, 0.0, "implausible_suv"),
        ("PET", 0.01, 0.0, "implausible_suv"),
        ("CT", 1.0, 1024.0, "ct_without_air"),
        ("CT", 0.0, -1000.0, "implausible_hu"),
        ("CT", 1.0, 65_000.0, "implausible_hu"),
        ("MASK", 0.0, 0.0, "empty_mask"),
    ],
)
def test_values_that_cannot_be_are_found(
    tmp_path: Path, modality: str, scale: float, offset: float, code: str
) -> None:
    """Bq/ml for SUV, a lost offset, an empty scan or mask."""
    volumes = good_volumes()
    good = volumes[modality]
    volumes[modality] = Volume(array=good.array * scale + offset, affine=good.affine)
    assert code in codes(tmp_path, volumes)


@pytest.mark.parametrize(
    ("x", "found"), [(13.5, []), (15.5, ["wrong_affine"]), (90.0, ["wrong_affine"])]
)
def test_a_ct_of_another_place_is_found(tmp_path: Path, x: float, found: list[str]) -> None:
    """The boxes end half a voxel beyond the last centres: half of them is shared, or not."""
    volumes = good_volumes()
    volumes["CT"] = Volume(array=volumes["CT"].array, affine=grid(2.0, x=x))
    assert codes(tmp_path, volumes) == found


def test_a_ct_above_its_pet_is_said_once(tmp_path: Path) -> None:
    """It covers nothing of it; that it is at another place says so, and more."""
    volumes = good_volumes()
    affine = grid(2.0)
    affine[2, 3] = 90.0
    volumes["CT"] = Volume(array=volumes["CT"].array, affine=affine)
    assert codes(tmp_path, volumes) == ["wrong_affine"]


def test_a_ct_that_is_shorter_than_its_pet_is_a_doubt(tmp_path: Path) -> None:
    """Within the PET's box, so that the boxes overlap; the case counts as sound."""
    volumes = good_volumes()
    ct = volumes["CT"]
    volumes["CT"] = Volume(array=ct.array[:, :, 2:14].copy(), affine=grid(2.0, x=-1.0))
    assert codes(tmp_path, volumes) == ["short_ct"]


def test_a_finding_says_what_it_spoils(tmp_path: Path) -> None:
    """A doubt about a place spoils both images; one about a mask leaves it to the plan."""
    volumes = good_volumes()
    volumes["CT"] = Volume(array=volumes["CT"].array, affine=grid(2.0, x=90.0))
    volumes["MASK"].array[:] = 0.0
    codes(tmp_path, volumes)
    paths = {modality: tmp_path / f"{modality}.nii.gz" for modality in volumes}
    found = findings_of(paths)
    assert [finding.spoils for finding in found] == [("PET", "CT"), ()]
    paths["PET"].write_bytes(b"no image")
    found = findings_of(paths)
    assert [finding.spoils for finding in found] == [("PET",), ()]


@pytest.mark.parametrize("shift", [0.2, 4.0])
def test_a_mask_beside_the_grids_of_the_images_is_a_doubt(tmp_path: Path, shift: float) -> None:
    """A tenth of a voxel is rounding; a whole voxel, or another shape, is another grid."""
    volumes = good_volumes()
    volumes["MASK"] = Volume(array=volumes["MASK"].array, affine=grid(4.0, x=shift))
    assert codes(tmp_path, volumes) == ([] if shift < 0.4 else ["mask_off_grid"])
    volumes["MASK"] = Volume(array=volumes["MASK"].array[:-1], affine=grid(4.0))
    assert codes(tmp_path, volumes) == ["mask_off_grid"]
    (doubt,) = findings_of({modality: tmp_path / f"{modality}.nii.gz" for modality in volumes})
    assert doubt.is_doubt
    assert "neither the PET's nor the CT's" in doubt.text


def test_a_mask_drawn_on_the_ct_is_as_it_should_be(tmp_path: Path) -> None:
    """As radiotherapy draws them; it is brought to the PET's grid where that is needed."""
    volumes = good_volumes()
    volumes["MASK"] = on_the_ct(volumes)
    assert codes(tmp_path, volumes) == []


def on_the_ct(volumes: dict[str, Volume]) -> Volume:
    """Return the mask of the same voxels, on the finer grid of the CT."""
    fine = np.zeros((16, 16, 16), np.float32)
    fine[8:10, 8:10, 8:10] = 1.0
    return Volume(array=fine, affine=volumes["CT"].affine)
