"""Regions of interest: their names, and which of them are asked for. Pure.

Names are free text of whoever drew: no report has them, a list in the node's folder does.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from fedmq.imaging.dicom.elements import first_item, items, text, whole
from fedmq.imaging.dicom.patterns import matches

_TUMOUR: Final = re.compile(r"[\d\s_.]*(i?gtv|tumou?r|tumeur|l[ae]sion|neoplas)")
"""At the beginning of a plain name: Lungs-GTV and PTV-GTV (TG-263) are what lies around one."""
_BESIDE: Final = re.compile(r"(?<![a-z])(ref|reference|ring|shell|margin|bed|free)(?![a-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionName:
    """How a region of RTSTRUCT, or a segment of SEG, is called."""

    number: int | None
    """By which its outlines, or frames, refer to it."""
    name: str
    kind: str = ""
    """What a code says that it is; of segments only."""


def read_names(dataset: Dataset) -> tuple[RegionName, ...]:
    """Return the names of the regions of an RTSTRUCT or SEG file; of another there are none."""
    regions = [
        RegionName(number=whole(one, "ROINumber"), name=text(one, "ROIName"))
        for one in items(dataset, "StructureSetROISequence")
    ]
    segments = [
        RegionName(
            number=whole(one, "SegmentNumber"),
            name=text(one, "SegmentLabel"),
            kind=text(first_item(one, "SegmentedPropertyTypeCodeSequence"), "CodeMeaning"),
        )
        for one in items(dataset, "SegmentSequence")
    ]
    return (*regions, *segments)


def is_wanted(region: RegionName, patterns: Sequence[str]) -> bool:
    """Return whether a region is asked for.

    Args:
        region: how it is called.
        patterns: with `*` and `?`, in any case, of its name; none: what begins as tumours do.
    """
    name = _plain(region.name)
    if patterns:
        return any(matches(name, _plain(one)) for one in patterns)
    is_tumour = any(_TUMOUR.match(one) for one in (name, _plain(region.kind)))
    return is_tumour and not _BESIDE.search(name)


def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKD", name).casefold()
    return "".join(one for one in folded if not unicodedata.combining(one))
