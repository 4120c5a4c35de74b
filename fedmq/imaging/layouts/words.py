"""Words of file names, by which the volumes of a case are told apart. Pure."""

import re
import unicodedata
from typing import Final

MODALITIES: Final = ("CT", "MASK", "PET")
_PET_WORDS: Final = frozenset({"PET", "PT", "SUV"})
_CT_WORDS: Final = frozenset({"CT", "CTRES"})
_MASK_WORDS: Final = frozenset({"MASK", "SEG"})
_NO_WORD: Final = "no word of its name says PET, CT or MASK"
_SUFFIXES: Final = (".nii", ".nii.gz")


def plain_name(name: str) -> str:
    """Return a name as cases are called: with composed accents (NFC), as not all disks have it."""
    return unicodedata.normalize("NFC", name)


def is_volume(name: str) -> bool:
    """Return whether a file is a NIfTI volume by its name."""
    return name.lower().endswith(_SUFFIXES)


def modality_by_words(name: str, case_id: str) -> tuple[str, int] | str:
    """Return modality and preference (0 is best) by the words of the name, the case's left out.

    Or why they tell none. SUV before PET, a mask of the PET before one of the CT, a CT before the
    same on the PET's grid (autoPET's `CTres`).
    """
    whole = name.upper()
    rest = whole.removeprefix(case_id.upper())
    if rest.lower() in _SUFFIXES and case_id.isalnum():
        return _modality_of(whole)  # PET.nii.gz in PET; CT-1.nii.gz in CT-1 is called as a patient
    # A case C has a CT.nii.gz: what begins like its name is a word first.
    is_cut = rest != whole and rest[:1].isalnum()
    found = _modality_of(whole if is_cut else rest)
    return _modality_of(rest) if is_cut and found == _NO_WORD else found


def _modality_of(stem: str) -> tuple[str, int] | str:
    words = set(re.split(r"[^A-Z0-9]+", stem))
    if words & _MASK_WORDS:
        if words & _PET_WORDS:
            return "MASK", 0
        return "MASK", 2 if words & _CT_WORDS else 1
    if words & _PET_WORDS and words & _CT_WORDS:
        return "its name says PET and CT: say which it is in a map, docs/data.md"
    if words & _PET_WORDS:
        return "PET", 0 if "SUV" in words else 1
    if words & _CT_WORDS:
        return "CT", 0 if "CT" in words else 1
    return _NO_WORD


def modality_of_channel(name: str) -> str | None:
    """Return the modality, PET or CT, of a channel that a dataset.json calls so, or None."""
    words = modality_by_words(name, "")
    return None if isinstance(words, str) or words[0] == "MASK" else words[0]
