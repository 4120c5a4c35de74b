"""Code that nobody approved for this: refused with its code, before a byte of data is read."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from fedmq.learning.catalogue import plan_digest, plan_source
from fedmq.learning.trainer_jobs import perform
from fedmq.learning.trainer_protocol import Broken, Job, JobKind
from fedmq.messages.fields import PlanReference, Study
from fedmq.messages.replies import FailureCode, Refusal, RefusalCode
from fedmq.node.proposals import Wishes
from fedmq.node.terms import Limit
from tests.support.tiny_plan import SOURCE
from tests.unit.node.world import DATASET, RELAXED, TINY, World

pytestmark = pytest.mark.row("14")

STUDY: Final = Study(protocol="FEDPET-01", ethics="CPP 2026-117", end="1970-06-30")
OWN: Final = Wishes(
    researcher="ana",
    study=STUDY,
    datasets=(DATASET,),
    until="1970-03-31",
    max_rounds=3,
    limits={"mood": Limit(words=("learn",))},
)
DAY_S: Final = 86_400.0
CHANGED: Final = SOURCE + "\n"
_watched: list[str] = []
_reads: list[str] = []


def _note_read(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and event in {"open", "os.scandir", "os.listdir"}:
        path = arguments[0]
        if isinstance(path, str | Path) and str(path).startswith(_watched[0]):
            _reads.append(f"{event} {path}")


sys.addaudithook(_note_read)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a node that approved the plan, and whose data are watched; its trainer reads them."""
    made = World(tmp_path, policy=replace(RELAXED, require_study=True, min_nodes=2))
    made.worker.begun = lambda job: list(Path(job.dataset_folder).iterdir()) and None
    made.prepare(study=STUDY)
    made.approve(wishes=OWN)
    made.orchestrator.accepted.clear()
    _watched.append(str(tmp_path / "cases"))
    _reads.clear()
    yield made
    _watched.clear()
    made.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """What is wrong with a request, or what happened at the site before it came."""

    code: RefusalCode
    fields: dict[str, Any] | None = None
    """Of the request, otherwise than was approved."""
    before: Callable[[World], None] = lambda _world: None


def _of(source: str) -> PlanReference:
    return TINY.model_copy(update={"digest": plan_digest(source.encode())})


def _later(days: float) -> Callable[[World], None]:
    def pass_time(world: World) -> None:
        world.now += days * DAY_S

    return pass_time


def _change_on_disk(world: World) -> None:
    world.plans.source_path(TINY.digest).write_text(CHANGED)


def _change_packages(world: World) -> None:
    world.dependencies = {"torch": "2.6"}


def _need_two_persons(world: World) -> None:
    world.policy = replace(world.policy, approvals_needed=2)


CATALOGUE: Final = PlanReference(
    name="clinical-logistic",
    digest=plan_digest(plan_source("clinical-logistic")),
    is_shipped=False,
)
ATTACKS: Final = {
    "a plan of the catalogue that nobody approved": Attack(
        code=RefusalCode.PLAN_AWAITS_APPROVAL, fields={"plan": CATALOGUE, "plan_source": None}
    ),
    "a plan of the catalogue of other bytes": Attack(
        code=RefusalCode.PLAN_DIFFERS,
        fields={
            "plan": CATALOGUE.model_copy(update={"digest": TINY.digest}),
            "plan_source": None,
        },
    ),
    "a plan that calls itself the catalogue's": Attack(
        code=RefusalCode.UNKNOWN_PLAN,
        fields={"plan": TINY.model_copy(update={"is_shipped": False}), "plan_source": None},
    ),
    "revoked": Attack(code=RefusalCode.PLAN_REJECTED, before=World.reject),
    "expired": Attack(code=RefusalCode.APPROVAL_EXPIRED, before=_later(90)),
    "after the end of the study": Attack(code=RefusalCode.STUDY_ENDED, before=_later(200)),
    "an argument out of range": Attack(
        code=RefusalCode.CONFIG_OUT_OF_RANGE, fields={"config": {"mood": "dies"}}
    ),
    "an argument that is left to its default": Attack(
        code=RefusalCode.CONFIG_OUT_OF_RANGE, fields={"config": {}}
    ),
    "another researcher": Attack(
        code=RefusalCode.RESEARCHER_NOT_APPROVED, fields={"researcher": "bob"}
    ),
    "another study": Attack(
        code=RefusalCode.STUDY_NOT_APPROVED,
        fields={"study": STUDY.model_copy(update={"protocol": "OTHER-02"})},
    ),
    "a study that ends later": Attack(
        code=RefusalCode.STUDY_NOT_APPROVED,
        fields={"study": STUDY.model_copy(update={"end": "1999-12-31"})},
    ),
    "no study": Attack(code=RefusalCode.STUDY_MISSING, fields={"study": None}),
    "another dataset": Attack(code=RefusalCode.DATASET_NOT_APPROVED, fields={"dataset": "petct-2"}),
    "too few nodes": Attack(code=RefusalCode.TOO_FEW_NODES, fields={"quorum": 1}),
    "other packages": Attack(code=RefusalCode.DEPENDENCIES_CHANGED, before=_change_packages),
    "one person where two are needed": Attack(
        code=RefusalCode.PLAN_AWAITS_APPROVAL, before=_need_two_persons
    ),
}
OF_QUESTIONS: Final = {
    "one byte more, the approved digest": Attack(
        code=RefusalCode.PLAN_DIFFERS, fields={"source": CHANGED}
    ),
    "one byte more, its own digest": Attack(
        code=RefusalCode.PLAN_AWAITS_APPROVAL, fields={"source": CHANGED, "plan": _of(CHANGED)}
    ),
    "more rounds": Attack(code=RefusalCode.ROUNDS_NOT_APPROVED, fields={"num_rounds": 4}),
}
OF_WORK: Final = {
    "one byte more on the node's disk": Attack(
        code=RefusalCode.PLAN_DIFFERS, before=_change_on_disk
    ),
    "other bytes, their own digest": Attack(
        code=RefusalCode.UNKNOWN_PLAN, fields={"plan": _of(CHANGED)}
    ),
}


