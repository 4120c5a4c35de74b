"""The commands for datasets: what is there, what is wrong, as text and as JSON."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.imaging.volumes import Volume, load_volume, save_volume
from fedmq.node.kept_cases import KeptCases
from fedmq.types import Digest, ExperimentId, Role
from tests.unit.cli.line import CommandLine

LYON = "chu-lyon"


@pytest.fixture
def node(fedmq: CommandLine, credentials: Callable[..., Path], home: Path) -> CommandLine:
    """Return the command line of a node, with a folder `cases` of three cases, one cut in two."""
    credentials(LYON, Role.NODE, home / "node" / "credentials.toml")
    write_cohort(SITES[LYON], home / "cases", num_cases=3)
    corrupt = min(path for path in (home / "cases").iterdir() if path.is_dir())
    pet = corrupt / "PET.nii.gz"
    pet.write_bytes(pet.read_bytes()[: pet.stat().st_size // 2])
    (corrupt / "CT.nii.gz").unlink()
    return fedmq


def test_a_dataset_is_added_listed_checked_and_removed(node: CommandLine, home: Path) -> None:
    """Each screen ends with the next command; paths are typed from here."""
    bad = min(path.name for path in (home / "cases").iterdir() if path.is_dir())
    nothing = node("node", "data", "list")
    assert (nothing.data, nothing.ends_with_next) == ("", True)
    assert "no dataset is registered" in nothing.talk

    added = node("node", "data", "add", "lung", "cases")
    assert added.code == 0
    assert added.data.splitlines()[0].startswith(f"{bad}: corrupt_file: ")
    assert added.data.splitlines()[1:] == [
        "lung: 3 cases, 2 without a finding",
        f"  CT        2  not of {bad}",
        "  MASK      3",
        f"  PET       3  1 of these is not used: {bad}",
        "  clinical  3",
        "  layout    folders",
        "  spacing   CT 3.00 x 3.00 x 3.50 mm",
        "  spacing   MASK 4.00 x 4.00 x 4.00 mm",
        "  spacing   PET 4.00 x 4.00 x 4.00 mm",
        "  rows      of 3 cases",
    ]
    assert "read 3 of 3 cases" in added.talk
    assert added.ends_with_next

    listed = node("node", "data", "list")
    assert listed.data.splitlines() == ["dataset  cases  folder", "lung         3  cases"]
    assert "next: fedmq node data check lung" in listed.talk

    checked = node("node", "data", "check", "lung")
    assert (checked.code, checked.data, checked.ends_with_next) == (1, added.data, True)
    assert "its page, which shows patients and stays here: node/checks/lung.html" in checked.talk
    page = home / "node" / "checks" / "lung.html"
    assert page.stat().st_mode & 0o777 == 0o600
    assert bad in page.read_text()

    removed = node("node", "data", "remove", "lung")
    assert removed.code == 0
    assert removed.ends_with_next
    assert not page.exists()
    assert node("node", "data", "list", "--json").json == {"schema_version": 1, "datasets": []}


def test_programs_get_the_same_without_patients(node: CommandLine, home: Path) -> None:
    """Findings by case and code; the clinical table's values are in no answer."""
    node("node", "data", "add", "lung", "cases")
    (dataset,) = node("node", "data", "list", "--json").json["datasets"]
    assert (dataset["name"], dataset["num_cases"]) == ("lung", 3)
    assert dataset["folder"] == str(home / "cases")
    checked = node("node", "data", "check", "lung", "--json")
    assert checked.code == 1
    content = checked.json
    (finding,) = content.pop("findings")
    assert (finding["code"], finding["is_doubt"]) == ("corrupt_file", False)
    assert content.pop("page") == str(home / "node" / "checks" / "lung.html")
    assert {
        "schema_version": 1,
        "dataset": "lung",
        "num_cases": 3,
        "num_sound": 2,
        "cases_without": {"CT": [finding["case_id"]], "MASK": [], "PET": [], "clinical": []},
        "not_used": {"PET": [finding["case_id"]]},
        "columns": None,
        "num_with": {"CT": 2, "MASK": 3, "PET": 3},
    }.items() <= content.items()
    assert content["data_map"]["layout"] == content["layout"] == "folders"


