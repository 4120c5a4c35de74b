"""Synthetic cohorts: the same bytes each time, plausible to every check, and learnable."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedmq.errors import ConfigurationError
from fedmq.imaging.checks import check_volumes, read_volumes
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.preprocessing import Frame, prepare_case
from fedmq.imaging.synthetic import SITES, true_risk, write_cohort
from fedmq.learning.survival import concordance


def digests(folder: Path) -> dict[str, str]:
    """Return a digest per file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """And a longer cohort begins with the shorter one; another seed is another cohort."""
    site = SITES["chu-lyon"]
    for name, count, seed in (("a", 2, 1), ("b", 2, 1), ("c", 3, 1), ("d", 2, 2)):
        write_cohort(site, tmp_path / name, num_cases=count, seed=seed)
    a, b, c, d = (digests(tmp_path / name) for name in "abcd")
    assert a == b
    assert a.items() - c.items() == {("clinical.csv", a["clinical.csv"])}
    assert not a.items() & d.items()


def test_sites_differ_in_scanner_and_size() -> None:
    """What makes federated learning hard is there."""
    assert set(SITES) == {"chu-lyon", "ghu-paris", "umc-basel", "ico-nantes"}
    assert len({site.spacing_mm for site in SITES.values()}) == len(SITES)
    assert len({site.num_cases for site in SITES.values()}) == len(SITES)


@pytest.mark.parametrize("name", SITES)
def test_cases_pass_the_checks(tmp_path: Path, name: str) -> None:
    """PET, CT and mask are where and what they should be."""
    write_cohort(SITES[name], tmp_path, num_cases=4, seed=3)
    for case in find_cases(tmp_path):
        assert case.volumes.keys() == {"PET", "CT", "MASK"}
        assert check_volumes(case, *read_volumes(case)) == ()
        assert case.volume("CT").array.shape != case.volume("PET").array.shape
        assert set(case.clinical) == {"age", "sex", "ecog", "pfs_months", "progressed"}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_true_risk_in_the_images_ranks_as_well_as_a_good_study(
    tmp_path: Path, seed: int
) -> None:
    """A C-index of 0.70 to 0.80 over all sites: a model can reach 0.65, none can reach 0.85."""
    times, events, risks = [], [], []
    for site in SITES.values():
        write_cohort(site, tmp_path / site.name, seed=seed)
        for case in find_cases(tmp_path / site.name):
            pet, mask = case.volume("PET"), case.volume("MASK")
            inside = mask.array > 0
            risks.append(true_risk(inside.sum() * mask.voxel_ml, float(pet.array[inside].max())))
            times.append(float(case.clinical["pfs_months"]))
            events.append(case.clinical["progressed"] == "1")
    ratio = concordance(times, events, risks)
    assert 0.70 < ratio.numerator / ratio.denominator < 0.80
    assert 0.6 < np.mean(events) < 0.85


def test_density_is_seen_on_the_ct_alone_and_moves_nothing_else(tmp_path: Path) -> None:
    """PET and mask are the same bytes; the CT, and who progresses when, are others."""
    plain = SITES["umc-basel"]
    for name, site in (("a", plain), ("b", replace(plain, density_effect=0.7))):
        write_cohort(site, tmp_path / name, num_cases=3, seed=1)
    a, b = (digests(tmp_path / name) for name in "ab")
    differing = {name.rpartition("/")[2] for name in a if a[name] != b[name]}
    assert differing == {"CT.nii.gz", "clinical.csv"}


def test_the_denser_a_lesion_the_sooner_its_end_where_that_is_so(tmp_path: Path) -> None:
    """The mean of the CT inside the mask ranks; without the effect it does not."""
    found = {}
    for effect in (0.0, 3.0):
        folder = tmp_path / str(effect)
        write_cohort(
            replace(SITES["chu-lyon"], density_effect=effect), folder, num_cases=40, seed=2
        )
        times, events, densities = [], [], []
        for case in find_cases(folder):
            prepared = prepare_case(case, Frame(), with_mask=True)
            assert prepared.mask is not None
            densities.append(float(np.percentile(prepared.images[1][prepared.mask], 90)))
            times.append(float(case.clinical["pfs_months"]))
            events.append(case.clinical["progressed"] == "1")
        ratio = concordance(times, events, densities)
        found[effect] = ratio.numerator / ratio.denominator
    assert found[3.0] > 0.75
    assert found[0.0] < 0.7


def test_a_cohort_of_nobody_is_refused(tmp_path: Path) -> None:
    """Zero is not the default."""
    with pytest.raises(ConfigurationError):
        write_cohort(SITES["chu-lyon"], tmp_path, num_cases=0)
