"""The test run's own RabbitMQ: one broker for all its processes, a vhost for each test."""

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fedmq.hub.broker import PrivateBroker
from fedmq.hub.definitions import User, make_definitions, password_hash
from fedmq.hub.management import Management
from fedmq.transport import topology
from fedmq.transport.rabbitmq import Login
from fedmq.transport.topology import Rights, Topology

FOLDER_VARIABLE = "FEDMQ_TEST_BROKER"
ADMIN = "test-admin"
EVERYTHING = Rights(configure=".*", write=".*", read=".*")


def prepare_folder() -> None:
    """Choose where the run's broker lives; every process of the run inherits it."""
    folder = Path(tempfile.mkdtemp(prefix="fedmq-test-"))
    (folder / "password").write_text(secrets.token_hex(16))
    os.environ[FOLDER_VARIABLE] = str(folder)


def stop_broker() -> None:
    """Stop the run's broker, if a test started it, and remove its folder."""
    folder = Path(os.environ.pop(FOLDER_VARIABLE))
    PrivateBroker(folder / "hub").stop()
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class TestBroker:
    """The run's broker, as one of its processes sees it."""

    __test__ = False

    amqp_port: int
    management: Management
    password: str

    def make_vhost(self, layout: Topology, rights: dict[str, Rights]) -> str:
        """Return the name of a new vhost with this layout and these users."""
        name = f"test-{secrets.token_hex(6)}"
        users = [self._user(user, allowed) for user, allowed in rights.items()]
        self.management.post("definitions", content=make_definitions(name, layout, users))
        return name

    def remove_vhost(self, name: str) -> None:
        """Remove a vhost with all that is in it."""
        self.management.delete("vhosts", name)

    def login(self, vhost: str, user: str, port: int | None = None) -> Login:
        """Return the login of a user."""
        return Login(
            host="127.0.0.1",
            port=port or self.amqp_port,
            vhost=vhost,
            user=user,
            password=self.password,
            program="fedmq test",
        )

    def _user(self, name: str, rights: Rights) -> User:
        # One salt for the run: users belong to the broker, so every test writes the same.
        salt = bytes.fromhex(self.password[:8])
        hashed = password_hash(self.password, salt)
        tags = ("monitoring",) if name == "monitor" else ()
        return User(name=name, password_hash=hashed, rights=rights, tags=tags)


def running_broker() -> TestBroker:
    """Return the run's broker; the first who asks starts it, the others wait for it."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    password = (folder / "password").read_text()
    private = PrivateBroker(folder / "hub")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not private.definitions.exists():
            private.definitions.parent.mkdir()
            salt = bytes.fromhex(password[:8])
            admin = User(
                name=ADMIN,
                password_hash=password_hash(password, salt),
                rights=EVERYTHING,
                tags=("administrator",),
            )
            empty = Topology(exchanges=(), queues=(), policies=())
            private.definitions.write_text(json.dumps(make_definitions("/", empty, [admin])))
        running = private.start()
    return TestBroker(
        amqp_port=running.ports.amqp,
        management=Management(
            url=f"http://127.0.0.1:{running.ports.management}", user=ADMIN, password=password
        ),
        password=password,
    )


def open_rights(*users: str) -> dict[str, Rights]:
    """Return rights that allow everything, for tests of what is not rights."""
    return dict.fromkeys(users, EVERYTHING)


def federation_rights(
    nodes: list[str], researchers: list[str], orchestrator: str = "orchestrator"
) -> dict[str, Rights]:
    """Return the rights of a federation's members as the hub gives them."""
    return {
        **{node: topology.node_rights(topology.NodeId(node)) for node in nodes},
        **{name: topology.researcher_rights(topology.ResearcherId(name)) for name in researchers},
        orchestrator: topology.orchestrator_rights(orchestrator),
        "monitor": topology.monitor_rights(),
    }
