"""The home of an orchestrator on the disk, as one that runs an experiment leaves it."""

from pathlib import Path
from typing import Final

from fedmq.messages.fields import Manifest
from fedmq.messages.mandates import Order
from fedmq.orchestrator import store
from fedmq.orchestrator.store import Kept, Store
from fedmq.transport import courier as couriers
from fedmq.transport.home import LocalHome
from fedmq.transport.journal import Journal
from fedmq.types import Digest
from tests.support.mandates import mandated
from tests.unit.cli.reports import make_report

MODEL: Final = "a" * 64
"""The model that its experiment, which has not begun, needs."""


def open_journal(home: Path) -> Journal:
    """Return the orchestrator's journal; its experiment is in it."""
    journal = LocalHome(home).journal(couriers.SCHEMA, store.SCHEMA)
    Store(journal).add(
        Kept(
            mandate=mandated(
                Order(
                    experiment="lung-1",
                    researcher="ada",
                    orchestrator="orchestrator",
                    spec=make_report(num_rounds=10).spec,
                    initial=Manifest(digest=Digest(MODEL), size_bytes=8192, chunk_bytes=4),
                )
            ),
            plan_source=None,
            began_at=0.0,
        )
    )
    return journal


def write_payloads(home: Path, *names: str, size_bytes: int) -> Path:
    """Write files of zeros among the payloads; return their folder."""
    payloads = home / "payloads"
    payloads.mkdir()
    for name in names:
        (payloads / name).write_bytes(bytes(size_bytes))
    return payloads
