"""Advice: what to do about a finding, by its code."""

from collections.abc import Mapping
from typing import Final

_EXPORT: Final = "Export or import the series again."
ADVICE: Final[Mapping[str, str]] = {
    "implausible_suv": (
        "Convert the PET to SUV from its DICOM headers (weight, dose, times); a voxel in Bq/ml is "
        "thousands. Until then no experiment uses this PET."
    ),
    "ct_without_air": (
        "Add the rescale intercept, -1024 as a rule, when the CT is converted. Until then no "
        "experiment uses this CT."
    ),
    "ct_without_tissue": (
        "Look at the histogram: soft tissue is near 0 HU. Convert the CT again, with its rescale "
        "intercept once. Until then no experiment uses this CT."
    ),
    "implausible_hu": (
        "Look at the histogram: soft tissue is near 0 HU. Convert the CT again, with its rescale "
        "intercept once. Until then no experiment uses this CT."
    ),
    "wrong_affine": (
        "Look at the picture: the two do not cover one patient. Convert both series of one study "
        "again, with one converter. Until then no experiment uses them."
    ),
    "short_ct": (
        "If the rest of the body was not in the CT, nothing is to be done. Else choose the CT that "
        "was taken with the PET."
    ),
    "upside_down": (
        "Look at the picture: the head should be up. Convert the series again; do not flip the "
        "array by hand, since the mask and the other image would stay behind."
    ),
    "gap": "Ask the archive for the whole series, and convert it again.",
    "mask_off_grid": (
        "If the outline lies on the lesion nothing is to be done: the mask is brought to the PET's "
        "grid. Else draw or export it on the PET or the CT."
    ),
    "mask_shrinks": (
        "Look at the outline: if some of it lies beside the PET, add the right mask. Lesions as "
        "small as voxels have volumes that are too low."
    ),
    "empty_mask": (
        "If the patient has no lesion this is as it should be: its volumes are 0. Else add the "
        "mask again."
    ),
    "mask_outside_body": (
        "Look at the outline: a mask of another patient or series, or one with a flipped axis?"
    ),
    "odd_spacing": "If it is another scanner, nothing is to be done. Else choose the right series.",
    "odd_scale": (
        "Compare weight, dose and times of injection and scan with the patient's file: a weight in "
        "pounds is 2.2 times too high."
    ),
    "unreadable": "Let the user that the node runs as read the file.",
    "corrupt_file": f"{_EXPORT} The file is cut off or damaged.",
    "bad_affine": f"{_EXPORT} Its header says no place of its voxels that can be, or two.",
    "not_finite": f"{_EXPORT} It holds numbers that are none.",
    "not_3d": "Choose one frame of a series over time.",
    "no_baseline": (
        "Name the scan (--baseline), or write the days of its scans, and add the dataset again."
    ),
    "empty_case": "Add its files or its row, or remove its folder.",
}
OTHERWISE: Final = "Mend the file, or leave the case out, and check again."


def advice_for(code: str) -> str:
    """Return what to do about findings of a code."""
    return ADVICE.get(code, OTHERWISE)
