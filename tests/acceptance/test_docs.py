"""What README and docs show is there: commands, options, files, examples, snippets."""

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import typer

import fedmq
from fedmq.cli.main import app
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.dictionary.applying import apply_dictionary
from fedmq.imaging.dictionary.model import Meaning
from fedmq.imaging.dictionary.reading import read_dictionary, read_local_words
from fedmq.imaging.layouts.data_map import Layout
from fedmq.imaging.layouts.map_file import read_map_file
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.messages.fields import RatioField
from fedmq.messages.notices import Heartbeat, Hello, NodeOnline, Receipt
from fedmq.messages.payloads import Chunk, ResendRequest
from fedmq.messages.registry import BODIES
from fedmq.messages.replies import HELD
from fedmq.messages.submissions import ExperimentReport, RoundRecord
from fedmq.node.policy import Policy
from fedmq.node.policy_file import PolicyTable, read_policy, table_of
from fedmq.parameters import load_parameters, save_parameters
from fedmq.researcher.run import Run
from fedmq.types import ExperimentId

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
EXAMPLES = ROOT / "examples"
FOLDERS = ("fedmq/", "docs/", "examples/", "tests/", "infra/")
MAX_PICTURE_BYTES = 200_000
ID_OF_PAGE = {page: str(page.relative_to(ROOT)) for page in PAGES}

pages = pytest.mark.parametrize("page", PAGES, ids=ID_OF_PAGE.get)


def fenced(page: Path, language: str) -> list[str]:
    """Return the contents of a page's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def shown_lines(page: Path) -> list[str]:
    """Return the lines of a page's indented blocks: what people copy into a shell."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [line[4:] for line in prose.splitlines() if re.match(r" {4}\S", line)]


def inline(page: Path) -> list[str]:
    """Return a page's inline code; one that goes over the end of a line is joined."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def commands(lines: list[str]) -> Iterator[list[str]]:
    """Yield the words of each command among lines, without its variables and comment."""
    for line in lines:
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if words:
            yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words name, and the words that are left for it."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"fedmq has no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def all_commands(command: object, name: str = "") -> Iterator[str]:
    """Yield every command of the command line."""
    children = getattr(command, "commands", None)
    if children is None:
        yield name
        return
    for word, child in children.items():
        yield from all_commands(child, f"{name} {word}".strip())


@pages
def test_every_command_that_is_shown_can_be_parsed(page: Path) -> None:
    """The command line has it, with those options and so many arguments."""
    for program, *words in commands(shown_lines(page)):
        if program == "fedmq":
            command, rest = find_command(words)
            assert not hasattr(command, "commands"), f"fedmq {words} is no whole command"
            command.make_context(command.name, rest)


@pages
def test_every_command_in_the_text_is_there(page: Path) -> None:
    """Inline, a command may stand without its arguments."""
    for program, *words in commands([code for code in inline(page) if "fedmq " in code]):
        if program == "fedmq" and not words[0].startswith("-"):
            command, rest = find_command(words)
            known = {name for one in command.params for name in one.opts + one.secondary_opts}
            for word in rest:
                assert not word.startswith("--") or word in known, f"{words}: no option {word}"


@pages
def test_every_other_program_is_there(page: Path) -> None:
    """The words of ./run, the modules and scripts of python."""
    run = (ROOT / "run").read_text()
    for program, *words in commands(shown_lines(page)):
        if program == "./run":
            assert re.search(rf"^{words[0]}\)", run, re.MULTILINE), words
        elif program == "python":
            assert (ROOT / words[0]).is_file(), words
        else:
            assert program in {"fedmq", "export"}, f"{page.name} shows {program}"


def test_readme_or_docs_name_every_command() -> None:
    """What is not named anywhere is not found by anybody."""
    named = " ".join(code for page in PAGES for code in inline(page) + shown_lines(page))
    for name in all_commands(typer.main.get_command(app)):
        assert f"fedmq {name}" in named, name


@pages
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(page: Path) -> None:
    """Links to other sites are not looked at: tests reach nothing."""
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}
        assert not anchor or anchor in anchors, target


@pages
def test_every_file_that_is_named_is_there(page: Path) -> None:
    """A path of the repository in inline code."""
    for code in inline(page):
        if code.startswith(FOLDERS) and not re.search(r"[\s<*]", code):
            assert (ROOT / code).exists(), f"{page.name} names {code}"


@pytest.mark.training
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_every_example_can_be_submitted(path: Path) -> None:
    """It is read, its plan is there, and its settings are the plan's."""
    spec, _, _ = fedmq.Experiment.from_toml(path).to_spec()
    assert spec.purpose


