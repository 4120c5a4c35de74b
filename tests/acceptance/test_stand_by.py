"""An orchestrator that stands by: it takes over from one that was killed, or sleeps."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from fedmq.transport.home import JOURNAL_NAME
from tests.support.broker import TestBroker
from tests.support.federation import (
    CENTRE,
    LYON,
    PARIS,
    Federation,
    Program,
    running_federation,
    until,
)

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("stand-by"),
]

SETTINGS = {"FEDMQ_LEASE_S": "5", "FEDMQ_HEARTBEAT_S": "3"}
"""Who is killed is replaced at once; who sleeps, after this. The broker needs to notice too."""


@pytest.fixture(scope="module")
def federation(
    tmp_path_factory: pytest.TempPathFactory, broker: TestBroker
) -> Iterator[Federation]:
    """Return a federation of two nodes."""
    folder = tmp_path_factory.mktemp("stand-by") / "f"
    with running_federation(folder, broker, settings=SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(federation: Federation) -> list[str]:
    """Return the digest of each round's model where nothing happens."""
    identifier = federation.submit(federation.write_experiment())
    federation.approve(LYON, PARIS)
    return federation.digests(identifier)


@pytest.fixture
def held(federation: Federation, undisturbed: list[str]) -> Iterator[str]:
    """Return the same experiment in the middle of round 2 of 3, with one of two updates."""
    assert len(set(undisturbed)) == 3
    federation.hold(LYON, 2)
    config = federation.hold_config
    identifier = federation.submit(federation.write_experiment(config=config))
    federation.reached(LYON, 2)
    federation.handed_over(PARIS, identifier, 2)
    yield identifier
    federation.release()


def stand_by(federation: Federation, name: str) -> Program:
    """Return an orchestrator that stands by on the same folder."""
    program = federation.start(name, CENTRE, "orchestrator", "start", "--stand-by")
    program.expect("stands_by")
    return program


def put_to_sleep(federation: Federation, program: Program) -> None:
    """Stop an orchestrator anywhere but inside a commit.

    There it holds the journal, and nobody can take over before it is ended: docs/stand-by.md.
    """
    journal = federation.home(CENTRE) / "orchestrator" / JOURNAL_NAME
    while True:
        program.send(signal.SIGSTOP)
        with closing(sqlite3.connect(journal, timeout=0.5, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                program.send(signal.SIGCONT)
            else:
                connection.execute("ROLLBACK")
                return


def status(federation: Federation) -> dict[str, Any]:
    """Return what `fedmq orchestrator status` shows."""
    found = federation.do(CENTRE, "orchestrator", "status", "--json").json
    assert isinstance(found, dict)
    return found


def seen(federation: Federation) -> list[dict[str, Any]]:
    """Return the orchestrators as `fedmq status` shows them."""
    found = federation.do(CENTRE, "status", "--json").json["orchestrators"]
    assert isinstance(found, list)
    return found


def test_a_stand_by_takes_over_from_one_that_was_killed(
    federation: Federation, undisturbed: list[str], held: str
) -> None:
    """In the middle of a round; the models are those of the undisturbed run, to the last bit."""
    first = federation.programs["orchestrator"]
    second = stand_by(federation, "second")
    before = status(federation)
    assert f"process {first.pid} on" in before["leader"]["program"]
    assert before["leader"]["is_alive"]
    assert [f"process {second.pid} on" in one["program"] for one in before["stand_bys"]] == [True]
    until(lambda: [one["stand_bys"] for one in seen(federation)] == [1], "the overview of both")
    first.kill()
    second.expect("orchestrator_started")
    federation.release()
    assert federation.digests(held) == undisturbed
    after = status(federation)
    assert f"process {second.pid} on" in after["leader"]["program"]
    assert after["stand_bys"] == []
    assert after["epoch"] > before["epoch"]
    federation.programs["orchestrator"] = second


def test_who_sleeps_is_replaced_and_when_it_wakes_leads_no_more(
    federation: Federation, undisturbed: list[str], held: str
) -> None:
    """It says so, stands by, and takes over again when the other ends."""
    first = stand_by(federation, "first")
    assert federation.programs["orchestrator"].end() == 0
    first.expect("orchestrator_started")
    federation.programs["orchestrator"] = first
    second = stand_by(federation, "third")
    put_to_sleep(federation, first)
    second.expect("orchestrator_started")
    federation.release()
    # Its replies wait in the hand of who sleeps until the broker misses its heartbeat.
    first.send(signal.SIGCONT)
    first.expect("lease_lost")
    first.expect("leads no more, and stands by")
    assert federation.digests(held) == undisturbed
    assert second.end() == 0
    until(lambda: first.log().count("orchestrator_started") == 2, "the next turn of the first")
    identifier = federation.submit(federation.write_experiment())
    assert federation.digests(identifier) == undisturbed


def test_who_sleeps_for_good_holds_up_nobody(
    federation: Federation, undisturbed: list[str], held: str
) -> None:
    """The broker takes its connections for dead, and hands what they had in hand to the other."""
    first = federation.programs["orchestrator"]
    second = stand_by(federation, "fourth")
    put_to_sleep(federation, first)
    second.expect("orchestrator_started")
    federation.release()
    assert federation.digests(held) == undisturbed
    first.kill()
    federation.programs["orchestrator"] = second


def test_an_orchestrator_with_a_store_of_its_own_takes_nothing_and_says_why(
    federation: Federation, undisturbed: list[str]
) -> None:
    """Submissions go to the one that serves; the other waits, and names what is wrong."""
    credentials = str(federation.credentials("orchestrator"))
    federation.home("elsewhere").mkdir(exist_ok=True)
    other = federation.start(
        "other store", "elsewhere", "orchestrator", "start", "--credentials", credentials
    )
    other.expect("inbox_taken")
    assert "another program serves under this orchestrator's name" in other.log()
    assert "with --stand-by added" in other.log()
    identifier = federation.submit(federation.write_experiment())
    assert federation.digests(identifier) == undisturbed
    shown = federation.do("elsewhere", "orchestrator", "status", "--json").json
    assert shown["experiments"] == []
    assert other.end() == 0
