"""What a data dictionary says, and what a site says of its own tables. Pure.

The digest is of the meaning, not of the file: spaces, comments and order change nothing.
"""

import hashlib
import json
import re
import unicodedata
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from fedmq.imaging.dictionary.units import TIMES
from fedmq.imaging.toml_files import Part
from fedmq.types import Digest

_DOMAIN: Final = b"fedmq.dictionary.v1\n"


def _spelt(pattern: str, words: str) -> AfterValidator:
    """Return the check that a name is written by a pattern, which `words` tell."""

    def check(name: str) -> str:
        if re.fullmatch(pattern, name) is None:
            raise ValueError(f"{name!r} cannot be it: write {words}")
        return name

    return AfterValidator(check)


Name = Annotated[
    str,
    _spelt(r"[a-z][a-z0-9_]{0,39}", "a to z, digits and _, a letter first, 40 of them at most"),
]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Bounds = tuple[Number, Number]


def plain_word(text: str) -> str:
    """Return a word as it is compared: capitals are no matter, nor how accents are composed."""
    return unicodedata.normalize("NFC", text).casefold()


class Kind(StrEnum):
    """What the cells of a variable are."""

    NUMBER = "number"
    INTEGER = "integer"
    CATEGORY = "category"
    FLAG = "flag"


class Variable(Part):
    """One clinical variable."""

    type: Kind
    meaning: Annotated[str, Field(max_length=500)] = ""
    unit: Annotated[str, Field(max_length=20)] = ""
    """Of numbers, such as years; empty: none."""
    range: Bounds | None = None
    """Least and highest value that a patient can have."""
    median: Bounds | None = None
    """Between these the median of a site's patients lies: a column in another unit shows here."""
    codes: tuple[Text, ...] = ()
    """Of a category."""
    spellings: dict[Text, tuple[Text, ...]] = Field(default_factory=dict)
    """Code, or yes and no of a flag -> other words for it, compared as `plain_word`."""
    columns: tuple[Text, ...] = ()
    """Other names that tables have for it."""
    required: bool = False
    """Whether each table must have the column; cells may be empty."""

    @field_validator("range", "median")
    @classmethod
    def _rises(cls, bounds: Bounds | None) -> Bounds | None:
        if bounds is not None and bounds[0] >= bounds[1]:
            raise ValueError("give the lower number first")
        return bounds

    @model_validator(mode="after")
    def _fits_type(self) -> Self:
        is_number = self.type in {Kind.NUMBER, Kind.INTEGER}
        if not is_number and (self.unit or self.range or self.median):
            raise ValueError(f"a {self.type} has no unit, range or median")
        if (self.type is Kind.CATEGORY) != bool(self.codes):
            raise ValueError("a category has codes, and nothing else has")
        known = set(self.codes) if self.type is Kind.CATEGORY else {"yes", "no"}
        if self.spellings and (is_number or set(self.spellings) - known):
            raise ValueError(f"spellings are of {', '.join(sorted(known))}")
        words = [
            word
            for code in self.codes
            for word in {plain_word(one) for one in (code, *self.words(code))}
        ]
        if any(one == other for one, other in pairwise(sorted(words))):
            raise ValueError("one word stands for two codes")
        return self

    def words(self, code: str) -> tuple[str, ...]:
        """Return the other words for a code."""
        return self.spellings.get(code, ())


class Endpoint(Part):
    """What is predicted: until when, and whether its end was seen."""

    time: Name
    event: Name
    time_zero: Text
    """From when time counts, in words, such as: first infusion."""


class Baseline(Part):
    """Which scan of a patient counts: the images before treatment."""

    window_days: tuple[int, int]
    """Days from time zero, both ends included; before it they are negative."""
    which: Literal["last", "first"] = "last"

    @field_validator("window_days")
    @classmethod
    def _rises(cls, window: tuple[int, int]) -> tuple[int, int]:
        if window[0] > window[1]:
            raise ValueError("give the earlier day first")
        return window


class Dictionary(Part):
    """What the sites of a study mean by their data."""

    name: Annotated[str, _spelt(r"[a-z0-9-]{1,40}", "a to z, digits and -, 40 of them at most")]
    version: Annotated[
        str, _spelt(r"[0-9A-Za-z.+-]{1,20}", "letters, digits, . + and -, 20 of them at most")
    ]
    variables: Annotated[dict[Name, Variable], Field(min_length=1, max_length=500)]
    endpoint: Endpoint | None = None
    baseline: Baseline | None = None

    @model_validator(mode="after")
    def _has_endpoint(self) -> Self:
        if self.endpoint is None:
            return self
        time, event = (self.variables.get(one) for one in (self.endpoint.time, self.endpoint.event))
        if time is None or event is None:
            raise ValueError("the endpoint names variables that are not there")
        if time.type is not Kind.NUMBER or time.unit not in TIMES:
            raise ValueError(f"{self.endpoint.time} is a number in one of {', '.join(TIMES)}")
        if event.type is not Kind.FLAG:
            raise ValueError(f"{self.endpoint.event} is a flag")
        return self

    @property
    def digest(self) -> Digest:
        """The SHA-256 of what it says."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return Digest(hashlib.sha256(_DOMAIN + text.encode()).hexdigest())


class LocalWords(Part):
    """How one site writes what the dictionary means; it stays at the site."""

    columns: dict[Name, Text] = Field(default_factory=dict)
    """Variable -> the column of the site's table."""
    units: dict[Name, Text] = Field(default_factory=dict)
    """Variable -> the unit of the site's column, where it is another one."""
    spellings: dict[Name, dict[Text, tuple[Text, ...]]] = Field(default_factory=dict)
    """Variable -> code, or yes and no -> the site's words for it."""


class Meaning(Part):
    """By what the clinical table of one dataset is read."""

    dictionary: Dictionary
    local: LocalWords = LocalWords()
