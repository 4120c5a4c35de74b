"""Frames: what a file of several slices tells of each, in the words of a file that holds one.

Enhanced CT and PET keep in functional groups, shared or for each frame, what the file of a single
slice tells outright (PS3.3 C.7.6.16), and converted ones also what has no place there
("unassigned"). Nothing is made up: what lacks here is refused where it would be in a
single slice.
"""

from typing import Final

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from fedmq.imaging.dicom.elements import (
    date_time,
    first_item,
    items,
    number,
    text,
    utc_offset_s,
    whole,
)

ENHANCED_PET: Final = "1.2.840.10008.5.1.4.1.1.130"
MAX_FRAMES: Final = 2**13
"""Two metres in slices of a quarter of a millimetre."""
_ZONE: Final = "TimezoneOffsetFromUTC"
_DRUGS: Final = "RadiopharmaceuticalInformationSequence"
_SHARED: Final = "SharedFunctionalGroupsSequence"
_EACH: Final = "PerFrameFunctionalGroupsSequence"
_GROUPS: Final = frozenset(
    {
        "CTXRayDetailsSequence",
        "FrameContentSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
        "PlaneOrientationSequence",
        "PlanePositionSequence",
        "UnassignedPerFrameConvertedAttributesSequence",
        "UnassignedSharedConvertedAttributesSequence",
    }
)
_CORRECTIONS: Final = {
    "AttenuationCorrected": "ATTN",
    "DeadTimeCorrected": "DTIM",
    "DecayCorrected": "DECY",
    "DetectorNormalizationCorrection": "NORM",
    "GantryMotionCorrected": "MOTN",
    "NonUniformRadialSamplingCorrected": "RADL",
    "RandomsCorrected": "RAN",
    "ScatterCorrected": "SCAT",
    "SensitivityCalibrated": "DCAL",
}
"""Elements of an enhanced PET (C.8.22.6) -> words of Corrected Image."""
_UNITS: Final = {"Bq/ml": "BQML", "g/ml{SUVbw}": "GML"}
"""Codes of UCUM (PS3.16 CID 84) -> words of Units; SUV are made of the former, if both are told."""
_BQ_PER_MBQ: Final = 1e6

_Elements = dict[BaseTag, DataElement | RawDataElement]


def split_frames(head: Dataset) -> tuple[Dataset, ...]:
    """Return a head for each frame of a file, as if each were a file of its own.

    A file of one slice is its own head; so is one that does not describe each of its frames.
    """
    groups = tuple(items(head, _EACH))
    if not groups or len(groups) != whole(head, "NumberOfFrames") or len(groups) > MAX_FRAMES:
        return (head,)
    own = {tag: one for tag, one in head.items() if keyword_for_tag(tag) not in {_SHARED, _EACH}}
    shared = _flat(first_item(head, _SHARED))
    return tuple(_as_slice({**own, **shared, **_flat(group)}) for group in groups)


def _flat(group: Dataset) -> _Elements:
    """Return what is in the groups that single slices tell outright, and the others as they are."""
    found: _Elements = {}
    for tag, one in group.items():
        keyword = keyword_for_tag(tag)
        found.update(first_item(group, keyword).items() if keyword in _GROUPS else {tag: one})
    return found


def _as_slice(elements: _Elements) -> Dataset:
    head = Dataset(elements)
    head.NumberOfFrames = 1
    _tell_time(head, "FrameAcquisitionDateTime", "Acquisition")
    if (duration_ms := number(head, "FrameAcquisitionDuration")) is not None:
        head.ActualFrameDuration = duration_ms
    if not text(head, "Units"):
        _tell_units(head)
    if text(head, "SOPClassUID") == ENHANCED_PET:
        _tell_pet(head)
    return head


def _tell_time(head: Dataset, key: str, event: str) -> None:
    """Tell a time without its offset from UTC, which is the file's: that of a first such time.

    One by another clock is not told: each time would need its own.
    """
    written, own_s = text(head, key), utc_offset_s(head, key)
    if own_s is not None and not text(head, _ZONE):
        setattr(head, _ZONE, written[-5:])
    if date_time(head, key) is not None and own_s in {None, utc_offset_s(head, _ZONE)}:
        setattr(head, f"{event}Date", written[:8])
        setattr(head, f"{event}Time", written[8:])


def _tell_units(head: Dataset) -> None:
    """Take units, slope and intercept from the one real-world mapping that SUV can be made of."""
    for code, units in _UNITS.items():
        mappings = [
            one
            for one in items(head, "RealWorldValueMappingSequence")
            if text(first_item(one, "MeasurementUnitsCodeSequence"), "CodeValue") == code
        ]
        if len(mappings) == 1:
            head.Units = units
            head.RescaleSlope = number(mappings[0], "RealWorldValueSlope")
            head.RescaleIntercept = number(mappings[0], "RealWorldValueIntercept")
            head.update(
                {
                    tag: one
                    for tag, one in mappings[0].items()
                    if keyword_for_tag(tag).endswith("ValueMapped")
                }
            )
            return
    if text(head, "RescaleType") == "BQML":
        head.Units = "BQML"


def _tell_pet(head: Dataset) -> None:
    head.CorrectedImage = [word for key, word in _CORRECTIONS.items() if text(head, key) == "YES"]
    if text(head, "DecayCorrected") == "NO":
        head.DecayCorrection = "NONE"
    _tell_time(head, "AcquisitionDateTime", "Series")
    drugs = [Dataset(dict(one.items())) for one in items(head, _DRUGS)]
    for drug in drugs:
        if (dose := number(drug, "RadionuclideTotalDose")) is not None:
            # In MBq (C.8.22.4), where a single slice has Bq.
            drug.RadionuclideTotalDose = f"{dose * _BQ_PER_MBQ:.0f}"
    setattr(head, _DRUGS, Sequence(drugs))
