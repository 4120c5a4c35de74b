"""Who leads a store: a program that was replaced writes and sends nothing more."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedmq.errors import LeaseLost
from fedmq.orchestrator import leadership
from fedmq.orchestrator.leadership import Leadership, read_epoch
from fedmq.parameters import parameters_bytes
from fedmq.transport.home import LocalHome
from fedmq.transport.journal import Journal
from fedmq.transport.ports import Connected
from tests.unit.orchestrator.arithmetic import LUNG, make_spec, models_by_hand
from tests.unit.orchestrator.federation import World

NOTES = "CREATE TABLE IF NOT EXISTS notes (note TEXT)"


@pytest.fixture
def home(tmp_path: Path) -> LocalHome:
    """Return the store that programs share."""
    return LocalHome(tmp_path)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a federation."""
    world = World(tmp_path / "w")
    yield world
    world.close()


def opened(home: LocalHome) -> Journal:
    """Return the journal as one more program opens it."""
    return home.journal(leadership.SCHEMA, NOTES)


def test_each_program_that_takes_over_has_a_higher_epoch(home: LocalHome) -> None:
    """Whatever the clocks say; it is in the journal before anything else is."""
    epochs = []
    for now in (1_000.0, 1_000.0, 5.0, -7.0, 2_000.0):
        journal = opened(home)
        epochs.append(Leadership(journal, "program", now=now).epoch)
        assert read_epoch(journal) == epochs[-1]
        journal.close()
    assert epochs == [1_000, 1_001, 1_002, 1_003, 2_000]


def test_a_store_that_was_put_back_has_a_higher_epoch_than_its_lost_life(tmp_path: Path) -> None:
    """Else every node would refuse it for good."""
    first = opened(LocalHome(tmp_path / "a"))
    lost = Leadership(first, "program", now=5_000.0).epoch
    first.close()
    copy = opened(LocalHome(tmp_path / "b"))
    assert Leadership(copy, "program", now=5_001.0).epoch > lost
    copy.close()


def note_alone(journal: Journal) -> None:
    """Write a late note by itself."""
    journal.execute("INSERT INTO notes VALUES ('late')")


def note_in_transaction(journal: Journal) -> None:
    """Write a late note in a transaction."""
    with journal.transaction():
        note_alone(journal)


@pytest.mark.parametrize("write", [note_alone, note_in_transaction])
def test_who_was_replaced_writes_nothing_more(
    home: LocalHome, write: Callable[[Journal], None]
) -> None:
    """Neither in a transaction nor by itself; the error says who leads."""
    old, new = opened(home), opened(home)
    first = Leadership(old, "process 1 on a", now=10.0)
    old.execute("INSERT INTO notes VALUES ('first')")
    Leadership(new, "process 2 on b", now=11.0)
    with pytest.raises(LeaseLost) as caught:
        write(old)
    assert "process 2 on b" in str(caught.value)
    with pytest.raises(LeaseLost):
        first.require()
    new.execute("INSERT INTO notes VALUES ('second')")
    assert new.rows("SELECT note FROM notes") == [("first",), ("second",)]
    old.close()
    new.close()


def test_who_was_replaced_sends_nothing_more_and_the_models_are_the_same(world: World) -> None:
    """Replaced in the middle of a round, it ends at its next step; the other finishes."""
    world.ada.submit(make_spec())
    for _ in range(60):
        world.step()
    old, transport = world.service, world.transport
    assert old is not None
    world.live()
    num_sent = len(transport.kinds)
    with pytest.raises(LeaseLost):
        old.tick()
    with pytest.raises(LeaseLost):
        old.handle(Connected())
    assert len(transport.kinds) == num_sent
    transport.is_gone = True
    transport.close()
    world.old_journals.append(old._journal)
    world.run_until_over(LUNG)
    models = [parameters_bytes(model) for model in models_by_hand(2)]
    assert [world.model(number) for number in range(3)] == models
    for node in world.nodes.values():
        assert node.trainings == {(LUNG, 1): 1, (LUNG, 2): 1}
