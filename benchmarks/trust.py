"""What TLS, signing and sealing cost: the same rounds with them, without TLS, and with neither.

Three federations stand side by side on this machine, each with a broker of its own, and take turns:
an experiment of a few rounds in each, again and again. So whatever else the machine does, it does
to all of them, and the ratios are of neighbours in time.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import federation
from benchmarks.rounds import PLAN, null_experiment, say
from fedmq import __version__
from fedmq.hub import lifecycle
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.membership import read_membership
from fedmq.researcher.client import Client
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport.home import LocalHome
from fedmq.transport.rabbitmq import RabbitTransport
from tests.support.broker import ADMIN, admin_definitions

_UNPROTECTED = (sys.executable, str(Path(__file__).with_name("unprotected.py")))


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways in which messages travel."""

    name: str
    has_tls: bool
    has_keys: bool


WAYS = (
    Way("tls_and_keys", has_tls=True, has_keys=True),
    Way("keys", has_tls=False, has_keys=True),
    Way("neither", has_tls=False, has_keys=False),
)


def measure(*, num_nodes: int, mb: int, num_rounds: int, num_turns: int) -> dict[str, object]:
    """Return seconds per round of each way, and the ratios of neighbours in time."""
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as name, ExitStack() as stack:
        clients: dict[str, Client] = {}
        for way in WAYS:
            say(f"{way.name}: {num_nodes} nodes begin")
            folder = Path(name) / way.name
            folder.mkdir()
            clients[way.name] = stack.enter_context(_federation(folder, way, num_nodes))
        seconds: dict[str, list[float]] = {way.name: [] for way in WAYS}
        for turn in range(num_turns + 1):
            # The first turn warms up, and the order changes, so that none is always the first.
            shift = turn % len(WAYS)
            for way in WAYS[shift:] + WAYS[:shift]:
                rounds = _run(clients[way.name], num_nodes, mb, num_rounds)
                if turn:
                    seconds[way.name].append(statistics.median(rounds[1:]))
            if turn:
                say(f"turn {turn}: { ({name: round(s[-1], 3) for name, s in seconds.items()}) }")
    return {
        "nodes": num_nodes,
        "mb": mb,
        "rounds": num_rounds,
        "turns": num_turns,
        **{f"round_s_{name}": round(statistics.median(s), 4) for name, s in seconds.items()},
        **_ratios("over_neither", seconds["tls_and_keys"], seconds["neither"]),
        **_ratios("tls", seconds["tls_and_keys"], seconds["keys"]),
        **_ratios("keys", seconds["keys"], seconds["neither"]),
    }


def _ratios(name: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    quarter = len(ratios) // 4
    return {
        name: round(statistics.median(ratios), 3),
        f"{name}_low": round(ratios[quarter], 3),
        f"{name}_high": round(ratios[-1 - quarter], 3),
    }


def _run(client: Client, num_nodes: int, mb: int, num_rounds: int) -> list[float]:
    report = client.submit(null_experiment(num_nodes, mb, num_rounds)).wait(poll_s=0.2)
    if report.state != "finished":
        raise SystemExit(f"the experiment {report.state}: {report.reason}")
    return [record.duration_s for record in report.records]


@contextmanager
def _federation(folder: Path, way: Way, num_nodes: int) -> Iterator[Client]:
    """Give a researcher's client of a federation that runs; end all of it afterwards."""
    command = federation.FEDMQ if way.has_keys else _UNPROTECTED
    with ExitStack() as stack:
        if not way.has_tls:
            stack.enter_context(_open_broker(folder))
        stack.enter_context(federation.running(folder, PLAN, "null", num_nodes, command=command))
        yield stack.enter_context(_client(folder, has_keys=way.has_keys))


@contextmanager
def _open_broker(folder: Path) -> Iterator[None]:
    """Let the folder's hub use a broker that speaks no TLS, on this machine alone."""
    private, password = PrivateBroker(folder / "broker"), os.urandom(16).hex()
    ports = private.ports()
    private.definitions.write_text(admin_definitions(password))
    try:
        ports = private.start().ports
        lifecycle.external(
            folder / "hub",
            amqp_url=f"amqp://127.0.0.1:{ports.amqp}/bench",
            admin_url=f"http://{ADMIN}:{password}@127.0.0.1:{ports.management}",
        )
        yield
    finally:
        private.stop()


def _client(folder: Path, *, has_keys: bool) -> Client:
    credentials = folder / "credentials.toml"
    if has_keys:
        return Client.from_credentials(credentials)
    membership = read_membership(credentials)
    return Client(
        researcher=membership.credentials.user,
        home=LocalHome(folder / "files"),
        make_transport=partial(RabbitTransport, membership.login(f"fedmq {__version__}")),
        wire=PlainWire(),
    )
