"""Services end in order when they are asked to."""

import os
import signal

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
