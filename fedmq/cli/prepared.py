"""How a node's commands forget what trainers keep prepared of cases."""

from typing import TYPE_CHECKING

from fedmq.cli.node_home import require_node

if TYPE_CHECKING:
    from pathlib import Path

    from fedmq.transport.disused import Share
    from fedmq.transport.home import Home


def forget_dataset(name: str) -> None:
    """Remove what is prepared of a dataset; a node that runs prepares it again, as it is then."""
    from fedmq.node.kept_cases import KEPT_CASES, KeptCases

    KeptCases(require_node() / KEPT_CASES).end_dataset(name)


def forget_over(folder: "Path", home: "Home", *, dry_run: bool) -> "tuple[Share, ...]":
    """Return what is prepared for experiments that are over; it goes, unless told otherwise.

    `folder` is that of the node's `home`.
    """
    from fedmq.node.footprint import disk_bytes
    from fedmq.node.kept_cases import KEPT_CASES, KeptCases
    from fedmq.node.records import open_records
    from fedmq.transport.disused import Share

    kept = KeptCases(folder / KEPT_CASES)
    records = open_records(home)
    try:
        folders = kept.unneeded(records.tasks.is_running)
        size_bytes = sum(disk_bytes(one) for one in folders)
        if not dry_run:
            kept.sweep(records.tasks.is_running)
    finally:
        records.close()
    what = "folders of prepared cases of experiments that are over"
    return (Share(what=what, count=len(folders), size_bytes=size_bytes),) if folders else ()
