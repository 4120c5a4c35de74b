"""The check of a dataset with its page, for `fedmq node data check`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedmq.cli.node_home import open_own_records
from fedmq.errors import StorageError

if TYPE_CHECKING:
    from fedmq.node.inspection import Inspection


def check_and_draw(
    name: str, html: Path | None, progress: Callable[[int, int], None]
) -> tuple["Inspection", Path]:
    """Return what is found in a dataset now, and where its page is: `html`, or in the node's home.

    Raises:
        ConfigurationError: there is none of that name.
        DatasetError: the folder or its clinical table cannot be read.
        StorageError: the page cannot be written.
    """
    if html is not None and html.is_dir():
        raise StorageError(
            f"the page cannot be {html}",
            why="it is a folder",
            fix=f"name a file: --html {html / f'{name}.html'}",
        )
    import time
    from datetime import UTC, datetime

    from fedmq.imaging.report.page import CheckPage
    from fedmq.node.datasets import unknown_dataset

    records = open_own_records()
    if records.datasets.find(name) is None:
        raise unknown_dataset(name)
    place = html or records.check_pages.path(name)
    if html is not None:
        records.check_pages.note(name, html)
    with CheckPage(place, name) as page:
        inspection = records.datasets.check(name, progress, page.add)
        inspection = replace(inspection, findings=(*inspection.findings, *page.doubts()))
        made_at = f"{datetime.fromtimestamp(time.time(), UTC):%Y-%m-%d %H:%M} UTC"
        # A withdrawal is before this or after it: then it removes the page.
        with records.journal.transaction():
            page.finish(made_at=made_at, without=records.withdrawals.names(name))
    return inspection, place
