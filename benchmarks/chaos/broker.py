"""The broker under chaos: a private RabbitMQ, killed, stopped, and brought up again by its hub."""

import math
import signal
import time
from collections.abc import Sequence
from typing import Final

from benchmarks.chaos.members import Service
from benchmarks.chaos.phases import Phase
from benchmarks.chaos.recovery import Lost
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.processes import wait_for_end
from tests.support.federation import CENTRE, Federation

_BUSIEST: Final = (
    Phase.UPLOAD,
    Phase.RECEIVE,
    Phase.FOLD,
    Phase.UPDATE,
    Phase.JOURNAL,
    Phase.TRAIN,
    Phase.WAIT,
    Phase.START,
)


class Broker:
    """RabbitMQ; its phase is that of the busiest service."""

    name = "broker"
    kind = "broker"

    def __init__(self, federation: Federation, services: Sequence[Service]) -> None:
        self._federation = federation
        self._services = services
        self._is_heard = True
        """Whether its hub has brought it up."""
        self._private = PrivateBroker(federation.home(CENTRE) / "hub" / "broker")
        self._began_at = math.inf
        """Of this life: what services had before, they had from an earlier one."""

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        return self._private.running() is not None

    @property
    def is_starting(self) -> bool:
        """Whether its hub is about to bring it up.

        Raises:
            Lost: it could not.
        """
        if self._is_heard:
            return False
        hub = self._federation.programs["hub"]
        if not hub.is_running and hub.wait() != 0:
            raise Lost(f"the broker does not come back:\n{hub.log()}")
        return True

    def come_back(self) -> None:
        """Let the hub bring it up, and do not wait for it."""
        self._began_at = time.monotonic()
        self._is_heard = False
        self._federation.start("hub", CENTRE, "hub", "up")

    def send(self, number: signal.Signals) -> Phase:
        """Return what the services were doing when the signal came, which may end it."""
        phase = self.phase
        running = self._private.running()
        if running is not None:
            running.broker.send(number)
            if number in {signal.SIGKILL, signal.SIGTERM}:
                wait_for_end(running.broker)
                self._began_at = math.inf
        return phase

    def look(self) -> None:
        """Note that its hub has brought it up."""
        if self.is_starting and not self._federation.programs["hub"].is_running:
            self._is_heard = True

    @property
    def phase(self) -> Phase:
        """What it is used for."""
        phases = {service.phase for service in self._services if service.is_running}
        return next((phase for phase in _BUSIEST if phase in phases), Phase.WAIT)

    def progress_since(self, _at: float) -> float | None:
        """Return when all services had a message from it again, None while one has not."""
        times = [service.progress_since(self._began_at) for service in self._services]
        return None if None in times else max(time for time in times if time is not None)
