"""An experiment as a person writes it: what is wrong is named, with what was expected and came."""

from datetime import date
from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError, PlanError
from fedmq.imaging.dictionary.reading import read_dictionary
from fedmq.learning.catalogue import plan_digest, plan_source
from fedmq.messages.fields import MAX_SOURCE_BYTES, Study
from fedmq.parameters import parameters_bytes
from fedmq.researcher.experiment import Experiment
from tests.support import tiny_plan
from tests.unit.researcher.federation import experiment

WHOLE = """\
[experiment]
name = "lung"
plan = "clinical-logistic"
dataset = "lung-petct"
rounds = 2
quorum = 1
"""


def written(folder: Path, text: str) -> Path:
    """Return the path of a file with this text."""
    path = folder / "experiment.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_with_all_that_is_needed_is_an_experiment(tmp_path: Path) -> None:
    """What is left out has its default, what is there is kept."""
    more = 'nodes = ["chu-lyon", "ghu-paris"]\nround_deadline_s = 60\nevaluate = false\n'
    read = Experiment.from_toml(written(tmp_path, WHOLE + more + "[config]\nl2 = 0.5\n"))
    assert read == Experiment(
        name="lung",
        plan="clinical-logistic",
        dataset="lung-petct",
        rounds=2,
        quorum=1,
        nodes=["chu-lyon", "ghu-paris"],
        round_deadline_s=60,
        evaluate=False,
        config={"l2": 0.5},
    )


