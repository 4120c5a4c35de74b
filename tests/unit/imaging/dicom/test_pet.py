"""PET: what heads tell becomes facts, private elements of GE and Philips too."""

import pytest
from pydicom.dataset import Dataset, FileDataset

from fedmq.errors import DatasetError
from fedmq.imaging.dicom.files import parse
from fedmq.imaging.dicom.pet import read_pet_facts
from fedmq.imaging.suv import F18_HALF_LIFE_S, Moment, average_count_rate_time_s, find_suv_scale
from tests.support import dicom
from tests.unit.imaging.dicom.archive import Site, pet

PHILIPS = "Philips PET Private Group"


def read(site: Site, slices: list[FileDataset]) -> list[Dataset]:
    """Return the slices as they are read from files."""
    return [
        parse(path, path.read_bytes(), with_pixels=False)
        for path in dicom.write(site.archive, *slices)
    ]


def counts(suv: float | None, bqml: float | None, block: int = 0x10) -> dicom.Change:
    """Return what makes a PET one of Philips in counts."""

    def change(one: Dataset) -> None:
        one.Units = "CNTS"
        one.add_new((0x7053, block), "LO", PHILIPS)
        for element, value in ((0x00, suv), (0x09, bqml)):
            if value is not None:
                one.add_new((0x7053, block << 8 | element), "DS", str(value))

    return change


@pytest.mark.parametrize("block", [0x10, 0x11])
def test_factors_of_philips_are_found_in_its_block(site: Site, block: int) -> None:
    """Wherever the block lies."""
    facts = read_pet_facts(read(site, pet(counts(0.0, 2.5, block))))
    assert (facts.philips_suv, facts.philips_bqml) == (0.0, 2.5)
    usual = find_suv_scale(read_pet_facts(read(site, pet()))).factors[0]
    assert find_suv_scale(facts).factors[0] == pytest.approx(2.5 * usual)


def test_factors_whose_block_has_lost_its_name_are_found(site: Site) -> None:
    """De-identifiers take the name and leave the value, of which nobody knows the type then."""

    def change(one: Dataset) -> None:
        counts(0.004, None)(one)
        del one[0x7053, 0x0010]

    assert read_pet_facts(read(site, pet(change))).philips_suv == 0.004


def test_a_block_of_another_maker_is_none_of_philips(site: Site) -> None:
    """Its elements have the same numbers."""

    def change(one: Dataset) -> None:
        counts(0.004, 2.5)(one)
        one[0x7053, 0x0010].value = "SOMEBODY ELSE"

    facts = read_pet_facts(read(site, pet(change)))
    assert (facts.philips_suv, facts.philips_bqml) == (None, None)


def test_a_series_of_ge_that_was_reconstructed_again(site: Site) -> None:
    """Its series time is the reconstruction's, its private element the scan's."""

    def change(one: Dataset) -> None:
        one.SeriesTime = "150000"
        one.AcquisitionTime = "110000.00"
        one.add_new((0x0009, 0x0010), "LO", "GEMS_PETD_01")
        one.add_new((0x0009, 0x100D), "DT", "20210614105900.00")

    facts = read_pet_facts(read(site, pet(change)))
    assert facts.private_scan == Moment(second=39_540.0, day=737_955)
    assert find_suv_scale(facts).delay_s == 3540.0


def test_a_later_bed_has_no_higher_suv(site: Site) -> None:
    """Frame reference times tell where the scan began, of any bed that is there."""

    def change(one: Dataset) -> None:
        late_s = int(one.InstanceNumber) // 2 * 180
        one.SeriesTime = "150000"
        one.AcquisitionTime = f"11{late_s // 60:02}00"
        middle_s = average_count_rate_time_s(120.0, F18_HALF_LIFE_S)
        one.FrameReferenceTime = f"{(late_s + middle_s) * 1000:.6f}"

    facts = read_pet_facts(read(site, pet(change)))
    assert len({one.acquisition for one in facts.frames}) == 3
    assert find_suv_scale(facts).delay_s == pytest.approx(3600.0, abs=1e-3)


def test_over_midnight_with_dates(site: Site) -> None:
    """Injected at 23:30, scanned at 00:30 of the next day."""

    def change(one: Dataset) -> None:
        drug = one.RadiopharmaceuticalInformationSequence[0]
        drug.RadiopharmaceuticalStartTime = "233000"
        drug.RadiopharmaceuticalStartDateTime = "20210613233000.00+0200"
        one.SeriesTime = one.AcquisitionTime = "00:30:00"

    assert find_suv_scale(read_pet_facts(read(site, pet(change)))).delay_s == 3600.0