def test_a_sound_dataset_ends_its_check_with_0(node: CommandLine, home: Path) -> None:
    """The next command is another one then; one case is no plural."""
    write_cohort(SITES[LYON], home / "sound", num_cases=1)
    node("node", "data", "add", "one", "sound")
    checked = node("node", "data", "check", "one")
    assert checked.code == 0
    assert "one: 1 case, 1 without a finding" in checked.data
    assert "read 1 of 1 case\n" in checked.talk
    assert "next: fedmq node start" in checked.talk


def test_a_doubt_is_told_and_ends_no_check_with_1(node: CommandLine, home: Path) -> None:
    """A case of another scale than the others: it is sound until somebody says otherwise."""
    write_cohort(SITES[LYON], home / "sites", num_cases=6)
    odd = home / "sites" / "chu-lyon-004" / "PET.nii.gz"
    pet = load_volume(odd)
    save_volume(Volume(array=pet.array * np.float32(4.0), affine=pet.affine), odd)
    node("node", "data", "add", "six", "sites")
    checked = node("node", "data", "check", "six", "--html", "here.html")
    assert checked.code == 0
    assert checked.data.splitlines()[0].startswith("chu-lyon-004: odd_scale: ")
    assert "six: 6 cases, 6 without a finding" in checked.data
    assert "stays here: here.html" in checked.talk
    assert "odd_scale" in (home / "here.html").read_text()
    (doubt,) = node("node", "data", "check", "six", "--json").json["findings"]
    assert (doubt["code"], doubt["is_doubt"]) == ("odd_scale", True)


def test_a_page_that_cannot_be_written_is_an_error_before_anything_is_read(
    node: CommandLine,
) -> None:
    """What, why and the fix."""
    node("node", "data", "add", "lung", "cases")
    outcome = node("node", "data", "check", "lung", "--html", "nowhere/page.html")
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: the page page.html cannot be written" in outcome.talk
    outcome = node("node", "data", "check", "lung", "--html", ".")
    assert "error: the page cannot be ." in outcome.talk
    assert "--html lung.html" in outcome.talk
    assert "read" not in outcome.talk


@pytest.mark.parametrize("command", ["check", "remove", "features"])
def test_a_dataset_that_is_not_there_is_an_error(command: str, node: CommandLine) -> None:
    """The fix lists those that are."""
    outcome = node("node", "data", command, "nobodys")
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: there is no dataset nobodys" in outcome.talk
    assert "fix: fedmq node data list" in outcome.talk


def test_a_case_is_withdrawn_once_and_listed(node: CommandLine, home: Path) -> None:
    """The screen says what it had entered; its name is for the operator alone."""
    first, *_ = sorted(path.name for path in (home / "cases").iterdir() if path.is_dir())
    node("node", "data", "add", "lung", "cases")
    nothing = node("node", "data", "withdrawn", "lung")
    assert (nothing.data, nothing.ends_with_next) == ("", True)
    done = node("node", "data", "withdraw", "lung", first, "--reason", "letter of May 3")
    assert (done.code, done.data, done.ends_with_next) == (0, "", True)
    assert done.talk.splitlines()[:2] == [
        f"{first} of lung is in no later round, and is not counted any more",
        "it had entered no model",
    ]
    again = node("node", "data", "withdraw", "lung", first)
    assert again.code == 0
    assert f"{first} of lung was withdrawn before; nothing has changed" in again.talk
    listed = node("node", "data", "withdrawn", "lung").data.splitlines()
    assert listed[0].split() == ["case", "since", "reason"]
    assert listed[1].split(maxsplit=2)[::2] == [first, "letter of May 3"]
    (known,) = node("node", "data", "withdrawn", "lung", "--json").json["withdrawn"]
    assert (known["case_id"], known["modalities"]) == (first, ["MASK"])
    assert node("node", "data", "list").data.splitlines()[1].split()[:2] == ["lung", "2"]
    assert first not in node("node", "data", "check", "lung").data
    document = node("node", "data", "withdraw", "lung", first, "--json").json
    assert (document["is_new"], document["models"], document["num_cases"]) == (False, [], 2)


