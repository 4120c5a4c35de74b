"""Needs: what a node's disk has to hold for what the node has before it."""

from fedmq.errors import StorageError
from fedmq.messages.notices import Activity, Heartbeat
from fedmq.node.records import open_records
from fedmq.node.storage import Storage
from fedmq.node.tasks import State, product_bytes, update_bytes
from fedmq.transport.home import RESERVE_BYTES, Home, Room
from fedmq.transport.inbox import awaited_payloads


def read_room(home: Home) -> Room:
    """Return the room at a node; its service may have the same home open.

    Raises:
        StorageError: there is no such folder.
    """
    try:
        needed_bytes = _needed_bytes(home)
    except StorageError:
        needed_bytes = 0  # so full that even the journal cannot be opened: the reserve comes first
    return Room(needed_bytes=RESERVE_BYTES + needed_bytes, free_bytes=home.free_bytes())


def read_signs(home: Home, version: str) -> tuple[Heartbeat, ...]:
    """Return what a node tells of itself while it waits for room."""
    try:
        num_waiting = _num_tasks(home)
    except StorageError:
        num_waiting = 0
    body = Heartbeat(
        version=version, activity=Activity.DISK_FULL, progress=0.0, num_waiting=num_waiting
    )
    return (body,)


def _num_tasks(home: Home) -> int:
    records = open_records(home)
    try:
        return len(records.tasks)
    finally:
        records.close()


def _needed_bytes(home: Home) -> int:
    """Return the bytes of models on their way here, and of what the largest task makes."""
    records = open_records(home)
    try:
        spool = Storage(home).spool
        models = awaited_payloads(records.journal).values()
        lacking = sum(spool.lacking_bytes(one) for one in models)
        products = [
            # The update alone, of what is trained.
            update_bytes(task.request) if task.state is State.DONE else product_bytes(task.request)
            for task in records.tasks.all()
        ]
        return lacking + max(products, default=0)
    finally:
        records.close()