def begin(world: World, attack: Attack) -> None:
    """Let happen at the site what comes before the request."""
    records = world.service._records
    records.datasets.add("petct-2", world.folder / "cases", now=world.now)
    attack.before(world)
    _reads.clear()


def require_refused(world: World, attack: Attack, kind: str) -> None:
    """Return if the only answer is the attack's code, and nothing was begun or read."""
    world.run(seconds=3)
    (answer,) = world.orchestrator.answers
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.request_type) == (attack.code, kind)
    assert world.worker.jobs == []
    assert _reads == []


@pytest.mark.parametrize("name", ATTACKS | OF_QUESTIONS)
def test_a_question_is_refused_before_any_data_is_read(world: World, name: str) -> None:
    """Counting the cases would run the plan."""
    attack = (ATTACKS | OF_QUESTIONS)[name]
    begin(world, attack)
    fields = {"study": STUDY} | (attack.fields or {})
    if "plan_source" in fields:
        fields["source"] = fields.pop("plan_source")
    world.over()
    world.prepare("liver", **fields)
    require_refused(world, attack, "prepare.request")


@pytest.mark.parametrize("name", ATTACKS | OF_WORK)
def test_work_is_refused_before_any_data_is_read(world: World, name: str) -> None:
    """An orchestrator that never asked, or asked for something else, gets no further."""
    attack = (ATTACKS | OF_WORK)[name]
    begin(world, attack)
    fields = {"study": STUDY} | (attack.fields or {})
    fields.pop("plan_source", None)
    world.over()
    world.train(experiment="liver", **fields)
    require_refused(world, attack, "train.request")


def test_what_was_approved_runs_and_is_seen_to_read(world: World) -> None:
    """The same requests without an attack: the reader of these tests counts."""
    begin(world, Attack(code=RefusalCode.STALE))
    world.over()
    world.prepare("liver", study=STUDY)
    assert [job.kind for job in world.worker.jobs] == [JobKind.PREPARE]
    world.done()
    world.train(experiment="liver", study=STUDY)
    assert [job.kind for job in world.worker.jobs] == [JobKind.PREPARE, JobKind.TRAIN]
    assert any(line.startswith("open ") for line in _reads)


def test_a_setting_beyond_the_plans_own_range_ends_the_trainer_before_data(
    tmp_path: Path,
) -> None:
    """Ranges that the plan declares are in its bytes: they are checked where it is loaded."""
    _watched.append(str(tmp_path))
    _reads.clear()
    job = Job(
        job_id="j",
        kind=JobKind.PREPARE,
        plan_name=CATALOGUE.name,
        plan_digest=CATALOGUE.digest,
        source_path=None,
        config={"epochs": 0},
        dataset_folder=str(tmp_path),
        clinical=None,
        spoiled=(),
        withdrawn=(),
        seed=0,
        round=0,
        split_seed=0,
        validation_share=0.2,
        num_threads=1,
        parameters_path=None,
        output_path=None,
    )
    ended = perform(job, lambda _share, _text: None)
    _watched.clear()
    assert isinstance(ended, Broken)
    assert ended.code is FailureCode.PLAN_ERROR
    assert _reads == []