def test_pages_that_were_drawn_elsewhere_are_named_when_a_case_is_withdrawn(
    node: CommandLine, home: Path
) -> None:
    """Those that are still there, and no other dataset's: nobody but the operator removes them."""
    first = f"{LYON}-001"
    write_cohort(SITES[LYON], home / "sites", num_cases=2)
    for name in ("lung", "other"):
        node("node", "data", "add", name, "sites")
        for page in ("stays", "goes"):
            node("node", "data", "check", name, "--html", f"{name}-{page}.html")
    (home / "lung-goes.html").rename(home / ".lung-goes.html.new")  # as a kill leaves it
    done = node("node", "data", "withdraw", "lung", first)
    stays = home / "lung-stays.html"
    told = [line for line in done.talk.splitlines() if "was drawn elsewhere" in line]
    assert told == [
        f"a page of lung that may show it was drawn elsewhere: delete {name}"
        for name in (".lung-goes.html.new", "lung-stays.html")
    ]
    assert stays.is_file()
    assert node("node", "data", "withdraw", "lung", first, "--json").json["pages"] == [
        str(home / ".lung-goes.html.new"),
        str(stays),
    ]


@pytest.mark.parametrize("words", [("withdraw", "lung"), ("remove", "lung")])
def test_what_is_prepared_of_a_dataset_goes_with_it_or_with_a_case(
    node: CommandLine, home: Path, words: tuple[str, ...]
) -> None:
    """At once, whether the node runs or not, in all experiments; of other datasets it stays."""
    first, *_ = sorted(path.name for path in (home / "cases").iterdir() if path.is_dir())
    node("node", "data", "add", "lung", "cases")
    kept = KeptCases(home / "node" / "cases")
    places = [
        kept.place(ExperimentId(experiment), plan_digest=Digest("p"), dataset=dataset, withdrawn=())
        for experiment in ("a", "b")
        for dataset in ("lung", "liver")
    ]
    done = node("node", "data", *words, *([first] if words[0] == "withdraw" else []))
    assert done.code == 0
    assert [one is not None and one.folder.exists() for one in places] == [False, True] * 2


def test_a_case_or_dataset_that_is_not_there_cannot_be_withdrawn(node: CommandLine) -> None:
    """What, why and the fix."""
    node("node", "data", "add", "lung", "cases")
    outcome = node("node", "data", "withdraw", "lung", "nobody")
    assert outcome.code == 1
    assert outcome.talk.splitlines()[0] == "error: the dataset lung has no case nobody"
    outcome = node("node", "data", "withdraw", "liver", "nobody")
    assert (outcome.code, outcome.talk.splitlines()[0]) == (1, "error: there is no dataset liver")


def test_another_dataset_with_a_case_of_that_name_is_told(node: CommandLine, home: Path) -> None:
    """When it is withdrawn, and when such a dataset is added: it may be the same patient."""
    first, *_ = sorted(path.name for path in (home / "cases").iterdir() if path.is_dir())
    node("node", "data", "add", "lung", "cases")
    node("node", "data", "add", "whole", "cases")
    done = node("node", "data", "withdraw", "lung", first)
    assert f"whole has a case {first} too" in done.talk
    added = node("node", "data", "add", "again", "cases")
    assert f"{first} is withdrawn from lung; if it is that patient" in added.talk
    node("node", "data", "withdraw", "whole", first)
    assert "again has a case" in node("node", "data", "withdraw", "whole", first).talk
    assert "whole has a case" not in node("node", "data", "withdraw", "lung", first).talk


DICTIONARY = """
name = "lung-io"
version = "1.0"
variables.age = {type = "number", unit = "years", range = [18, 110], meaning = "at diagnosis"}
variables.sex = {type = "category", codes = ["F", "M"]}
variables.pfs_months = {type = "number", unit = "months", range = [0, 240]}
variables.progressed = {type = "flag"}
endpoint = {time = "pfs_months", event = "progressed", time_zero = "first infusion"}
baseline = {window_days = [-42, 0]}
"""


def table(home: Path, *, months: str = "pfs_months", sex: str = "F") -> Path:
    """Write the table of the three cases, with a column's name and one case's sex as given."""
    path = home / "cases" / "clinical.csv"
    names = sorted(one.name for one in (home / "cases").iterdir() if one.is_dir())
    rows = [f"{name},64,{sex if number == 0 else 'M'},9,1" for number, name in enumerate(names)]
    path.write_text("\n".join([f"case_id,age,sex,{months},progressed", *rows]), encoding="utf-8")
    return path


