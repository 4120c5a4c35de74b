"""Kill -9 of the orchestrator in its rounds: its audit log is that of one that was never killed."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import TestBroker
from tests.support.federation import CENTRE, LYON, PARIS, Federation, running_federation, until

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(300)]

ROUNDS = 6
NODES = (LYON, PARIS)


@pytest.fixture
def federation(tmp_path: Path, broker: TestBroker) -> Iterator[Federation]:
    """Return a federation of its own: the log has no experiment but the test's."""
    with running_federation(tmp_path / "f", broker) as running:
        yield running


def exported(federation: Federation, home: str, name: str) -> list[bytes]:
    """Return the lines of a member's log, exported to a file of that name and verified."""
    program = "orchestrator" if home == CENTRE else "node"
    head = federation.do(home, program, "audit", "export", name).data.split()[1]
    federation.do(home, program, "audit", "verify", "--head", head)
    federation.do(home, program, "audit", "verify", name, "--head", head)
    return (federation.home(home) / name).read_bytes().splitlines()


def entries(lines: list[bytes], kind: str) -> list[dict[str, Any]]:
    """Return the entries of one kind."""
    read = [json.loads(line) for line in lines]
    return [one for one in read if one.get("kind") == kind]


def signed(lines: list[bytes]) -> set[tuple[Any, ...]]:
    """Return the heads in the last line of a node's log, with their signatures."""
    heads = [one["head"] for one in json.loads(lines[-1])["witnesses"]["signed"]]
    return {tuple(one[name] for name in ("number", "hash", "at_ms", "signature")) for one in heads}


def num_entries(federation: Federation, kind: str) -> int:
    """Return how many entries of a kind the orchestrator has written, this moment."""
    journal = federation.home(CENTRE) / "orchestrator" / "journal.sqlite"
    connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    try:
        (row,) = connection.execute("SELECT count(*) FROM audit WHERE kind = ?", (kind,))
    finally:
        connection.close()
    return int(row[0])


def kill_at(federation: Federation, kind: str, number: int) -> None:
    """Kill the orchestrator as soon as its log has so many entries of a kind, and begin again."""
    until(lambda: num_entries(federation, kind) >= number, f"{number} x {kind}")
    federation.programs["orchestrator"].kill()


def test_no_entry_is_lost_or_doubled_when_the_orchestrator_is_killed(
    federation: Federation,
) -> None:
    """What stood in its log at each death stands there for ever, and every round stands once."""
    federation.hold(LYON, 2)
    experiment = federation.write_experiment(rounds=ROUNDS, config=federation.hold_config)
    identifier = federation.submit(experiment)
    federation.approve(*NODES)

    # In the middle of the second round: the update of one node is here, the other trains.
    federation.reached(LYON, 2)
    federation.handed_over(PARIS, identifier, 2)
    federation.programs["orchestrator"].kill()
    deaths = [exported(federation, CENTRE, "death-0.jsonl")]
    kept = {node: signed(exported(federation, node, "before.jsonl")) for node in NODES}
    assert all(kept.values())
    federation.release()
    federation.start_orchestrator()

    # At once behind an entry: of a fold, of a head that is signed, of its own start.
    for kind, more in (("round_folded", 1), ("head_witnessed", 1), ("orchestrator_started", 0)):
        kill_at(federation, kind, num_entries(federation, kind) + more)
        deaths.append(exported(federation, CENTRE, f"death-{len(deaths)}.jsonl"))
        federation.start_orchestrator()
    models = federation.digests(identifier)

    log = exported(federation, CENTRE, "log.jsonl")
    for lines in deaths:
        assert log[: len(lines)] == lines
    assert len({len(lines) for lines in deaths}) == len(deaths)
    kinds = Counter(json.loads(line)["kind"] for line in log)
    assert kinds["orchestrator_started"] == len(deaths) + 1
    assert (kinds["experiment_accepted"], kinds["experiment_over"]) == (1, 1)
    assert (kinds["head_refused"], kinds["log_changed"]) == (0, 0)
    folded = entries(log, "round_folded")
    assert [(one["round"], one["model"]) for one in folded] == list(enumerate(models, start=1))

    # Each update in a model is the one that the node's own log tells of.
    witnessed = entries(log, "head_witnessed")
    places = Counter((one["node"], one["log"], one["place"]) for one in witnessed)
    assert set(places.values()) == {1}
    for node in NODES:
        # The receipt of its last answer may be on its way still, and the head's signature with it.
        until(lambda node=node: federation.status(node)["unsent"] == 0, f"receipts of {node}")  # type: ignore[misc]
        lines = exported(federation, node, "after.jsonl")
        trained = {one["round"]: one["update"] for one in entries(lines, "training_done")}
        told = {
            one["round"]: update["update"]
            for one in folded
            for update in one["updates"]
            if update["node"] == node
        }
        assert told == trained
        assert len(told) == ROUNDS
        assert not entries(lines, "head_objected")

        # What was signed before is signed still, and all of it is what the orchestrator keeps.
        signatures = signed(lines)
        assert kept[node] <= signatures
        own = {(one["entry"], one["head"]) for one in witnessed if one["node"] == node}
        here = {one[:2] for one in signatures}
        assert here <= own
        # A receipt that died with the orchestrator comes again when the answer does, and that is
        # let go of where its experiment is over before: a later head vouches for all before it.
        assert len(own - here) <= len(deaths)
        assert max(own) in here
        chain = {(one["number"], one["hash"]) for one in map(json.loads, lines[:-1])}
        assert own <= chain
