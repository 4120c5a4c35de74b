"""Enhanced DICOM files: slices of `tests.support.dicom`, put into one file as the standard has it.

By PS3.3 C.7.6.16 and C.8.22, or, `converted`, with what has no place there left as it was.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Final

from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items

ENHANCED: Final = {"CT": "1.2.840.10008.5.1.4.1.1.2.1", "PT": "1.2.840.10008.5.1.4.1.1.130"}
CONVERTED: Final = {"CT": "1.2.840.10008.5.1.4.1.1.2.2", "PT": "1.2.840.10008.5.1.4.1.1.128.1"}
OWN: Final = (
    *("SOPClassUID", "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "PatientWeight"),
    *("PatientSize", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "StudyDate"),
    *("SeriesDate", "SeriesTime", "SeriesDescription", "SeriesNumber", "Modality", "ImageType"),
    *("Manufacturer", "ManufacturerModelName", "Rows", "Columns", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "SOPInstanceUID"),
)
"""What a file of several slices tells outright, once."""
GROUPS: Final = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "CTXRayDetailsSequence": ("KVP",),
}
FLAGS: Final = {"ATTN": "AttenuationCorrected", "SCAT": "ScatterCorrected"}


def enhanced(slices: Sequence[FileDataset], *, converted: bool = False) -> FileDataset:
    """Return one file with these slices as its frames, in this order."""
    first = deepcopy(slices[0])
    one = FileDataset("", {}, file_meta=first.file_meta, preamble=b"\0" * 128)
    for key in OWN:
        if key in first:
            setattr(one, key, first[key].value)
    modality = str(first.Modality)
    sop_class = (CONVERTED if converted else ENHANCED)[modality]
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = sop_class
    one.NumberOfFrames = len(slices)
    one.PixelData = b"".join(slice_.PixelData for slice_ in slices)
    shared = Dataset()
    frames = [Dataset() for _ in slices]
    for group, keys in GROUPS.items():
        told = [_only(slice_, keys) for slice_ in slices]
        if all(item == told[0] for item in told):
            setattr(shared, group, Items([told[0]]))
        else:
            for frame, item in zip(frames, told, strict=True):
                setattr(frame, group, Items([item]))
    for frame, slice_ in zip(frames, slices, strict=True):
        frame.FrameContentSequence = Items([_content(slice_)])
    if converted:
        placed = {*OWN, *(key for keys in GROUPS.values() for key in keys), "PixelData"}
        for frame, slice_ in zip(frames, slices, strict=True):
            left = _only(slice_, [name for name in slice_.dir() if name not in placed])
            frame.UnassignedPerFrameConvertedAttributesSequence = Items([left])
    elif modality == "PT":
        _add_pet(one, frames, slices)
    one.SharedFunctionalGroupsSequence = Items([shared])
    one.PerFrameFunctionalGroupsSequence = Items(frames)
    return one


def _only(slice_: Dataset, keys: Sequence[str]) -> Dataset:
    item = Dataset()
    for key in keys:
        if key in slice_:
            setattr(item, key, deepcopy(slice_[key].value))
    return item


def _content(slice_: Dataset) -> Dataset:
    item = Dataset()
    item.StackID, item.InStackPositionNumber = "1", int(slice_.InstanceNumber) + 1
    if "AcquisitionTime" in slice_:
        item.FrameAcquisitionDateTime = f"{slice_.AcquisitionDate}{slice_.AcquisitionTime}+0200"
    if "ActualFrameDuration" in slice_:
        item.FrameAcquisitionDuration = float(slice_.ActualFrameDuration)
    return item


def _add_pet(one: Dataset, frames: Sequence[Dataset], slices: Sequence[FileDataset]) -> None:
    first = slices[0]
    del one.SeriesDate, one.SeriesTime
    one.AcquisitionDateTime = f"{first.SeriesDate}{first.SeriesTime}"
    for word, flag in FLAGS.items():
        setattr(one, flag, "YES" if word in first.CorrectedImage else "NO")
    one.DecayCorrected = "NO" if first.DecayCorrection == "NONE" else "YES"
    drug = deepcopy(first.RadiopharmaceuticalInformationSequence[0])
    if first.DecayCorrection == "START":
        one.DecayCorrectionDateTime = one.AcquisitionDateTime
    elif first.DecayCorrection == "ADMIN":
        one.DecayCorrectionDateTime = drug.RadiopharmaceuticalStartDateTime
    drug.RadionuclideTotalDose = float(drug.RadionuclideTotalDose) / 1e6
    del drug.RadiopharmaceuticalStartTime
    one.RadiopharmaceuticalInformationSequence = Items([drug])
    for frame, slice_ in zip(frames, slices, strict=True):
        frame.RealWorldValueMappingSequence = Items(
            [mapping("g/ml{SUVlbm}", 7.0), mapping("Bq/ml", float(slice_.RescaleSlope))]
        )


def mapping(code: str, slope: float) -> Dataset:
    """Return a mapping of stored values to these units of UCUM."""
    item, units = Dataset(), Dataset()
    units.CodeValue, units.CodingSchemeDesignator = code, "UCUM"
    item.MeasurementUnitsCodeSequence = Items([units])
    item.RealWorldValueSlope, item.RealWorldValueIntercept = slope, 0.0
    item.add_new(0x00409216, "SS", 0)
    item.add_new(0x00409211, "SS", 32767)
    return item