def test_the_dictionary_of_the_examples_fits_the_demonstration_and_the_words_in_the_docs(
    tmp_path: Path,
) -> None:
    """A hospital can begin with both files as they stand."""
    dictionary = read_dictionary(EXAMPLES / "dictionaries" / "lung-io.toml")
    write_cohort(SITES["chu-lyon"], tmp_path / "cases", num_cases=12, has_volumes=False)
    applied = apply_dictionary(Meaning(dictionary=dictionary), find_cases(tmp_path / "cases"))
    assert (applied.faults, applied.matching.missing) == ((), ())
    local, _ = fenced(ROOT / "docs" / "dictionary.md", "toml")
    (tmp_path / "ours.toml").write_text(local, encoding="utf-8")
    words = read_local_words(tmp_path / "ours.toml", dictionary)
    assert words.units == {"pfs_months": "days"}


def test_the_experiment_in_readme_is_the_example() -> None:
    """Without the example's first line, which says how to run it."""
    (shown,) = fenced(README, "toml")
    _, _, example = (EXAMPLES / "lung-pfs.toml").read_text().partition("\n")
    assert shown == example


def test_the_policy_in_the_docs_has_every_key_and_the_defaults(tmp_path: Path) -> None:
    """It can be used as it stands there; what has no default is said to have none."""
    (shown,) = fenced(ROOT / "docs" / "operators.md", "toml")
    path = tmp_path / "policy.toml"
    path.write_text(shown)
    table, usual = table_of(read_policy(path)), table_of(Policy())
    assert tomllib.loads(shown).keys() == PolicyTable.model_fields.keys()
    differing = {key for key in table if table[key] != usual[key]}
    assert differing == {"max_rounds_per_day", "hours", "time_zone"}


