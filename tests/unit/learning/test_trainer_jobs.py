"""One job, in this process: what is answered, and with which code where something breaks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedmq.encodings.kinds import Kind
from fedmq.encodings.narrow import write_narrow
from fedmq.imaging.contents import find_map
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.dictionary.model import Meaning
from fedmq.imaging.intake import intake_of
from fedmq.imaging.layouts.data_map import DataMap
from fedmq.learning.trainer_cases import find_usable
from fedmq.learning.trainer_jobs import perform
from fedmq.learning.trainer_protocol import (
    Broken,
    Done,
    Job,
    JobKind,
    answer_line,
    parse_answer,
)
from fedmq.messages.fields import MAX_METRICS
from fedmq.messages.replies import FailureCode
from fedmq.parameters import load_parameters
from tests.support.files import new_file, stored
from tests.support.layouts import put_hecktor, put_scan
from tests.support.tiny_plan import write_cases, write_job
from tests.unit.imaging.dictionary.examples import lung


def ignore(share: float, text: str) -> None:
    """Take a report of progress."""


def answer_to(job: Job) -> Done | Broken:
    """Return the answer to `job`, having gone through a line."""
    answer = perform(job, ignore)
    assert parse_answer(answer_line(answer)) == answer
    return answer


def code_of(job: Job) -> FailureCode:
    """Return the code with which `job` breaks."""
    answer = answer_to(job)
    assert isinstance(answer, Broken)
    assert answer.job_id == job.job_id
    assert answer.what
    return answer.code


def test_training_writes_what_the_plan_learned_from_the_training_cases(tmp_path: Path) -> None:
    """Four of five cases train; their sum is added to the parameters, and counted as a metric."""
    job = write_job(tmp_path)
    reports: list[tuple[float, str]] = []
    answer = perform(job, lambda share, text: reports.append((share, text)))
    assert isinstance(answer, Done)
    total, count = answer.metrics["total"]
    assert total in {15 - left_out for left_out in range(1, 6)}
    assert (answer.num_cases, count) == (4, 4)
    assert (answer.num_training_cases, answer.num_validation_cases) == (4, 1)
    assert job.output_path is not None
    learned = load_parameters(Path(job.output_path))["w"]
    assert learned.dtype == np.float32
    assert learned.tolist() == [total] * 3
    assert reports == [(0.5, "learn")]


def test_a_table_is_read_by_its_dictionary_as_it_is_when_the_job_begins(tmp_path: Path) -> None:
    """A case whose cell is none of the dictionary's goes without its row: no plan sees the cell."""
    age = {"type": "number", "columns": ["x"], "range": [0, 4]}
    meaning = Meaning(dictionary=lung(variables={"value": age}, endpoint=None))
    job = write_job(tmp_path)
    folder = Path(job.dataset_folder)
    names = sorted(one.name for one in folder.iterdir() if one.is_dir())
    rows = [f"{name},{number}" for number, name in enumerate(names)]
    (folder / "clinical.csv").write_text("\n".join(["case_id,X", *rows]))
    found = find_usable(replace(job, meaning=meaning.model_dump_json()), ())
    values = {case.case_id: case.clinical for case in (*found.training, *found.validation)}
    assert [values[name].get("value") for name in names] == ["0.0", "1.0", "2.0", "3.0", "4.0"]
    (folder / "clinical.csv").write_text("\n".join(["case_id,X", *rows[:4], f"{names[4]},7"]))
    found = find_usable(replace(job, meaning=meaning.model_dump_json()), ())
    values = {case.case_id: case.clinical for case in (*found.training, *found.validation)}
    assert values[names[4]] == {}
    assert values[names[3]] == {"value": "3.0"}


def test_a_plan_that_counts_in_months_is_given_no_days(tmp_path: Path) -> None:
    """Where the experiment names no dictionary, and the site reads its table by one."""
    variables = {"x": {"type": "number", "unit": "days"}}
    meaning = Meaning(dictionary=lung(variables=variables, endpoint=None)).model_dump_json()
    job = with_source(
        tmp_path, write_job(tmp_path), "modalities = ()", 'units = {"mood": "months"}'
    )
    assert code_of(replace(job, config={"mood": "x"}, meaning=meaning)) is FailureCode.DATASET_ERROR
    in_months = meaning.replace('"days"', '"months"')
    assert code_of(replace(job, config={"mood": "x"}, meaning=in_months)) is not (
        FailureCode.DATASET_ERROR
    )


