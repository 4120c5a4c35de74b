"""Names of regions: which are a tumour's, and where a site reads all of them."""

import csv
import os

import numpy as np
import pytest

from fedmq.imaging.dicom.planning import Choices
from fedmq.imaging.dicom.regions import RegionName, is_wanted
from tests.support import dicom
from tests.unit.imaging.dicom.archive import Site, pet

OUTLINE = np.array([[-8.0, -18, 103], [2, -18, 103], [2, -8, 103]])


@pytest.mark.parametrize(
    "name",
    [
        "GTV",
        "GTVp",
        "gtv_n1",
        "GTV-T",
        "IGTV_50%",
        "1_GTV",
        "Tumor",
        "Tumour left",
        "Tumeur N",
        "lésion 2",
        "le\N{COMBINING ACUTE ACCENT}sion 2",
        "LESION-3",
        "Neoplasm, Primary",
    ],
)
def test_names_that_begin_as_a_tumours_are_taken_unasked(name: str) -> None:
    """Whatever their case, their accents and how these are stored."""
    assert is_wanted(RegionName(number=1, name=name), ())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Liver",
        "Lungs-GTV",
        "Liver-GTV",
        "PTV-GTV",
        "Brain - GTV",
        "Lunge ohne Tumor",
        "foie sans lésion",
        "poumon hors GTV",
        "peritumoral",
        "PTV",
        "GTV_ring",
        "lesion ref",
        "Tumor bed",
    ],
)
def test_what_lies_around_a_tumour_is_not_taken_unasked(name: str) -> None:
    """By TG-263 a lung without its tumour is called Lungs-GTV; asked for, it is taken."""
    assert not is_wanted(RegionName(number=1, name=name, kind="Organ"), ())
    assert is_wanted(RegionName(number=1, name=name), (name.upper(), "other"))


def test_what_a_code_says_counts_where_the_name_says_nothing() -> None:
    """Of a segment; a name that says that it lies beside a tumour comes before."""
    assert is_wanted(RegionName(number=1, name="Segment 1", kind="Neoplasm, Primary"), ())
    assert not is_wanted(RegionName(number=1, name="ring", kind="Neoplasm"), ())
    assert not is_wanted(RegionName(number=1, name="Segment 1", kind="Neoplasm"), ("Neo*",))


def test_a_bracket_in_a_pattern_is_a_bracket() -> None:
    """Names are copied from the archive; only `*` and `?` stand for others."""
    assert is_wanted(RegionName(number=1, name="GTV [PET]"), ("gtv [pet]",))
    assert not is_wanted(RegionName(number=1, name="GTV P"), ("gtv [pet]",))


def test_a_lung_without_its_tumour_is_no_part_of_the_mask(site: Site) -> None:
    """All names, and what was asked for, stand in the node's folder and nowhere else."""
    around = np.add(OUTLINE, [0, 0, 3])
    drawn = dicom.structures(pet()[0], {"GTV": [OUTLINE], "Lungs-GTV": [around]})
    dicom.write(site.archive, *pet())
    place = os.fsdecode(os.fsencode(site.archive) + b"/dessin\xe9")  # Latin-1, as some archives do
    drawn.save_as(place, enforce_file_format=True)
    outcome = site.only()
    assert outcome.taken["MASK"]["regions"] == 1
    assert "regions drawn on the PET with names that were not asked for (--roi): 1" in outcome.notes

    def told() -> list[list[str]]:
        with (site.home / "regions.csv").open(newline="") as file:
            return list(csv.reader(file))

    name, path = outcome.case_id, "dessin\\udce9"
    assert told() == [
        ["case", "file", "region", "asked for"],
        [name, path, "GTV", "yes"],
        [name, path, "Lungs-GTV", "no"],
    ]
    site.only(Choices(regions=("lungs*",)))
    assert [row[3] for row in told()[1:]] == ["no", "yes"]
    assert all("Lungs" not in one.read_text() for one in site.cases.rglob("*.json"))
    assert "Lungs" not in (site.cases / "import-report.txt").read_text()
