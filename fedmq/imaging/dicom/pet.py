"""PET: what the heads of a series tell about dose, patient and times."""

from collections.abc import Sequence
from typing import Final

from pydicom.dataset import Dataset

from fedmq.errors import DatasetError
from fedmq.imaging.dicom.elements import (
    date_time,
    first_item,
    items,
    moment,
    number,
    numbers,
    text,
    texts,
    utc_offset_s,
)
from fedmq.imaging.suv import Frame, Moment, PetFacts

_PHILIPS: Final = "Philips PET Private Group"
_PHILIPS_GROUP: Final = 0x7053
_GE: Final = "GEMS_PETD_01"
_GE_GROUP: Final = 0x0009
_BLOCKS: Final = range(0x10, 0x100)
"""Where in a group the names of private blocks stand."""
_DRUGS: Final = "RadiopharmaceuticalInformationSequence"
_CODE: Final = "RadiopharmaceuticalCodeSequence"
_INJECTED: Final = "RadiopharmaceuticalStartDateTime"
_INJECTED_TIME: Final = "RadiopharmaceuticalStartTime"
_MS_PER_S: Final = 1000.0
_OF_SERIES: Final = (
    "Units",
    "DecayCorrection",
    "DecayCorrectionDateTime",
    "SUVType",
    "PatientWeight",
    "SeriesDate",
    "SeriesTime",
    "TimezoneOffsetFromUTC",
)
"""What has to be the same in every slice: factors are found once."""


def read_pet_facts(heads: Sequence[Dataset], tracer_said: str = "") -> PetFacts:
    """Return what a PET series tells, with a frame for each head; and what the operator says.

    Raises:
        DatasetError: code mixed_series (slices disagree on what was injected and when, weight,
            units or times), or dose (several doses were given).
    """
    head = heads[0]
    for key in _OF_SERIES:
        if len({texts(one, key) for one in heads}) > 1:
            raise _fault("mixed_series", f"its slices disagree on {key}")
    if len({tuple(map(_injected, items(one, _DRUGS))) for one in heads}) > 1:
        raise _fault("mixed_series", "its slices disagree on what was injected, how much, or when")
    if any(len({_philips(one, element) for one in heads}) > 1 for element in (0x00, 0x09)):
        raise _fault("mixed_series", "its slices disagree on a private factor")
    drugs = tuple(items(head, _DRUGS))
    if len(drugs) > 1:
        raise _fault("dose", "several radiopharmaceuticals were given")
    drug = drugs[0] if drugs else Dataset()
    zone_s = utc_offset_s(head, "TimezoneOffsetFromUTC")
    with_day = date_time(drug, _INJECTED, zone_s)
    time_only = moment(drug, None, _INJECTED_TIME)
    if zone_s is None and time_only is None and utc_offset_s(drug, _INJECTED) is not None:
        with_day = None  # nothing tells whether its clock is that of the scan
    code = first_item(drug, _CODE)
    return PetFacts(
        units=text(head, "Units"),
        suv_type=text(head, "SUVType"),
        decay_correction=text(head, "DecayCorrection"),
        corrected_to=date_time(head, "DecayCorrectionDateTime", zone_s),
        corrections=frozenset.intersection(
            *(frozenset(texts(one, "CorrectedImage")) for one in heads)
        ),
        tracers=(
            text(drug, "Radiopharmaceutical"),
            text(code, "CodeValue"),
            text(code, "CodeMeaning"),
        ),
        tracer_said=tracer_said,
        weight_kg=number(head, "PatientWeight"),
        size_m=number(head, "PatientSize"),
        dose_bq=number(drug, "RadionuclideTotalDose"),
        half_life_s=number(drug, "RadionuclideHalfLife"),
        injection=with_day or time_only,
        injection_time_only=time_only if with_day else None,
        series=moment(head, "SeriesDate", "SeriesTime"),
        private_scan=_ge_scan(head, zone_s),
        frames=tuple(_frame(one) for one in heads),
        philips_suv=_philips(head, 0x00),
        philips_bqml=_philips(head, 0x09),
    )


def _injected(drug: Dataset) -> tuple[object, ...]:
    """Return all that is read of a radiopharmaceutical, for comparing."""
    code = first_item(drug, _CODE)
    return (
        *(numbers(drug, key) for key in ("RadionuclideTotalDose", "RadionuclideHalfLife")),
        *(texts(drug, key) for key in ("Radiopharmaceutical", _INJECTED, _INJECTED_TIME)),
        *(texts(code, key) for key in ("CodeValue", "CodeMeaning")),
    )


def _frame(head: Dataset) -> Frame:
    reference_ms = number(head, "FrameReferenceTime")
    duration_ms = number(head, "ActualFrameDuration")
    return Frame(
        acquisition=moment(head, "AcquisitionDate", "AcquisitionTime"),
        reference_s=None if reference_ms is None else reference_ms / _MS_PER_S,
        duration_s=None if duration_ms is None else duration_ms / _MS_PER_S,
    )


def _philips(head: Dataset, element: int) -> float | None:
    place = _private(head, (_PHILIPS_GROUP, _PHILIPS, element))
    return None if place is None else number(head, place)


def _ge_scan(head: Dataset, zone_s: float | None) -> Moment | None:
    place = _private(head, (_GE_GROUP, _GE, 0x0D))
    return None if place is None else date_time(head, place, zone_s)


def _private(head: Dataset, named: tuple[int, str, int]) -> tuple[int, int] | None:
    """Return where a private element is: in its maker's block, or where that usually lies.

    De-identifiers take out the names of blocks and leave what is in them.
    """
    group, maker, element = named
    blocks = [tag.element for tag in head.keys() if tag.group == group and tag.element in _BLOCKS]  # noqa: SIM118 - a dataset iterates over elements
    for block in blocks:
        if text(head, (group, block)).upper() == maker.upper():
            return group, block << 8 | element
    return None if _BLOCKS.start in blocks else (group, _BLOCKS.start << 8 | element)


def _fault(code: str, why: str) -> DatasetError:
    return DatasetError(
        "the PET cannot be turned to SUV",
        code=code,
        why=why,
        fix="export the series again, as the scanner made it",
    )
