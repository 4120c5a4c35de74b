"""DICOM files of invented patients, as an archive exports them."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT: Final = "1.2.840.10008.5.1.4.1.1.2"
PT: Final = "1.2.840.10008.5.1.4.1.1.128"
RTSTRUCT: Final = "1.2.840.10008.5.1.4.1.1.481.3"
SEG: Final = "1.2.840.10008.5.1.4.1.1.66.4"
SECRETS: Final = {
    "name": "DUPONTEL^Amandine",
    "id": "IPP-0049921",
    "birth": "19480317",
    "institution": "Clinique des Glycines",
    "serial": "SN-77431-X",
    "free text": "suspicion de recidive chez Mme D.",
    "day": "20210614",
    "accession": "ACC5523981",
}
"""What no output may hold."""

Change = Callable[[Dataset], None]


def uid(*parts: object) -> str:
    """Return a UID that is the same for the same parts."""
    return generate_uid(entropy_srcs=[str(part) for part in parts])


def base(sop_class: str, number: int, *, patient: str, study: str, series: str) -> FileDataset:
    """Return what every file has: whose it is, and what nobody needs to know."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid(patient, study, series, number)
    one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    one.PatientID, one.PatientName = patient, SECRETS["name"]
    one.PatientBirthDate, one.InstitutionName = SECRETS["birth"], SECRETS["institution"]
    one.DeviceSerialNumber = SECRETS["serial"]
    one.AccessionNumber, one.StudyDescription = SECRETS["accession"], SECRETS["free text"]
    one.StationName = SECRETS["institution"]
    one.StudyInstanceUID, one.SeriesInstanceUID = uid(patient, study), uid(patient, study, series)
    one.FrameOfReferenceUID = uid(patient, study, "frame")
    one.StudyDate = one.SeriesDate = one.AcquisitionDate = SECRETS["day"]
    one.StudyTime, one.SeriesNumber, one.InstanceNumber = "101500", 1, number
    one.SeriesDescription = series
    return one


def image(  # noqa: PLR0913 - what tells one slice from another
    modality: str,
    number: int,
    stored: NDArray[np.int16],
    *,
    patient: str = SECRETS["id"],
    study: str = "one",
    series: str = "",
    spacing: tuple[float, float, float] = (4.0, 4.0, 3.0),
    origin: tuple[float, float, float] = (-10.0, -20.0, 100.0),
    axes: NDArray[np.float64] | None = None,
) -> FileDataset:
    """Return one slice; `axes` are the directions of row, column and slice, as columns, LPS."""
    one = base(
        CT if modality == "CT" else PT,
        number,
        patient=patient,
        study=study,
        series=series or f"{modality} usual",
    )
    directions = np.eye(3) if axes is None else axes
    one.Modality, one.ImageType = modality, ["ORIGINAL", "PRIMARY", "AXIAL"]
    one.Manufacturer, one.ManufacturerModelName = "SIEMENS", "Biograph 64 Glycines"
    place = np.array(origin) + directions[:, 2] * spacing[2] * number
    one.ImagePositionPatient = [f"{value:.8g}" for value in place]
    one.ImageOrientationPatient = [f"{value:.10g}" for value in directions[:, :2].T.ravel()]
    one.PixelSpacing = [spacing[1], spacing[0]]
    one.SliceThickness = spacing[2]
    one.Rows, one.Columns = stored.shape
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.RescaleSlope, one.RescaleIntercept = (1, -1024) if modality == "CT" else (2.5, 0)
    one.PixelData = stored.astype("<i2").tobytes()
    if modality == "CT":
        one.KVP = 120
    else:
        _add_pet_facts(one)
    return one


def _add_pet_facts(one: Dataset) -> None:
    one.PatientWeight, one.PatientSize, one.PatientSex = 70, 1.75, "F"
    one.Units, one.DecayCorrection = "BQML", "START"
    one.CorrectedImage = ["DECY", "ATTN", "SCAT"]
    one.SeriesTime = one.AcquisitionTime = "110000"
    one.ActualFrameDuration, one.FrameReferenceTime = 120_000, 60_000
    one.ReconstructionMethod = "PSF+TOF 3i21s"
    drug = Dataset()
    drug.Radiopharmaceutical = "Fluorodeoxyglucose"
    drug.RadiopharmaceuticalStartTime = "100000"
    drug.RadiopharmaceuticalStartDateTime = f"{SECRETS['day']}100000"
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 300e6, 6586.2
    one.RadiopharmaceuticalInformationSequence = Items([drug])


