"""Dictionaries in files: what they say, and what is wrong in them, by name and all at once."""

from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError
from fedmq.imaging.dictionary.model import Dictionary
from fedmq.imaging.dictionary.reading import read_dictionary, read_local_words
from fedmq.imaging.toml_files import MAX_BYTES
from tests.unit.imaging.dictionary.examples import LUNG, lung

TEXT = """
name = "lung-io"
version = "1.0"

[variables.age]
type = "number"
unit = "years"
range = [18, 110]

[variables.pfs]
type = "number"
unit = "months"

[variables.progressed]
type = "flag"

[endpoint]
time = "pfs"
event = "progressed"
time_zero = "first infusion"
"""


def write(tmp_path: Path, text: str, name: str = "dictionary.toml") -> Path:
    """Return a file with a text."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_dictionary_is_what_it_says_not_how_its_file_looks(tmp_path: Path) -> None:
    """Order, spaces and comments change no digest; a range does."""
    first = read_dictionary(write(tmp_path, TEXT))
    head, _, tail = TEXT.partition("[variables.pfs]")
    endpoint = tail.index("[endpoint]")
    moved = f"# ours\n{head}{tail[endpoint:]}\n[variables.pfs]{tail[:endpoint]}"
    second = read_dictionary(write(tmp_path, moved, "moved.toml"))
    third = read_dictionary(write(tmp_path, TEXT.replace("110", "120"), "other.toml"))
    assert first.digest == second.digest != third.digest
    assert len(first.digest) == 64


def test_digests_stay_what_they_are() -> None:
    """Experiments of years ago name them."""
    assert lung().digest == "3ec80d47432f18d962847ff6704eedf37fb22d74ef1b5667b4207fb97135a695"
    assert Dictionary.model_validate(LUNG | {"version": "1.1"}).digest != lung().digest


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[18, 110]", "[110, 18]", "variables.age.range: give the lower number first"),
        ('"years"', '"years"\ncodes = ["1"]', "a category has codes, and nothing else has"),
        ('type = "flag"', 'type = "category"', "a category has codes"),
        ('type = "flag"', 'type = "flag"\nunit = "kg"', "a flag has no unit"),
        ('unit = "months"', 'unit = "kg"', "pfs is a number in one of days, weeks"),
        ('event = "progressed"', 'event = "died"', "the endpoint names variables that are not"),
        ('event = "progressed"', 'event = "age"', "age is a flag"),
        ('version = "1.0"', 'version = "1 0"', "version: '1 0' cannot be it: write letters"),
        ('version = "1.0"', 'vers = "1.0"', "vers: there is no such key (did you mean version?)"),
        ('type = "flag"', 'type = "flg"', "'category' or 'flag'"),
        ("[18, 110]", "18", "variables.age.range: write a list, in brackets"),
        ("[18, 110]", "[18]", "variables.age.range, item 2: it is missing"),
        ("[18, 110]", "[18, 65, 110]", "variables.age.range: write 2 at most; there are 3"),
        ("[18, 110]", "[18, 'x']", "range, item 2: write a number, without quotes"),
        ('unit = "years"', "unit = 5", 'unit: write it in quotes: "5"'),
        ("variables.age", "variables.Age", "variables.Age: 'Age' cannot be it: write a to z"),
        ("[endpoint]", "[endpoint", "it is no TOML"),
        (
            'type = "flag"',
            'type = "category"\ncodes = ["a", "b"]\nspellings = {a = ["B"]}',
            "one word stands for two codes",
        ),
        (
            'type = "flag"',
            'type = "flag"\nspellings = {perhaps = ["x"]}',
            "spellings are of no, yes",
        ),
    ],
)
def test_what_is_wrong_in_a_dictionary_is_named(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    """By the place in the file."""
    assert old in TEXT
    with pytest.raises(ConfigurationError) as caught:
        read_dictionary(write(tmp_path, TEXT.replace(old, new)))
    assert says in str(caught.value)


def test_all_faults_of_a_dictionary_are_told_at_once(tmp_path: Path) -> None:
    """As many as a person reads."""
    text = TEXT.replace("[18, 110]", "[1, 0]").replace('"flag"', '"flags"')
    with pytest.raises(ConfigurationError) as caught:
        read_dictionary(write(tmp_path, text))
    assert "variables.age.range" in caught.value.why
    assert "variables.progressed.type" in caught.value.why


def test_keys_that_lack_and_that_do_not_exist_are_told_in_words(tmp_path: Path) -> None:
    """Of whoever writes the file, not of the program that reads it."""
    with pytest.raises(ConfigurationError) as caught:
        read_dictionary(write(tmp_path, 'title = "x"\n'))
    assert "version: it is missing" in caught.value.why
    assert "title: there is no such key" in caught.value.why


def test_a_file_that_is_none_or_too_long_is_refused(tmp_path: Path) -> None:
    """Before it is parsed."""
    with pytest.raises(ConfigurationError, match=r"absent\.toml cannot be read"):
        read_dictionary(tmp_path / "absent.toml")
    with pytest.raises(ConfigurationError, match=f"more than {MAX_BYTES}"):
        read_dictionary(write(tmp_path, "#" * (MAX_BYTES + 1)))


def test_a_sites_own_words_are_of_the_dictionary(tmp_path: Path) -> None:
    """Its columns, its units, its spellings."""
    text = '[columns]\npfs = "PFS (d)"\n[units]\npfs = "days"\n[spellings.sex]\nF = ["w"]\n'
    words = read_local_words(write(tmp_path, text), lung())
    assert (words.columns["pfs"], words.units["pfs"]) == ("PFS (d)", "days")
    assert words.spellings["sex"]["F"] == ("w",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[columns]\nsize = "S"', "size: the dictionary has no such variable (known are age, "),
        ('[units]\npf = "days"', "pf: the dictionary has no such variable (did you mean pfs?)"),
        ('[units]\npfs = "kg"', "units.pfs: kg cannot be turned to months"),
        ('[spellings.sex]\nX = ["w"]', "spellings.sex: X is no code"),
        ('[spellings.progressed]\nX = ["w"]', "spellings.progressed: X is no code"),
        ('[column]\nage = "A"', "column: "),
    ],
)
def test_a_site_cannot_say_what_the_dictionary_does_not(
    tmp_path: Path, text: str, says: str
) -> None:
    """A mistyped name would do nothing, and nobody would know."""
    with pytest.raises(ConfigurationError) as caught:
        read_local_words(write(tmp_path, text), lung())
    assert says in str(caught.value)
