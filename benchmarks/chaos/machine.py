"""A machine that notes each durable step of its program, and kills it where it is ordered to."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.chaos.names import change_name, commit_name, file_name, queue_name
from benchmarks.chaos.steps import Steps
from fedmq.disk import Disk, LocalDisk
from fedmq.transport.declarations import Queue
from fedmq.transport.home import JOURNAL_NAME, LocalHome
from fedmq.transport.journal import Cell, Journal
from fedmq.transport.ports import Delivery, Publication, Sink
from fedmq.transport.rabbitmq import Login, RabbitTransport
from fedmq.transport.topology import EVENTS


class NotedDisk(LocalDisk):
    """A folder whose changes are steps."""

    def __init__(self, folder: Path, place: str, steps: Steps) -> None:
        super().__init__(folder)
        self._place = place
        self._steps = steps

    def write(self, name: str, offset: int, data: bytes | memoryview) -> None:
        """Write, as a step."""
        with self._steps.at(f"write {self._kind(name)}"):
            super().write(name, offset, data)

    def sync(self, name: str) -> None:
        """Sync, as a step."""
        with self._steps.at(f"sync {self._kind(name)}"):
            super().sync(name)

    def sync_names(self) -> None:
        """Sync the folder, as a step."""
        with self._steps.at(f"sync {self._place}/names"):
            super().sync_names()

    def rename(self, old: str, new: str) -> None:
        """Rename, as a step."""
        with self._steps.at(f"rename {self._kind(old)}"):
            super().rename(old, new)

    def link(self, name: str, other: Disk, new: str) -> None:
        """Link, as a step."""
        with self._steps.at(f"link {self._kind(name)}"):
            super().link(name, other, new)

    def remove(self, name: str) -> None:
        """Remove; as a step, if there is such a file."""
        if self.size_bytes(name) is not None:
            with self._steps.at(f"remove {self._kind(name)}"):
                super().remove(name)

    def _kind(self, name: str) -> str:
        return file_name(self._place, name)


class NotedJournal(Journal):
    """A journal whose commits are steps, named by what they change."""

    def __init__(self, path: Path, steps: Steps, *schemas: str) -> None:
        super().__init__(path, *schemas)
        self._steps = steps
        self._changes: list[str] = []

    def execute(self, sql: str, cells: Sequence[Cell] = ()) -> int:
        """Return how many rows changed; a statement outside a transaction is one by itself."""
        if sql == "COMMIT":
            return self._commit()
        if sql.startswith("BEGIN"):
            self._changes.clear()
            return super().execute(sql, cells)
        if sql.startswith("PRAGMA"):
            return super().execute(sql, cells)
        if not self._connection.in_transaction:
            with self.transaction():
                return self.execute(sql, cells)
        changed = super().execute(sql, cells)
        if changed > 0:
            self._changes.append(change_name(sql, cells))
        return changed

    def _commit(self) -> int:
        if not self._changes:
            return super().execute("COMMIT")
        with self._steps.at(commit_name(self._changes)):
            return super().execute("COMMIT")


class NotedHome(LocalHome):
    """A home on such disks, with such a journal."""

    def __init__(self, folder: Path, steps: Steps) -> None:
        super().__init__(folder)
        self._at = folder
        self._steps = steps

    def disk(self, *names: str) -> NotedDisk:
        """Return the folder that the names lead to."""
        place = names[0] if names else "home"
        return NotedDisk(self._at.joinpath(*names), place, self._steps)

    def journal(self, *schemas: str) -> NotedJournal:
        """Return the journal, with these tables."""
        return NotedJournal(self._at / JOURNAL_NAME, self._steps, *schemas)


class NotedTransport(RabbitTransport):
    """A way to RabbitMQ on which what is sent, taken off a queue, made and deleted are steps.

    Events are none: they may be lost.
    """

    def __init__(self, login: Login, sink: Sink, steps: Steps) -> None:
        super().__init__(login, sink)
        self._steps = steps

    def publish(self, publication: Publication, ticket: int) -> None:
        """Hand over a publication, as a step."""
        if publication.exchange == EVENTS:
            super().publish(publication, ticket)
            return
        with self._steps.at(f"publish {publication.properties.type}", is_of_another_thread=True):
            super().publish(publication, ticket)

    def acknowledge(self, delivery: Delivery) -> None:
        """Take a delivery off its queue, as a step."""
        if delivery.exchange == EVENTS:
            super().acknowledge(delivery)
            return
        with self._steps.at(f"acknowledge {delivery.properties.type}", is_of_another_thread=True):
            super().acknowledge(delivery)

    def reject(self, delivery: Delivery) -> None:
        """Take a delivery off its queue, as a step."""
        with self._steps.at(f"reject {delivery.properties.type}", is_of_another_thread=True):
            super().reject(delivery)

    def declare(self, queues: Sequence[Queue]) -> None:
        """Make queues, as a step."""
        with self._steps.at(
            _queues("declare", [queue.name for queue in queues]), is_of_another_thread=True
        ):
            super().declare(queues)

    def delete(self, queues: Sequence[str]) -> None:
        """Delete queues, as a step."""
        with self._steps.at(_queues("delete", queues), is_of_another_thread=True):
            super().delete(queues)


class NotedMachine:
    """What a program is given in place of the machine as it is."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def home(self, folder: Path) -> NotedHome:
        """Return the home of a program in a folder."""
        return NotedHome(folder, self._steps)

    def transport(self, login: Login, sink: Sink) -> NotedTransport:
        """Return a way to RabbitMQ."""
        return NotedTransport(login, sink, self._steps)


def _queues(verb: str, names: Sequence[str]) -> str:
    return " ".join([verb, *sorted(set(map(queue_name, names)))])
