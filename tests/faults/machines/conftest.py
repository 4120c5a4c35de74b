"""Federations of real processes on small disks; their logs stand beside a failure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fedmq.hub.credentials import read_credentials, write_credentials
from fedmq.hub.ports import LOOPBACK
from fedmq.transport.rabbitmq import make_login
from tests.support.broker import TestBroker
from tests.support.federation import CENTRE, LYON, PARIS, Federation
from tests.support.odd_machine import OddMachine
from tests.support.proxy import Proxy
from tests.support.small_disk import SmallDisk, small_disk

SIZE = "size = 600_000"
"""More than two megabytes: several chunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Small:
    """A federation whose orchestrator and first node have small disks of their own."""

    federation: Federation
    disks: dict[str, SmallDisk]
    """By the program that is on it."""
    machines: dict[str, OddMachine]
    """Of the same two."""
    line: Proxy
    """Between the second node and the broker."""
    undisturbed: list[str]
    """The digest of each round's model where nothing happens."""


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, broker: TestBroker) -> Iterator[Small]:
    """Return a federation on small disks that tests share; each leaves it as it was."""
    federation = Federation(tmp_path_factory.mktemp("faults") / "f")
    with (
        small_disk(federation.home(LYON) / "node", size_mb=64) as lyon,
        small_disk(federation.home(CENTRE) / "orchestrator", size_mb=160) as centre,
    ):
        odd = OddMachine(federation.folder / "odd" / LYON)
        odd_centre = OddMachine(federation.folder / "odd" / CENTRE)
        federation.commands |= {
            LYON: [*lyon.command, *odd.command],
            CENTRE: [*centre.command, *odd_centre.command],
        }
        federation.node_folders[LYON] = lyon.outside
        federation.join_broker(broker, [LYON, PARIS])
        line = _lay_line(federation.credentials(PARIS))
        try:
            federation.start_orchestrator()
            for node in (LYON, PARIS):
                federation.add_node(node)
                federation.start_node(node)
            identifier = federation.submit(federation.write_experiment(config=SIZE))
            federation.approve(LYON, PARIS)
            undisturbed = federation.digests(identifier)
            assert len(set(undisturbed)) == 3
            disks = {LYON: lyon, "orchestrator": centre}
            yield Small(
                federation=federation,
                disks=disks,
                machines={LYON: odd, "orchestrator": odd_centre},
                line=line,
                undisturbed=undisturbed,
            )
        finally:
            federation.close()
            line.close()


def _lay_line(credentials: Path) -> Proxy:
    """Let the owner of these credentials reach the broker through a line that can be cut."""
    known = read_credentials(credentials)
    login = make_login(known.url, user=known.user, password=known.password)
    line = Proxy(login.addresses[0][1])  # of a cluster one node: the others are not in sight
    url = known.url.replace(urlsplit(known.url).netloc, f"{LOOPBACK}:{line.port}")
    write_credentials(credentials, replace(known, url=url))
    return line


@pytest.fixture(autouse=True)
def all_is_well(small: Small) -> Iterator[None]:
    """Leave disks, clocks, lines and programs as every test finds them."""
    yield
    federation = small.federation
    small.line.mend()
    for name, machine in small.machines.items():
        machine.make_sound()
        small.disks[name].clear()
    federation.release()
    if not federation.programs["orchestrator"].is_running:
        federation.start_orchestrator()
    for node in (LYON, PARIS):
        if not federation.programs[node].is_running:
            federation.start_node(node)


def begin_held(small: Small, node: str, **settings: object) -> str:
    """Return the same experiment with more settings, held in round 2 of 3 at a node."""
    federation = small.federation
    federation.hold(node, 2)
    config = f"{SIZE}\n{federation.hold_config}"
    identifier = federation.submit(federation.write_experiment(config=config, **settings))
    federation.reached(node, 2)
    return identifier


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the programs said where a test failed."""
    report: pytest.TestReport = yield  # type: ignore[misc, assignment]
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            found = value.federation if isinstance(value, Small) else value
            if isinstance(found, Federation):
                report.sections.append(("what the programs said", found.logs()))
    return report  # type: ignore[return-value, unused-ignore]
