"""Contents: every named layout is seen and read, and nothing is passed over in silence."""

import errno
import os
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.baseline import BaselineRule, Pick
from fedmq.imaging.contents import Contents, MapChoices, choose_map, read_arrangement, read_contents
from fedmq.imaging.layouts.data_map import DataMap, Layout, map_json, parse_map
from tests.support.closed import closed, own_folder
from tests.support.layouts import (
    put_autopet,
    put_bids,
    put_folders,
    put_hecktor,
    put_msd,
    put_scan,
    put_volume,
)

LAST = BaselineRule()


def understood(folder: Path, clinical: Path | None = None, **said: object) -> Contents:
    """Return what is understood of a folder when it is added."""
    choices = MapChoices(**said)  # type: ignore[arg-type]  # its fields
    return read_contents(folder, clinical, choose_map(folder, choices), is_thorough=True)


def volumes(contents: Contents, folder: Path) -> dict[str, dict[str, str]]:
    """Return the paths of the volumes by case and modality."""
    return {
        case.case_id: {word: str(path.relative_to(folder)) for word, path in case.volumes.items()}
        for case in contents.cases
    }


def ignored(contents: Contents) -> Mapping[str, str]:
    """Return why paths are ignored."""
    return {one.path: one.why for one in contents.ignored}


@pytest.mark.parametrize(
    ("put", "layout", "expected"),
    [
        (
            put_bids,
            Layout.BIDS,
            {
                "sub-01": {
                    "CT": "sub-01/anat/sub-01_CT.nii.gz",
                    "MASK": "derivatives/lesions/sub-01/pet/sub-01_mask.nii.gz",
                    "PET": "sub-01/pet/sub-01_trc-18FFDG_pet.nii.gz",
                },
                "sub-02": {"PET": "sub-02/ses-2/pet/sub-02_ses-2_pet.nii.gz"},
            },
        ),
        (
            put_hecktor,
            Layout.HECKTOR,
            {
                "CHUM-002": {
                    "CT": "imagesTr/CHUM-002__CT.nii.gz",
                    "MASK": "labelsTr/CHUM-002.nii.gz",
                    "PET": "imagesTr/CHUM-002__PT.nii.gz",
                },
                "CHUM-010": {
                    "CT": "imagesTr/CHUM-010__CT.nii.gz",
                    "MASK": "labelsTr/CHUM-010.nii.gz",
                },
                "CHUP-001": {
                    "CT": "imagesTr/CHUP-001__CT.nii.gz",
                    "MASK": "labelsTr/CHUP-001.nii.gz",
                    "PET": "imagesTr/CHUP-001__PT.nii.gz",
                },
            },
        ),
        (
            put_msd,
            Layout.MSD,
            {
                case: {
                    "CT": f"imagesTr/{case}_0000.nii.gz",
                    "MASK": f"labelsTr/{case}.nii.gz",
                    "PET": f"imagesTr/{case}_0001.nii.gz",
                }
                for case in ("lung_001", "lung_002")
            },
        ),
        (
            put_autopet,
            Layout.STUDIES,
            {
                case: {
                    "CT": f"{case}/{study}/CTres.nii.gz",
                    "MASK": f"{case}/{study}/SEG.nii.gz",
                    "PET": f"{case}/{study}/SUV.nii.gz",
                }
                for case, study in (("PETCT_a", "07-05-2000"), ("PETCT_b", "03-04-2002"))
            },
        ),
        (
            put_folders,
            Layout.FOLDERS,
            {
                case: {word: f"{place}/{word}.nii.gz" for word in ("CT", "MASK", "PET")}
                for case, place in (("p1", "p1_scan-1"), ("p2", "p2_scan-1"))
            },
        ),
    ],
)
def test_a_layout_is_seen_and_read(
    tmp_path: Path,
    put: Callable[[Path], None],
    layout: Layout,
    expected: dict[str, dict[str, str]],
) -> None:
    """Cases, volumes and rows; the map that is kept reads the same again, as JSON too."""
    put(tmp_path)
    contents = understood(tmp_path, baseline=LAST)
    assert contents.data_map.layout is layout
    assert volumes(contents, tmp_path) == expected
    if contents.matching is not None:
        assert (contents.matching.rows_without_case, contents.matching.cases_without_row) == (
            (),
            (),
        )
        assert all(case.clinical["age"] for case in contents.cases)
    assert (contents.notes == ()) is (layout not in {Layout.BIDS, Layout.HECKTOR})
    kept = parse_map(map_json(contents.data_map))
    assert kept == contents.data_map
    again = read_contents(tmp_path, None, kept)
    assert again.cases == contents.cases


