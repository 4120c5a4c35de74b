"""`fedmq gc`: says what it frees, frees it, and leaves alone what runs."""

from pathlib import Path

import pytest

from fedmq.claims import claimed
from fedmq.messages.fields import Manifest
from fedmq.node.records import open_records
from fedmq.orchestrator import store
from fedmq.orchestrator.store import Kept, Store
from fedmq.transport import courier as couriers
from fedmq.transport.home import LocalHome
from fedmq.types import Digest, ExperimentId, ResearcherId
from tests.unit.cli.line import CommandLine
from tests.unit.cli.reports import make_report

MODEL, OLD = "a" * 64, "b" * 64


@pytest.fixture
def orchestrator(home: Path) -> Path:
    """Return the payloads of an orchestrator: the model of its experiment, and one of nothing."""
    journal = LocalHome(home / "orchestrator").journal(couriers.SCHEMA, store.SCHEMA)
    Store(journal).add(
        Kept(
            experiment=ExperimentId("lung-1"),
            researcher=ResearcherId("ada"),
            spec=make_report(num_rounds=10).spec,
            plan_source=None,
            initial=Manifest(digest=Digest(MODEL), size_bytes=8192, chunk_bytes=4),
            began_at=0.0,
        )
    )
    journal.close()
    payloads = home / "orchestrator" / "payloads"
    payloads.mkdir()
    for name in (MODEL, OLD):
        (payloads / name).write_bytes(b"x" * 8192)
    return payloads


def names(folder: Path) -> list[str]:
    """Return what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_dry_run_says_what_would_go_and_the_run_lets_it_go(
    fedmq: CommandLine, orchestrator: Path
) -> None:
    """Both print the same table; afterwards there is nothing to free."""
    dry = fedmq("gc", "--dry-run")
    assert dry.code == 0
    assert names(orchestrator) == [MODEL, OLD]
    assert dry.data.splitlines() == [
        "program       what                                    number  size",
        "orchestrator  models and updates that no round needs       1  8.2 kB",
    ]
    assert dry.talk.splitlines() == ["next: fedmq gc"]
    done = fedmq("gc")
    assert (done.code, done.data) == (0, dry.data)
    assert done.ends_with_next
    assert names(orchestrator) == [MODEL]
    again = fedmq("gc")
    assert (again.code, again.data) == (0, "nothing to free\n")


def test_what_runs_is_left_alone_and_told(fedmq: CommandLine, orchestrator: Path) -> None:
    """A program that runs knows of more than its home says."""
    with claimed(orchestrator.parent, "an orchestrator"):
        outcome = fedmq("gc")
    assert outcome.code == 0
    assert "the orchestrator runs, and frees by itself" in outcome.talk
    assert names(orchestrator) == [MODEL, OLD]


def test_programs_read_what_went_of_each_program(
    fedmq: CommandLine, orchestrator: Path, home: Path
) -> None:
    """Node and orchestrator of one home; the sizes in bytes."""
    open_records(LocalHome(home / "node")).close()
    share = {
        "what": "models and updates that no round needs",
        "count": 1,
        "size_bytes": 8192,
    }
    assert fedmq("gc", "--json").json == {
        "schema_version": 1,
        "programs": [
            {
                "program": "orchestrator",
                "is_running": False,
                "is_freed": True,
                "shares": [share],
            },
            {"program": "node", "is_running": False, "is_freed": True, "shares": []},
        ],
    }
    assert names(orchestrator) == [MODEL]


def test_where_nothing_has_run_there_is_nothing_to_free(fedmq: CommandLine, home: Path) -> None:
    """And nothing is made."""
    outcome = fedmq("gc")
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: no program has run here yet" in outcome.talk
    assert names(home) == []
