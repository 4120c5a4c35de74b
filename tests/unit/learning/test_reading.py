"""Reading ahead: the same items and errors as without, so many in memory, and no thread left."""

import threading
from collections.abc import Iterator

import pytest

from fedmq.errors import DatasetError
from fedmq.learning.reading import Reader

DEADLINE_S = 30.0


def readers() -> list[threading.Thread]:
    """Return the reading threads that run."""
    return [thread for thread in threading.enumerate() if thread.name == "reader"]


@pytest.mark.parametrize("ahead", [0, 1, 3, 20])
def test_the_items_are_those_of_a_plain_loop(ahead: int) -> None:
    """Each once and in order, however many are made ahead; afterwards there is no thread."""
    with Reader(lambda key: key * key, range(10), ahead=ahead) as reader:
        assert list(reader) == [key * key for key in range(10)]
    assert readers() == []


def test_what_is_next_is_made_while_this_one_is_in_hand() -> None:
    """The second item is there before anybody asks for it: without a thread this never ends."""
    is_made = threading.Event()

    def make(key: int) -> int:
        if key == 1:
            is_made.set()
        return key

    with Reader(make, range(3)) as reader:
        items = iter(reader)
        assert next(items) == 0
        assert is_made.wait(DEADLINE_S)
        assert list(items) == [1, 2]


@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_no_more_is_in_memory_than_the_bound_and_what_is_in_hand(ahead: int) -> None:
    """Items that are made and not asked for: `ahead`, even with all the time there is."""
    made: list[int] = []
    arrived = threading.Condition()

    def make(key: int) -> int:
        with arrived:
            made.append(key)
            arrived.notify_all()
        return key

    with Reader(make, range(10), ahead=ahead) as reader:
        for in_hand in reader:
            due = min(in_hand + 1 + ahead, 10)
            with arrived:
                assert arrived.wait_for(lambda due=due: len(made) >= due, DEADLINE_S)
                # The next one would wait for room: its turn cannot have come.
                assert len(made) == due


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_an_error_comes_where_a_plain_loop_would_have_it(ahead: int) -> None:
    """After the items before it, as it was raised: with its code and the name of its case."""
    fault = DatasetError("case c cannot be used", code="bad_value", case="c")

    def make(key: int) -> int:
        if key == 2:
            raise fault
        return key

    seen: list[int] = []
    with Reader(make, range(5), ahead=ahead) as reader, pytest.raises(DatasetError) as caught:
        seen.extend(reader)
    assert caught.value is fault
    assert seen == [0, 1]
    assert readers() == []


@pytest.mark.parametrize("ahead", [0, 2])
def test_plan_code_may_exit_in_the_thread_and_is_heard(ahead: int) -> None:
    """Whatever is raised, the keys' own errors too, reaches whoever asks."""

    def keys() -> Iterator[int]:
        yield 0
        raise SystemExit(3)

    with Reader(str, keys(), ahead=ahead) as reader, pytest.raises(SystemExit):
        list(reader)


def test_whoever_leaves_early_leaves_no_thread() -> None:
    """Neither one that waits for room nor one that would go on through all keys."""
    made: list[int] = []
    with Reader(made.append, range(1_000), ahead=1) as reader:
        next(iter(reader))
    assert readers() == []
    assert len(made) <= 3


def test_waiting_is_counted_with_a_steady_clock() -> None:
    """Of each item from asking to having, and of the end; not what is done with an item."""
    times = iter([0.0, 2.0, 10.0, 10.5, 20.0, 20.25])
    with Reader(str, range(2), ahead=0, steady=lambda: next(times)) as reader:
        assert list(reader) == ["0", "1"]
    assert reader.waited_s == 2.75
