"""What must be true of every run, however much went wrong, and the run of one seed."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from fedmq.audit import log as audit_log
from fedmq.audit.facts import HeadObjected
from fedmq.audit.log import AuditLog
from fedmq.disk import Disk
from fedmq.messages.submissions import RoundRecord
from fedmq.node.audit_facts import TrainingDone
from fedmq.node.audit_verify import verify_records
from fedmq.node.policy import Policy
from fedmq.node.records import Records, open_records
from fedmq.orchestrator.audit_facts import RoundFolded
from fedmq.simulation.approval import RELAXED
from fedmq.simulation.encodings_by_hand import AS_IT_IS, Travel
from fedmq.simulation.faults import Fault, Faults, draw_faults
from fedmq.simulation.members import UNDERTAKINGS, Undertaking
from fedmq.simulation.plain_wire import PlainWire
from fedmq.simulation.training import models_by_hand, num_cases
from fedmq.simulation.world import Course, Scenario, World
from fedmq.types import ExperimentId, NodeId

_NAMES: Final = ("chu-lyon", "ghu-paris", "ico-nantes", "umc-basel", "uz-gent")
_DAY_S: Final = 86_400.0
_READ_ALL: Final = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was wrong with one run; all zero and empty where nothing was."""

    seed: int
    lost_rounds: int = 0
    """Rounds that were to be and have no record or no model."""
    double_counted: int = 0
    """Updates that are in a model more than once, or with other cases than they had."""
    stale_run: int = 0
    """Work that a node did again after it was answered, or for what was over."""
    digest_mismatches: int = 0
    """Models that are not, to the last bit, what plain arithmetic makes of those who took part."""
    turned_away: int = 0
    """Messages of honest services that became dead letters, whether refused or poisonous."""
    log_faults: int = 0
    """Audit logs that do not verify; updates in a model that their node's log tells not once."""
    mishaps: Mapping[Fault, int] = field(default_factory=dict)
    num_lives: int = 0
    seconds: float = 0.0
    """Of virtual time."""
    why: str = ""
    """What an error said that nobody caught, or that it did not come to rest."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing was wrong."""
        return not (
            self.lost_rounds
            or self.double_counted
            or self.stale_run
            or self.digest_mismatches
            or self.turned_away
            or self.log_faults
            or self.why
        )


def draw_scenario(random: Random) -> Scenario:
    """Return a small federation; in two of three all nodes are needed, in any time."""
    nodes = tuple(NodeId(name) for name in _NAMES[: random.randint(2, len(_NAMES))])
    needs_all = random.random() < 2 / 3
    return Scenario(
        nodes=nodes,
        num_rounds=random.randint(1, 3),
        quorum=len(nodes) if needs_all else random.randint(1, len(nodes)),
        round_deadline_s=20 * _DAY_S if needs_all else random.choice((300.0, 3_600.0, _DAY_S)),
        evaluate=random.random() < 2 / 3,
        seed=random.randrange(2**31),
    )


def run_seed(
    seed: int,
    *,
    faults: Faults | None = None,
    policies: Sequence[Policy] = (RELAXED,),
    travel: Travel = AS_IT_IS,
    undertakings: tuple[Undertaking, ...] = UNDERTAKINGS[:1],
) -> Findings:
    """Return what was wrong with the run of a seed; without `faults` they are drawn from it too.

    The nodes have the policies in turn; updates and models go as `travel` says. Each of the
    undertakings has an orchestrator of its own.
    """
    random = Random(seed)
    scenario = replace(draw_scenario(random), travel=travel, undertakings=undertakings)
    mixture = draw_faults(random) if faults is None else faults
    world = World(scenario, mixture, seed)
    for node, policy in zip(world.nodes.values(), itertools.cycle(policies), strict=False):
        node.policy = policy
    try:
        is_at_rest = world.run()
        return _judge(world, seed, is_at_rest=is_at_rest)
    except Exception as error:  # noqa: BLE001 - whatever a service lets through ends its process
        return Findings(seed=seed, why=f"{type(error).__name__}: {error}")
    finally:
        world.close()