def test_a_model_that_came_narrow_is_trained_in_its_own_types(tmp_path: Path) -> None:
    """The plan sees what it declared; so does whoever takes the difference."""
    job = write_job(tmp_path)
    zeros = Path(job.parameters_path or "")
    write_narrow(stored(zeros), Kind.BF16, new_file(tmp_path / "narrow"))
    narrow = replace(job, parameters_path=str(tmp_path / "narrow"), is_narrow=True)
    outputs = []
    for one in (job, narrow):
        assert isinstance(answer_to(one), Done)
        outputs.append(Path(one.output_path or "").read_bytes())
    assert outputs[0] == outputs[1]
    assert code_of(replace(job, is_narrow=True)) is FailureCode.INTERNAL


def test_evaluation_counts_the_validation_cases(tmp_path: Path) -> None:
    """The metrics are those of the given parameters; nothing is written."""
    job = write_job(tmp_path, kind=JobKind.EVALUATE)
    answer = answer_to(job)
    assert isinstance(answer, Done)
    assert (answer.num_cases, answer.metrics) == (1, {"sum": (0.0, 1.0)})
    assert not Path(job.output_path or "").exists()


def test_evaluation_without_validation_cases_is_done_with_none(tmp_path: Path) -> None:
    """A share of 0 leaves nothing to evaluate, which is no failure."""
    answer = answer_to(write_job(tmp_path, kind=JobKind.EVALUATE, validation_share=0.0))
    assert isinstance(answer, Done)
    assert (answer.num_cases, answer.metrics) == (0, {})


def test_preparing_counts_cases_and_needs_no_parameters(tmp_path: Path) -> None:
    """A node learns whether it can take part before any model comes."""
    job = write_job(tmp_path, kind=JobKind.PREPARE, parameters_path=None, output_path=None)
    answer = answer_to(job)
    assert isinstance(answer, Done)
    assert (answer.num_training_cases, answer.num_validation_cases) == (4, 1)


def test_cases_without_the_plans_modalities_are_left_out_and_counted(tmp_path: Path) -> None:
    """Two of five cases have a PET; both counts say so, and the split knows the two alone."""
    job = write_job(tmp_path, kind=JobKind.PREPARE)
    job = with_source(tmp_path, job, "modalities = ()", 'modalities = ("PET",)')
    assert code_of(job) is FailureCode.DATASET_ERROR
    for name in ("case-2", "case-4"):
        (tmp_path / "cases" / name / "PET.nii.gz").touch()
    answer = answer_to(job)
    assert isinstance(answer, Done)
    assert (answer.num_training_cases, answer.num_validation_cases) == (1, 1)
    assert answer.num_cases_left_out == 3


def test_cases_are_found_by_the_map_of_the_dataset(tmp_path: Path) -> None:
    """A flat layout, of which the folders are no cases; and nothing is found by another map."""
    put_hecktor(tmp_path / "flat")
    job = write_job(tmp_path, kind=JobKind.PREPARE)
    needy = replace(
        with_source(tmp_path, job, "modalities = ()", 'modalities = ("PET",)'),
        dataset_folder=str(tmp_path / "flat"),
        data_map=find_map(tmp_path / "flat"),
    )
    answer = answer_to(needy)
    assert isinstance(answer, Done)
    assert (answer.num_training_cases, answer.num_validation_cases) == (1, 1)
    assert answer.num_cases_left_out == 1
    assert code_of(replace(needy, data_map=DataMap())) is FailureCode.DATASET_ERROR


def test_one_modality_of_several_may_be_enough(tmp_path: Path) -> None:
    """Two cases have a PET, one a CT: three are given to the plan, and the report has the rest."""
    job = with_source(
        tmp_path,
        write_job(tmp_path),
        "class TinyPlan(TrainingPlan):",
        "from fedmq.learning.modalities import AnyOf\n\n\nclass TinyPlan(TrainingPlan):",
    )
    job = with_source(tmp_path, job, "modalities = ()", 'modalities = (AnyOf(("PET", "CT")),)')
    for name, file in (("case-2", "PET"), ("case-3", "CT"), ("case-4", "PET"), ("case-5", "MASK")):
        (tmp_path / "cases" / name / f"{file}.nii.gz").touch()
    answer = answer_to(replace(job, validation_share=0.0))
    assert isinstance(answer, Done)
    assert answer.cases == ("case-2", "case-3", "case-4")
    assert answer.metrics["left_out_missing_modality"] == (2.0, 5.0)


