"""The loop of a service: what other threads put in is taken by one, between them time passes."""

import queue
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

TICK_S: Final = 0.25
"""Deadlines and repeats are looked at so often; nothing that a round waits for depends on it."""

E = TypeVar("E")


class Loop(Generic[E]):
    """A queue of events with one taker."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[E | None] = queue.SimpleQueue()
        self._is_stopping = False

    def put(self, event: E) -> None:
        """Hand in an event, from any thread."""
        self._queue.put(event)

    def stop(self) -> None:
        """End `run` after the event in hand; may be called from a signal handler."""
        self._is_stopping = True
        self._queue.put(None)

    def run(self, take: Callable[[E], None], tick: Callable[[], None]) -> None:
        """Take events one by one, and tick, until stopped."""
        next_tick = time.monotonic()
        while not self._is_stopping:
            try:
                event = self._queue.get(timeout=max(0.0, next_tick - time.monotonic()))
            except queue.Empty:
                event = None
            if event is not None:
                take(event)
            if time.monotonic() >= next_tick:
                tick()
                next_tick = time.monotonic() + TICK_S