def test_over_midnight_without_dates_is_refused(site: Site) -> None:
    """The time of injection alone may be of either day."""

    def change(one: Dataset) -> None:
        drug = one.RadiopharmaceuticalInformationSequence[0]
        del drug.RadiopharmaceuticalStartDateTime
        drug.RadiopharmaceuticalStartTime = "233000"
        one.SeriesTime = one.AcquisitionTime = "003000"

    with pytest.raises(DatasetError) as caught:
        find_suv_scale(read_pet_facts(read(site, pet(change))))
    assert caught.value.code == "over_midnight"


def injected(date_time: str, zone: str, time_only: str = "") -> dicom.Change:
    """Return what sets the injection, which the scan at 11:00 is to be an hour from."""

    def change(one: Dataset) -> None:
        drug = one.RadiopharmaceuticalInformationSequence[0]
        drug.RadiopharmaceuticalStartDateTime = date_time
        drug.RadiopharmaceuticalStartTime = time_only
        one.TimezoneOffsetFromUTC = zone

    return change


@pytest.mark.parametrize(
    ("date_time", "zone", "time_only"),
    [
        ("20210614080000.00+0000", "+0200", ""),
        ("20210614080000+0000", "+0200", "100000"),
        ("20210614100000+0200", "+0200", "100000"),
        ("20210613233000+0000", "+1030", "100000"),
        ("20210614153000+0000", "-0530", ""),
        ("20210614100000", "+0200", ""),
        ("20210614100000+0200", "", "100000"),
    ],
)
def test_an_offset_from_utc_brings_the_injection_to_the_clock_of_the_scan(
    site: Site, date_time: str, zone: str, time_only: str
) -> None:
    """Injected at 10:00 by the clock on the wall, whichever clock wrote it."""
    heads = read(site, pet(injected(date_time, zone, time_only)))
    assert find_suv_scale(read_pet_facts(heads)).delay_s == 3600.0


@pytest.mark.parametrize(
    ("time_only", "code"), [("", "times_missing"), ("100000", "times_disagree")]
)
def test_an_injection_by_a_clock_that_is_not_told_is_refused(
    site: Site, time_only: str, code: str
) -> None:
    """08:00 UTC may have been any hour at the scanner."""
    heads = read(site, pet(injected("20210614080000+0000", "", time_only)))
    with pytest.raises(DatasetError) as caught:
        find_suv_scale(read_pet_facts(heads))
    assert caught.value.code == code


def told(key: str, value: object) -> dicom.Change:
    """Return what sets an element of a slice."""
    return lambda one: setattr(one, key, value)


def of_drug(key: str, value: object) -> dicom.Change:
    """Return what sets an element of the radiopharmaceutical."""
    return lambda one: setattr(one.RadiopharmaceuticalInformationSequence[0], key, value)


def coded(key: str, value: str) -> dicom.Change:
    """Return what gives the radiopharmaceutical a code."""
    code = Dataset()
    setattr(code, key, value)
    return of_drug("RadiopharmaceuticalCodeSequence", [code])


IN_ONE_SLICE: dict[str, dicom.Change] = {
    "units": told("Units", "CNTS"),
    "correction": told("DecayCorrection", "ADMIN"),
    "corrected to": told("DecayCorrectionDateTime", "20210614100000"),
    "suv type": told("SUVType", "LBM"),
    "weight": told("PatientWeight", 71),
    "series date": told("SeriesDate", "20210615"),
    "series time": told("SeriesTime", "110500"),
    "zone": told("TimezoneOffsetFromUTC", "+0200"),
    "dose": of_drug("RadionuclideTotalDose", 310e6),
    "half-life": of_drug("RadionuclideHalfLife", 6588),
    "tracer": of_drug("Radiopharmaceutical", "PSMA"),
    "time": of_drug("RadiopharmaceuticalStartTime", "103000"),
    "day and time": of_drug("RadiopharmaceuticalStartDateTime", "20210614103000"),
    "code": coded("CodeValue", "C-B1038"),
    "meaning": coded("CodeMeaning", "Fluciclovine"),
    "number": lambda one: one.RadiopharmaceuticalInformationSequence.append(Dataset()),
}


@pytest.mark.parametrize("what", IN_ONE_SLICE)
def test_slices_that_disagree_on_what_makes_suv_are_refused(site: Site, what: str) -> None:
    """Factors are found once: which file comes first would decide."""
    slices = pet()
    IN_ONE_SLICE[what](slices[3])
    with pytest.raises(DatasetError) as caught:
        read_pet_facts(read(site, slices))
    assert caught.value.code == "mixed_series"


def test_two_radiopharmaceuticals_are_refused(site: Site) -> None:
    """Nothing says which of them a voxel is of."""

    def change(one: Dataset) -> None:
        one.RadiopharmaceuticalInformationSequence.append(Dataset())

    with pytest.raises(DatasetError) as caught:
        read_pet_facts(read(site, pet(change)))
    assert caught.value.code == "dose"