def test_a_case_lacks_the_volumes_that_were_found_unfit(tmp_path: Path) -> None:
    """One damaged file does not stop a site; a plan that does without it has the case."""
    job = write_job(tmp_path, kind=JobKind.PREPARE, spoiled=(("case-2", "PET"), ("gone", "CT")))
    for number in range(1, 6):
        (tmp_path / "cases" / f"case-{number}" / "PET.nii.gz").touch()
    answer = answer_to(job)
    assert isinstance(answer, Done)
    assert answer.num_cases_left_out == 0
    needy = with_source(tmp_path, job, "modalities = ()", 'modalities = ("PET",)')
    answer = answer_to(replace(needy, spoiled=job.spoiled))
    assert isinstance(answer, Done)
    assert answer.num_training_cases + answer.num_validation_cases == 4
    assert answer.num_cases_left_out == 1


def reading_job(tmp_path: Path, modalities: str, **changes: object) -> Job:
    """Return a job whose plan reads what its cases have, on five cases with PET and CT."""
    job = with_source(
        tmp_path, write_job(tmp_path), "modalities = ()", f"modalities = {modalities}"
    )
    reads = "[case.volume(one) for case in cases for one in case.volumes]\n        "
    job = with_source(tmp_path, job, "total = sum(", f"{reads}total = sum(")
    with_source(tmp_path, job, "if self.config.mood ==", f"{reads}if self.config.mood ==")
    for number in range(1, 6):
        put_scan(tmp_path / "cases" / f"case-{number}", names="PET CT")
    return write_job(tmp_path, **changes)


def test_a_volume_that_broke_since_the_check_costs_its_case_alone(tmp_path: Path) -> None:
    """Counted as left out, and named for the site; every other case stays where it was."""
    before = answer_to(reading_job(tmp_path, '("PET",)'))
    assert isinstance(before, Done)
    broken = before.cases[1]
    pet = tmp_path / "cases" / broken / "PET.nii.gz"
    pet.write_bytes(pet.read_bytes()[:50])
    after = answer_to(write_job(tmp_path))
    assert isinstance(after, Done)
    assert after.cases == tuple(name for name in before.cases if name != broken)
    assert (after.num_cases, after.num_training_cases, after.num_cases_left_out) == (3, 3, 1)
    assert after.metrics["left_out_missing_modality"] == (1.0, 5.0)
    (why,) = after.unreadable
    assert why.startswith(f"case {broken}: PET.nii.gz cannot be used; why: ")
    evaluated = answer_to(write_job(tmp_path, kind=JobKind.EVALUATE))
    assert isinstance(evaluated, Done)
    assert (evaluated.num_cases, evaluated.unreadable) == (1, ())


def test_of_a_case_with_a_volume_that_broke_the_others_are_used(tmp_path: Path) -> None:
    """Where the plan does without; however many broke, and at whatever place."""
    job = reading_job(tmp_path, "()", validation_share=0.0)
    for number in range(1, 6):
        (tmp_path / "cases" / f"case-{number}" / "CT.nii.gz").write_bytes(b"no volume")
    (tmp_path / "cases" / "case-3" / "PET.nii.gz").write_bytes(b"")
    answer = answer_to(job)
    assert isinstance(answer, Done)
    assert (answer.num_cases, answer.num_cases_left_out) == (5, 0)
    assert answer.unreadable[-1] == "and 2 more: fedmq node data check names all"
    assert len(answer.unreadable) == 5


@pytest.mark.parametrize("has_intake", [False, True])
def test_where_no_case_is_left_the_job_breaks(tmp_path: Path, *, has_intake: bool) -> None:
    """As it does where none was fit before; also by those that a check found unfit since."""
    job = reading_job(tmp_path, '("PET",)')
    if has_intake:
        intake = intake_of(find_cases(tmp_path / "cases"), tmp_path / "cases")
        job = replace(job, intake=intake)
        unfit = tuple((name, "PET") for name in intake)
        assert code_of(replace(job, spoiled=unfit)) is FailureCode.DATASET_ERROR
    for place in (tmp_path / "cases").glob("*/PET.nii.gz"):
        place.write_bytes(b"")
    assert code_of(job) is FailureCode.DATASET_ERROR


def test_a_case_that_a_plan_calls_broken_is_looked_at(tmp_path: Path) -> None:
    """Its own word leaves nobody out."""
    lie = 'raise DatasetError("x", code="corrupt_file", case="case-2")'
    honest = 'raise DatasetError("the case has no weight")'
    with_source(tmp_path, reading_job(tmp_path, "()"), honest, lie)
    assert code_of(write_job(tmp_path, "dataset")) is FailureCode.DATASET_ERROR


