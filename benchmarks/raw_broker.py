"""The limit: the broker and pika alone, moving the bytes of a round the way fedmq moves them.

The hub, its users and rights, exchanges, queues and policies are fedmq's own, and so are the sizes
of chunks, windows and reads. As many processes as fedmq has members move them (`raw_member`), with
neither journal nor disk, nor signature, nor training. A round is from the begin of the fan-out to
the last chunk of the last update.
"""

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks import ways
from benchmarks.comparison import Load, Missed, Outcome, Turn
from benchmarks.raw_member import Login, Member, Sizes
from fedmq.hub import lifecycle
from fedmq.hub.local import enrol_here
from fedmq.hub.members import Hub
from fedmq.hub.membership import read_membership
from fedmq.hub.processes import end_process, start_process
from fedmq.messages.payloads import CHUNK_BYTES
from fedmq.node.service import PAYLOADS_PREFETCH
from fedmq.orchestrator import queues
from fedmq.transport import topology
from fedmq.transport.pusher import WINDOW
from fedmq.transport.rabbitmq_connection import RECEIVE_BYTES
from fedmq.transport.topology import Lane
from fedmq.types import ORCHESTRATOR, ExperimentId, NodeId, Role

_PROGRAM: Final = Path(__file__).with_name("raw_member.py")
_EXPERIMENT: Final = ExperimentId("raw")
_LIMIT_S: Final = 540.0
_LAST_WORDS: Final = 300
_MB: Final = 1_000_000
_ALLOCATOR: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(32 * 2**20),
}
"""What is freed is kept for the next chunk: a limit that clears pages anew each time is none."""


def measure(load: Load, *, has_tls: bool) -> Outcome:
    """Return what the broker does under a load; the rounds after the first count."""
    with tempfile.TemporaryDirectory(prefix="fedmq-raw-") as name, ExitStack() as stack:
        folder = Path(name)
        hub = folder / "hub"
        if not has_tls:
            stack.enter_context(ways.open_broker(folder))
        stack.callback(Hub(hub).broker.stop)
        lifecycle.up(hub)
        sites = [NodeId(f"node-{number:02}") for number in range(1, load.num_nodes + 1)]
        for site in sites:
            credentials = folder / site / "credentials.toml"
            credentials.parent.mkdir()
            enrol_here(hub, site, Role.NODE, credentials)
            member = _site(credentials, site, load)
            process = start_process(
                _command(member), environment=_ALLOCATOR, folder=folder, log=folder / f"{site}.log"
            )
            if process is None:
                return Missed(why="failed: a site ended at once")
            stack.callback(end_process, process)
        centre = _centre(hub / "credentials" / "orchestrator.toml", sites, load)
        return _run(_command(centre))


def _run(command: list[str]) -> Outcome:
    try:
        ended = subprocess.run(
            command,
            env=_ALLOCATOR,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return Missed(why=f"not done within {_LIMIT_S:.0f} s", is_final=True)
    if ended.returncode != 0:
        return Missed(why=f"failed: {ended.stderr.strip()[-_LAST_WORDS:]}")
    return Turn(round_s=tuple(json.loads(ended.stdout)["round_s"][1:]))


def _command(member: Member) -> list[str]:
    return [sys.executable, str(_PROGRAM), json.dumps(asdict(member))]


def _site(credentials: Path, site: NodeId, load: Load) -> Member:
    return Member(
        login=_login(credentials),
        sizes=_sizes(load),
        exchange=topology.REPLIES,
        keys=[topology.key(site, topology.desk(_EXPERIMENT, ORCHESTRATOR), Lane.BULK)],
        queue=topology.node_payloads(site),
        arguments={},
        bindings=[],
        prefetch=PAYLOADS_PREFETCH,
        num_senders=1,
        num_rounds=0,
    )


def _centre(credentials: Path, sites: list[NodeId], load: Load) -> Member:
    _, payloads = topology.experiment_queues(_EXPERIMENT, ORCHESTRATOR)
    return Member(
        login=_login(credentials),
        sizes=_sizes(load),
        exchange=topology.TASKS,
        keys=[topology.key(site, Lane.BULK) for site in sites],
        queue=payloads.name,
        arguments=payloads.arguments,
        bindings=[[binding.exchange, binding.key] for binding in payloads.bindings],
        prefetch=queues.PAYLOADS_PREFETCH,
        num_senders=len(sites),
        num_rounds=load.num_rounds,
    )


def _login(credentials: Path) -> Login:
    known = read_membership(credentials).login("raw")
    (host, port), *_ = known.addresses
    tls = known.tls
    return Login(
        host=host,
        port=port,
        vhost=known.vhost,
        user=known.user,
        password=known.password,
        authority=str(tls.authority) if tls else "",
        certificate=str(tls.certificate) if tls else "",
        key=str(tls.key) if tls else "",
        heartbeat_s=known.heartbeat_s,
    )


def _sizes(load: Load) -> Sizes:
    return Sizes(
        payload_bytes=load.mb * _MB,
        chunk_bytes=CHUNK_BYTES,
        window=WINDOW,
        receive_bytes=RECEIVE_BYTES,
    )