def _judge(world: World, seed: int, *, is_at_rest: bool) -> Findings:
    why = "" if is_at_rest else f"not at rest after {world.time:.0f} s: {_waiting(world)}"
    records = {course.undertaking.experiment: _records(course) for course in world.courses}
    return Findings(
        seed=seed,
        lost_rounds=sum(world.scenario.num_rounds - len(of_one) for of_one in records.values()),
        double_counted=sum(_num_miscounted(one) for of_one in records.values() for one in of_one),
        stale_run=world.num_stale,
        digest_mismatches=sum(
            _num_mismatches(world.scenario, course, records[course.undertaking.experiment])
            for course in world.courses
        ),
        turned_away=world.num_buried,
        log_faults=sum(_log_faults(world, node, records) for node in world.scenario.nodes)
        + sum(
            _orchestrator_log_faults(course, records[course.undertaking.experiment])
            for course in world.courses
        ),
        mishaps=dict(world.misfortune.counts),
        num_lives=sum(machine.num_lives for machine in world.machines),
        seconds=world.time,
        why=why,
    )


def _waiting(world: World) -> str:
    reports = [course.researcher.report for course in world.courses]
    return ", ".join("not heard of" if one is None else one.reason for one in reports)


def _num_mismatches(scenario: Scenario, course: Course, records: Sequence[RoundRecord]) -> int:
    participants = [
        [one.node for one in record.outcomes if one.outcome == "updated"] for record in records
    ]
    seed = scenario.seed_of(course.undertaking)
    expected = models_by_hand(seed, participants, scenario.travel)
    found = [_model(course, number) for number in range(len(records) + 1)]
    return sum(one != other for one, other in zip(found, expected, strict=True))


def _log_faults(
    world: World, node: NodeId, records: Mapping[ExperimentId, Sequence[RoundRecord]]
) -> int:
    kept = open_records(world.nodes[node].home)
    log = kept.audit
    told = Counter((one.experiment, one.round, one.attempt) for one in log.facts(TrainingDone))
    rounds = {(experiment, number) for experiment, number, _ in told}
    counted = {
        (experiment, record.round)
        for experiment, of_one in records.items()
        for record in of_one
        for one in record.outcomes
        if one.node == node and one.outcome == "updated"
    }
    twice = sum(count - 1 for count in told.values())
    return (
        (verify_records(kept).fault is not None)
        + _num_unwitnessed(node, kept)
        + len(counted - rounds)
        + twice
    )


def _orchestrator_log_faults(course: Course, records: Sequence[RoundRecord]) -> int:
    """Return whether it does not verify, and how many models it does not tell of just once."""
    machine = course.orchestrator
    log = AuditLog(machine.home.journal(audit_log.SCHEMA), machine.clock)
    told = Counter(one.model for one in log.facts(RoundFolded) if one.updates)
    models = Counter(one.model for one in records)
    return (log.verify().fault is not None) + (told != models)


def _num_unwitnessed(node: NodeId, kept: Records) -> int:
    """Return what is wrong with the heads that a node told: refused, or not signed for it."""
    wire = PlainWire()
    signed = kept.heads.countersigned()
    wrong = sum(not wire.is_countersigned(one.head, node, by=one.by) for one in signed)
    num_objected = sum(1 for _ in kept.audit.facts(HeadObjected))
    return wrong + num_objected


def _num_miscounted(record: RoundRecord) -> int:
    counted = Counter(one.node for one in record.outcomes)
    wrong = sum(
        one.outcome == "updated" and one.num_cases != num_cases(one.node) for one in record.outcomes
    )
    return wrong + sum(count - 1 for count in counted.values())


def _records(course: Course) -> list[RoundRecord]:
    text = _disk(course).read("rounds.jsonl", 0, _READ_ALL)
    return [RoundRecord.model_validate_json(line) for line in text.splitlines()]


def _model(course: Course, number: int) -> bytes:
    disk = _disk(course)
    name = f"round-{number:04d}.safetensors"
    return b"" if disk.size_bytes(name) is None else disk.read(name, 0, _READ_ALL)


def _disk(course: Course) -> Disk:
    return course.orchestrator.home.disk("experiments", course.undertaking.experiment)
