"""The commands for datasets: what is there, what is wrong, as text and as JSON."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.imaging.synthetic import SITES, write_cohort
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
        "  PET       3",
        "  clinical  3",
    ]
    assert "read 3 of 3 cases" in added.talk
    assert added.ends_with_next

    listed = node("node", "data", "list")
    assert listed.data.splitlines() == ["dataset  cases  folder", "lung         3  cases"]
    assert "next: fedmq node data check lung" in listed.talk

    checked = node("node", "data", "check", "lung")
    assert (checked.code, checked.data, checked.ends_with_next) == (1, added.data, True)

    removed = node("node", "data", "remove", "lung")
    assert removed.code == 0
    assert removed.ends_with_next
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
    assert finding["code"] == "corrupt_file"
    assert content == {
        "schema_version": 1,
        "dataset": "lung",
        "num_cases": 3,
        "num_sound": 2,
        "cases_without": {"CT": [finding["case_id"]], "MASK": [], "PET": [], "clinical": []},
    }


def test_a_sound_dataset_ends_its_check_with_0(node: CommandLine, home: Path) -> None:
    """The next command is another one then; one case is no plural."""
    write_cohort(SITES[LYON], home / "sound", num_cases=1)
    node("node", "data", "add", "one", "sound")
    checked = node("node", "data", "check", "one")
    assert checked.code == 0
    assert "one: 1 case, 1 without a finding" in checked.data
    assert "read 1 of 1 case\n" in checked.talk
    assert "next: fedmq node start" in checked.talk


@pytest.mark.parametrize("command", ["check", "remove"])
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
