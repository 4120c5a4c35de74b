"""The fetcher asks little: one chunk where something may be on its way, the rest once it is not."""

import hashlib
import itertools
from pathlib import Path

import pytest

from fedmq.disk import LocalDisk
from fedmq.messages.fields import Manifest
from fedmq.messages.payloads import CHUNK_BYTES, Chunk
from fedmq.transport.fetcher import LAST_PATIENCE_S, PATIENCE_S, Fetcher
from fedmq.transport.routes import Route, from_node, to_node
from fedmq.transport.spool import Spool
from fedmq.types import Digest, NodeId
from tests.support.clock import FakeClock

CONTENT = bytes(4 * CHUNK_BYTES)
ROUTE = to_node(NodeId("chu-lyon"))


class World:
    """A fetcher with a clock, and all its questions."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.questions: list[tuple[float, list[int]]] = []
        self.asked: list[tuple[str, str]] = []
        """Of each question: who was asked, and in which experiment."""
        LocalDisk(folder / "sender").write("new", 0, CONTENT)
        self.manifest = Spool(LocalDisk(folder / "sender")).adopt("new")
        self.spool = Spool(LocalDisk(folder / "receiver"))
        self.fetcher = Fetcher(self.spool, FakeClock(lambda: self.now), self.ask, self.tell)

    def ask(self, _manifest: Manifest, missing: object, route: Route, exp: str) -> str:
        """Note a question."""
        self.asked.append((route.reader, exp))
        self.questions.append((self.now, list(missing)))  # type: ignore[call-overload]
        return f"question {len(self.questions)}"

    def tell(self, _digest: Digest) -> None:
        """Nobody waits."""

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            self.fetcher.tick()

    def arrive(self, index: int, answers: str | None = None) -> None:
        """Let a chunk come."""
        data = CONTENT[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        digest = Digest(hashlib.sha256(data).hexdigest())
        if self.spool.add(Chunk(manifest=self.manifest, index=index, sha256=digest), data):
            self.fetcher.arrived(self.manifest)
        self.fetcher.saw_chunk(self.manifest, answers)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a connected fetcher that awaits four chunks."""
    made = World(tmp_path)
    made.fetcher.connected()
    made.fetcher.want(made.manifest, ROUTE, "lung", at_once=False)
    return made


def test_silence_is_answered_by_a_question_for_one_chunk(world: World) -> None:
    """All of it may be under way."""
    world.run(PATIENCE_S)
    assert [chunks for _, chunks in world.questions] == [[0]]


def test_what_is_missing_behind_an_answer_is_lost_and_asked_for(world: World) -> None:
    """The answer stands behind everything that was sent before."""
    world.run(PATIENCE_S)
    world.arrive(2)
    world.arrive(0, "question 1")
    assert [chunks for _, chunks in world.questions] == [[0], [1, 3]]


def test_the_answer_to_an_earlier_question_is_as_good_as_to_the_last(world: World) -> None:
    """Who was away is asked several times and, back, answers once; no minute passes until more."""
    world.run(20.0)
    num_questions = len(world.questions)
    assert num_questions > 2
    world.arrive(0, "question 1")
    assert [chunks for _, chunks in world.questions[num_questions:]] == [[1, 2, 3]]
    world.arrive(0, f"question {num_questions}")
    assert len(world.questions) == num_questions + 1, "asked for once, whatever else is answered"


def test_on_a_slow_line_no_chunk_is_asked_for_that_comes_anyhow(world: World) -> None:
    """Twenty seconds a chunk: a handful of questions for one chunk, and never for all."""
    for index in range(4):
        world.run(20.0)
        world.arrive(index)
    assert len(world.questions) <= 5
    assert all(len(chunks) == 1 for _, chunks in world.questions)
    learned = [at for at, _ in world.questions if at > 140.0]
    assert len(learned) == 0, "it has seen the pace, and waits"


def test_what_is_known_not_to_be_on_its_way_is_asked_for_whole(tmp_path: Path) -> None:
    """At once, and all of it."""
    world = World(tmp_path)
    world.fetcher.connected()
    world.fetcher.want(world.manifest, ROUTE, "lung", at_once=True)
    assert world.questions == [(100.0, [])]


def test_a_payload_that_never_comes_is_asked_for_ever_less_often(world: World) -> None:
    """Once a minute in the end."""
    world.run(600.0)
    times = [at for at, _ in world.questions]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == LAST_PATIENCE_S


