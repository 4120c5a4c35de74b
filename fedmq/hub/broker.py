"""A private RabbitMQ: its own folder, cookie, node name and ports, on loopback, ended by pid.

The programs of an installed RabbitMQ are used, never its running service: the script under the
package's lib folder is started directly, since the wrapper in sbin insists on root.
"""

import hashlib
import json
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from fedmq.errors import HubError
from fedmq.hub.configuration import (
    ADVANCED,
    PLUGINS,
    REVOKED,
    Listener,
    environment,
    private_configuration,
    tls_options,
)
from fedmq.hub.files import locked, make_folder, replace_file
from fedmq.hub.ports import LOOPBACK, Ports, choose_ports, is_open
from fedmq.hub.processes import Process, end_process, start_process, wait_for_end
from fedmq.security.certificates import KeyPair, expires_at

START_TIMEOUT_S: Final = 120.0
_PORT_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.1
# Where all addresses are listened at -> one of them.
_EVERY: Final = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - to be found, not listened at
_LIB: Final = Path("/usr/lib/rabbitmq/lib")
_LOG_LINES: Final = 8
_ERROR_LENGTH: Final = 300
_CALL_TIMEOUT_S: Final = "60"
# A queue that is deleted meanwhile is no fault; one that has a leader keeps it. Where
# the streams have no coordinator, the first of them that is made anew, of its own files, starts it.
_SET_TO_WORK: Final = """
[catch ra:trigger_election({element(1, amqqueue:get_pid(Queue)), node()})
 || Queue <- rabbit_amqqueue:list(), amqqueue:get_type(Queue) =:= rabbit_quorum_queue],
[catch rabbit_stream_coordinator:new_stream(Queue, node())
 || whereis(rabbit_stream_coordinator) =:= undefined,
    Queue <- rabbit_amqqueue:list_by_type(rabbit_stream_queue)].
"""
_INSTALL: Final = "apt-get install --no-install-recommends rabbitmq-server"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A broker as its folder remembers it."""

    ports: Ports
    node_name: str
    broker: Process
    epmd: Process


class PrivateBroker:
    """The broker of one folder; another process may start, find and stop it by the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._tls = self._folder / "tls"
        self._listener_file = self._folder / "listener.json"
        self._ports_file = self._folder / "ports.json"
        self._processes_file = self._folder / "processes.json"

    @property
    def definitions(self) -> Path:
        """The file that the broker loads at every boot."""
        return self._folder / "definitions.json"

    @property
    def has_tls(self) -> bool:
        """Whether members reach it by TLS, and are known by their certificates."""
        return self._tls.is_dir()

    def use_tls(self, *, authority: str, pair: KeyPair) -> None:
        """It shows this certificate from its next start on, and wants one of the authority's."""
        make_folder(self._tls)
        replace_file(self._tls / "authority.pem", authority)
        replace_file(self._tls / "key.pem", pair.key)
        replace_file(self._tls / "certificate.pem", pair.certificate)

    def list_revoked(self, name: str, text: str) -> None:
        """It refuses the certificates of this list from now on; without a list it refuses all."""
        folder = self._tls / REVOKED
        make_folder(folder)
        replace_file(folder / name, text)

    def certified_until(self) -> float:
        """Return the second at which the certificate ends that it shows, on the Unix clock."""
        return expires_at((self._tls / "certificate.pem").read_text())

    @property
    def node_name(self) -> str:
        """The Erlang node's name: one for each folder."""
        return f"fedmq-{hashlib.sha256(str(self._folder).encode()).hexdigest()[:10]}@localhost"

    def ports(self) -> Ports:
        """Return the broker's ports, chosen when first asked for and then kept."""
        with locked(self._folder / "ports.lock"):
            if not self._ports_file.exists():
                replace_file(self._ports_file, json.dumps(asdict(choose_ports())))
            return Ports(**json.loads(self._ports_file.read_text()))

    def listener(self) -> Listener:
        """Return where members reach the broker: on loopback alone, unless it was said."""
        try:
            return Listener(**json.loads(self._listener_file.read_text()))
        except FileNotFoundError:
            return Listener()

    def listen(self, listener: Listener, port: int | None = None) -> None:
        """Members reach the broker there, from its next start on."""
        make_folder(self._folder)
        replace_file(self._listener_file, json.dumps(asdict(listener)))
        if port is not None:
            ports = replace(self.ports(), amqp=port)
            replace_file(self._ports_file, json.dumps(asdict(ports)))

    def _doors(self, ports: Ports) -> tuple[tuple[int, str], ...]:
        """Return the ports at which it takes connections, each with an address of this machine."""
        address = self.listener().address if self.has_tls else LOOPBACK
        return (ports.amqp, _EVERY.get(address, address)), (ports.management, LOOPBACK)

    def running(self) -> Running | None:
        """Return the broker of this folder if it runs."""
        earlier = self._earlier()
        return earlier if earlier is not None and earlier.broker.is_running() else None

    def start(self, progress: Progress = lambda _: None) -> Running:
        """Return the broker once it takes connections; one that runs already is left as it is.

        Raises:
            HubError: RabbitMQ is not installed, its ports are taken, or it does not come up.
            StorageError: the folder cannot be written.
        """
        with locked(self._folder / "lock"):
            earlier = self.running()
            running = earlier or self._launch(progress)
            try:
                self._wait_until_ready(running)
                self._set_queues_to_work()
            except HubError:
                if earlier is None:  # what ran already is not ended for a fault of this call
                    self._end(running)
                raise
            return running

    def stop(self) -> None:
        """Return once the broker and its epmd are gone; its data stay."""
        with locked(self._folder / "lock"):
            earlier = self._earlier()
            if earlier is not None:
                self._end(earlier)

    def kill(self) -> None:
        """Kill the broker without a word (-9), for those who test what follows."""
        running = self.running()
        if running is not None:
            running.broker.send(signal.SIGKILL)
            wait_for_end(running.broker)

    def _launch(self, progress: Progress) -> Running:
        script, ports = find_server(), self.ports()
        _wait_until_free(self._doors(ports))
        self._prepare(ports)
        progress("starting the broker")
        settings = environment(self._folder, ports, self.node_name)
        earlier = self._earlier()
        if earlier is not None and earlier.epmd.is_running():
            epmd = earlier.epmd  # a killed broker leaves it behind
        else:
            epmd = self._start(["epmd", "-address", LOOPBACK, "-port", str(ports.epmd)], settings)
        broker = self._start([str(script)], settings)
        processes = {"broker": asdict(broker), "epmd": asdict(epmd)}
        replace_file(self._processes_file, json.dumps(processes))
        return Running(ports=ports, node_name=self.node_name, broker=broker, epmd=epmd)

    def _prepare(self, ports: Ports) -> None:
        for name in ("home", "data", "log"):
            (self._folder / name).mkdir(exist_ok=True)
        if not self.definitions.exists():
            replace_file(self.definitions, "{}")
        listener = self.listener()
        tls = self._tls if self.has_tls else None
        configuration = private_configuration(
            ports, self.definitions, listener, has_tls=tls is not None
        )
        replace_file(self._folder / "rabbitmq.conf", configuration)
        if tls is not None:
            options = tls_options(tls, allows_1_2=listener.allows_tls_1_2)
            replace_file(self._folder / ADVANCED, options)
        replace_file(self._folder / "enabled_plugins", PLUGINS)
        cookie = self._folder / "home" / ".erlang.cookie"
        if not cookie.exists():
            replace_file(cookie, secrets.token_hex(20))

    def _start(self, command: list[str], settings: dict[str, str]) -> Process:
        log = self._folder / "log" / "console.log"
        try:
            process = start_process(command, environment=settings, folder=self._folder, log=log)
        except OSError as error:
            raise HubError(
                f"{command[0]} could not be started",
                why=error.strerror or str(error),
                fix=f"install RabbitMQ: {_INSTALL}",
            ) from error
        if process is None:
            raise self._died()
        return process

    def _wait_until_ready(self, running: Running) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not all(is_open(port, at) for port, at in self._doors(running.ports)):
            if not running.broker.is_running():
                raise self._died()
            if time.monotonic() > deadline:
                raise HubError(
                    f"the broker was not ready within {START_TIMEOUT_S:.0f} s",
                    why=self._last_words(),
                    fix="try again when the machine is less busy; its log lies beside its data",
                )
            time.sleep(_POLL_S)

    def _set_queues_to_work(self) -> None:
        """Quorum queues and streams work, also those that a kill caught within seconds of birth.

        RabbitMQ 3.10 notes the names of quorum queues, and of what coordinates the streams, in a
        file that is written with a delay. After a kill in between they are taken for new ones that
        somebody else will set to work. A stream that does not work holds up the dead letters too.
        """
        outcome = subprocess.run(  # noqa: S603 - the broker's own program
            [
                str(find_server().with_name("rabbitmqctl")),
                "--quiet",
                "--timeout",
                _CALL_TIMEOUT_S,
                "eval",
                _SET_TO_WORK,
            ],
            env=environment(self._folder, self.ports(), self.node_name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if outcome.returncode != 0:
            raise HubError(
                "the broker's queues could not be set to work",
                why=(outcome.stderr or outcome.stdout).strip()[-_ERROR_LENGTH:],
                fix=f"read the logs under {self._folder / 'log'}",
            )

    def _end(self, running: Running) -> None:
        end_process(running.broker)
        end_process(running.epmd)

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

    def _earlier(self) -> Running | None:
        try:
            processes = json.loads(self._processes_file.read_text())
        except FileNotFoundError:
            return None
        return Running(
            ports=self.ports(),
            node_name=self.node_name,
            broker=Process(**processes["broker"]),
            epmd=Process(**processes["epmd"]),
        )


def _wait_until_free(doors: Sequence[tuple[int, str]]) -> None:
    """Return once nobody listens; a killed broker lets go of its ports a moment after its end."""
    deadline = time.monotonic() + _PORT_TIMEOUT_S
    for port, address in doors:
        while is_open(port, address):
            if time.monotonic() > deadline:
                raise HubError(
                    f"the broker's port {port} is taken by another program",
                    why="it was free when the hub was made, and members know the broker by it",
                    fix=f"end the program that listens at port {port} of {address}, and try again",
                )
            time.sleep(_POLL_S)


def find_server() -> Path:
    """Return the server script of the installed RabbitMQ, the newest where there are several.

    Raises:
        HubError: there is none.
    """
    scripts = sorted(_LIB.glob("rabbitmq_server-*/sbin/rabbitmq-server"), key=_version)
    if not scripts:
        raise HubError(
            "RabbitMQ is not installed on this machine",
            why=f"there is no server script under {_LIB}",
            fix=f"ask the administrator for: {_INSTALL}",
        )
    return scripts[-1]


def _version(script: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", script.parts[-3])]
