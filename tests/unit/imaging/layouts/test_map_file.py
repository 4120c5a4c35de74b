"""Maps that operators write: what they say, and what is wrong with them in words of theirs."""

from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError
from fedmq.imaging.baseline import BaselineRule, Pick
from fedmq.imaging.layouts.data_map import DataMap, Layout
from fedmq.imaging.layouts.map_file import read_map_file

PET = '[volumes]\nPET = "{case}.nii"\n'


def write(tmp_path: Path, text: str) -> Path:
    """Return a file of this text."""
    path = tmp_path / "map.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_map_is_what_its_file_says(tmp_path: Path) -> None:
    """One pattern or several; also where an editor has put a mark at its beginning."""
    text = (
        '\ufeffid_column = "who"\n[volumes]\nPET = "{case}.nii"\nCT = ["{case}_a", "{case}_b"]\n'
        '[baseline]\npick = "named"\nscan = "pre"\nwindow_days = [-42, 0]\n[aliases]\nP7 = "007"\n'
    )
    assert read_map_file(write(tmp_path, text)) == DataMap(
        layout=Layout.PATTERNS,
        volumes={"PET": ("{case}.nii",), "CT": ("{case}_a", "{case}_b")},
        id_column="who",
        aliases={"P7": "007"},
        baseline=BaselineRule(pick=Pick.NAMED, scan="pre", window_days=(-42, 0)),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", 'volumes: write [volumes], and below it such as PET = "{case}/PET.nii.gz"'),
        ("volumes = 5", "volumes: it is a table: write [volumes], and its keys on lines below"),
        ('[volume]\nPET = "{case}.nii"', "volume: there is no such key (did you mean volumes?)"),
        (f"zzz = 1\n{PET}", "zzz: there is no such key (known are volumes, table, id_column, "),
        ('[volumes]\npet = "{case}.nii"', "no volumes called pet (did you mean PET?)"),
        ('[volumes]\nMRI = "{case}.nii"', "no volumes called MRI (known are CT, MASK, PET)"),
        ('[volumes]\nPET = "pet.nii"', "pet.nii is no pattern: it has no {case}; write such as"),
        ('[volumes]\nPET = "{cas}.nii"', "{cas}.nii is no pattern: in braces stand {case} and"),
        ("[volumes]\nPET = []", "volumes.PET: write 1 at least"),
        ("[volumes]\nPET = 7", "volumes.PET: write a list, in brackets: [...]"),
        ('[volumes]\nPET = ["{case}.nii", 7]', 'volumes.PET, item 2: write it in quotes: "7"'),
        (f"table = 5\n{PET}", 'table: write it in quotes: "5"'),
        (f'table = "../t.csv"\n{PET}', "table: ../t.csv leads out of the dataset's folder: name"),
        (f"id_column = [1]\n{PET}", 'id_column: write it in quotes: "..."'),
        (f'layout = "msd"\n{PET}', "layout: there is no such key"),
        (f'baseline = "last"\n{PET}', "baseline: it is a table: write [baseline]"),
        (f'{PET}[baseline]\npick = "lst"', "baseline.pick: write 'last', 'first' or 'named'"),
        (f'{PET}[baseline]\npick = "named"', 'pick = "named" goes with scan = "..."'),
        (f'{PET}[baseline]\nscan = "pre"', 'scan = "pre" goes with pick = "named"'),
        (f"{PET}[baseline]\nwindow = [0, 1]", "baseline.window: there is no such key (did you me"),
        (f"{PET}[baseline]\nwindow_days = [0, -1]", "ends before it begins: write the earlier"),
        (
            f"{PET}[baseline]\nwindow_days = 42",
            "baseline.window_days: write a list, in brackets: [...]",
        ),
        (f"{PET}[baseline]\nwindow_days = [-42]", "baseline.window_days, item 2: it is missing"),
        (f'{PET}[baseline]\nwindow_days = ["a", 0]', "item 1: write a whole number, without quo"),
        (f"{PET}[aliases]\n7 = 7", 'aliases.7: write it in quotes: "7"'),
        ("[volumes", "it is no TOML: "),
        ("a = " + "[" * 5_000, "it is no TOML: too many brackets within each other"),
    ],
)
def test_a_map_that_cannot_be_used_says_where_why_and_what_to_write(
    tmp_path: Path, text: str, says: str
) -> None:
    """By the key; and where an example is."""
    with pytest.raises(ConfigurationError) as caught:
        read_map_file(write(tmp_path, text))
    assert says in caught.value.why
    assert caught.value.what == "map.toml cannot be used"
    assert "docs/data.md" in caught.value.fix


def test_all_that_is_wrong_in_a_map_is_told_at_once(tmp_path: Path) -> None:
    """Whoever mends it runs the command once."""
    text = 'tabel = "t.csv"\nencoding = 8\n[volumes]\npet = "{case}.nii"\nCT = "ct.nii"\n'
    with pytest.raises(ConfigurationError) as caught:
        read_map_file(write(tmp_path, text))
    for says in ("mean table?)", 'encoding: write it in quotes: "8"', "mean PET?)", "ct.nii is no"):
        assert says in caught.value.why


def test_of_many_faults_in_a_map_the_first_are_told(tmp_path: Path) -> None:
    """Also of those that stand below one key; else they fill the screen."""
    wrong = "".join(f'k{number} = "{{case}}.nii"\n' for number in range(1_000))
    for text in (f"{wrong}{PET}", f"{PET}{wrong}"):
        with pytest.raises(ConfigurationError) as caught:
            read_map_file(write(tmp_path, text))
        assert "k4" in caught.value.why
        assert "k5" not in caught.value.why
        assert caught.value.why.endswith("; and more")


def test_a_map_that_is_not_there_or_not_in_utf_8_is_refused(tmp_path: Path) -> None:
    """By its name, not by its path; by the line."""
    with pytest.raises(ConfigurationError, match=r"the data map map\.toml cannot be read") as gone:
        read_map_file(tmp_path / "map.toml")
    assert str(tmp_path) not in str(gone.value)
    path = tmp_path / "map.toml"
    path.write_bytes(f'{PET}[aliases]\nMüller = "1"\n'.encode("latin-1"))
    with pytest.raises(ConfigurationError, match="line 4 is not UTF-8") as caught:
        read_map_file(path)
    assert caught.value.fix == "save it as UTF-8"
