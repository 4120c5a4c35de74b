"""A private RabbitMQ: its own folder, cookie, node name and ports, on loopback, ended by pid.

The programs of an installed RabbitMQ are used, never its running service: the script under the
package's lib folder is started directly, since the wrapper in sbin insists on root.
"""

import hashlib
import json
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from fedmq.errors import HubError
from fedmq.hub.configuration import (
    LOOPBACK,
    PLUGINS,
    Ports,
    environment,
    private_configuration,
)
from fedmq.hub.processes import Process, find_process

START_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.1
_LIB: Final = Path("/usr/lib/rabbitmq/lib")
# Below the range from which the kernel takes the ports of outgoing connections.
_PORT_RANGE: Final = (20_000, 32_000)
_LOG_LINES: Final = 8
_INSTALL: Final = "apt-get install --no-install-recommends rabbitmq-server"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A broker as its folder remembers it."""

    ports: Ports
    node_name: str
    broker: Process
    """The Erlang machine; while it starts, the script that starts it."""
    epmd: Process


class PrivateBroker:
    """The broker of one folder; another process may start, find and stop it by the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._state = self._folder / "broker.json"

    @property
    def definitions(self) -> Path:
        """The file that the broker loads at every boot."""
        return self._folder / "definitions.json"

    def running(self) -> Running | None:
        """Return the broker of this folder if it runs."""
        state = self._read_state()
        return state if state is not None and state.broker.is_running() else None

    def start(self, progress: Progress = lambda _: None) -> Running:
        """Return the broker once it takes connections; one that runs already is left as it is.

        Raises:
            HubError: RabbitMQ is not installed, the folder is not writable, or it does not come up.
        """
        running = self.running()
        if running is not None:
            return running
        script = find_server()
        earlier = self._read_state()
        ports = earlier.ports if earlier is not None else free_ports()
        node_name = f"fedmq-{hashlib.sha256(str(self._folder).encode()).hexdigest()[:10]}@localhost"
        self._prepare(ports)
        progress("starting the broker")
        settings = environment(self._folder, ports, node_name)
        epmd = self._spawn(["epmd", "-address", LOOPBACK, "-port", str(ports.epmd)], settings)
        broker = self._spawn([str(script)], settings)
        started = Running(ports=ports, node_name=node_name, broker=broker, epmd=epmd)
        self._write_state(started)
        try:
            self._wait_until_ready(started)
            # The script that was started waits for the Erlang machine, which is what can be ended.
            machine = find_process(int((self._folder / "pid").read_text()))
            if machine is None:
                raise self._died()
        except HubError:
            self.stop()
            raise
        ready = replace(started, broker=machine)
        self._write_state(ready)
        return ready

    def stop(self) -> None:
        """Return once the broker and its epmd are gone; its data stay."""
        state = self._read_state()
        if state is None:
            return
        _end(state.broker)
        _end(state.epmd)

    def kill(self) -> None:
        """Kill the broker without a word (-9), for those who test what follows."""
        running = self.running()
        if running is not None:
            running.broker.send(signal.SIGKILL)
            _wait_for_end(running.broker, STOP_TIMEOUT_S)
            _end(running.epmd)

    def _prepare(self, ports: Ports) -> None:
        try:
            for name in ("home", "data", "log"):
                (self._folder / name).mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            if not self.definitions.exists():
                self.definitions.write_text("{}")
            (self._folder / "rabbitmq.conf").write_text(
                private_configuration(ports, self.definitions)
            )
            (self._folder / "enabled_plugins").write_text(PLUGINS)
            cookie = self._folder / "home" / ".erlang.cookie"
            if not cookie.exists():
                cookie.touch(mode=0o600)
                cookie.write_text(secrets.token_hex(20))
                cookie.chmod(0o400)
        except OSError as error:
            raise HubError(
                f"the broker's folder {self._folder} cannot be written",
                why=error.strerror or str(error),
                fix="choose a folder of your own with FEDMQ_HOME",
            ) from error

    def _spawn(self, command: list[str], settings: dict[str, str]) -> Process:
        """Start a program in a session of its own, so that it outlives the one who started it."""
        with (self._folder / "log" / "console.log").open("ab") as log:
            try:
                child = subprocess.Popen(  # noqa: S603 - the broker's own programs
                    command,
                    env=settings,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise HubError(
                    f"{command[0]} could not be started",
                    why=error.strerror or str(error),
                    fix=f"install RabbitMQ: {_INSTALL}",
                ) from error
        process = find_process(child.pid)
        if process is None:
            raise self._died()
        _CHILDREN.append(child)
        return process

    def _wait_until_ready(self, started: Running) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not all(_accepts(port) for port in (started.ports.amqp, started.ports.management)):
            _reap()
            if not started.broker.is_running():
                raise self._died()
            if time.monotonic() > deadline:
                raise HubError(
                    f"the broker was not ready within {START_TIMEOUT_S:.0f} s",
                    why=self._last_words(),
                    fix="try again when the machine is less busy; its log lies beside its data",
                )
            time.sleep(_POLL_S)

    def _died(self) -> HubError:
        return HubError(
            "the broker ended while it started",
            why=self._last_words(),
            fix=f"read the logs under {self._folder / 'log'}",
        )

    def _last_words(self) -> str:
        lines: list[str] = []
        for log in sorted((self._folder / "log").glob("*.log"), key=lambda p: p.stat().st_mtime):
            lines.extend(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        words = [line.strip() for line in lines if line.strip()]
        return " | ".join(words[-_LOG_LINES:]) or "it left no log"

    def _write_state(self, state: Running) -> None:
        self._state.write_text(json.dumps(asdict(state)))

    def _read_state(self) -> Running | None:
        try:
            state = json.loads(self._state.read_text())
        except (OSError, ValueError):
            return None
        return Running(
            ports=Ports(**state["ports"]),
            node_name=state["node_name"],
            broker=Process(**state["broker"]),
            epmd=Process(**state["epmd"]),
        )


_CHILDREN: Final[list[subprocess.Popen[bytes]]] = []
"""What this process started: it has to collect them, or they stay as zombies."""


def find_server() -> Path:
    """Return the server script of the installed RabbitMQ, the newest where there are several.

    Raises:
        HubError: there is none.
    """
    scripts = sorted(_LIB.glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    if not scripts:
        raise HubError(
            "RabbitMQ is not installed on this machine",
            why=f"there is no server script under {_LIB}",
            fix=f"ask the administrator for: {_INSTALL}",
        )
    return scripts[-1]


def free_ports() -> Ports:
    """Return five ports of loopback that are free now."""
    numbers: list[int] = []
    while len(numbers) < len(Ports.__slots__):
        number = _PORT_RANGE[0] + secrets.randbelow(_PORT_RANGE[1] - _PORT_RANGE[0])
        with socket.socket() as trial:
            try:
                trial.bind((LOOPBACK, number))
            except OSError:
                continue
        if number not in numbers:
            numbers.append(number)
    return Ports(**dict(zip(Ports.__slots__, numbers, strict=True)))


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1.0):
        return True
    return False


def _end(process: Process) -> None:
    process.send(signal.SIGTERM)
    if not _wait_for_end(process, STOP_TIMEOUT_S):
        process.send(signal.SIGKILL)
        _wait_for_end(process, STOP_TIMEOUT_S)


def _wait_for_end(process: Process, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while process.is_running():
        _reap()
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    _reap()
    return True


def _reap() -> None:
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]