def test_the_page_on_data_names_every_layout_and_its_map_is_one(tmp_path: Path) -> None:
    """The map reads the files that it shows."""
    page = ROOT / "docs" / "data.md"
    named = {name for names, _ in rows(page.read_text()) for name in names}
    assert {str(one) for one in Layout} - {"patterns"} <= named
    (shown,) = fenced(page, "toml")
    (tmp_path / "map.toml").write_text(shown)
    files = (
        "pet/LYON_007_pre_suv.nii.gz",
        "pet/LYON_008_wk_6_suv.nii.gz",
        "ct/LYON_007_pre.nii.gz",
        "ct/LYON_007_pre_2mm.nii.gz",
        "masks/LYON_008_wk_6_lesions.nii.gz",
    )
    for name in files:
        (tmp_path / "cases" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cases" / name).touch()
    table = tmp_path / "cases" / "tables" / "outcomes.csv"
    table.parent.mkdir()
    table.write_text("patient,age\nP7,61\n")
    case, other = find_cases(tmp_path / "cases", data_map=read_map_file(tmp_path / "map.toml"))
    assert {path.name for path in case.volumes.values()} == {
        "LYON_007_pre_suv.nii.gz",
        "LYON_007_pre_2mm.nii.gz",
    }
    assert (case.case_id, case.clinical) == ("LYON_007", {"age": "61"})
    assert (other.case_id, other.volumes.keys()) == ("LYON_008", {"PET", "MASK"})


def test_every_code_of_a_refusal_that_waits_is_explained_to_operators() -> None:
    """Whoever reads it in a list finds it in the docs."""
    named = set(inline(ROOT / "docs" / "operators.md"))
    assert {str(code) for code in HELD} <= named


def rows(text: str) -> Iterator[tuple[set[str], str]]:
    """Yield for each row of a table the codes in its first cell, and the rest of it."""
    for line in text.splitlines():
        if line.startswith("| `"):
            first, _, rest = line[1:].partition("|")
            yield set(re.findall(r"`([^`]+)`", first)), rest


def test_what_leaves_a_site_is_told_field_by_field() -> None:
    """Every message that a node may send has its row, with everything that is in it."""
    _, _, page = (ROOT / "docs" / "data-flow.md").read_text().partition("## What a node sends")
    sent, _, rest = page.partition("## What a node is sent")
    told = {name: words for names, words in rows(sent) for name in names}
    replies = {body for body in BODIES if body.__module__.endswith(".replies")}
    notices = {Receipt, NodeOnline, Hello, Heartbeat, Chunk, ResendRequest}
    assert told.keys() == {body.TYPE for body in replies | notices}
    for body in replies | notices:
        missing = {name for name in body.model_fields if f"`{name}`" not in told[body.TYPE]}
        assert not missing, body.TYPE
    assert {body.TYPE for body in BODIES} - told.keys() <= set(re.findall(r"`([^`]+)`", rest))


def test_the_plan_in_the_docs_is_the_example() -> None:
    """Byte for byte: its digest is what operators approve."""
    shown, _ = fenced(ROOT / "docs" / "plans.md", "python")
    assert shown == (EXAMPLES / "mean_plan.py").read_text()


def test_the_plan_of_the_docs_learns_as_the_docs_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The snippet that tries a plan runs on an invented cohort; the fit is the mean by hand."""
    _, snippet = fenced(ROOT / "docs" / "plans.md", "python")
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    write_cohort(SITES["chu-lyon"], tmp_path / "cases", num_cases=10)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 - the docs' own
    ages = [float(case.clinical["age"]) for case in names["training"]]
    assert len(ages) == 7
    assert names["fit"].parameters["mean"] == pytest.approx([np.mean(ages)])
    assert "100% one pass" in capsys.readouterr().out


class _Federation:
    """A client that takes any experiment, and reports of it that it has finished."""

    def __init__(self, folder: Path) -> None:
        self.submitted: list[fedmq.Experiment] = []
        self.model = folder / "model"
        save_parameters({"w": np.ones(2)}, self.model)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        pass

    def submit(self, experiment: fedmq.Experiment) -> Run:
        self.submitted.append(experiment)
        return Run(ExperimentId("lung-pfs-1"), self)

    def read_report(self, experiment: ExperimentId, *, stop: bool = False) -> ExperimentReport:
        spec, _, _ = self.submitted[-1].to_spec()
        record = RoundRecord(
            round=spec.num_rounds,
            attempt=0,
            model="0" * 64,
            outcomes=[],
            train_metrics={},
            metrics={"c_index": RatioField(numerator=3.0, denominator=4.0)},
            bytes_up=0,
            bytes_down=0,
            duration_s=1.0,
        )
        return ExperimentReport(
            experiment=experiment,
            spec=spec,
            state="stopped" if stop else "finished",
            reason="",
            round=spec.num_rounds,
            model=None,
            records=[record],
        )

    def fetch_model(self, _experiment: ExperimentId) -> Path:
        return self.model


@pytest.mark.training
def test_the_snippet_of_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Experiment and run are the real ones; the federation finishes at once."""
    (snippet,) = fenced(README, "python")
    federation = _Federation(tmp_path)
    monkeypatch.setattr(fedmq.Client, "from_credentials", lambda _path: federation)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 - README's own
    assert capsys.readouterr().out.startswith("finished ")
    assert names["model"]["w"].tolist() == [1.0, 1.0]
    assert load_parameters(tmp_path / "model.safetensors")["w"].tolist() == [1.0, 1.0]


def test_pictures_are_small_and_shown() -> None:
    """A picture that no page shows is not looked after."""
    text = README.read_text()
    for picture in (ROOT / "docs" / "pictures").glob("*.png"):
        assert picture.stat().st_size < MAX_PICTURE_BYTES
        assert str(picture.relative_to(ROOT)) in text
