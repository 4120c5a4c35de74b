"""Error feedback at a node: what is not sent is sent later, once, whoever is killed meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fedmq.encodings.kinds import Encoding, Kind
from fedmq.encodings.reader import EncodedUpdate
from fedmq.messages.replies import Failure, FailureCode, TrainReply
from fedmq.messages.requests import Counted
from fedmq.node.audit_facts import TrainingDone
from fedmq.node.storage import Storage
from fedmq.node.updates import make_update
from fedmq.parameters import file_layout, load_parameters, parameters_bytes, save_parameters
from fedmq.transport.home import LocalHome
from fedmq.types import Digest
from tests.unit.node.world import DATASET, LUNG, Killed, World

SIZE = 12
TOP_K = Encoding(kind=Kind.TOP_K, share=0.25)
INT8 = Encoding(kind=Kind.INT8)
FIRST, SECOND = Counted(round=1, attempt=0), Counted(round=2, attempt=0)
Numbers = NDArray[np.float64]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a node that has agreed to train twelve numbers."""
    made = begin(tmp_path)
    yield made
    made.close()


def begin(folder: Path) -> World:
    """Return a new federation whose node has agreed."""
    made = World(folder)
    made.model = made.orchestrator.make_model({"w": np.zeros(SIZE, np.float32)})
    made.agree()
    return made


def step(number: int) -> Numbers:
    """Return what the plan changes in a round: whole 64ths, so that sums of them are exact."""
    generator = np.random.default_rng(number)
    return generator.integers(-200, 200, size=SIZE).astype(np.float64) / 64


def ask(
    world: World,
    number: int,
    counted: Counted | None,
    encoding: Encoding = TOP_K,
    *,
    attempt: int = 0,
) -> None:
    """Order a round."""
    world.train(
        number,
        attempt=attempt,
        counted=counted,
        update_encoding=encoding.kind.value,
        top_k_share=encoding.share,
    )


def finish(world: World, number: int) -> None:
    """The worker trained."""
    world.done(local={"w": step(number).astype(np.float32)})
    world.run(seconds=1)


def train(
    world: World,
    number: int,
    counted: Counted | None,
    encoding: Encoding = TOP_K,
    *,
    attempt: int = 0,
) -> Numbers:
    """Have a round trained; return the numbers of the update that came."""
    ask(world, number, counted, encoding, attempt=attempt)
    finish(world, number)
    return sent(world, encoding)


def sent(world: World, encoding: Encoding = TOP_K) -> Numbers:
    """Return the numbers of the newest update that came."""
    spool = world.orchestrator.courier.spool
    layout = file_layout(spool.file(world.model.digest))
    update = EncodedUpdate(spool.file(digests(world)[-1]), layout, encoding)
    assert update.find_fault() is None
    return update.read(layout.tensors[0], 0, SIZE)


def digests(world: World) -> list[Digest]:
    """Return the updates that came, in order."""
    replies = (one for one in world.orchestrator.answers if isinstance(one, TrainReply))
    return [one.update.digest for one in replies]


def residual(world: World, name: str) -> Numbers:
    """Return what stayed unsent."""
    return load_parameters(world.home / "residuals" / name)["w"].astype(np.float64)


@pytest.mark.parametrize("encoding", [TOP_K, INT8], ids=str)
def test_what_was_sent_and_what_stayed_are_what_was_learnt(
    world: World, encoding: Encoding
) -> None:
    """After every round, number by number; nothing is lost, and nothing sent twice."""
    learnt = arrived = left = np.zeros(SIZE)
    counted = None
    for number in range(1, 5):
        learnt = learnt + step(number)
        arrived = arrived + train(world, number, counted, encoding)
        left = residual(world, f"{LUNG}.{number}.0.0")
        assert left.any()
        np.testing.assert_allclose(arrived + left, learnt, rtol=0, atol=1e-6)
        counted = Counted(round=number, attempt=0)
    if encoding is TOP_K:
        assert (arrived + left).tolist() == learnt.tolist()


def test_an_update_that_is_in_no_model_leaves_no_trace_in_later_ones(
    world: World, tmp_path: Path
) -> None:
    """As if its node had not been asked in that round: the third begins where the first ended."""
    train(world, 1, None)
    late = train(world, 2, FIRST)
    third = train(world, 3, FIRST)
    other = begin(tmp_path / "other")
    train(other, 1, None)
    assert train(other, 3, FIRST).tolist() == third.tolist()
    assert digests(other)[-1] == digests(world)[-1]
    other.close()
    assert late.any()


def test_an_attempt_that_is_made_again_begins_where_the_first_one_did(world: World) -> None:
    """Its bytes are the same; what the first attempt left is not added."""
    train(world, 1, None)
    train(world, 2, FIRST)
    train(world, 2, FIRST, attempt=1)
    first, second, third = digests(world)
    assert first != second == third
    assert world.files("residuals") == [f"{LUNG}.1.0.0", f"{LUNG}.2.1.0"]


def test_only_what_may_be_named_again_is_kept(world: World) -> None:
    """What a round began with, for another attempt, and what it left."""
    train(world, 1, None)
    assert world.files("residuals") == [f"{LUNG}.1.0.0"]
    train(world, 2, FIRST)
    train(world, 3, SECOND)
    assert world.files("residuals") == [f"{LUNG}.2.0.0", f"{LUNG}.3.0.0"]