LUNG = from_node(NodeId("chu-lyon"), "orchestrator", "lung")
HEART = from_node(NodeId("chu-lyon"), "hub-b", "heart")
"""The ways to two orchestrators, whose experiments begin with the same model."""


@pytest.fixture
def shared(tmp_path: Path) -> World:
    """Return a connected fetcher that awaits one payload for two experiments of two leaders."""
    made = World(tmp_path)
    made.fetcher.connected()
    made.fetcher.want(made.manifest, LUNG, "lung", at_once=False)
    made.fetcher.want(made.manifest, HEART, "heart", at_once=False)
    return made


@pytest.mark.parametrize(
    ("ends", "left"), [("lung", ("hub-b", "heart")), ("heart", ("orchestrator", "lung"))]
)
def test_what_two_experiments_want_is_awaited_when_one_of_them_ends(
    shared: World, ends: str, left: tuple[str, str]
) -> None:
    """And asked of who leads the other one, in its name."""
    shared.fetcher.drop(ends)
    assert len(shared.fetcher) == 1
    shared.run(PATIENCE_S)
    assert shared.asked == [left]
    shared.arrive(0, "question 1")
    assert shared.asked == [left, left]
    shared.fetcher.drop(left[1])
    assert len(shared.fetcher) == 0


def test_what_two_experiments_want_is_fetched_once(shared: World) -> None:
    """From who is asked first, as long as that one answers."""
    shared.run(PATIENCE_S)
    shared.arrive(0, "question 1")
    assert [chunks for _, chunks in shared.questions] == [[0], [1, 2, 3]]
    assert len(set(shared.asked)) == 1, "who answered is asked for the rest"
    for index in (1, 2, 3):
        shared.run(1.0)
        shared.arrive(index)
    assert len(shared.fetcher) == 0
    assert len(shared.questions) == 2


def test_what_is_on_its_way_for_one_is_not_asked_of_another(tmp_path: Path) -> None:
    """All of it was asked for: it would come twice."""
    world = World(tmp_path)
    world.fetcher.connected()
    world.fetcher.want(world.manifest, LUNG, "lung", at_once=True)
    world.fetcher.want(world.manifest, HEART, "heart", at_once=True)
    for index in range(4):
        world.run(1.0)
        world.arrive(index)
    assert world.questions == [(100.0, [])]
    assert world.asked == [("orchestrator", "lung")]


def test_who_does_not_answer_keeps_a_payload_from_no_other_experiment(tmp_path: Path) -> None:
    """It was asked for so long that it is asked once a minute; the other is asked soon."""
    world = World(tmp_path)
    world.fetcher.connected()
    world.fetcher.want(world.manifest, LUNG, "lung", at_once=False)
    world.run(600.0)
    world.asked.clear()
    world.fetcher.want(world.manifest, HEART, "heart", at_once=True)
    world.run(PATIENCE_S)
    assert world.asked == [("hub-b", "heart")]
    world.run(2 * LAST_PATIENCE_S)
    assert {("orchestrator", "lung"), ("hub-b", "heart")} == set(world.asked)


def test_the_answer_for_an_experiment_that_is_over_asks_no_more_of_it(shared: World) -> None:
    """Who leads the other one is asked for the rest, once nothing comes any more."""
    shared.run(PATIENCE_S)
    (first,) = shared.asked
    shared.fetcher.drop(first[1])
    shared.arrive(0, "question 1")
    assert shared.asked == [first]
    shared.run(3 * PATIENCE_S)
    assert set(shared.asked[1:]) == {("hub-b", "heart"), ("orchestrator", "lung")} - {first}


def test_a_false_size_for_a_digest_keeps_nobody_from_the_payload(tmp_path: Path) -> None:
    """One orchestrator says it of the model that another one has: they are two wants."""
    world = World(tmp_path)
    world.fetcher.connected()
    false = world.manifest.model_copy(update={"size_bytes": CHUNK_BYTES})
    world.fetcher.want(false, LUNG, "lung", at_once=False)
    world.fetcher.want(world.manifest, HEART, "heart", at_once=False)
    world.run(PATIENCE_S)
    assert ("hub-b", "heart") in world.asked
    for index in range(4):
        world.arrive(index)
    assert len(world.fetcher) == 0, "what has this digest is here, whatever was said of it"
