"""What a program keeps and needs no more: found first, then freed.

Each file goes by itself, ids of messages in one transaction, so that who is killed in between has
freed less, and nothing by halves. Call it while the program does not run: it frees by itself then.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from fedmq.clocks import Clock
from fedmq.transport import received
from fedmq.transport.home import Home
from fedmq.transport.received import Received
from fedmq.transport.retention import Retention

BLOCK_BYTES: Final = 512
"""The unit in which the system counts what a file takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisusedFile:
    """A file that nothing needs any more."""

    what: str
    """For people; what is of one kind has the same words."""
    folder: tuple[str, ...]
    """The names that lead to its folder in the home."""
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disused:
    """All that one program needs no more."""

    files: tuple[DisusedFile, ...]
    over: Mapping[str, str]
    """The experiments that are over, each with the sender whose messages' ids stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What is of one kind."""

    what: str
    count: int
    size_bytes: int


def measure(
    home: Home, disused: Disused, *, retention: Retention, clock: Clock
) -> tuple[Share, ...]:
    """Return what `free` would free, by kind; kinds of which there is nothing are left out."""
    shares = list(_file_shares(home, disused.files))
    journal = home.journal(received.SCHEMA)
    try:
        before = retention.before(clock.now())
        num_ids = Received(journal, clock).num_disused(disused.over, before=before)
        # Their bytes are those of pages, which are empty only once they went.
        shares.append(Share(what="ids of messages", count=num_ids, size_bytes=0))
        num_pages, page_bytes = journal.empty_pages()
        size_bytes = num_pages * page_bytes
        shares.append(
            Share(what="empty pages of the journal", count=num_pages, size_bytes=size_bytes)
        )
    finally:
        journal.close()
    return tuple(share for share in shares if share.count)


def free(home: Home, disused: Disused, *, retention: Retention, clock: Clock) -> None:
    """Remove what nothing needs; files first, which need no room to go.

    Raises:
        StorageError: the disk refuses; what went before that is gone.
    """
    for file in disused.files:
        home.disk(*file.folder).remove(file.name)
    journal = home.journal(received.SCHEMA)
    try:
        with journal.transaction():
            before = retention.before(clock.now())
            Received(journal, clock).forget(disused.over, before=before)
        journal.compact()
    finally:
        journal.close()


def _file_shares(home: Home, files: Sequence[DisusedFile]) -> Iterator[Share]:
    """Yield the files of each kind.

    A file may have a name elsewhere too, as a model among payloads and checkpoints: its bytes are
    free when the last of its names goes, and none before.
    """
    names_left: dict[int, int] = {}
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for file in files:
        counts[file.what] += 1
        with suppress(FileNotFoundError):  # a program that runs may have removed it
            found = home.disk(*file.folder).path(file.name).stat()
            left = names_left[found.st_ino] = names_left.get(found.st_ino, found.st_nlink) - 1
            sizes[file.what] += 0 if left else found.st_blocks * BLOCK_BYTES
    for what, count in counts.items():
        yield Share(what=what, count=count, size_bytes=sizes[what])
