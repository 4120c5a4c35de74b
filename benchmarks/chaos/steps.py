"""Steps: each one is noted before and after, and a program may be ordered to die or stop at one.

For each program there are files in one folder: NAME.steps, a line for each side of each step that
it took; NAME.orders, while orders wait; NAME.obeyed, once one of them was carried out.
"""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

LINGER_S: Final = 0.1
"""So long the program stands still after what another thread carries out, before it is killed."""


class Side(StrEnum):
    """Which side of a step."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Where a program is to be killed, or to stand still while another one is."""

    step: str
    number: int
    """The how manieth of this name since the orders were given; counts from 1."""
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One side of a step that a program took."""

    at: float
    """On the machine's steady clock, which all processes share."""
    pid: int
    side: Side
    step: str


class Notes:
    """What one program notes, as who watches it sees it."""

    def __init__(self, folder: Path, program: str) -> None:
        self._steps = folder / f"{program}.steps"
        self._orders = folder / f"{program}.orders"
        self._obeyed = folder / f"{program}.obeyed"
        self._offset = 0

    def read(self, until: float | None = None) -> list[Note]:
        """Return the notes since they were read last, those up to a moment if one is given."""
        try:
            with self._steps.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        notes = []
        for line in text[: text.rfind(b"\n") + 1].splitlines(keepends=True):
            note = _parse(line.decode().rstrip("\n"))
            if until is not None and note.at > until:
                break
            self._offset += len(line)
            notes.append(note)
        return notes

    def order(self, orders: Iterable[Order], number: signal.Signals = signal.SIGKILL) -> None:
        """Let the program send itself a signal at the first of these.

        It reads them before its next step.
        """
        partial = self._orders.with_suffix(".new")
        partial.write_text(json.dumps([number, [asdict(order) for order in orders]]))
        partial.replace(self._orders)

    def withdraw(self) -> None:
        """Let the program live; an order that it is carrying out is carried out."""
        self._orders.unlink(missing_ok=True)

    def take_obeyed(self) -> tuple[float, Order] | None:
        """Return when which order was carried out, once."""
        try:
            at, order = json.loads(self._obeyed.read_text())
        except FileNotFoundError:
            return None
        self._obeyed.unlink()
        return at, _order(order)


class Steps:
    """The steps of one process, as it takes them."""

    def __init__(self, folder: Path, program: str) -> None:
        self._orders_file = folder / f"{program}.orders"
        self._obeyed = folder / f"{program}.obeyed"
        self._orders: frozenset[Order] = frozenset()
        self._number = signal.SIGKILL
        self._given = 0
        self._counts: Counter[str] = Counter()
        self._notes = os.open(
            folder / f"{program}.steps", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )

    @contextmanager
    def at(self, step: str, *, is_of_another_thread: bool = False) -> Iterator[None]:
        """Take a step between its two sides, or be struck at one of them.

        Where another thread carries it out, the signal behind it gives that a moment.
        """
        self._read_orders()
        self._counts[step] += 1
        before = Order(step=step, number=self._counts[step], side=Side.BEFORE)
        after = replace(before, side=Side.AFTER)
        if before in self._orders:
            self._obey(before)
        self._note(before)
        yield
        self._note(after)
        if after in self._orders:
            time.sleep(LINGER_S if is_of_another_thread else 0.0)
            self._obey(after)

    def _note(self, place: Order) -> None:
        line = f"{time.monotonic():.6f}\t{os.getpid()}\t{place.side}\t{place.step}\n"
        os.write(self._notes, line.encode())

    def _read_orders(self) -> None:
        try:
            given = self._orders_file.stat().st_mtime_ns
        except FileNotFoundError:
            self._orders, self._given = frozenset(), 0
            return
        if given != self._given:
            number, orders = json.loads(self._orders_file.read_text())
            self._number, self._orders = signal.Signals(number), frozenset(map(_order, orders))
            self._given = given
            self._counts.clear()

    def _obey(self, order: Order) -> None:
        self._orders_file.unlink(missing_ok=True)
        partial = self._obeyed.with_suffix(".new")
        partial.write_text(json.dumps([time.monotonic(), asdict(order)]))
        partial.replace(self._obeyed)
        os.kill(os.getpid(), self._number)
        if self._number is signal.SIGKILL:
            signal.pause()  # the kernel's word may take a moment to reach this thread


def _parse(line: str) -> Note:
    at, pid, side, step = line.split("\t")
    return Note(at=float(at), pid=int(pid), side=Side(side), step=step)


def _order(fields: dict[str, Any]) -> Order:
    return Order(step=fields["step"], number=fields["number"], side=Side(fields["side"]))
