"""Which trainers stay warm: a few, one for each key, the least recently used goes first."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from fedmq.node.warm_trainers import MAX_WARM, UNUSED_S, TrainerKey, WarmTrainers
from fedmq.types import Digest, ExperimentId

EXPERIMENTS: Final = tuple(ExperimentId(name) for name in "abcde")


class FakeTrainer:
    """A trainer that is no process."""

    def __init__(self, key: TrainerKey, num_threads: int) -> None:
        self.key = key
        self.num_threads = num_threads
        self.has_ended = False

    def kill(self) -> None:
        """End."""
        self.has_ended = True


class Room:
    """Warm trainers, and all that were ever started."""

    def __init__(self) -> None:
        self.warm: WarmTrainers[FakeTrainer] = WarmTrainers()
        self.started: list[FakeTrainer] = []
        self.peak = 0

    def take(self, experiment: str, *, num_threads: int = 1, dataset: str = "d") -> FakeTrainer:
        """Return the trainer for an experiment's job."""
        key = key_of(experiment, dataset)

        def start() -> FakeTrainer:
            self.started.append(FakeTrainer(key, num_threads))
            self.peak = max(self.peak, len(self.running))
            return self.started[-1]

        return self.warm.take(key, num_threads, start)

    @property
    def running(self) -> list[FakeTrainer]:
        """Return the trainers that have not ended."""
        return [trainer for trainer in self.started if not trainer.has_ended]

    def names(self) -> str:
        """Return the experiments that have a warm trainer, the least recently used first."""
        return "".join(trainer.key.experiment for trainer in self.warm.all)


def key_of(experiment: str, dataset: str = "d") -> TrainerKey:
    """Return the key of jobs of an experiment."""
    return TrainerKey(experiment=ExperimentId(experiment), plan_digest=Digest("0"), dataset=dataset)


def kill(trainers: tuple[FakeTrainer, ...]) -> str:
    """Kill what was put out, as the worker does; return its experiments."""
    for trainer in trainers:
        trainer.kill()
    return "".join(trainer.key.experiment for trainer in trainers)


def test_experiments_that_alternate_start_a_trainer_each() -> None:
    """As many as there is room for: that is what it is for."""
    room = Room()
    for _ in range(5):
        for name in "abc":
            assert room.take(name).key.experiment == name
    assert len(room.started) == MAX_WARM == 3


def test_one_more_ends_the_least_recently_used_before_it_starts() -> None:
    """Use counts, not age; there is no moment with one too many."""
    room = Room()
    for name in "abcad":
        room.take(name)
    assert room.names() == "cad"
    assert [trainer.key.experiment for trainer in room.running] == ["a", "c", "d"]
    assert room.peak == MAX_WARM


def test_another_number_of_threads_or_dataset_is_another_trainer() -> None:
    """Threads are settled at a trainer's start: the old one makes room for it."""
    room = Room()
    first = room.take("a")
    second = room.take("a", num_threads=2)
    assert first.has_ended
    assert second.num_threads == 2
    assert room.take("a", num_threads=2, dataset="other") is not second
    assert room.running == [second, room.warm.all[-1]]


def test_a_trainer_that_has_ended_is_given_no_job() -> None:
    """A new one takes its place."""
    room = Room()
    first = room.take("a")
    first.kill()
    assert room.take("a") is not first
    assert len(room.warm.all) == 1


def test_a_trainer_is_put_out_once() -> None:
    """Its end is told to whoever sees it first, and to nobody twice."""
    room = Room()
    first = room.take("a")
    assert room.warm.put_out(first)
    assert not room.warm.put_out(first)
    second = room.take("a")
    assert not room.warm.put_out(first)
    assert room.warm.all == (second,)


def test_trainers_without_a_job_for_long_are_put_out() -> None:
    """The time counts from when they were seen waiting; a job begins it anew."""
    room = Room()
    room.take("a")
    room.take("b")
    assert room.warm.put_out_unused(None, now=1_000.0) == ()
    room.take("a")
    assert room.warm.put_out_unused(None, now=1_100.0) == ()
    assert room.warm.put_out_unused(None, now=999.0 + UNUSED_S) == ()
    assert kill(room.warm.put_out_unused(None, now=1_000.0 + UNUSED_S)) == "b"
    assert kill(room.warm.put_out_unused(None, now=1_100.0 + UNUSED_S)) == "a"
    assert room.running == []


def test_a_busy_trainer_is_never_unused() -> None:
    """However long its job takes; when that has ended, the time begins."""
    room = Room()
    busy = room.take("a")
    room.warm.put_out_unused(None, now=0.0)
    for now in (1.0, 100 * UNUSED_S):
        assert room.warm.put_out_unused(busy, now=now) == ()
    assert room.warm.put_out_unused(None, now=101 * UNUSED_S) == ()
    assert kill(room.warm.put_out_unused(None, now=102 * UNUSED_S)) == "a"


def test_an_experiment_that_is_over_puts_out_its_own() -> None:
    """With every dataset and plan; not the busy one, which is cancelled, and nobody else's."""
    room = Room()
    room.take("a")
    busy = room.take("a", dataset="other")
    room.take("b")
    assert kill(room.warm.put_out_experiment(ExperimentId("a"), busy)) == "a"
    assert room.names() == "ab"
    assert room.warm.all[0] is busy


def test_all_can_be_put_out() -> None:
    """At the end of the node."""
    room = Room()
    for name in "abc":
        room.take(name)
    assert kill(room.warm.put_out_all()) == "abc"
    assert room.warm.all == ()


STEPS: Final = st.one_of(
    st.tuples(st.just("take"), st.sampled_from(EXPERIMENTS), st.integers(1, 2)),
    st.tuples(st.just("dies"), st.sampled_from(EXPERIMENTS), st.none()),
    st.tuples(st.just("over"), st.sampled_from(EXPERIMENTS), st.none()),
    st.tuples(st.just("wait"), st.none(), st.sampled_from([1.0, UNUSED_S / 2, UNUSED_S])),
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_few_run_and_none_is_forgotten(
    steps: list[tuple[str, ExperimentId, float]],
) -> None:
    """Every process that runs is kept, so that somebody ends it; a job gets what it asked for."""
    room, now = Room(), 0.0
    for step, name, number in steps:
        match step:
            case "take":
                taken = room.take(name, num_threads=int(number))
                assert (taken.key, taken.num_threads) == (key_of(name), number)
                assert not taken.has_ended
                assert room.warm.all[-1] is taken
            case "dies":
                kill(tuple(one for one in room.warm.all if one.key.experiment == name))
            case "over":
                kill(room.warm.put_out_experiment(name, None))
                assert name not in room.names()
            case _:
                now += number
                kill(room.warm.put_out_unused(None, now=now))
        assert room.peak <= MAX_WARM
        assert set(room.running) <= set(room.warm.all)
        assert len(room.warm.all) <= MAX_WARM


def test_the_trainers_of_a_dataset_are_put_out_but_for_the_busy_one() -> None:
    """Whichever experiment they work for; those of other datasets stay."""
    room = Room()
    busy = room.take("a")
    room.take("b", dataset="e")
    room.take("c")
    assert kill(room.warm.put_out_dataset("d", busy)) == "c"
    assert room.names() == "ab"
    assert kill(room.warm.put_out_dataset("d", None)) == "a"
