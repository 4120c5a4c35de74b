"""A federation for measurements: hub, orchestrator, nodes as processes in a temporary folder."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedmq.demo.programs import Programs
from fedmq.hub import lifecycle
from fedmq.hub.files import make_folder
from fedmq.hub.local import enrol_here
from fedmq.hub.members import Hub
from fedmq.learning.catalogue import plan_digest
from fedmq.messages.fields import PlanReference
from fedmq.node.cores import shared_threads
from fedmq.node.dependencies import read_dependencies
from fedmq.node.plans import Asked
from fedmq.node.policy_file import NAME, read_policy
from fedmq.node.proposals import Wishes, propose_terms
from fedmq.node.records import open_records
from fedmq.transport.home import LocalHome
from fedmq.types import Role

FEDMQ = (sys.executable, "-m", "fedmq")
ORCHESTRATOR = "orchestrator"
BROKER = "broker"
DATASET = "tables"
CASES = 4
POLICY = "min_cases = 1\nmin_nodes = 1\nrequire_study = false\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the nodes are set up for."""

    plan: str
    """The name of the training plan."""
    source: Path | None
    """The file of a plan that fedmq does not ship."""
    write_cases: Callable[[str, Path], None]
    """Writes the cases of the node of that name to a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A federation whose programs were started."""

    pids: dict[str, int]
    """Process ids by name."""
    started_at: float
    """When the first of its programs was about to be started, by `time.perf_counter`."""

    @property
    def members(self) -> dict[str, int]:
        """The process ids of the orchestrator and the nodes."""
        return {name: pid for name, pid in self.pids.items() if name != BROKER}


@contextmanager
def running(
    folder: Path, work: Work, num_nodes: int, *, command: Sequence[str] = FEDMQ
) -> Iterator[Running]:
    """Give the federation while it runs; end all of it afterwards.

    The broker is the hub's own, unless the hub in `folder` has another one already.
    """
    threads = shared_threads(num_nodes)
    programs = Programs(folder, command, settings={"FEDMQ_TASK_THREADS": str(threads)})
    make_folder(folder / "logs")
    hub_folder = folder / "hub"
    try:
        lifecycle.up(hub_folder)
        names = [f"node-{number:02}" for number in range(1, num_nodes + 1)]
        for name in names:
            _set_up_node(folder / name, hub_folder, name, work)
        enrol_here(hub_folder, "researcher", Role.RESEARCHER, folder / "credentials.toml")
        started_at = time.perf_counter()
        programs.start(ORCHESTRATOR, ["orchestrator", "start"], folder)
        for name in names:
            programs.start(name, ["node", "start"], folder / name)
        programs.require_running()
        pids = programs.pids()
        broker = Hub(hub_folder).broker.running()
        if broker is not None:
            pids[BROKER] = broker.broker.pid
        yield Running(pids=pids, started_at=started_at)
    finally:
        programs.stop()
        Hub(hub_folder).broker.stop()


def write_table(name: str, folder: Path) -> None:
    """Write cases that have a row in the clinical table and nothing else."""
    for number in range(CASES):
        (folder / f"{name}-{number}").mkdir(parents=True)
    rows = "".join(f"{name}-{number},1\n" for number in range(CASES))
    (folder / "clinical.csv").write_text("case_id,value\n" + rows)


def _set_up_node(home: Path, hub: Path, name: str, work: Work) -> None:
    make_folder(home)
    cases = home / "cases"
    work.write_cases(name, cases)
    records = open_records(LocalHome(home / "node"))
    enrol_here(hub, name, Role.NODE, home / "node" / "credentials.toml")
    now = time.time()
    records.datasets.add(DATASET, cases, None, now=now)
    asked = Asked(researcher="researcher", dataset=DATASET, purpose="benchmark")
    known_by = work.plan
    if work.source is not None:
        source = work.source.read_text()
        known_by = plan_digest(source.encode())
        reference = PlanReference(name=work.plan, digest=known_by, is_shipped=True)
        records.plans.ask(reference, source, asked, now=now)
    path = home / "node" / NAME
    path.write_text(POLICY)
    terms = propose_terms(asked, Wishes(), read_policy(path), read_dependencies(), now=now)
    records.plans.approve(records.plans.find(known_by), terms, "benchmark", needed=1, now=now)
    records.close()
