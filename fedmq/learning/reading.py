"""Reading ahead: a thread makes the next batch while this one is learned from.

Reading, unpacking and resampling let other threads run meanwhile. Order, number and content of what
is made are those of a loop without the thread, and so are its errors: each comes where it would.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Final, Generic, TypeVar

AHEAD: Final = 1
"""Batches that are made before they are asked for. More would help where some take much longer than
others, and hold as many more in memory."""

K = TypeVar("K")
T = TypeVar("T")


class _Failed:
    """What was raised in place of an item."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    """There is nothing more."""


class Reader(Generic[K, T]):
    """The items that `make` gives for `keys`, in their order, `ahead` of them before they are due.

    `make` and `keys` run in a thread, one item after the other; they draw from no generator that
    others use. In memory are `ahead` items and the one in hand. With `ahead` 0 there is no thread.
    Whoever leaves the loop early closes it; then no thread is left.
    """

    def __init__(
        self,
        make: Callable[[K], T],
        keys: Iterable[K],
        *,
        ahead: int = AHEAD,
        steady: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.waited_s = 0.0
        """So long whoever goes through the items has waited for them."""
        self._make = make
        self._keys = keys
        self._steady = steady
        self._made: SimpleQueue[T | _Failed | _End] = SimpleQueue()
        self._room = Semaphore(ahead)
        self._is_closed = Event()
        self._thread: Thread | None = None
        if ahead:
            self._thread = Thread(target=self._read, name="reader", daemon=True)
            self._thread.start()

    def __enter__(self) -> "Reader[K, T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        """Go through the items, once.

        Raises:
            BaseException: what `make` or `keys` raised, after the items before it.
        """
        items = self._made_now() if self._thread is None else self._made_ahead()
        while True:
            began = self._steady()
            item = next(items, _End())
            self.waited_s += self._steady() - began
            if isinstance(item, _End):
                return
            yield item

    def close(self) -> None:
        """Return when the thread has ended, which makes what it has begun and no more."""
        self._is_closed.set()
        self._room.release()
        if self._thread is not None:
            self._thread.join()

    def _made_now(self) -> Iterator[T]:
        return (self._make(key) for key in self._keys)

    def _made_ahead(self) -> Iterator[T]:
        while not isinstance(item := self._made.get(), _End):
            if isinstance(item, _Failed):
                raise item.error
            # Asked for, it is in hand: there is room for the next.
            self._room.release()
            yield item

    def _read(self) -> None:
        try:
            for key in self._keys:
                self._room.acquire()
                if self._is_closed.is_set():
                    return
                self._made.put(self._make(key))
            self._made.put(_End())
        except BaseException as error:  # noqa: BLE001 - it is raised where the item is asked for
            self._made.put(_Failed(error))