@pytest.mark.parametrize(
    ("mood", "code"),
    [
        ("fails", FailureCode.TRAINING_ERROR),
        ("leaves", FailureCode.TRAINING_ERROR),
        ("dataset", FailureCode.DATASET_ERROR),
        ("plan", FailureCode.PLAN_ERROR),
        ("nothing", FailureCode.PLAN_ERROR),
        ("lists", FailureCode.PLAN_ERROR),
        ("counts", FailureCode.PLAN_ERROR),
        ("counts_none", FailureCode.DATASET_ERROR),
        ("memory", FailureCode.OUT_OF_MEMORY),
        ("memory_of_torch", FailureCode.OUT_OF_MEMORY),
        ("disk", FailureCode.DISK_FULL),
        ("nan", FailureCode.UPDATE_NOT_FINITE),
        ("overflow", FailureCode.UPDATE_NOT_FINITE),
        ("shape", FailureCode.UPDATE_MISSHAPEN),
        ("names", FailureCode.UPDATE_MISSHAPEN),
        ("complex_numbers", FailureCode.UPDATE_MISSHAPEN),
    ],
)
def test_what_a_plan_does_wrong_has_its_code(tmp_path: Path, mood: str, code: FailureCode) -> None:
    """Each way to break is told apart, and none leaves an output behind."""
    job = write_job(tmp_path, mood)
    assert code_of(job) is code
    assert not Path(job.output_path or "").exists()


def test_a_float64_result_of_float32_parameters_is_cast(tmp_path: Path) -> None:
    """The update has the types of the model, whatever the plan counted in."""
    job = write_job(tmp_path, "double")
    assert isinstance(answer_to(job), Done)
    assert load_parameters(Path(job.output_path or ""))["w"].dtype == np.float32


def test_a_metric_that_is_not_finite_breaks_the_plans_protocol(tmp_path: Path) -> None:
    """A message could not carry it; the site's log says which it is."""
    job = write_job(tmp_path, "nan", kind=JobKind.EVALUATE)
    assert code_of(job) is FailureCode.PLAN_ERROR


@pytest.mark.parametrize(
    "names",
    ["'Total'", "'case-0042'", "'a' * 41", "''", "'1st'", "'loss\\n'", "'\u00e9t\u00e9'", "1"],
)
def test_a_metric_is_named_by_a_word(tmp_path: Path, names: str) -> None:
    """So no name of a case and no text of a table travels as one; the node says it to the plan."""
    job = with_source(tmp_path, write_job(tmp_path), '"total":', f"{names}:")
    answer = answer_to(job)
    assert isinstance(answer, Broken)
    assert answer.code is FailureCode.PLAN_ERROR
    assert "a metric's name is no word" in answer.what


def test_a_plan_gives_no_more_metrics_than_a_message_holds(tmp_path: Path) -> None:
    """Twenty are taken, one more is refused."""
    for count, kind in ((MAX_METRICS, Done), (MAX_METRICS + 1, Broken)):
        many = f"**{{f'm_{{n}}': Ratio(numerator=1, denominator=1) for n in range({count - 1})}},"
        job = with_source(tmp_path, write_job(tmp_path), '"total":', f'{many} "total":')
        assert isinstance(answer_to(job), kind)