@pytest.mark.parametrize("put", [put_bids, put_autopet, put_folders])
def test_several_scans_without_a_rule_are_refused_by_name(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    """With the ways to say it."""
    put(tmp_path)
    with pytest.raises(DatasetError, match="1 of 2 cases have several scans") as caught:
        understood(tmp_path)
    assert caught.value.code == "several_scans"
    assert caught.value.case in caught.value.why
    assert "--baseline last" in caught.value.fix


def test_a_case_whose_scans_lie_outside_the_window_stays_without_volumes(tmp_path: Path) -> None:
    """Named with the days; its row stays, and nobody else changes."""
    put_folders(tmp_path)
    contents = understood(tmp_path, baseline=BaselineRule(window_days=(-20, 0)))
    first, second = contents.cases
    assert first.volumes.keys() == {"CT", "MASK", "PET"}
    assert (second.volumes, second.clinical) == ({}, {"age": "62"})
    assert contents.without_baseline == {"p2": "no scan lies in the window: days -40, 25"}


def test_cases_without_a_day_are_named_where_there_is_a_window(tmp_path: Path) -> None:
    """They are taken, and it was not told that nobody knows whether they lie in it."""
    put_folders(tmp_path)
    put_scan(tmp_path / "p3_scan-1", names="PET")
    contents = understood(tmp_path, baseline=BaselineRule(window_days=(-42, 0)))
    assert contents.undated == ("p3",)
    assert contents.without({"p3"}).undated == ()
    assert understood(tmp_path, baseline=LAST).undated == ()


def test_a_scan_may_be_named(tmp_path: Path) -> None:
    """As its folder is; a case without it has no volumes."""
    put_folders(tmp_path)
    rule = BaselineRule(pick=Pick.NAMED, scan="scan-2")
    contents = understood(tmp_path, baseline=rule)
    assert volumes(contents, tmp_path)["p2"]["PET"] == "p2_scan-2/PET.nii.gz"
    assert contents.without_baseline.keys() == {"p1"}


def test_days_stand_in_a_sidecar_or_in_a_table(tmp_path: Path) -> None:
    """Of rows for scans the case has that of its baseline; bad days are told, not used."""
    for scan in ("A_scan-1", "A_scan-2"):
        put_scan(tmp_path / scan, names="PET")
    table = tmp_path / "clinical.csv"
    table.write_text("case_id;scan;scan_day;kg\nA;scan-1;-30;70\nA;2;-3,0;68\n")
    (case,) = understood(tmp_path, baseline=LAST).cases
    assert case.clinical == {"scan_day": "-3,0", "kg": "68"}
    table.write_text("case_id,scan,scan_day\nA,1,-30\nA,2,5 Mai\n")
    contents = understood(tmp_path, baseline=LAST)
    assert contents.without_baseline == {"A": "no scan_day is known of scan-2"}
    assert contents.notes == ("A: its scan_day, line 3, is no day",)
    for text, note in (
        ('{"fedmq": {"scan_day": "soon"}}', "is no number of days"),
        ("{", "cannot be read"),
        ('{"fedmq": 5}', "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"fedmq": {"scan_day": 1e999}}', "is no number of days"),
    ):
        (tmp_path / "A_scan-2" / "PET.json").write_text(text)
        assert any(note in one for one in understood(tmp_path, baseline=LAST).notes), text


def test_the_row_of_another_scan_is_not_the_cases(tmp_path: Path) -> None:
    """A weight after treatment is none before it: the case goes without, and is named."""
    for scan in ("A_scan-1", "A_scan-2", "B_scan-1", "C"):
        put_scan(tmp_path / scan, names="PET")
    table = tmp_path / "clinical.csv"
    table.write_text("case_id,scan,kg\nA,scan-2,68\nB,,71\nC,1,75\n")
    contents = understood(tmp_path, baseline=BaselineRule(pick=Pick.FIRST))
    assert [case.clinical for case in contents.cases] == [{}, {"kg": "71"}, {"kg": "75"}]
    (note,) = contents.notes
    assert note.startswith("A: the table has rows of its scans scan-2, and none of scan-1")


def test_what_rows_of_one_case_disagree_on_is_named(tmp_path: Path) -> None:
    """An outcome that is left out, for two rows of it differ, was not told of."""
    for case in ("A", "B"):
        put_scan(tmp_path / case, names="PET")
    table = tmp_path / "clinical.csv"
    table.write_text(
        "case_id,session,scan_day,age,pfs,sex\nA,1,-9,60,12,F\nB,1,0,70,9,M\nA,2,3,61,14,F\n"
    )
    contents = understood(tmp_path)
    assert contents.cases[0].clinical == {"sex": "F"}
    assert contents.notes == ("A: its rows on lines 2, 4 differ in age, pfs: left out",)


def test_volumes_of_a_scan_that_are_of_several_days_say_no_day(tmp_path: Path) -> None:
    """One of the sidecars is wrong, and nobody knows which."""
    put_folders(tmp_path)
    (tmp_path / "p2_scan-1" / "CT.json").write_text('{"fedmq": {"scan_day": -41}}')
    contents = understood(tmp_path, baseline=LAST)
    assert contents.without_baseline == {"p2": "no scan_day is known of scan-1"}
    assert contents.notes == ("p2: its scan scan-1 is of several days: -41, -40",)


def test_a_folder_with_files_of_others_is_no_cases_own(tmp_path: Path) -> None:
    """Whatever a pattern says: it is no case, and is not shown as one."""
    put_volume(tmp_path / "A" / "pet.nii.gz", "PET")
    for case in ("A", "B"):
        put_volume(tmp_path / "cts" / f"{case}.nii.gz", "CT")
    (tmp_path / "C").mkdir()
    patterns = {"PET": ("{case}/pet.nii.gz",), "CT": ("cts/{case}.nii.gz",)}
    found = read_arrangement(tmp_path, DataMap(layout=Layout.PATTERNS, volumes=patterns))
    assert found.cases == ("A", "B", "C")
    assert found.folders == {"A": ("A",), "B": (), "C": ("C",)}
    assert (found.files_of("A"), found.files_of("B")) == (("cts/A.nii.gz",), ("cts/B.nii.gz",))


def test_what_looks_like_two_layouts_is_a_question(tmp_path: Path) -> None:
    """With an example of each; the operator's word settles it, and the rest is told of."""
    put_scan(tmp_path / "A")
    put_scan(tmp_path / "B" / "old")
    with pytest.raises(DatasetError, match="more than one layout") as caught:
        understood(tmp_path)
    assert "--layout autopet, --layout folders" in caught.value.fix
    contents = understood(tmp_path, layout=Layout.FOLDERS)
    assert volumes(contents, tmp_path)["B"] == {}
    assert "too deep" in ignored(contents)["B/old/PET.nii.gz"]
    with pytest.raises(DatasetError, match="is not laid out as bids-pet"):
        understood(tmp_path, layout=Layout.BIDS)


def test_a_layout_in_which_no_volume_is_found_is_refused(tmp_path: Path) -> None:
    """Or all cases would be there, sound, without volumes; where no volume lies, that is so."""
    put_scan(tmp_path / "A")
    with pytest.raises(DatasetError, match="is not laid out as autopet"):
        understood(tmp_path, layout=Layout.STUDIES)
    put_scan(tmp_path / "B" / "study")
    assert volumes(understood(tmp_path, layout=Layout.STUDIES), tmp_path)["A"] == {}
    (tmp_path / "tables" / "A").mkdir(parents=True)
    assert volumes(understood(tmp_path / "tables", layout=Layout.FOLDERS), tmp_path) == {"A": {}}


def test_a_layout_that_has_no_place_for_the_pets_is_a_question(tmp_path: Path) -> None:
    """The CTs alone were a dataset of HECKTOR's; a map has both, and a word leaves the PETs."""
    for name in ("p1", "p2"):
        put_volume(tmp_path / f"{name}_ct.nii.gz", "CT")
    put_volume(tmp_path / ".p1_pet.nii.gz", "PET")
    assert understood(tmp_path).data_map.layout is Layout.HECKTOR
    for word in ("pet", "suv"):
        put_volume(tmp_path / f"p1_{word}.nii.gz", "PET")
        with pytest.raises(DatasetError, match=f"looks like hecktor.*p1_{word}") as caught:
            understood(tmp_path)
        assert caught.value.code == "unknown_layout"
        assert "--map FILE" in caught.value.fix
        assert understood(tmp_path, layout=Layout.HECKTOR).cases[0].volumes.keys() == {"CT"}
        path = tmp_path / "map.toml"
        path.write_text(f'[volumes]\nCT = "{{case}}_ct.nii*"\nPET = "{{case}}_{word}.nii*"\n')
        assert understood(tmp_path, file=path).cases[0].volumes.keys() == {"CT", "PET"}
        (tmp_path / f"p1_{word}.nii.gz").unlink()


def test_channels_without_names_are_a_question(tmp_path: Path) -> None:
    """Which is the PET, nobody can tell."""
    put_msd(tmp_path)
    both = '{"channel_names": {"0": "CT on PET"}}'
    for text in (None, "{", both, '{"channel_names": {"0": "T1"}}', '{"modality": [1]}'):
        (tmp_path / "dataset.json").unlink(missing_ok=True)
        if text is not None:
            (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(DatasetError, match="which channel is the PET") as caught:
            understood(tmp_path)
        assert caught.value.code == "unknown_channels"


def test_files_of_no_layout_are_a_question(tmp_path: Path) -> None:
    """An operator's map answers it: patterns, columns, aliases and the baseline."""
    for scan in ("a", "b"):
        put_volume(tmp_path / f"x 007 {scan}.nii.gz", "PET")
    with pytest.raises(DatasetError, match=r"x 007 a\.nii\.gz") as caught:
        understood(tmp_path)
    assert "--map" in caught.value.fix
    path = tmp_path / "map.toml"
    path.write_text(
        'id_column = "who"\ntable = "t.csv"\n[volumes]\nPET = "x {case} {scan}.nii*"\n'
        '[baseline]\npick = "first"\nwindow_days = [-42, 0]\n[aliases]\nseven = "007"\n'
    )
    (tmp_path / "t.csv").write_text("who,scan,scan_day\nseven,a,-9\nseven,b,-2\n")
    contents = understood(tmp_path, file=path)
    assert volumes(contents, tmp_path) == {"007": {"PET": "x 007 a.nii.gz"}}
    assert contents.cases[0].clinical == {"scan_day": "-9"}


@pytest.mark.parametrize("table", ["../out.csv", "/out.csv", "tables/../../out.csv"])
def test_the_table_of_a_map_lies_in_the_folder(table: str) -> None:
    """Trainers are shown what lies there; one elsewhere is named beside it."""
    with pytest.raises(ConfigurationError, match="leads out of it") as caught:
        DataMap(table=table)
    assert "--clinical" in caught.value.fix


def test_a_name_that_a_map_reads_in_two_ways_is_refused(tmp_path: Path) -> None:
    """One case with the CT of another and its own row came of it; what cases look like settles it.

    The same where the files are in a folder that may be a case's.
    """
    for name in ("A_pre_ct.nii.gz", "A_B_pre_ct.nii.gz"):
        put_volume(tmp_path / name, "CT")
    flat = DataMap(volumes={"CT": ("{case}_{scan}_ct.nii.gz",)}, baseline=LAST)
    with pytest.raises(DatasetError, match="whose volume A_B_pre_ct") as caught:
        read_contents(tmp_path, None, flat)
    assert caught.value.code == "ambiguous_name"
    assert "case A, scan B_pre; or case A_B, scan pre" in caught.value.why
    put_volume(tmp_path / "A_C_pre_ct.nii.gz", "CT")
    with pytest.raises(DatasetError, match="so can 1 more"):
        read_contents(tmp_path, None, flat)
    (tmp_path / "A_C_pre_ct.nii.gz").unlink()
    clear = replace(flat, volumes={"CT": ("{case:A_B}_{scan}_ct.nii*", "{case:A}_pre_ct.nii*")})
    assert [one.case_id for one in read_contents(tmp_path, None, clear).cases] == ["A", "A_B"]
    put_volume(tmp_path / "cases" / "A" / "A_B_1.nii.gz", "CT")
    folders = DataMap(volumes={"CT": ("{case}/{scan}_*.nii.gz", "{case}/x.nii")}, baseline=LAST)
    assert read_arrangement(tmp_path / "cases", folders).unclear
    with pytest.raises(DatasetError, match="case A, scan A; or case A, scan A_B"):
        read_contents(tmp_path / "cases", None, folders)


def test_what_else_lies_in_a_folder_is_named_with_why(tmp_path: Path) -> None:
    """System files, halves of pairs, links to nowhere, volumes of no modality, many others."""
    put_scan(tmp_path / "A", names="PET CT")
    for name in (".DS_Store", "._PET.nii.gz", "Thumbs.db", "T1.nii.gz", "notes.txt"):
        (tmp_path / "A" / name).touch()
    for name in ("MASK.img", "MASK.hdr"):
        (tmp_path / "A" / name).touch()
    (tmp_path / "A" / "MASK.nii.gz").symlink_to("gone.nii.gz")
    (tmp_path / "A" / "loop").symlink_to(tmp_path / "A")
    (tmp_path / "A" / "SEG.nii.gz").symlink_to("SEG.nii.gz")
    (tmp_path / "A" / "SUV.nii").mkdir()
    (tmp_path / "top_PET_.nii.gz").touch()
    (tmp_path / "A" / "dicom").mkdir()
    for number in range(5):
        (tmp_path / "A" / "dicom" / f"{number}.dcm").touch()
    why = ignored(understood(tmp_path))
    assert why.keys() == {
        "A/.DS_Store",
        "A/._PET.nii.gz",
        "A/Thumbs.db",
        "A/T1.nii.gz",
        "A/notes.txt",
        "A/MASK.img",
        "A/MASK.hdr",
        "A/MASK.nii.gz",
        "A/loop",
        "A/SEG.nii.gz",
        "A/SUV.nii",
        "A/dicom/",
        "top_PET_.nii.gz",
    }
    assert "nib-convert" in why["A/MASK.img"]
    assert "leads nowhere" in why["A/MASK.nii.gz"]
    assert why["A/dicom/"].startswith("5 files")
    assert "no word" in why["A/T1.nii.gz"]
    assert "too high" in why["top_PET_.nii.gz"]
    assert "circle" in why["A/loop"]


def test_a_volume_whose_name_says_pet_and_ct_is_named_and_a_map_settles_it(tmp_path: Path) -> None:
    """A CT on the grid of the PET was dropped beside an SUV."""
    put_scan(tmp_path / "A", names="SUV")
    put_volume(tmp_path / "A" / "CT_on_PET.nii.gz", "CT")
    assert "PET and CT" in ignored(understood(tmp_path))["A/CT_on_PET.nii.gz"]
    path = tmp_path / "map.toml"
    path.write_text('[volumes]\nPET = "{case}/SUV.nii.gz"\nCT = "{case}/CT_on_PET.nii.gz"\n')
    assert volumes(understood(tmp_path, file=path), tmp_path)["A"].keys() == {"CT", "PET"}


def test_names_stay_as_they_are_but_for_their_accents(tmp_path: Path) -> None:
    """Zeros, spaces, dots; composed or not, a folder finds its row, and keeps its path."""
    for name in ("007", "a b.c", unicodedata.normalize("NFD", "Zoé")):
        put_scan(tmp_path / name, names="PET")
    (tmp_path / "clinical.csv").write_text("case_id,x\n7,1\na b.c,2\nZoé,3\n")
    contents = understood(tmp_path)
    assert {case.case_id: case.clinical["x"] for case in contents.cases} == {
        "007": "1",
        "a b.c": "2",
        "Zoé": "3",
    }
    assert contents.data_map.aliases == {"7": "007"}
    assert all(path.is_file() for case in contents.cases for path in case.volumes.values())
    # Whoever reads by the map finds the same, without a guess of its own.
    assert read_contents(tmp_path, None, contents.data_map).cases == contents.cases
    assert not read_contents(tmp_path, None, DataMap()).cases[0].clinical


def test_an_id_that_could_be_a_withdrawn_cases_is_no_others(tmp_path: Path) -> None:
    """Whether or not its files are still there."""
    for name in ("007", "07"):
        put_scan(tmp_path / name, names="PET")
    (tmp_path / "clinical.csv").write_text("case_id,x\n7,1\n")
    for is_there in (True, False):
        data_map = choose_map(tmp_path, MapChoices())
        contents = read_contents(tmp_path, None, data_map, without={"07"}, is_thorough=True)
        (case,) = contents.cases
        assert case.clinical == {}
        assert contents.matching is not None
        assert contents.matching.doubts == {"7": ("007", "07")}
        if is_there:
            (tmp_path / "07").rename(tmp_path / ".gone")


def test_an_alias_is_kept_while_its_case_is_away(tmp_path: Path) -> None:
    """A check in between guesses no other in its place, and reading finds the same again."""
    for name in ("P-7", "007"):
        put_scan(tmp_path / "cases" / name, names="PET")
    (tmp_path / "cases" / "clinical.csv").write_text("case_id,x\n7,1\n")
    (tmp_path / "map.toml").write_text(
        '[volumes]\nPET = "{case}/PET.nii.gz"\n[aliases]\n7 = "P-7"\n'
    )
    data_map = choose_map(tmp_path / "cases", MapChoices(file=tmp_path / "map.toml"))
    for place in ("P-7", ".away", "P-7"):
        if not (tmp_path / "cases" / place).exists():
            (tmp_path / "cases" / ("P-7" if place == ".away" else ".away")).rename(
                tmp_path / "cases" / place
            )
        contents = read_contents(tmp_path / "cases", None, data_map, is_thorough=True)
        assert contents.data_map == data_map
        rows = {case.case_id: dict(case.clinical) for case in contents.cases}
        assert rows.pop("007") == {}
        assert rows == ({} if place == ".away" else {"P-7": {"x": "1"}})


@pytest.mark.parametrize("without", [(), ("7",)])
def test_a_row_that_is_named_as_a_case_is_is_no_others_by_an_alias(
    tmp_path: Path, without: tuple[str, ...]
) -> None:
    """Nor before the next check; nor where that case is withdrawn."""
    put_scan(tmp_path / "007", names="PET")
    (tmp_path / "clinical.csv").write_text("case_id,x\n7,1\n")
    data_map = understood(tmp_path).data_map
    assert data_map.aliases == {"7": "007"}
    put_scan(tmp_path / "7", names="PET")
    found = read_contents(tmp_path, None, data_map, without=without)
    rows = {case.case_id: dict(case.clinical) for case in found.cases}
    assert rows == {"007": {}} | ({} if without else {"7": {"x": "1"}})


def test_a_pet_and_a_ct_in_folders_of_their_own_are_not_lost(tmp_path: Path) -> None:
    """Called as their folders, they had no word left; they look like two scans, but for a map."""
    for name in ("PET", "CT"):
        put_scan(tmp_path / "cases" / "anna" / name, names=name)
    with pytest.raises(DatasetError) as caught:
        understood(tmp_path / "cases")
    assert caught.value.code == "several_scans"
    (file := tmp_path / "map.toml").write_text(
        '[volumes]\nPET = "{case}/PET/PET.nii.gz"\nCT = "{case}/CT/CT.nii.gz"\n'
    )
    (case,) = understood(tmp_path / "cases", file=file).cases
    assert case.volumes.keys() == {"PET", "CT"}


def test_a_link_to_a_case_is_a_case(tmp_path: Path) -> None:
    """Archives are linked, not copied."""
    put_scan(tmp_path / "archive" / "1", names="PET")
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "A").symlink_to(tmp_path / "archive" / "1")
    (case,) = understood(tmp_path / "cases").cases
    assert case.volume("PET").array.max() == 5.0


def test_a_name_that_is_no_unicode_is_told_of(tmp_path: Path) -> None:
    """No line to a trainer could carry it."""
    put_scan(tmp_path / "A", names="PET")
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    contents = understood(tmp_path)
    assert [case.case_id for case in contents.cases] == ["A"]
    assert any("no Unicode" in why for why in ignored(contents).values())


@pytest.mark.parametrize("name", ["clinical.csv", "the folder of the dataset"])
def test_a_table_or_a_dataset_out_of_reach_is_no_missing_one(name: str) -> None:
    """It is refused, by name: not read without its rows, and no traceback."""
    with own_folder() as place:
        dataset = place / "above" / "dataset"
        put_scan(dataset / "A", names="PET")
        (place / "secret").mkdir()
        (place / "secret" / "rows.csv").write_text("case_id,x\nA,1\n")
        (dataset / "clinical.csv").symlink_to(place / "secret" / "rows.csv")
        of_table = name == "clinical.csv"
        with (
            closed(place / "secret" if of_table else dataset.parent),
            pytest.raises(DatasetError, match=f"{name} cannot be read") as caught,
        ):
            read_contents(dataset, None, DataMap())
        assert (caught.value.code, caught.value.why) == ("unreadable", "Permission denied")


def test_a_folder_that_cannot_be_read_takes_nothing_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named; its case is there, without volumes. Of the dataset's own nothing is known."""
    for name in ("A", "B"):
        put_scan(tmp_path / name)
    scan, closed = os.scandir, {tmp_path / "A"}

    def refuse(path: Path) -> object:
        if path in closed:
            raise PermissionError(errno.EACCES, "no", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    contents = understood(tmp_path)
    assert volumes(contents, tmp_path)["A"] == {}
    assert volumes(contents, tmp_path)["B"].keys() == {"CT", "MASK", "PET"}
    assert ignored(contents) == {"A": "it cannot be read: Permission denied"}
    closed.add(tmp_path)
    with pytest.raises(DatasetError, match="the folder of the dataset cannot be read"):
        understood(tmp_path)
