"""Elements of a DICOM dataset as plain values; what is missing or no such value is None or empty.

Files come from many programs, and some from nobody: no value is trusted to have its type. Of a
sequence that is damaged, what can still be read would pass as all of it: it is refused.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import ItemTag

from fedmq.errors import DatasetError
from fedmq.imaging.suv import Moment

Key = str | tuple[int, int]
_DATE: Final = re.compile(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})")
_TIME: Final = re.compile(r"(\d{2}):?(\d{2})(?::?(\d{2}(?:\.\d{1,6})?))?")
_OFFSET: Final = re.compile(r"([+-])(\d{2})(\d{2})$")
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_UNREADABLE: Final = Exception
"""pydicom turns bytes to a value when it is asked for, and raises whatever that raises."""


def text(dataset: Dataset, key: Key) -> str:
    """Return the first value as text, without blanks around it."""
    values = texts(dataset, key)
    return values[0] if values else ""


def texts(dataset: Dataset, key: Key) -> tuple[str, ...]:
    """Return all values as text."""
    value = _value(dataset, key)
    if value is None or isinstance(value, Sequence):
        return ()
    if isinstance(value, bytes):  # of a private element, whose type pydicom does not know
        value = value.decode("ascii", "replace")
    many = value if isinstance(value, (list, tuple, MultiValue)) else [value]
    return tuple(str(one).replace("\0", "").strip() for one in many)


def number(dataset: Dataset, key: Key) -> float | None:
    """Return the first value as a finite number."""
    values = numbers(dataset, key)
    return values[0] if values else None


def numbers(dataset: Dataset, key: Key) -> tuple[float, ...]:
    """Return all values as finite numbers; none if one of them is not."""
    try:
        found = tuple(float(one) for one in texts(dataset, key))
    except ValueError:
        return ()
    return found if all(math.isfinite(one) for one in found) else ()


def whole(dataset: Dataset, key: Key) -> int | None:
    """Return the first value as a whole number."""
    value = number(dataset, key)
    return int(value) if value is not None and value == int(value) else None


def items(dataset: Dataset, key: Key) -> Iterator[Dataset]:
    """Yield the items of a sequence.

    Raises:
        DatasetError: code damaged_file: it, or one of them, is there and cannot be read whole.
    """
    value = _value(dataset, key)
    if not isinstance(value, Sequence):
        if key in dataset:
            raise _damaged()
        return
    for item in value:
        if has_wrong_length(item):
            raise _damaged()
        yield item


def has_wrong_length(dataset: Dataset) -> bool:
    """Return whether an element ends before its length, or an item has another one in it.

    pydicom says nothing of either.
    """
    return ItemTag in dataset or any(
        isinstance(one, RawDataElement)
        and one.length != _UNDEFINED_LENGTH
        and len(one.value or b"") < one.length
        for one in dataset.values()
    )


def first_item(dataset: Dataset, *keys: Key) -> Dataset:
    """Return the first item of a sequence of sequences, an empty dataset where there is none."""
    for key in keys:
        dataset = next(items(dataset, key), Dataset())
    return dataset


def day(dataset: Dataset, key: Key) -> int | None:
    """Return a date (DA, or the begin of DT) as a running number of days."""
    found = _DATE.match(text(dataset, key))
    try:
        return date(*map(int, found.groups())).toordinal() if found else None
    except ValueError:
        return None


def moment(dataset: Dataset, date_key: Key | None, time_key: Key) -> Moment | None:
    """Return the time of TM, with the day of DA where it is told."""
    second = _second_of(text(dataset, time_key))
    if second is None:
        return None
    return Moment(second=second, day=day(dataset, date_key) if date_key else None)


def date_time(dataset: Dataset, key: Key, zone_s: float | None = None) -> Moment | None:
    """Return the moment of DT, by the clock of its file's other times (PS3.3 C.12.1.1).

    Args:
        dataset: has the element.
        key: of the element.
        zone_s: how far that clock is ahead of UTC. Without it, or where the DT tells no offset of
            its own, both are taken for one clock.
    """
    written, known = text(dataset, key), day(dataset, key)
    second = _second_of(re.sub(r"^\d{8}", "", written)) if known is not None else None
    if second is None:
        return None
    found, own_s = Moment(second=second, day=known), utc_offset_s(dataset, key)
    if own_s is None or zone_s is None:
        return found
    return replace(found, second=second + zone_s - own_s)


def utc_offset_s(dataset: Dataset, key: Key) -> float | None:
    """Return by how much the clock of a DT, or a Timezone Offset From UTC, is ahead of UTC."""
    found = _OFFSET.search(text(dataset, key))
    if not found:
        return None
    sign, hours, minutes = found.groups()
    return (int(hours) * 3600 + int(minutes) * 60) * (-1.0 if sign == "-" else 1.0)


def _second_of(written: str) -> float | None:
    found = _TIME.match(written)
    if not found:
        return None
    hour, minute, second = (float(part or 0) for part in found.groups())
    is_time = hour < 24 and minute < 60 and second < 61  # noqa: PLR2004 - of a clock
    return hour * 3600 + minute * 60 + second if is_time else None


def _damaged() -> DatasetError:
    return DatasetError(
        "a sequence of a file cannot be read",
        code="damaged_file",
        why="it is cut off or damaged",
        fix="export it again",
    )


def _value(dataset: Dataset, key: Key) -> object:
    try:
        element = dataset.get(key) if isinstance(key, str) else dataset[key].value
    except _UNREADABLE:
        return None
    return element
