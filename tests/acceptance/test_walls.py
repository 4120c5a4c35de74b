"""Hospitals that let nothing in, and out nothing but TCP to the broker or to a proxy.

The demonstration's experiment and patients, with each hospital behind a firewall of its own, and a
scan of every port meanwhile.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import fedmq
from fedmq.demo.show import COHORT_FACTOR, DATASET, EXPERIMENT, PLAN
from fedmq.imaging.synthetic import SITES, write_cohort
from tests.support.federation import LYON, PARIS, RESEARCHER, Federation, running_federation
from tests.support.walled import HUB, World, made_world

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.namespaces,
    pytest.mark.firewalls,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("walls"),
]
PROXY = "proxy"
PROXY_PORT = 3128
PORT = 443
LOGIN = "op:s3cret"
NODES = tuple(SITES)
ROUNDS = 10
TREE = Path(fedmq.__file__).parent.parent


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Return hub, hospitals and a proxy as neighbours."""
    with made_world(*NODES, PROXY) as made:
        yield made


def scan(world: World, host: str, address: str, *ports: int) -> list[int]:
    """Return the ports that are open at an address as a host sees it."""
    limit = ("sh", "-c", 'ulimit -n 10000 && exec "$@"', "sh")
    program = (sys.executable, "-m", "tests.support.scan", address, *map(str, ports))
    found: list[int] = json.loads(world.run(host, *limit, "env", f"PYTHONPATH={TREE}", *program))
    return found


def listeners(world: World, host: str) -> list[str]:
    """Return where a host listens on anything but loopback, by the kernel's own tables."""
    text = world.run(host, "cat", "/proc/net/tcp", "/proc/net/tcp6")
    rows = [line.split() for line in text.splitlines() if ":" in line.split()[0]]
    places = [row[1] for row in rows if row[3] == "0A"]
    loopback = ("0100007F:", "00000000000000000000000001000000:")
    return [place for place in places if not place.startswith(loopback)]


def c_index(record: dict[str, Any]) -> float:
    """Return the C-index of a round's model, over all hospitals."""
    metric = record["metrics"]["c_index"]
    return float(metric["numerator"]) / float(metric["denominator"])


def runs_behind_walls(world: World, federation: Federation, address: str) -> None:
    """Run the demonstration's experiment, and look for ports of its hospitals from everywhere."""
    for node in NODES:
        site, cases = SITES[node], federation.home(node) / "patients"
        write_cohort(site, cases, num_cases=COHORT_FACTOR * site.num_cases)
        federation.do(node, "node", "data", "add", DATASET, str(cases))
    experiment = federation.home(RESEARCHER) / "experiment.toml"
    experiment.write_text(EXPERIMENT.format(rounds=ROUNDS))
    identifier = federation.submit(experiment)
    federation.approve(*NODES, plan=PLAN)
    # The other hospitals' own firewalls let them ask nobody: the host of the proxy is the neighbour
    # that may ask. Walls do not answer, so that a scan is nearly all waiting.
    ways = [
        (neighbour, addresses[node])
        for neighbour in (HUB, PROXY)
        for addresses in (world.addresses, world.newer)
        for node in NODES
    ]
    with ThreadPoolExecutor(len(ways)) as pool:
        found = list(pool.map(lambda way: scan(world, *way), ways))
    assert found == [[]] * len(ways), list(zip(ways, found, strict=True))
    for node in NODES:
        assert listeners(world, node) == []
        check = federation.do(node, "node", "check", "--json").json
        assert check["is_ok"], check
    assert len(set(federation.digests(identifier))) == ROUNDS
    first, *_, last = federation.report(identifier)["records"]
    assert c_index(last) > c_index(first)
    assert PORT in scan(world, PROXY, address), "a scan finds what is open"


def start(
    world: World, folder: Path, address: str, settings: dict[str, str]
) -> Iterator[Federation]:
    """Yield a federation whose members find the hub at its address."""
    with running_federation(
        folder,
        None,
        way=world.way,
        nodes=NODES,
        address=address,
        port=PORT,
        settings=settings,
        before=lambda _federation: close_walls(world, address, settings),
    ) as running:
        yield running


def close_walls(world: World, address: str, settings: dict[str, str]) -> None:
    """Wall the hospitals in before their nodes start."""
    for node in NODES:
        if settings:
            world.wall(node, world.addresses[PROXY], PROXY_PORT)
        else:
            world.wall(node, address, PORT)


def test_a_scan_finds_an_open_port_of_a_hospital_until_its_firewall_is_up(world: World) -> None:
    """Else the scans of the others would show nothing; and out goes nothing but what may."""
    port, few = 5555, (5500, 5600)
    for host in (LYON, PARIS):
        world.open(host)
    door = "import socket, sys; a = socket.create_server(('0.0.0.0', 5555)); print(1, flush=True)"
    listener = subprocess.Popen(  # noqa: S603 - a program of this test
        [*world.way(LYON), sys.executable, "-c", f"{door}; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with listener:
        assert listener.stdin is not None
        assert listener.stdout is not None
        assert listener.stdout.readline() == b"1\n"
        assert scan(world, HUB, world.addresses[LYON], *few) == [port]
        assert scan(world, PARIS, world.addresses[LYON], *few) == [port]
        assert len(listeners(world, LYON)) == 1
        for target, goes_out in ((PARIS, []), (LYON, [port])):
            world.wall(PARIS, world.addresses[target], port)
            assert scan(world, PARIS, world.addresses[LYON], *few) == goes_out
        world.wall(LYON, world.addresses[HUB], port)
        assert scan(world, HUB, world.addresses[LYON], *few) == []
        assert scan(world, PROXY, world.addresses[LYON], *few) == []
        listener.stdin.close()


@pytest.mark.long
def test_an_experiment_runs_where_hospitals_let_nothing_in_and_out_to_the_broker_alone(
    world: World, tmp_path: Path
) -> None:
    """Directly, by IPv6; no port of a hospital is open to hub or neighbours."""
    address = world.newer[HUB]
    for federation in start(world, tmp_path / "f", address, {}):
        runs_behind_walls(world, federation, address)


@pytest.mark.long
def test_an_experiment_runs_where_hospitals_reach_a_proxy_alone(
    world: World, tmp_path: Path
) -> None:
    """By CONNECT with a login, by IPv4; the broker itself is out of the hospitals' reach."""
    address = world.addresses[PROXY]
    proxy = subprocess.Popen(  # noqa: S603 - a program of the tests
        [
            *world.way(PROXY),
            *(sys.executable, "-m", "tests.support.connect_proxy"),
            *(address, str(PROXY_PORT), LOGIN),
        ],
        cwd=TREE,
        env={"PYTHONPATH": str(TREE), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with proxy:
        assert proxy.stdin is not None
        assert proxy.stdout is not None
        url = proxy.stdout.readline().strip().replace("//", f"//{LOGIN}@")
        try:
            broker = world.addresses[HUB]
            for federation in start(world, tmp_path / "f", broker, {"FEDMQ_PROXY": url}):
                runs_behind_walls(world, federation, broker)
                del federation.settings["FEDMQ_PROXY"]
                direct = federation.fedmq(LYON, "node", "check")
                assert direct.code == 1, "without the proxy there is no way"
                assert "nobody answers at" in direct.data
        finally:
            proxy.stdin.close()