def test_the_traceback_stays_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log has what was raised and where; the answer has its class alone."""
    answer = answer_to(write_job(tmp_path, "fails"))
    assert isinstance(answer, Broken)
    assert answer.what == "ValueError"
    logged = capsys.readouterr().err
    assert "patient Doe is 99 years old" in logged
    assert "in fails" in logged


def with_source(tmp_path: Path, job: Job, old: str, new: str) -> Job:
    """Return `job` with a plan in which `new` stands for `old`, and its right digest."""
    source = tmp_path / "plan.py"
    assert old in source.read_text()
    source.write_text(source.read_text().replace(old, new))
    return write_job(tmp_path, kind=job.kind)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class TinyPlan", "class TinyPlan 1"),
        ("import signal", "import signal, no_such_module"),
        ("(TrainingPlan)", ""),
        ("    def evaluate", "    def assess"),
        ("name = ", "1 / 0\n    name = "),
    ],
)
def test_a_source_that_gives_no_plan_is_a_plan_error(tmp_path: Path, old: str, new: str) -> None:
    """Syntax, imports, a missing class or method, an error at import."""
    job = with_source(tmp_path, write_job(tmp_path), old, new)
    assert code_of(job) is FailureCode.PLAN_ERROR


def test_a_plan_that_is_not_the_approved_one_is_not_run(tmp_path: Path) -> None:
    """The digest is of the bytes that are run; a changed file is refused."""
    job = write_job(tmp_path)
    assert isinstance(answer_to(job), Done)
    with (tmp_path / "plan.py").open("a") as source:
        source.write("\n")
    assert code_of(job) is FailureCode.PLAN_ERROR


@pytest.mark.parametrize(
    "changes",
    [
        {"source_path": None, "plan_name": "no-such-plan"},
        {"source_path": "/no/such/file.py"},
        {"config": {"mood": "learn", "epochs": 3}},
    ],
    ids=str,
)
def test_an_unknown_plan_or_config_is_a_plan_error(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    """A name that is not in the catalogue, a file that is gone, a field that the plan lacks."""
    assert code_of(write_job(tmp_path, **changes)) is FailureCode.PLAN_ERROR


def test_a_dataset_that_is_not_there_or_empty_is_a_dataset_error(tmp_path: Path) -> None:
    """Before any plan code has seen it."""
    missing = write_job(tmp_path, dataset_folder=str(tmp_path / "nowhere"))
    empty = write_job(tmp_path, dataset_folder=str(write_cases(tmp_path / "none", 0)))
    assert code_of(missing) is FailureCode.DATASET_ERROR
    assert code_of(empty) is FailureCode.DATASET_ERROR


def test_parameters_that_cannot_be_read_are_an_internal_failure(tmp_path: Path) -> None:
    """Neither the plan nor the data is to blame."""
    job = write_job(tmp_path)
    (tmp_path / "zeros").write_bytes(b"\0" * 20)
    assert code_of(job) is FailureCode.INTERNAL
    assert code_of(write_job(tmp_path, parameters_path=None)) is FailureCode.INTERNAL


def test_a_second_job_draws_the_same_random_numbers_as_the_first(tmp_path: Path) -> None:
    """Also from the global generators: a warm trainer gives the bytes of a new one."""
    jobs = [write_job(tmp_path, "random", seed=seed) for seed in (5, 5, 2**63 - 1)]
    drawn = []
    for job in jobs:
        assert isinstance(answer_to(job), Done)
        drawn.append(Path(job.output_path or "").read_bytes())
    assert drawn[0] == drawn[1] != drawn[2]


def given_to(job: Job) -> tuple[str, ...]:
    """Return the cases that the plan is given."""
    answer = answer_to(job)
    assert isinstance(answer, Done)
    return answer.cases


def test_the_answer_names_the_cases_that_the_plan_was_given(tmp_path: Path) -> None:
    """So that the node can tell later which update a case had entered."""
    training = given_to(write_job(tmp_path))
    validating = given_to(write_job(tmp_path, kind=JobKind.EVALUATE))
    assert sorted((*training, *validating)) == [f"case-{number}" for number in range(1, 6)]
    assert len(validating) == 1
    assert given_to(write_job(tmp_path, kind=JobKind.PREPARE)) == ()


def test_a_withdrawn_case_is_in_nothing_and_moves_nobody(tmp_path: Path) -> None:
    """Neither in training nor in validation nor in the counts, with or without its files."""
    training = given_to(write_job(tmp_path))
    validating = given_to(write_job(tmp_path, kind=JobKind.EVALUATE))
    for gone in (training[0], validating[0]):
        withdrawn = ((gone, ()),)
        left = given_to(write_job(tmp_path, withdrawn=withdrawn))
        assert left == tuple(name for name in training if name != gone)
        evaluated = given_to(write_job(tmp_path, kind=JobKind.EVALUATE, withdrawn=withdrawn))
        assert evaluated == tuple(name for name in validating if name != gone)
        counted = answer_to(write_job(tmp_path, kind=JobKind.PREPARE, withdrawn=withdrawn))
        assert isinstance(counted, Done)
        assert (counted.num_training_cases, counted.num_validation_cases) == (
            len(left),
            len(evaluated),
        )
    (tmp_path / "cases" / training[0]).rmdir()
    left = given_to(write_job(tmp_path, withdrawn=((training[0], ()),)))
    assert left == training[1:]


def test_a_withdrawn_case_keeps_its_place_only_where_the_plan_had_it(tmp_path: Path) -> None:
    """A plan that needs a PET never had a case without one in its split, and so no place for it."""
    job = write_job(tmp_path, kind=JobKind.EVALUATE, validation_share=0.5)
    needy = with_source(tmp_path, job, "modalities = ()", 'modalities = ("PET",)')
    for number in range(1, 5):
        (tmp_path / "cases" / f"case-{number}" / "PET.nii.gz").touch()
    four = given_to(needy)
    assert given_to(replace(needy, withdrawn=(("case-5", ()),))) == four
    (tmp_path / "cases" / "case-5" / "PET.nii.gz").touch()
    five = given_to(needy)
    kept = given_to(replace(needy, withdrawn=(("case-5", ("CT", "PET")),)))
    assert kept == tuple(name for name in five if name != "case-5")
    assert five != four


def test_an_experiment_goes_on_with_the_cases_that_it_began_with(tmp_path: Path) -> None:
    """One that comes is in nothing and moves nobody; one that goes stops the task, by name."""
    names = [f"case-{number}" for number in range(1, 6)]
    intake: dict[str, dict[str, str]] = {name: {} for name in names}
    training = given_to(write_job(tmp_path, intake=intake))
    validating = given_to(write_job(tmp_path, kind=JobKind.EVALUATE, intake=intake))
    for number in range(6, 16):
        (tmp_path / "cases" / f"case-{number}").mkdir()
    assert given_to(write_job(tmp_path, kind=JobKind.EVALUATE)) != validating
    assert given_to(write_job(tmp_path, kind=JobKind.EVALUATE, intake=intake)) == validating
    assert given_to(write_job(tmp_path, intake=intake)) == training
    (tmp_path / "cases" / training[0]).rmdir()
    answer = answer_to(write_job(tmp_path, intake=intake))
    assert isinstance(answer, Broken)
    assert answer.code is FailureCode.DATASET_ERROR
    assert f"{training[0]} is gone" in answer.what
    withdrawn = ((training[0], ()),)
    assert given_to(write_job(tmp_path, intake=intake, withdrawn=withdrawn)) == training[1:]


def test_a_volume_found_unfit_later_leaves_its_place_empty(tmp_path: Path) -> None:
    """A check between two rounds makes nobody a validation case who trained."""
    job = write_job(tmp_path, validation_share=0.4)
    needy = with_source(tmp_path, job, "modalities = ()", 'modalities = ("PET",)')
    intake = {}
    for number in range(1, 6):
        (tmp_path / "cases" / f"case-{number}" / "PET.nii.gz").touch()
        intake[f"case-{number}"] = {"PET": (f"case-{number}/PET.nii.gz", 0, 0)}
    needy = replace(needy, intake=intake, validation_share=0.4)
    before = given_to(needy)
    for unfit in intake:
        after = given_to(replace(needy, spoiled=((unfit, "PET"),)))
        assert after == tuple(name for name in before if name != unfit)


@pytest.mark.parametrize("seed", range(8))
def test_who_was_not_settled_has_no_place(tmp_path: Path, seed: int) -> None:
    """One that came later and was withdrawn; one whose files were gone, so that all was noted."""
    cases = tmp_path / "cases"
    job = write_job(tmp_path, split_seed=seed)
    needy = with_source(tmp_path, job, "modalities = ()", 'modalities = ("PET",)')
    for number in range(1, 6):
        (cases / f"case-{number}" / "PET.nii.gz").touch()
    (cases / "case-6").mkdir()
    intake = intake_of(find_cases(cases), cases)
    needy = replace(needy, split_seed=seed, validation_share=0.4, intake=intake)
    before = given_to(needy)
    (cases / "case-6").rmdir()
    late = tuple((f"late-{number}", ("PET",)) for number in range(3))
    assert given_to(replace(needy, withdrawn=(*late, ("case-6", ("CT", "PET"))))) == before


def test_training_is_not_begun_where_all_its_cases_are_withdrawn(tmp_path: Path) -> None:
    """That is no fault of the dataset: the node says that there are too few."""
    training = given_to(write_job(tmp_path))
    job = write_job(tmp_path, withdrawn=tuple((name, ()) for name in training))
    answer = answer_to(job)
    assert isinstance(answer, Done)
    assert (answer.num_cases, answer.num_training_cases, answer.cases) == (0, 0, ())
    assert answer.num_validation_cases == 1
    assert not Path(job.output_path or "").exists()
