"""Services end in order when they are asked to."""

import os
import signal
import subprocess
import sys

import pytest

from fedmq.cli.serving import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_service_and_does_not_break_into_it(number: signal.Signals) -> None:
    """The event in hand is brought to its end."""
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    stopped: list[str] = []
    try:
        stop_on_signals(lambda: stopped.append("asked"))
        os.kill(os.getpid(), number)
        assert stopped == ["asked"]
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


_CHUNKS = """
import resource, threading
from fedmq.cli.serving import keep_freed_memory

keep_freed_memory()
counts = []

def pass_on():
    for _ in range(100):
        some = [bytes(2 * 2**20) for _ in range(6)]
        del some
        counts.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt)

thread = threading.Thread(target=pass_on)
thread.start()
thread.join()
print(counts[-1] - counts[10])
"""


def num_faults(**environment: str) -> int:
    """Return how many pages Linux clears while chunks are made and let go of."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", _CHUNKS],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return int(done.stdout)


def test_the_memory_of_chunks_is_used_for_the_next_ones() -> None:
    """Else Linux would have to clear its pages anew: 512 for each chunk."""
    assert num_faults() < 512


def test_what_the_environment_says_of_memory_counts() -> None:
    """Whoever runs the machine has the last word."""
    assert num_faults(MALLOC_MMAP_THRESHOLD_="65536") > 512