def test_a_dataset_is_read_by_a_dictionary(node: CommandLine, home: Path) -> None:
    """It is shown by what; another table is refused by name, and nothing changes."""
    (home / "dictionary.toml").write_text(DICTIONARY, encoding="utf-8")
    table(home)
    added = node("node", "data", "add", "lung", "cases", "--dictionary", "dictionary.toml")
    assert added.code == 0
    assert "  age                 column age, in years" in added.data
    shown = node("node", "data", "dictionary", "lung")
    assert shown.data.splitlines()[0].startswith("lung-io 1.0  ")
    assert "endpoint: pfs_months until progressed, from first infusion" in shown.data
    assert "baseline: the last scan of day -42 to 0" in shown.data
    assert "at diagnosis" in shown.data
    assert node("node", "data", "dictionary", "lung", "--json").json["digest"] in shown.data

    first = min(one.name for one in (home / "cases").iterdir() if one.is_dir())
    table(home, sex="divers")
    checked = node("node", "data", "check", "lung")
    assert checked.code == 1
    why = "unknown_code: column sex: 'divers' is none of F, M"
    assert f"{first}: {why}" in checked.data
    assert f"  clinical  3  1 of these is not used: {first}\n" in checked.data
    page = (home / "node" / "checks" / "lung.html").read_text()
    assert "findings: unknown_code" in page
    assert "with a clinical row that can be used</th><td>2<" in page
    assert node("node", "data", "check", "lung", "--json").json["not_used"]["clinical"] == [first]

    table(home, months="pfs_days")
    refused = node("node", "data", "check", "lung")
    assert refused.code == 1
    assert "its name says days; the dictionary wants months" in refused.talk
    (home / "local.toml").write_text('[units]\npfs_months = "days"\n', encoding="utf-8")
    node("node", "data", "dictionary", "lung", "--remove")
    assert "it has no dictionary" in node("node", "data", "dictionary", "lung").talk
    files = ("--set", "dictionary.toml", "--local", "local.toml")
    said = node("node", "data", "dictionary", "lung", *files)
    assert "  pfs_months          column pfs_days, in days" in said.data
    assert "  rows      of 3 cases" in said.data
    assert f"  no day    {first}, " in said.data


def test_another_dictionary_tells_of_the_dataset_what_a_check_does(
    node: CommandLine, home: Path
) -> None:
    """Who loses a row, or has no volume; for programs too, in one document."""
    (home / "dictionary.toml").write_text(DICTIONARY, encoding="utf-8")
    table(home, sex="divers")
    node("node", "data", "add", "lung", "cases")
    by_hand = node("node", "data", "dictionary", "lung", "--set", "dictionary.toml")
    assert by_hand.code == 1
    assert by_hand.data.endswith(node("node", "data", "check", "lung").data)
    by_program = node("node", "data", "dictionary", "lung", "--set", "dictionary.toml", "--json")
    assert by_program.code == 1
    checked = node("node", "data", "check", "lung", "--json").json
    del checked["page"]
    assert {name: by_program.json[name] for name in checked} == checked
    assert by_program.json["digest"] in by_hand.data


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("dictionary", "liver"), "there is no dataset liver"),
        (("dictionary", "lung", "--local", "local.toml"), "--local is read with a dictionary"),
        (("dictionary", "lung", "--set", "dictionary.toml", "--remove"), "--remove goes with no"),
        (("dictionary", "lung", "--set", "absent.toml"), "absent.toml cannot be read"),
        (("add", "x", "cases", "--local", "local.toml"), "there is none"),
    ],
)
def test_what_makes_no_sense_is_said(
    node: CommandLine, home: Path, arguments: tuple[str, ...], says: str
) -> None:
    """And nothing is registered or changed."""
    (home / "dictionary.toml").write_text(DICTIONARY, encoding="utf-8")
    node("node", "data", "add", "lung", "cases")
    refused = node("node", "data", *arguments)
    assert refused.code == 1
    assert says in refused.talk
    assert node("node", "data", "dictionary", "lung", "--json").json["dictionary"] is None
