"""The orchestrator's command: with its own login, or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.claims import claimed
from fedmq.cli.console import typed
from fedmq.messages.fields import Manifest
from fedmq.messages.mandates import Order
from fedmq.orchestrator import store
from fedmq.orchestrator.store import Kept, Store
from fedmq.transport import courier as couriers
from fedmq.transport.counters import Counters
from fedmq.transport.home import RESERVE_BYTES, LocalHome
from fedmq.transport.inbox import Inbox, TurnedAway
from fedmq.types import Digest, Role
from tests.support.clock import FakeClock
from tests.support.mandates import mandated
from tests.support.orchestrator_home import open_journal
from tests.unit.cli.line import CommandLine
from tests.unit.cli.reports import make_report


def test_the_file_of_another_role_is_refused_before_anything_is_made(
    fedmq: CommandLine, credentials: Callable[..., Path], home: Path
) -> None:
    """One error: what was expected, what came, the fix; no journal is begun."""
    path = credentials("chu-lyon", Role.NODE)
    outcome = fedmq("orchestrator", "start", "--credentials", str(path))
    assert (outcome.code, outcome.data) == (1, "")
    added = "fedmq hub add-orchestrator NAME"
    assert outcome.talk.splitlines() == [
        "error: the credentials of chu-lyon are not an orchestrator's",
        "  why: expected: role orchestrator; got: role node",
        f"  fix: use the hub's hub/credentials/orchestrator.toml, or the file that {added} made",
    ]
    assert not (home / "orchestrator").exists()


@pytest.mark.parametrize(
    ("name", "store"), [("orchestrator", "orchestrator"), ("north", "orchestrators/north")]
)
def test_each_orchestrator_of_a_machine_has_a_store_of_its_own(
    fedmq: CommandLine, credentials: Callable[..., Path], home: Path, name: str, store: str
) -> None:
    """It is chosen by the credentials; a program that has it is named."""
    path = credentials(name, Role.ORCHESTRATOR)
    with claimed(home / store, "an orchestrator"):
        outcome = fedmq("orchestrator", "start", "--credentials", str(path))
    assert outcome.code == 1
    assert f"error: an orchestrator runs already in {home / store}\n" in outcome.talk
    assert f"fedmq orchestrator start --stand-by --credentials {typed(path)}" in outcome.talk
    assert (home / store / "owner").read_text() == f"{name}\n"


def test_in_the_store_of_another_one_an_orchestrator_does_not_start(
    fedmq: CommandLine, credentials: Callable[..., Path], home: Path
) -> None:
    """As where the folder was copied, for the new one to go on with the experiments."""
    path, folder = credentials("north", Role.ORCHESTRATOR), home / "orchestrators" / "north"
    open_journal(folder).close()
    outcome = fedmq("orchestrator", "start", "--credentials", str(path))
    assert (outcome.code, outcome.data) == (1, "")
    assert f"error: north cannot lead in {folder}\n" in outcome.talk
    assert "  why: the store there is that of orchestrator," in outcome.talk
    assert "  fix: start orchestrator there, with its own credentials; or move" in outcome.talk
    assert not (folder / "owner").exists()


def test_a_new_certificate_is_taken_where_the_keys_are(
    fedmq: CommandLine, home: Path, tmp_path: Path
) -> None:
    """As by nodes and researchers; the next command speaks of the same orchestrator."""
    fedmq("hub", "init", "trial")
    fedmq("hub", "add-orchestrator", "north")
    away = tmp_path / "away"
    away.mkdir()
    for one in ("north.toml", "north.keys"):
        (home / "hub" / "credentials" / one).rename(away / one)
    renewed = fedmq("hub", "renew", "north")
    assert "there: fedmq orchestrator renew north.pem --credentials north.toml" in renewed.talk
    before = (away / "north.keys" / "certificate.pem").read_text()
    taken = fedmq("orchestrator", "renew", "north.pem", "--credentials", "away/north.toml")
    assert taken.code == 0
    assert "the certificate is good until 20" in taken.talk
    assert taken.talk.endswith("next: fedmq orchestrator status --credentials away/north.toml\n")
    now = (away / "north.keys" / "certificate.pem").read_text()
    assert now == (home / "north.pem").read_text() != before


def test_where_there_is_no_hub_the_fix_is_to_ask_its_operator(fedmq: CommandLine) -> None:
    """The default is the hub's own file."""
    outcome = fedmq("orchestrator", "start")
    assert outcome.code == 1
    assert "hub/credentials/orchestrator.toml cannot be read" in outcome.talk
    assert "ask the hub's operator" in outcome.talk


def test_status_says_what_it_leads_keeps_and_turned_away(fedmq: CommandLine, home: Path) -> None:
    """For people and for programs, also while the orchestrator runs."""
    folder = home / "orchestrator"
    journal = LocalHome(folder).journal(couriers.SCHEMA, store.SCHEMA)
    Store(journal).add(
        Kept(
            mandate=mandated(
                Order(
                    experiment="lung-1",
                    researcher="ada",
                    orchestrator="orchestrator",
                    spec=make_report(num_rounds=10).spec,
                    initial=Manifest(digest=Digest("a" * 64), size_bytes=10, chunk_bytes=4),
                )
            ),
            plan_source=None,
            began_at=0.0,
        )
    )
    for reason in ("no_user_id", "not_msgpack", "no_user_id"):
        Inbox(journal, Counters(journal), FakeClock(lambda: 0.0)).note_rejected(
            TurnedAway(reason=reason, queue="q", kind="k", sender="u", size_bytes=1)
        )
    journal.close()
    models = folder / "experiments" / "lung-1"
    models.mkdir(parents=True)
    (models / "round-0000.safetensors").write_bytes(bytes(45_600))
    with claimed(folder, "an orchestrator"):
        shown = fedmq("orchestrator", "status")
    assert shown.code == 0
    lines = shown.data.splitlines()
    assert lines.pop(4).startswith("disk free         ")
    assert lines == [
        "leads             1",
        "unsent            0",
        "payloads awaited  0",
        "disk used         45.6 kB",
        "turned away       2 x no_user_id",
        "turned away       1 x not_msgpack",
        "",
        "experiment  researcher  state      round    disk",
        "lung-1      ada         preparing  0 of 10  45.6 kB",
        "    0 of at least 3 nodes take part",
    ]
    assert shown.ends_with_next
    document = fedmq("orchestrator", "status", "--json").json
    assert document.pop("room")["needed_bytes"] == RESERVE_BYTES
    assert document == {
        "schema_version": 1,
        "experiments": [
            {
                "experiment": "lung-1",
                "researcher": "ada",
                "state": "preparing",
                "round": 0,
                "num_rounds": 10,
                "reason": "0 of at least 3 nodes take part",
                "is_over": False,
                "size_bytes": 45_600,
            }
        ],
        "unsent": 0,
        "payloads_awaited": 0,
        "rejected": {"no_user_id": 2, "not_msgpack": 1},
        "witnessed": {},
        "refused_heads": {},
        "leader": None,
        "epoch": 0,
        "stand_bys": [],
    }


def test_where_no_orchestrator_has_run_there_is_no_status(fedmq: CommandLine, home: Path) -> None:
    """And looking makes none."""
    outcome = fedmq("orchestrator", "status", "--json")
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: no orchestrator has run here yet" in outcome.talk
    assert "fix: fedmq orchestrator start" in outcome.talk
    assert not (home / "orchestrator").exists()
