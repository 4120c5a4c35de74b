"""What a check of a node looks at: this machine, the way to the broker, and what is at its end."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.errors import BrokerUnavailable, ConfigurationError, FedmqError, StorageError
from fedmq.hub.keyring import AUTHORITY
from fedmq.hub.membership import Membership
from fedmq.node.check import Step
from fedmq.node.containment import find_containment, require_containment
from fedmq.node.needs import read_room
from fedmq.security.certificates import DAY_S
from fedmq.security.joining import JoinToken
from fedmq.security.presented import read_presented
from fedmq.security.roster import Roster
from fedmq.transport import topology
from fedmq.transport.address import Address
from fedmq.transport.home import LocalHome
from fedmq.transport.inspection import explain
from fedmq.transport.look import look, open_way
from fedmq.transport.proxy import Proxy, date_of
from fedmq.transport.rabbitmq import Login
from fedmq.transport.rabbitmq_asking import see_queues
from fedmq.transport.rabbitmq_tls import Tls
from fedmq.types import NodeId

CLOCK_S: Final = 300.0
"""A clock that differs by more is told."""
_PROBE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The node that is looked at."""

    folder: Path
    membership: Membership
    login: Login
    is_uncontained_allowed: bool


def steps_of(subject: Subject) -> tuple[Step, ...]:
    """Return the steps, those first on which others rest."""
    login = subject.login
    own = (
        Step(name="folders", look=lambda: _folders(subject.folder)),
        Step(name="containment", look=lambda: _containment(subject)),
        Step(name="certificate", look=lambda: _certificate(subject.membership)),
        Step(name="roster", look=lambda: _roster(subject.membership)),
    )
    queues = Step(name="queues", look=lambda: _queues(login), needs=("login",))
    return (*own, *_way(login, "certificate"), queues)


def steps_before_joining(subject: Subject, token: JoinToken) -> tuple[Step, ...]:
    """Return the steps for a machine that holds a token; `subject` has the token's login.

    The login is opened and closed: nothing is asked there, so that the token stays good.
    """
    own = (
        Step(name="token", look=lambda: _token(token)),
        Step(name="folders", look=lambda: _folders_to_be(subject.folder)),
        Step(name="containment", look=lambda: _containment(subject)),
    )
    return (*own, *_way(subject.login, "token"))


def _way(login: Login, shown: str) -> tuple[Step, ...]:
    """Return the steps from here into the broker; `shown` is the step of what is shown to it."""
    proxy, tls = login.proxy, login.tls
    if proxy is None:
        first = Step(name="names", look=lambda: _names(login))
    else:
        first = Step(name="proxy", look=lambda: _proxy(login, proxy))
    steps = [
        first,
        Step(name="connection", look=lambda: _connection(login), needs=(first.name,)),
    ]
    if tls is not None:
        steps.append(Step(name="tls", look=lambda: _tls(login, tls), needs=("connection",)))
    rests_on = ("connection",) if tls is None else ("connection", "tls", shown)
    return (*steps, Step(name="login", look=lambda: _login(login), needs=rests_on))


def _token(token: JoinToken) -> str:
    hour = time.strftime("%Y-%m-%d %H:%M", time.localtime(token.expires_at))
    if token.expires_at < time.time():
        raise ConfigurationError(
            f"the token ended on {hour}",
            why="by this machine's clock; a token is good for a day",
            fix=f"ask the hub's operator for: fedmq hub add-node {token.name}",
        )
    return f"it invites {token.name} to {token.federation} until {hour}"


def _folders_to_be(folder: Path) -> str:
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise StorageError(
            "the node's folder cannot be made",
            why=f"{there} is no folder that this user may write to",
            fix="name another in FEDMQ_HOME, or let this user write there",
        )
    return f"the node's folder can be made in {there}"


def _folders(folder: Path) -> str:
    home = LocalHome(folder)
    room = read_room(home)
    if not room.is_enough or not home.has_room(_PROBE_BYTES):
        raise StorageError(
            "the disk of the node's folder is full", why=str(room), fix="free some room on it"
        )
    return f"can be written; {room}"


def _containment(subject: Subject) -> str:
    # Before joining there is no folder yet; then it is tried where temporary files are.
    found = find_containment(subject.folder if subject.folder.is_dir() else None)
    require_containment(found, is_uncontained_allowed=subject.is_uncontained_allowed)
    return found.line


def _certificate(membership: Membership) -> str:
    since, until = membership.certified_from(), membership.certified_until()
    if since is None or until is None:
        return "none: this broker asks for a password"
    if since > time.time():
        begin = time.strftime("%Y-%m-%d %H:%M", time.localtime(since))
        raise ConfigurationError(
            f"this node's certificate is good from {begin} on",
            why="by this machine's clock, which may be behind",
            fix="set this machine's clock; if it is right, tell the hub's operator that theirs is"
            " ahead",
        )
    day = time.strftime("%Y-%m-%d", time.localtime(until))
    if until < time.time():
        name = membership.credentials.user
        raise ConfigurationError(
            f"this node's certificate ended on {day}",
            why="a certificate is good for a year",
            fix=f"ask the hub's operator for: fedmq hub renew {name}; look at this machine's clock",
        )
    return f"this node's is good until {day}, {(until - time.time()) / DAY_S:.0f} days"


