"""Findings: what is wrong with a case, in words; who only shows them reads no volume."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing wrong with one case; the text is for the site only."""

    case_id: str
    code: str
    text: str
    spoils: tuple[str, ...] = ()
    """The modalities of the case that are not to be used; a doubt about a mask spoils none."""
    is_doubt: bool = False
    """Worth a look, and perhaps as it should be: the case counts as sound."""
