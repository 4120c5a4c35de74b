"""Faults of files in words: whatever somebody writes, nobody is shown a programmer's words."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedmq.imaging.dictionary.model import Dictionary, LocalWords
from fedmq.imaging.fault_words import faults_in_words, first_of, meant
from tests.unit.imaging.dictionary.examples import LUNG

PROGRAMMERS = re.compile(r"input|valid|pydantic|dict|tuple|string|Value error|instance|object")

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside),
    max_leaves=4,
)


def places(part: object, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the way to each part of what a file says."""
    items = (
        part.items()
        if isinstance(part, dict)
        else enumerate(part)
        if isinstance(part, list)
        else ()
    )
    return [above, *(one for key, value in items for one in places(value, (*above, key)))]


def put(part: Any, way: tuple[str | int, ...], value: object) -> Any:  # noqa: ANN401 - of a file
    """Return what a file says, with something else at one place."""
    if not way:
        return value
    changed = part.copy()
    changed[way[0]] = put(part[way[0]], way[1:], value)
    return changed


@given(way=st.sampled_from(places(LUNG)[1:]), value=anything)
def test_anything_at_any_place_of_a_dictionary_is_refused_in_plain_words(
    way: tuple[str | int, ...], value: object
) -> None:
    """Or is a dictionary."""
    try:
        Dictionary.model_validate(put(LUNG, way, value))
    except ValidationError as error:
        faults = list(faults_in_words(error, Dictionary))
        assert faults
        for fault in faults:
            words = fault.partition(": ")[2].partition(" cannot be it")
            assert not PROGRAMMERS.search(words[0] if words[1] == "" else words[2]), fault


def test_keys_are_looked_up_where_they_stand() -> None:
    """Of a variable, those of variables; in tables of any key there are none to know."""
    content = LUNG | {"variables": LUNG["variables"] | {"age": {"type": "number", "units": "a"}}}
    with pytest.raises(ValidationError) as caught:
        Dictionary.model_validate(content)
    (fault,) = faults_in_words(caught.value, Dictionary)
    assert fault == "variables.age.units: there is no such key (did you mean unit?)"
    with pytest.raises(ValidationError) as caught:
        LocalWords.model_validate({"spellings": {"sex": {"F": "w"}}})
    (fault,) = faults_in_words(caught.value, LocalWords)
    assert fault == 'spellings.sex.F: write a list, in brackets: ["w"]'


def test_faults_that_are_not_shown_are_not_put_into_words() -> None:
    """A file may have ten thousand, and for each the keys that it may have are looked up."""
    faults = (f"fault {number}" for number in range(10_000))
    assert first_of(faults) == "fault 0; fault 1; fault 2; fault 3; fault 4; and more"
    assert next(faults) == "fault 6"
    assert first_of(["one", "two"]) == "one; two"
    assert first_of([]) == ""


def test_a_mistyped_word_finds_the_one_that_was_meant() -> None:
    """Capitals or not; where none is near, all of them are told."""
    assert meant("volume", ("table", "volumes")) == " (did you mean volumes?)"
    assert meant("pet", ("CT", "PET")) == " (did you mean PET?)"
    assert meant("MRI", ("CT", "PET")) == " (known are CT, PET)"
    assert meant("MRI", ()) == ""