@pytest.mark.parametrize(
    ("line", "key", "expected", "got"),
    [
        ('rounds = "two"', "rounds", "a whole number", "'two'"),
        ("rounds = 0", "rounds", "at least 1", "0"),
        ("rounds = true", "rounds", "a whole number", "True"),
        ("quorum = 1.5", "quorum", "a whole number", "1.5"),
        ('evaluate = "yes"', "evaluate", "true or false", "'yes'"),
        ("validation_share = 1.0", "validation_share", "less than 1", "1.0"),
        ("validation_share = -0.1", "validation_share", "at least 0", "-0.1"),
        ("round_deadline_s = 0", "round_deadline_s", "more than 0", "0"),
        ("waiting_deadline_s = 4e7", "waiting_deadline_s", "at most 31536000", "40000000.0"),
        (
            'update_encoding = "zip"',
            "update_encoding",
            "one of exact, bf16, fp16, int8, top-k",
            "'zip'",
        ),
        ("update_encoding = 8", "update_encoding", "text", "8"),
        ('model_encoding = "int8"', "model_encoding", "one of exact, bf16, fp16", "'int8'"),
        ("top_k_share = 0", "top_k_share", "more than 0", "0"),
        ("top_k_share = 1.5", "top_k_share", "at most 1", "1.5"),
        ("seed = -1", "seed", "at least 0", "-1"),
        ("num_threads = 0", "num_threads", "at least 1", "0"),
        ('nodes = "chu-lyon"', "nodes", "a list of names", "'chu-lyon'"),
        ('nodes = ["Lyon"]', "nodes.0", "1 to 40 of a-z, 0-9 and -", "'Lyon'"),
        ("nodes = [7]", "nodes.0", "text", "7"),
        ('name = "Lung PFS"', "name", "1 to 40 of a-z, 0-9 and -", "'Lung PFS'"),
        ("plan = 3", "plan", "the name of a plan, or the path of one", "3"),
        ("dataset = []", "dataset", "text", "[]"),
        (f'purpose = "{"x" * 201}"', "purpose", "at most 200 characters", "'xxx"),
        ('quorum = 3\nnodes = ["a", "b", "a"]', "quorum", "at most the 2 nodes named", "3"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(
    tmp_path: Path, line: str, key: str, expected: str, got: str
) -> None:
    """One error, three facts."""
    names = {text.partition(" =")[0] for text in line.splitlines()}
    kept = [text for text in WHOLE.splitlines() if text.partition(" =")[0] not in names]
    with pytest.raises(ConfigurationError) as caught:
        Experiment.from_toml(written(tmp_path, "\n".join([*kept, line])))
    assert caught.value.what == f"{key} cannot be used"
    assert caught.value.why.startswith(f"expected: {expected}; got: {got}")
    assert caught.value.fix


STUDY = """\
[study]
protocol = "FEDPET-01"
ethics = "CPP 2026-117"
end = 2027-12-31
"""


def test_a_study_goes_with_the_experiment(tmp_path: Path) -> None:
    """Its end is a date in the file and in Python, and text in the message."""
    read = Experiment.from_toml(written(tmp_path, WHOLE + STUDY))
    assert read == experiment(
        study={"protocol": "FEDPET-01", "ethics": "CPP 2026-117", "end": date(2027, 12, 31)}
    )
    spec, _, _ = read.to_spec()
    assert spec.study == Study(protocol="FEDPET-01", ethics="CPP 2026-117", end="2027-12-31")
    assert Experiment.from_toml(written(tmp_path, WHOLE)).to_spec()[0].study is None


@pytest.mark.parametrize(
    ("before", "after", "key", "expected"),
    [
        ("end = 2027-12-31", "", "study.end", "protocol, ethics and end"),
        ("end = 2027-12-31", 'end = "soon"', "study.end", "a date such as 2027-12-31"),
        ("end = 2027-12-31", "end = 7", "study.end", "a date such as 2027-12-31"),
        ("end = ", "fin = ", "study.end", "protocol, ethics and end"),
        ('"FEDPET-01"', '""', "study.protocol", "at least 1 character"),
    ],
)
def test_what_is_wrong_with_a_study_is_named(
    tmp_path: Path, before: str, after: str, key: str, expected: str
) -> None:
    """As for any other key."""
    with pytest.raises(ConfigurationError) as caught:
        Experiment.from_toml(written(tmp_path, WHOLE + STUDY.replace(before, after)))
    assert caught.value.what == f"{key} cannot be used"
    assert caught.value.why.startswith(f"expected: {expected}; got: ")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (WHOLE + "round = 3\n", "experiment.toml: [experiment] has no key 'round'"),
        (WHOLE + "config = 3\n", "experiment.toml: [experiment] has no key 'config'"),
        (WHOLE + "[nodes]\n", "experiment.toml has no table 'nodes'"),
        ("rounds = 3\n" + WHOLE, "experiment.toml: rounds stands outside a table"),
        (WHOLE.replace("quorum = 1\n", ""), "experiment.toml lacks quorum"),
        ("", "experiment.toml lacks name, plan, dataset, rounds, quorum"),
        (WHOLE + "seed = \n", "experiment.toml is no TOML"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, what: str) -> None:
    """The error names the file and the key."""
    with pytest.raises(ConfigurationError) as caught:
        Experiment.from_toml(written(tmp_path, text))
    assert caught.value.what == what
    assert caught.value.why
    assert caught.value.fix


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    """Neither is a bug of fedmq."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Experiment.from_toml(tmp_path / "none.toml")
    (tmp_path / "experiment.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="no TOML"):
        Experiment.from_toml(tmp_path / "experiment.toml")


@pytest.mark.parametrize("name", ["all", "-"])
def test_a_reserved_word_names_nothing(name: str) -> None:
    """Neither an experiment nor a node."""
    with pytest.raises(ConfigurationError, match="reserved"):
        experiment(name=name)
    with pytest.raises(ConfigurationError, match="reserved"):
        experiment(nodes=[name])


@pytest.mark.parametrize("value", [{"deep": 1}, [[1]], float("inf"), None, "x" * 201])
def test_a_setting_that_no_message_carries_is_named(value: object) -> None:
    """Before the plan is even read."""
    with pytest.raises(ConfigurationError, match=r"config\.l2 cannot be used"):
        experiment(config={"l2": value}, plan="no-such-plan")


def test_a_setting_that_the_plan_has_not_is_refused_with_those_it_has() -> None:
    """The plan checks its own."""
    with pytest.raises(ConfigurationError, match="no setting 'epoch'"):
        experiment(config={"epoch": 3}).to_spec()


def test_a_plan_of_the_catalogue_goes_by_name_and_digest() -> None:
    """The digest is that of the installed source, which operators approve."""
    spec, source, plan_class = experiment(nodes=("chu-lyon",)).to_spec()
    assert (spec.plan.name, spec.plan.is_shipped) == ("clinical-logistic", False)
    assert spec.plan.digest == plan_digest(plan_source("clinical-logistic"))
    assert (source, plan_class.name) == (None, "clinical-logistic")
    assert (spec.num_rounds, spec.nodes) == (2, ["chu-lyon"])


def test_a_plan_of_ones_own_goes_with_its_exact_source(tmp_path: Path) -> None:
    """Relative to the file of the experiment; line ends and accents stay."""
    content = tiny_plan.SOURCE.encode() + "# é\r\n".encode()
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "mine.py").write_bytes(content)
    text = WHOLE.replace("clinical-logistic", "plans/mine.py")
    spec, source, plan_class = Experiment.from_toml(written(tmp_path, text)).to_spec()
    assert source is not None
    assert source.encode() == content
    assert spec.plan.digest == plan_digest(content)
    assert (spec.plan.name, spec.plan.is_shipped) == (plan_class.name, True)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"x = (", "source cannot be loaded"),
        (b"x = 1", "exactly one training plan"),
        (b"#" * (MAX_SOURCE_BYTES + 1), f"at most {MAX_SOURCE_BYTES} bytes"),
    ],
)
def test_a_plan_of_ones_own_that_is_none_is_refused(
    tmp_path: Path, content: bytes, what: str
) -> None:
    """Before anything is sent."""
    path = tmp_path / "mine.py"
    path.write_bytes(content)
    with pytest.raises(PlanError, match=what):
        experiment(plan=str(path)).to_spec()


def test_a_plan_whose_name_is_no_name_is_refused(tmp_path: Path) -> None:
    """It is a word of approvals and reports."""
    path = tmp_path / "mine.py"
    path.write_text(tiny_plan.SOURCE.replace('"tiny"', '"Not A Name"'), encoding="utf-8")
    with pytest.raises(PlanError, match="Not A Name"):
        experiment(plan=str(path)).to_spec()


def test_plans_that_are_not_there_are_refused() -> None:
    """By name and by path."""
    with pytest.raises(PlanError, match="no plan 'petct'"):
        experiment(plan="petct").to_spec()
    with pytest.raises(PlanError, match="cannot be read"):
        experiment(plan="nowhere/mine.py").to_spec()


def test_the_initial_parameters_are_those_of_the_seed() -> None:
    """Equal seeds give equal bytes; the plan of the experiment decides on names and shapes."""
    one, same = experiment(seed=7), experiment(seed=7)
    plan_class = one.to_spec()[2]
    assert one.initial_parameters(plan_class)
    assert parameters_bytes(one.initial_parameters(plan_class)) == parameters_bytes(
        same.initial_parameters(plan_class)
    )


def test_an_experiment_shows_itself_as_text_and_as_a_table() -> None:
    """Names of people's choice are no markup."""
    shown = experiment(purpose="<script>", nodes=["chu-lyon"])
    assert str(shown) == "lung: 2 rounds of clinical-logistic on lung-petct at chu-lyon, quorum 1"
    assert "&lt;script&gt;" in shown._repr_html_()
    assert "<script>" not in shown._repr_html_()


def test_a_dictionary_is_named_by_what_it_says(tmp_path: Path) -> None:
    """Its path is relative to the file; nodes compare digests, people names and versions."""
    variable = 'variables.pfs_months = {type = "number", unit = "UNIT"}'
    said = f'name = "lung-io"\nversion = "1.0"\n{variable}\n'
    wrong = written(tmp_path, WHOLE + 'dictionary = "days.toml"\n')
    for text, says in (
        (
            said.replace("UNIT", "days"),
            "pfs_months is in days, and clinical-log",
        ),
        (said.replace("pfs_months", "pfs"), "has no variable pfs_months"),
    ):
        (tmp_path / "days.toml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError, match=says):
            Experiment.from_toml(wrong).to_spec()
    said = said.replace("UNIT", "months")
    (tmp_path / "dictionary.toml").write_text(said, encoding="utf-8")
    path = written(tmp_path, WHOLE + 'dictionary = "dictionary.toml"\n')
    spec = Experiment.from_toml(path).to_spec()[0]
    assert spec.dictionary is not None
    assert (spec.dictionary.name, spec.dictionary.version) == ("lung-io", "1.0")
    assert spec.dictionary.digest == read_dictionary(tmp_path / "dictionary.toml").digest
    assert Experiment.from_toml(written(tmp_path, WHOLE)).to_spec()[0].dictionary is None
    for wrong, says in (
        ('"absent.toml"', "absent.toml cannot be read"),
        ("7", "the path of a TOML"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            Experiment.from_toml(written(tmp_path, f"{WHOLE}dictionary = {wrong}\n"))