def series(
    modality: str, stored: NDArray[np.int16], change: Change | None = None, **told: object
) -> list[FileDataset]:
    """Return the slices of an array of shape (slices, rows, columns)."""
    slices = [image(modality, number, one, **told) for number, one in enumerate(stored)]
    for one in slices:
        if change is not None:
            change(one)
    return slices


def structures(
    drawn_on: FileDataset, regions: dict[str, Sequence[NDArray[np.float64]]]
) -> FileDataset:
    """Return an RTSTRUCT file: name of a region -> outlines in mm, shape (points, 3)."""
    one = base(RTSTRUCT, 1, patient=str(drawn_on.PatientID), study="drawn", series="regions")
    one.Modality = "RTSTRUCT"
    one.StudyInstanceUID = drawn_on.StudyInstanceUID
    referred, study, frame = Dataset(), Dataset(), Dataset()
    referred.SeriesInstanceUID = drawn_on.SeriesInstanceUID
    study.RTReferencedSeriesSequence = Items([referred])
    frame.RTReferencedStudySequence = Items([study])
    one.ReferencedFrameOfReferenceSequence = Items([frame])
    names, contours = [], []
    for number, (name, outlines) in enumerate(regions.items(), start=1):
        told, drawn = Dataset(), Dataset()
        told.ROINumber, told.ROIName = number, name
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = Items([_contour(outline) for outline in outlines])
        names.append(told)
        contours.append(drawn)
    one.StructureSetROISequence, one.ROIContourSequence = Items(names), Items(contours)
    return one


def _contour(outline: NDArray[np.float64]) -> Dataset:
    one = Dataset()
    one.ContourGeometricType = "CLOSED_PLANAR"
    one.NumberOfContourPoints = len(outline)
    one.ContourData = [f"{value:.6f}" for value in outline.ravel()]
    return one


def segmentation(
    drawn_on: Sequence[FileDataset], segments: dict[str, NDArray[np.bool_]]
) -> FileDataset:
    """Return a SEG file: name of a segment -> mask of shape (slices, rows, columns)."""
    first = drawn_on[0]
    one = base(SEG, 1, patient=str(first.PatientID), study="drawn", series="segments")
    one.Modality, one.SegmentationType = "SEG", "BINARY"
    one.StudyInstanceUID = first.StudyInstanceUID
    one.Rows, one.Columns = first.Rows, first.Columns
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = 1
    one.HighBit = one.PixelRepresentation = 0
    referred, measures, plane, shared = Dataset(), Dataset(), Dataset(), Dataset()
    referred.SeriesInstanceUID = first.SeriesInstanceUID
    one.ReferencedSeriesSequence = Items([referred])
    measures.PixelSpacing = first.PixelSpacing
    plane.ImageOrientationPatient = first.ImageOrientationPatient
    shared.PixelMeasuresSequence = Items([measures])
    shared.PlaneOrientationSequence = Items([plane])
    one.SharedFunctionalGroupsSequence = Items([shared])
    told, frames, bits = [], [], []
    for number, (name, mask) in enumerate(segments.items(), start=1):
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel = number, name
        told.append(segment)
        for index in np.flatnonzero(mask.any(axis=(1, 2))):
            frames.append(_frame(number, drawn_on[index]))
            bits.append(mask[index].ravel())
    one.SegmentSequence, one.PerFrameFunctionalGroupsSequence = Items(told), Items(frames)
    one.NumberOfFrames = len(frames)
    packed = np.packbits(np.concatenate(bits), bitorder="little").tobytes()
    one.PixelData = packed + b"\0" * (len(packed) % 2)
    return one


def _frame(number: int, slice_: FileDataset) -> Dataset:
    one, identity, place = Dataset(), Dataset(), Dataset()
    identity.ReferencedSegmentNumber = number
    place.ImagePositionPatient = slice_.ImagePositionPatient
    one.SegmentIdentificationSequence = Items([identity])
    one.PlanePositionSequence = Items([place])
    return one


def _chance(one: FileDataset) -> str:
    return str(one.file_meta.MediaStorageSOPInstanceUID)


def write(folder: Path, *files: FileDataset, name: str = "{:04}") -> list[Path]:
    """Write files into a folder, in an order that says nothing, without suffixes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, one in enumerate(sorted(files, key=_chance)):
            path = folder / name.format(number)
            one.save_as(path, enforce_file_format=True)
            paths.append(path)
    return paths