def _roster(membership: Membership) -> str:
    keyring = membership.keyring
    roster = keyring.roster(keyring.signed_roster())
    if roster.find(membership.credentials.user) is None:
        raise ConfigurationError(
            "this node is not in the roster that it has",
            why=f"version {roster.version} does not name it",
            fix="ask the hub's operator whether the node was revoked",
        )
    held = keyring.held_roster()
    if held is not None:
        waiting = keyring.roster(held)
        _require_stays(membership.credentials.user, keyring.believed(roster, held), waiting)
        raise ConfigurationError(
            f"roster {waiting.version} waits for your word; {roster.version} is in use",
            why="in it an orchestrator has keys for which its earlier ones do not vouch",
            fix="compare fingerprints with the hub's operator, by telephone: fedmq node roster; if "
            "they are the same: fedmq node roster --accept; if not, leave it and tell the operator",
        )
    return f"version {roster.version} of {roster.federation}, with {len(roster.members)} members"


def _require_stays(node: str, believed: Roster, waiting: Roster) -> None:
    """Return if a node is believed still where a roster waits that may have put it out.

    Raises:
        ConfigurationError: it is out, or the keys that it has are.
    """
    if believed.find(node) is not None:
        return
    if waiting.find(node) is None:
        raise ConfigurationError(
            f"this node is out, by roster {waiting.version}, which waits for your word",
            why="it does not name this node: nobody who has it believes what the node says",
            fix="ask the hub's operator, by telephone, whether the node was revoked; if it was not,"
            " leave that roster, since its governance may have been taken over",
        )
    raise ConfigurationError(
        f"this node's present keys are out, by roster {waiting.version}, which waits for your word",
        why="it names other keys of this node: nobody who has it believes what the present ones "
        "sign",
        fix="compare fingerprints with the hub's operator, by telephone: fedmq node roster; if "
        "they are the same: fedmq node roster --accept, and the node has its new keys; if not, "
        "leave it and tell the operator",
    )


def _names(login: Login) -> str:
    told = []
    for host, port in login.addresses:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise BrokerUnavailable(
                f"the name {host} leads nowhere on this machine",
                why=error.strerror or str(error),
                fix=f"ask the network team to let this machine resolve {host}; behind a proxy that "
                "resolves names itself, set FEDMQ_PROXY",
            ) from error
        told.append(f"{host}: {', '.join(sorted({str(one[4][0]) for one in found}))}")
    return "; ".join(told)


def _proxy(login: Login, proxy: Proxy) -> str:
    # What it is asked for is the first broker: without a target nothing can be asked of a proxy.
    try:
        line, answer = open_way(login.addresses[0], proxy)
    except FedmqError as error:
        if getattr(error, "code", "") == "proxy_finds_nobody":
            return f"{proxy.address} answers, and takes the login"
        raise
    line.close()
    hour = date_of(answer)
    if hour is not None and abs(hour - time.time()) > CLOCK_S:
        raise ConfigurationError(
            "this machine's clock and that of the proxy differ",
            why=f"by {abs(hour - time.time()):.0f} seconds",
            fix="set this machine's clock: certificates are looked at by it",
        )
    return f"{proxy.address} lets through to {login.addresses[0]}"


def _any_of(login: Login, attempt: Callable[[Address], str]) -> str:
    """Return the first good word among those of several addresses; else raise the last bad one."""
    *others, last = login.addresses
    for address in others:
        with suppress(FedmqError):
            return attempt(address)
    return attempt(last)


def _connection(login: Login) -> str:
    def attempt(address: Address) -> str:
        line, _ = open_way(address, login.proxy)
        with line:
            return f"TCP to {address} is open" + (" through the proxy" if login.proxy else "")

    return _any_of(login, attempt)


def _tls(login: Login, tls: Tls) -> str:
    def attempt(address: Address) -> str:
        seen = look(address, tls, login.proxy)
        obstacle = explain(seen, address, tls.authorities(), now=time.time())
        if obstacle is not None:
            raise obstacle
        if seen.error:
            raise BrokerUnavailable(
                f"TLS with {address} does not come about",
                why=seen.error,
                fix=f"tell the hub's operator; {AUTHORITY} of this node may be of another hub",
            )
        shown = read_presented(seen.certificate or b"", tls.authorities())
        if shown is None:
            return seen.version
        day = time.strftime("%Y-%m-%d", time.localtime(shown.ends))
        return f"{seen.version}, not inspected; {shown.issuer} vouches for the broker until {day}"

    return _any_of(login, attempt)


def _login(login: Login) -> str:
    see_queues(login, ())
    return f"the broker lets {login.user} into {login.vhost}"


def _queues(login: Login) -> str:
    name = NodeId(login.user)
    tasks, _ = see_queues(login, (topology.node_tasks(name), topology.node_payloads(name)))
    reader = "a node reads them" if tasks.readers else "no node reads them now"
    return f"both are there; {tasks.waiting} tasks wait, and {reader}"


def name_of_machine() -> str:
    """Return how this machine is called, for who looks after the network."""
    return os.uname().nodename
