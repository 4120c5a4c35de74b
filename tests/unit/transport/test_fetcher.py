"""The fetcher asks little: one chunk where something may be on its way, the rest once it is not."""

import hashlib
import itertools
from pathlib import Path

import pytest

from fedmq.disk import LocalDisk
from fedmq.messages.fields import Manifest
from fedmq.messages.payloads import CHUNK_BYTES, Chunk
from fedmq.transport.fetcher import LAST_PATIENCE_S, PATIENCE_S, Fetcher
from fedmq.transport.routes import to_node
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
        LocalDisk(folder / "sender").write("new", 0, CONTENT)
        self.manifest = Spool(LocalDisk(folder / "sender")).adopt("new")
        self.spool = Spool(LocalDisk(folder / "receiver"))
        self.fetcher = Fetcher(self.spool, FakeClock(lambda: self.now), self.ask, self.tell)

    def ask(self, _manifest: Manifest, missing: object, _route: object, _exp: str) -> str:
        """Note a question."""
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
        self.fetcher.saw_chunk(self.manifest.digest, answers)


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
