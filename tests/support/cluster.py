"""Three real broker nodes of one cluster, on loopback: each is killed, emptied and brought back.

The nodes are private brokers with one cookie and one epmd, by which they find one another. A node
is started from its own folder, so that another process of the test run finds the cluster by it.
"""

import json
import secrets
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from fedmq.hub.broker import PrivateBroker, find_server
from fedmq.hub.configuration import environment
from fedmq.hub.files import make_folder, replace_file
from fedmq.hub.ports import LOOPBACK, Ports, choose_ports
from fedmq.hub.processes import Process, start_process

NAMES: Final = ("one", "two", "three")
_NOBODY: Final = Process(pid=0, started=0)


class Cluster:
    """The broker nodes whose folders lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.nodes = tuple(PrivateBroker(folder / name) for name in NAMES)

    def start(self, definitions: str) -> None:
        """All nodes run, and are one cluster; the first loads `definitions` at every boot."""
        if all(node.running() for node in self.nodes):
            return
        assert not self._folder.exists(), f"see the logs in {self._folder}: it did not start before"
        self._prepare(definitions)
        first, *others = self.nodes
        _at_once([node.start for node in self.nodes])
        for node in others:
            join(node, first)

    def replace(self, node: PrivateBroker) -> None:
        """A killed node that has lost its disk is back as a new one, with its part of each queue.

        This is what the operator of a cluster does; see infra/rabbitmq/README.md.
        """
        other = next(one for one in self.nodes if one is not node)
        shutil.rmtree(node.definitions.parent / "data")
        control(other, "forget_cluster_node", node.node_name)
        node.start()
        join(node, other)
        control(other, "grow", node.node_name, "all", program="rabbitmq-queues")

    def stop(self) -> None:
        """All nodes and their epmd are gone."""
        if not self._folder.exists():
            return
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.stop()

    def _prepare(self, definitions: str) -> None:
        first, *_ = self.nodes
        ports = _choose_ports(len(self.nodes))
        cookie = secrets.token_hex(20)
        for node, own in zip(self.nodes, ports, strict=True):
            home = node.definitions.parent / "home"
            make_folder(home)
            replace_file(home / ".erlang.cookie", cookie)
            replace_file(node._ports_file, json.dumps(asdict(own)))
        replace_file(first.definitions, definitions)
        epmd = self._start_epmd(first)
        for node in self.nodes:
            processes = {"broker": asdict(_NOBODY), "epmd": asdict(epmd)}
            replace_file(node._processes_file, json.dumps(processes))

    def _start_epmd(self, node: PrivateBroker) -> Process:
        started = start_process(
            ["epmd", "-address", LOOPBACK, "-port", str(node.ports().epmd)],
            environment=_environment(node),
            folder=self._folder,
            log=self._folder / "epmd.log",
        )
        assert started is not None, (self._folder / "epmd.log").read_text()
        return started


def join(node: PrivateBroker, other: PrivateBroker) -> None:
    """A node without anything in it belongs to the cluster of another."""
    control(node, "stop_app")
    control(node, "join_cluster", other.node_name)
    control(node, "start_app")


def control(node: PrivateBroker, *words: str, program: str = "rabbitmqctl") -> None:
    """A command of RabbitMQ's own has gone well on a broker."""
    ended = subprocess.run(  # noqa: S603 - the broker's own program
        [str(find_server().with_name(program)), *words],
        env=_environment(node),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{program} {' '.join(words)}: {ended.stdout}{ended.stderr}"


def _environment(node: PrivateBroker) -> dict[str, str]:
    return environment(node.definitions.parent, node.ports(), node.node_name)


def _choose_ports(count: int) -> list[Ports]:
    """Return the ports of each node; their epmd is the same, all others differ."""
    while True:
        chosen = [choose_ports() for _ in range(count)]
        numbers = [getattr(ports, name) for ports in chosen for name in Ports.__slots__]
        if len(set(numbers)) == len(numbers):
            return [replace(ports, epmd=chosen[0].epmd) for ports in chosen]


def _at_once(acts: list[Callable[[], object]]) -> None:
    with ThreadPoolExecutor(len(acts)) as pool:
        for done in [pool.submit(act) for act in acts]:
            done.result()
