"""Workers: processes that work side by side, and end with the one that leads them.

A kernel that lacks memory ends processes without a word. What was under way is then done again,
one at a time: with less at once it may well succeed, and what ends its process again is known.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TypeVar

Thing = TypeVar("Thing")
Made = TypeVar("Made")


def share_out(
    do: Callable[[Thing], Made], things: Sequence[Thing], jobs: int
) -> Iterator[tuple[Thing, Made | None]]:
    """Yield each thing with what `do` makes of it, as it is done; with one job, in this process.

    None is made of a thing that ended two processes; it stops no other one.
    """
    if jobs <= 1:
        for thing in things:
            yield thing, do(thing)
        return
    again: list[Thing] = []
    with _workers(jobs) as pool:
        running: dict[Future[Made], Thing] = {}
        for thing in things:
            try:
                running[pool.submit(do, thing)] = thing
            except BrokenProcessPool:
                again.append(thing)
        for future in as_completed(running):
            try:
                yield running[future], future.result()
            except BrokenProcessPool:
                again.append(running[future])
    yield from _one_at_a_time(do, again)


def _one_at_a_time(
    do: Callable[[Thing], Made], things: list[Thing]
) -> Iterator[tuple[Thing, Made | None]]:
    while things:
        with _workers(1) as pool:
            while things:
                thing = things.pop(0)
                try:
                    yield thing, pool.submit(do, thing).result()
                except BrokenProcessPool:
                    yield thing, None
                    break


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    """A worker leaves Ctrl-C to the process that leads, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leader = parent_process()

    def end_with_leader() -> None:
        if leader is not None:
            leader.join()
        os._exit(1)

    threading.Thread(target=end_with_leader, daemon=True).start()
