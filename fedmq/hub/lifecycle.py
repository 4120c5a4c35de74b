"""A hub from up to down: its broker runs, has every member on it, and can be looked at."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from urllib.parse import quote, unquote, urlsplit

from fedmq.errors import ConfigurationError, TransportError
from fedmq.hub.broker import Progress
from fedmq.hub.configuration import Listener
from fedmq.hub.equipment import addresses
from fedmq.hub.management import Management
from fedmq.hub.members import Hub
from fedmq.hub.ports import LOOPBACK, Ports
from fedmq.hub.register import BUILT_IN, VHOST, ExternalBroker, Member, Register
from fedmq.transport.rabbitmq import make_login
from fedmq.types import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A hub as it is now; of one that was never up, the texts are empty."""

    is_running: bool
    node_name: str
    url: str
    """AMQP address with the vhost."""
    admin_url: str
    """Address of the management pages and API."""
    ports: Ports | None
    """None where the hub does not run the broker."""
    members: tuple[Member, ...]
    certified_until: float | None = None
    """When the certificate of the hub's own broker ends; None where it has none."""

    @property
    def queues_page(self) -> str:
        """Address of the page that lists the queues."""
        return f"{self.admin_url}/#/queues"


def up(folder: Path, progress: Progress = lambda _: None) -> Status:
    """Return once the broker runs and agrees with the roster; the first time it makes a hub.

    Raises:
        HubError: the broker cannot be started.
        ConfigurationError: a member's name is another user's at an external broker.
        TransportError: an external broker does not answer, or refuses.
    """
    hub = Hub(folder)
    if not hub.exists:
        hub.make(VHOST)
    if hub.register().external is None:
        for name in hub.renew_own(now=time.time()):
            progress(f"new certificate: {name}")
        hub.broker.start(progress)
    hub.load()
    return status(folder)


def make(
    folder: Path,
    *,
    federation: str = VHOST,
    hosts: Sequence[str] = (LOOPBACK,),
    address: str = LOOPBACK,
    port: int | None = None,
    allows_tls_1_2: bool = False,
) -> Status:
    """Return the hub of a new federation: its authority, and a broker that knows certificates.

    Members reach it under `hosts`, at `port` of the machine's `address`.

    Raises:
        ConfigurationError: there is one already, or a name cannot be used.
    """
    hub = Hub(folder)
    if hub.exists:
        raise ConfigurationError(
            "there is a hub already",
            why=f"{folder} holds its members",
            fix="fedmq hub up, or choose another FEDMQ_HOME for another federation",
        )
    hub.broker.listen(Listener(address=address, allows_tls_1_2=allows_tls_1_2), port)
    hub.make(federation, hosts)
    return status(folder)


def external(folder: Path, *, amqp_url: str, admin_url: str, authority: str = "") -> Status:
    """Return once the hub has its members on a broker that it does not run.

    `admin_url` holds the login of an administrator, as http://USER:PASSWORD@HOST:15672; `amqp_url`
    is what members will connect to, `authority` the PEM of who vouches for it where their systems
    trust nobody who does. The broker's other users and vhosts are left alone.

    Raises:
        ConfigurationError: an address cannot be used, or a name is taken at the broker; the hub is
            what it was before.
        TransportError: the broker does not answer, or refuses.
    """
    broker, vhost = _parse_external(amqp_url, admin_url)
    broker = replace(broker, authority=authority)
    hub = Hub(folder)
    # The administrator is the broker's own.
    logins = {name: role for name, role in BUILT_IN.items() if role is not Role.ADMIN}
    hub.use_external(broker, vhost, logins)
    hub.make(VHOST)
    return status(folder)


def down(folder: Path) -> None:
    """Return once the broker is gone; members, queues and messages stay for the next `up`.

    Raises:
        ConfigurationError: the broker is an external one.
    """
    hub = Hub(folder)
    if hub.register().external is not None:
        raise ConfigurationError(
            "the hub cannot stop its broker",
            why="it is an external one, which the hub did not start",
            fix="stop it where it was started",
        )
    hub.broker.stop()


def status(folder: Path) -> Status:
    """Return how the hub is; this starts and changes nothing."""
    hub = Hub(folder)
    roster = hub.register()
    if roster.external is not None:
        node_name, ports = _external_node(roster.external), None
        is_running = bool(node_name)
    elif roster.members:
        node_name, ports = hub.broker.node_name, hub.broker.ports()
        is_running = hub.broker.running() is not None
    else:
        return Status(is_running=False, node_name="", url="", admin_url="", ports=None, members=())
    url, admin_url = addresses(roster, hub.broker)
    return Status(
        is_running=is_running,
        node_name=node_name,
        url=url,
        admin_url=admin_url,
        ports=ports,
        members=roster.members,
        certified_until=_certified_until(hub, roster),
    )


def _certified_until(hub: Hub, register: Register) -> float | None:
    has_certificate = register.external is None and hub.broker.has_tls
    return hub.broker.certified_until() if has_certificate else None


def _external_node(broker: ExternalBroker) -> str:
    management = Management(url=broker.admin_url, user=broker.user, password=broker.password)
    with suppress(TransportError):
        overview = cast("dict[str, object]", management.get("overview"))
        return str(overview["node"])
    return ""


def _parse_external(amqp_url: str, admin_url: str) -> tuple[ExternalBroker, str]:
    make_login(amqp_url, user="", password="")  # refuses what a member could not use
    amqp, admin = urlsplit(amqp_url), urlsplit(admin_url)
    if admin.scheme not in {"http", "https"} or not (admin.username and admin.password):
        raise ConfigurationError(
            "the address of the broker's management cannot be used",
            why="it has to be http or https, and to hold an administrator's user and password",
            fix="write it as http://USER:PASSWORD@HOST:15672",
        )
    vhost = unquote(amqp.path[1:]) or VHOST
    broker = ExternalBroker(
        url=f"{amqp.scheme}://{_without_login(amqp.netloc)}/{quote(vhost, safe='')}",
        admin_url=f"{admin.scheme}://{_without_login(admin.netloc)}{admin.path.rstrip('/')}",
        user=unquote(admin.username),
        password=unquote(admin.password),
    )
    return broker, vhost


def _without_login(address: str) -> str:
    return address.rpartition("@")[2]
