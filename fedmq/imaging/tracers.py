"""Tracers: whether a PET is of FDG, by the name and the code of what was injected. Pure."""

import re
from typing import Final

_FDG_CODES: Final = frozenset({"C-B1031", "Y-X1743", "35321007"})
_FDG: Final = re.compile(
    r"((?<![A-Z])|(?<=18F))FDG(?![A-Z])|^(?=.*FLU)(?=.*D[EÉ]S?OXY).*GLU[CK]OS", re.DOTALL
)
_OTHERS: Final = re.compile(
    r"FDGAL|GALACTOS|CHOLIN|CICLO|CICLA|DCF|DOPA|DOTA|STRADIOL|FAPI|FLORB|FLORT|FLUORID|FLURPI"
    r"|FLUTEM|MISO|PIFLU|PSMA|THYMIDIN|TYROSIN|\b(FAZA|FES|FET|FLT|NAF)\b"
)
"""Of fluorine 18, as it is in FDG (PS3.16 CID 4021, and what studies use)."""
_NUCLIDES: Final = frozenset({"", "F", "FLUOR", "FLUORINE"})
"""Letters of a meaning that tells no tracer, such as ^18^Fluorine."""


def why_not_fdg(name: str, code: str, meaning: str) -> str:
    """Return why a tracer does not count as FDG, as words of a refusal; empty if it does.

    A code decides, by its value or its meaning, and a name where no code tells a tracer: there is
    none, or its meaning is a nuclide's. Whatever else is told must not be of another one: names are
    free text, and many say nothing.
    """
    name, code, meaning = (told.strip().upper() for told in (name, code, meaning))
    is_coded = code in _FDG_CODES or _FDG.search(meaning) is not None
    is_named = _FDG.search(name) is not None
    is_other_code = bool(code and not meaning) or re.sub(r"[\W\d]", "", meaning) not in _NUCLIDES
    if _OTHERS.search(f"{name} {meaning}"):
        why = "it tells another tracer than FDG"
    elif is_coded or (is_named and not is_other_code):
        why = ""
    else:
        why = "its tracer is not FDG, whatever its name is" if is_named else "its tracer is not FDG"
    return why
