"""Workers: processes that import side by side, and end with the one that leads them."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process


@contextmanager
def workers(jobs: int) -> Iterator[ProcessPoolExecutor | None]:
    """Yield processes; None where one at a time is enough, which is this one."""
    if jobs <= 1:
        yield None
        return
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