@pytest.mark.parametrize("calls", range(10))
def test_a_node_that_is_killed_adds_nothing_twice(tmp_path: Path, calls: int) -> None:
    """Killed at the n-th look at the clock after training, it sends what it would have sent."""
    runs = []
    for name, left in (("undisturbed", None), ("killed", calls)):
        world = begin(tmp_path / name)
        train(world, 1, None)
        ask(world, 2, FIRST)
        world.calls_left = left
        try:
            finish(world, 2)
        except Killed:
            world.die()
            world.live()
            world.run()
            if len(digests(world)) == 1 and world.rows("tasks"):
                finish(world, 2)
        world.calls_left = None
        world.run(seconds=5)
        train(world, 3, SECOND)
        runs.append((digests(world), residual(world, f"{LUNG}.3.0.0").tolist()))
        world.close()
    assert runs[0] == runs[1]
    assert len(runs[0][0]) == 3


def test_a_residual_that_a_crash_left_half_written_is_written_again(world: World) -> None:
    """And its remains go."""
    disk = LocalHome(world.home).disk("residuals")
    disk.write(f"{LUNG}.1.0.0.part", 0, b"half")
    disk.write(f"{LUNG}.9.9.0.part", 0, b"half")
    train(world, 1, None)
    assert world.files("residuals") == [f"{LUNG}.1.0.0"]


def test_what_has_a_withdrawn_case_in_it_is_not_sent_later(world: World) -> None:
    """The next update is of what is trained from then on, and of nothing else."""
    train(world, 1, None)
    with_all = residual(world, f"{LUNG}.1.0.0")
    ask(world, 2, FIRST)
    world.withdraw(next(iter(sorted(path.name for path in cases(world)))))
    world.run(seconds=2)
    finish(world, 2)
    now = residual(world, f"{LUNG}.2.0.1") + sent(world)
    assert with_all.any()
    assert now.tolist() == step(2).tolist()
    assert world.files("residuals") == [f"{LUNG}.2.0.1"]


def cases(world: World) -> list[Path]:
    """Return the folders of the node's cases."""
    folder = world.service._records.datasets.find(DATASET)
    assert folder is not None
    return [path for path in folder.folder.iterdir() if path.is_dir()]


def test_nothing_of_an_experiment_stays_that_is_over(world: World) -> None:
    """Nor where the node was away when it ended, or was killed as it was told."""
    train(world, 1, None)
    world.over()
    world.run(seconds=1)
    assert world.files("residuals") == []
    LocalHome(world.home).disk("residuals").write(f"{LUNG}.1.0.0", 0, b"x")
    world.die()
    world.live()
    assert world.files("residuals") == []


def test_a_residual_stays_through_lives(world: World) -> None:
    """It is as durable as the update that left it."""
    train(world, 1, None)
    world.die()
    world.live()
    world.run(seconds=70)
    left = residual(world, f"{LUNG}.1.0.0")
    total = train(world, 2, FIRST) + residual(world, f"{LUNG}.2.0.0")
    assert total.tolist() == (left + step(2)).tolist()


def test_the_other_encodings_keep_nothing(world: World) -> None:
    """What they round is rounded."""
    for kind in (Kind.EXACT, Kind.BF16, Kind.FP16):
        number = list(Kind).index(kind) + 1
        train(world, number, None, Encoding(kind=kind))
        assert world.files("residuals") == []


def test_the_log_says_how_an_update_travelled(world: World) -> None:
    """With its share, where not all is sent."""
    train(world, 1, None, INT8)
    train(world, 2, FIRST, TOP_K)
    facts = world.service._records.audit.facts(TrainingDone)
    assert [one.encoding for one in facts] == ["int8", "top-k 0.25"]


def test_a_number_that_the_encoding_cannot_carry_fails_the_round_alone(world: World) -> None:
    """Nothing half made stays, and the next round is trained."""
    ask(world, 1, None, Encoding(kind=Kind.FP16))
    world.done(local={"w": np.full(SIZE, 7e4, np.float32)})
    answer = world.orchestrator.answers[-1]
    assert isinstance(answer, Failure)
    assert answer.code is FailureCode.UPDATE_NOT_FINITE
    ask(world, 2, None, INT8)
    world.done(local={"w": np.full(SIZE, 3.4028235e38, np.float32)})
    assert isinstance(world.orchestrator.answers[-1], Failure)
    assert world.files("residuals") == []
    assert train(world, 3, None).any()


def test_an_exact_update_has_the_bytes_that_it_always_had(tmp_path: Path) -> None:
    """Nothing is in the file but the arrays, by the order of the format."""
    storage = Storage(LocalHome(tmp_path))
    model = {"a": np.ones(3, "<f4"), "n": np.arange(4)}
    storage.spool.new_file("new").write(parameters_bytes(model))
    digest = storage.spool.adopt("new").digest
    save_parameters({"a": np.full(3, 3, "<f4"), "n": np.arange(4)}, storage.output_path("t"))
    update = make_update("t", digest, storage)
    wanted = parameters_bytes({"a": np.full(3, 2, "<f4"), "n": np.zeros(4, int)})
    assert storage.spool.path(update.digest).read_bytes() == wanted
