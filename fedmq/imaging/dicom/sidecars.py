"""Sidecars: what is told of a volume beside it, by the names of PET-BIDS.

Only what stands here is ever taken from a file's head: figures, and words of short lists. Free text
may hold a name, and so may what a scanner calls itself: words that no list knows are left out.
PET-BIDS wants a clock time as Time Zero; here it is always 00:00:00, the begin of the scan, and
every other time is an interval from it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from fedmq.imaging.dicom.elements import number, text, texts
from fedmq.imaging.suv import PetFacts, SuvScale, seconds_between

Sidecar = Mapping[str, object]
_UNKNOWN: Final = "n/a"
_MEGA: Final = 1e6
_MAKERS: Final = {
    "GE": "GE",
    "SIEMENS": "Siemens",
    "CTI": "Siemens",
    "CPS": "Siemens",
    "PHILIPS": "Philips",
    "ADAC": "Philips",
    "TOSHIBA": "Canon",
    "CANON": "Canon",
    "UIH": "United Imaging",
    "MEDISO": "Mediso",
}
_MODELS: Final = (
    "Advance",
    "Allegro",
    "Biograph",
    "Cartesion",
    "Celesteion",
    "Discovery",
    "Gemini",
    "Guardian",
    "Horizon",
    "Ingenuity",
    "Omni",
    "Optima",
    "Quadra",
    "Signa",
    "Vereos",
    "Vision",
    "mCT",
    "uMI",
)
_METHODS: Final = (
    "3D-RP",
    "BLOB",
    "BSREM",
    "DRAMA",
    "FBP",
    "MLEM",
    "OSEM",
    "PSF",
    "QCFX",
    "RAMLA",
    "TOF",
    "TrueX",
    "VPFX",
    "VPHD",
    "VUE",
)
_CORRECTIONS: Final = frozenset(
    {"ATTN", "DCAL", "DECY", "DTIM", "FLEN", "MOTN", "NORM", "RADL", "RAN", "SCAT", "SLSENS"}
)
KEPT: Final = frozenset(
    {
        "ActualFrameDuration",
        "BitsAllocated",
        "BitsStored",
        "Columns",
        "CorrectedImage",
        "DecayCorrection",
        "HighBit",
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "KVP",
        "Manufacturer",
        "ManufacturerModelName",
        "Modality",
        "PatientSex",
        "PatientSize",
        "PatientWeight",
        "PhotometricInterpretation",
        "PixelRepresentation",
        "PixelSpacing",
        "RadiopharmaceuticalInformationSequence",
        "ReconstructionMethod",
        "RescaleIntercept",
        "RescaleSlope",
        "Rows",
        "SamplesPerPixel",
        "SliceThickness",
        "Units",
    }
)
"""Elements from which something goes into what is written; all others are counted as dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanDay:
    """When a case was scanned, without a date."""

    days: int | None
    """From time zero; negative before it."""
    time_zero: str
    """treatment, or first scan."""


def pet_sidecar(head: Dataset, facts: PetFacts, scale: SuvScale, when: ScanDay) -> Sidecar:
    """Return what stands beside `PET.nii.gz`."""
    injection_s = None if scale.delay_s is None else -scale.delay_s
    durations = {frame.duration_s for frame in facts.frames}
    return {
        **_scanner(head, "PT"),
        "Units": "g/mL",
        "TracerName": "FDG",
        "TracerRadionuclide": "F18",
        "InjectedRadioactivity": _or_unknown(facts.dose_bq and round(facts.dose_bq / _MEGA, 3)),
        "InjectedRadioactivityUnits": "MBq",
        "InjectedMass": _UNKNOWN,
        "InjectedMassUnits": _UNKNOWN,
        "SpecificRadioactivity": _UNKNOWN,
        "SpecificRadioactivityUnits": _UNKNOWN,
        "ModeOfAdministration": _UNKNOWN,
        "TimeZero": "00:00:00",
        "ScanStart": 0,
        "InjectionStart": _or_unknown(injection_s),
        "FrameTimesStart": [0],
        "FrameDuration": [_or_unknown(durations.pop() if len(durations) == 1 else None)],
        "AcquisitionMode": _UNKNOWN,
        "ImageDecayCorrected": True,
        "ImageDecayCorrectionTime": _or_unknown(_corrected_to_s(facts, injection_s)),
        "ReconMethodName": _words(_METHODS, text(head, "ReconstructionMethod")),
        "ReconFilterType": _UNKNOWN,
        "AttenuationCorrection": "corrected",
        "fedmq": {
            **_day(when),
            "tracer_named_by": "series" if facts.names_tracer else "operator",
            "suv_rule": scale.rule,
            "injection_to_scan_s": scale.delay_s,
            "corrections": sorted(facts.corrections & _CORRECTIONS),
            "patient_weight_kg": facts.weight_kg,
            "patient_size_m": facts.size_m,
            "patient_sex": _sex(head),
        },
    }


def _corrected_to_s(facts: PetFacts, injection_s: float | None) -> float | None:
    """Return from the begin of the scan."""
    if facts.decay_correction == "START":
        return 0
    if facts.decay_correction or not (facts.injection and facts.corrected_to):
        return injection_s
    since_s = seconds_between(facts.injection, facts.corrected_to)
    return None if injection_s is None else injection_s + since_s


def ct_sidecar(head: Dataset, when: ScanDay) -> Sidecar:
    """Return what stands beside `CT.nii.gz`."""
    return {
        **_scanner(head, "CT"),
        "Units": "HU",
        "KVP": _or_unknown(number(head, "KVP")),
        "SliceThickness": _or_unknown(number(head, "SliceThickness")),
        "fedmq": _day(when),
    }


def _scanner(head: Dataset, modality: str) -> dict[str, object]:
    makers = re.split(r"[^A-Z]+", text(head, "Manufacturer").upper())
    known = [_MAKERS[word] for word in makers if word in _MAKERS]
    return {
        "Modality": modality,
        "Manufacturer": known[0] if known else _UNKNOWN,
        "ManufacturersModelName": _words(_MODELS, text(head, "ManufacturerModelName")),
    }


def _words(known: Iterable[str], written: str) -> str:
    """Return those of the known words that stand in a text."""
    found = [word for word in known if word.lower() in written.lower()]
    return " ".join(found) or _UNKNOWN


def _sex(head: Dataset) -> str:
    return next((one for one in texts(head, "PatientSex") if one in {"F", "M", "O"}), _UNKNOWN)


def _day(when: ScanDay) -> dict[str, object]:
    """Return the day by the name that layouts read, which count from time zero alone."""
    name = "scan_day" if when.time_zero == "treatment" else "days_from_first_scan"
    told = {} if when.days is None else {name: when.days}
    return {**told, "time_zero": when.time_zero}


def _or_unknown(value: float | None) -> object:
    return _UNKNOWN if value is None else value
