"""The test run's own RabbitMQ: one broker for all its processes, a vhost for each test.

Which one, `--broker` says: the installed RabbitMQ, RabbitMQ 4.0 in its place, or a cluster of three
nodes of the installed one.
"""

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fedmq.errors import HubError
from fedmq.hub.broker import PrivateBroker, find_server
from fedmq.hub.definitions import User, make_definitions, password_hash
from fedmq.hub.management import Management
from fedmq.hub.ports import LOOPBACK
from fedmq.transport.declarations import Topology
from fedmq.transport.rabbitmq import Login, make_login
from fedmq.transport.rights import (
    Rights,
    monitor_rights,
    node_rights,
    orchestrator_rights,
    researcher_rights,
)
from fedmq.transport.topology import Profile
from fedmq.types import NodeId, ResearcherId
from tests.support.cluster import Cluster

FOLDER_VARIABLE = "FEDMQ_TEST_BROKER"
ADMIN = "test-admin"
EVERYTHING = Rights(configure=".*", write=".*", read=".*")
SALT = b"salt"
"""The same everywhere: users belong to the broker, so every test writes the same hash."""


class Kind(StrEnum):
    """The brokers on which the tests can run."""

    INSTALLED = "installed"
    RABBITMQ_4 = "4.0"
    CLUSTER = "cluster"


def check_installed(kind: Kind) -> None:
    """Return if the broker of this kind can be started here.

    Raises:
        HubError: it would be another version.
    """
    if kind is not Kind.RABBITMQ_4:
        return  # where there is no RabbitMQ at all, each test says so
    version = find_server().parents[1].name
    if not version.startswith("rabbitmq_server-4.0."):
        raise HubError(
            "the tests cannot run on RabbitMQ 4.0",
            why=f"what would be started is {version}",
            fix="./run test --broker 4.0 puts RabbitMQ 4.0 in its place",
        )


def prepare_folder(kind: Kind) -> None:
    """Choose where the run's broker lives; every process of the run inherits it."""
    folder = Path(tempfile.mkdtemp(prefix="fedmq-test-"))
    (folder / "password").write_text(secrets.token_hex(16))
    (folder / "kind").write_text(kind)
    os.environ[FOLDER_VARIABLE] = str(folder)


def stop_broker() -> None:
    """Stop the run's broker, if a test started it, and remove its folder."""
    folder = Path(os.environ.pop(FOLDER_VARIABLE))
    private = PrivateBroker(folder / "hub")
    private.kill()  # quicker than asking it, and nobody needs what it knows
    private.stop()
    Cluster(folder / "cluster").stop()
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class TestBroker:
    """The run's broker, as one of its processes sees it."""

    __test__ = False

    amqp_ports: tuple[int, ...]
    """One, or those of a cluster's nodes."""
    management: Management
    password: str
    profile: Profile = Profile.SINGLE

    def make_vhost(self, layout: Topology, rights: dict[str, Rights]) -> str:
        """Return the name of a new vhost with this layout and these users."""
        name = f"test-{secrets.token_hex(6)}"
        users = [self._user(user, allowed) for user, allowed in rights.items()]
        self.management.post("definitions", content=make_definitions(name, layout, users))
        return name

    def remove_vhost(self, name: str) -> None:
        """Remove a vhost with all that is in it."""
        self.management.delete("vhosts", name)

    def url(self, vhost: str, *ports: int) -> str:
        """Return the address of a vhost at these ports, at all of the broker's unless told."""
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in ports or self.amqp_ports)
        return f"amqp://{hosts}/{vhost}"

    def login(self, vhost: str, user: str, *ports: int) -> Login:
        """Return the login of a user."""
        return make_login(
            self.url(vhost, *ports), user=user, password=self.password, program="fedmq test"
        )

    def _user(self, name: str, rights: Rights) -> User:
        hashed = password_hash(self.password, SALT)
        tags = ("monitoring",) if name == "monitor" else ()
        return User(name=name, password_hash=hashed, rights=rights, tags=tags)


def running_broker() -> TestBroker:
    """Return the run's broker; the first who asks starts it, the others wait for it."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    password = (folder / "password").read_text()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "kind").read_text() == Kind.CLUSTER:
            return running_cluster(folder / "cluster", password)[1]
        private = PrivateBroker(folder / "hub")
        if not private.definitions.exists():
            private.definitions.parent.mkdir()
            private.definitions.write_text(admin_definitions(password))
        ports = private.start().ports
    return TestBroker(
        amqp_ports=(ports.amqp,),
        management=admin_at(ports.management, password),
        password=password,
    )


def running_cluster(folder: Path, password: str) -> tuple[Cluster, TestBroker]:
    """Return the cluster of a folder once its three nodes run."""
    cluster = Cluster(folder)
    cluster.start(admin_definitions(password))
    first, *_ = cluster.nodes
    broker = TestBroker(
        amqp_ports=tuple(node.ports().amqp for node in cluster.nodes),
        management=admin_at(first.ports().management, password),
        password=password,
        profile=Profile.CLUSTER,
    )
    return cluster, broker


def admin_at(port: int, password: str) -> Management:
    """Return an administrator's client of the management at a port."""
    return Management(url=f"http://{LOOPBACK}:{port}", user=ADMIN, password=password)


def admin_definitions(password: str) -> str:
    """Return what a broker loads that knows nobody but an administrator."""
    admin = User(
        name=ADMIN,
        password_hash=password_hash(password, SALT),
        rights=EVERYTHING,
        tags=("administrator",),
    )
    empty = Topology(exchanges=(), queues=(), policies=())
    return json.dumps(make_definitions("/", empty, [admin]))


def open_rights(*users: str) -> dict[str, Rights]:
    """Return rights that allow everything, for tests of what is not rights."""
    return dict.fromkeys(users, EVERYTHING)


def federation_rights(
    nodes: list[str], researchers: list[str], orchestrator: str = "orchestrator"
) -> dict[str, Rights]:
    """Return the rights of a federation's members as the hub gives them."""
    return {
        **{node: node_rights(NodeId(node)) for node in nodes},
        **{name: researcher_rights(ResearcherId(name)) for name in researchers},
        orchestrator: orchestrator_rights(orchestrator),
        "monitor": monitor_rights(),
    }
