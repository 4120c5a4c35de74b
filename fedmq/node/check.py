"""The check of a node: steps one after the other, and a letter to who looks after the network.

A step that rests on one that failed is not tried. Pure but for what its steps do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedmq.errors import FedmqError, WayBlocked
from fedmq.transport.rabbitmq import Login
from fedmq.transport.rabbitmq_tls import Tls

OF_THE_NETWORK: Final = frozenset({"names", "proxy", "connection", "tls"})
"""The steps for which who looks after the network is asked."""


class State(StrEnum):
    """How a step went."""

    OK = "ok"
    FAILED = "failed"
    NOT_TRIED = "not_tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to look at; `look` says in words what it found, or raises."""

    name: str
    look: Callable[[], str]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a step found; the texts are for people, the code for programs."""

    step: str
    state: State
    words: str
    code: str = ""
    why: str = ""
    fix: str = ""


def check(steps: Sequence[Step]) -> Iterator[Finding]:
    """Yield what each step finds, as it finds it."""
    missing: set[str] = set()
    for step in steps:
        lacking = [need for need in step.needs if need in missing]
        if lacking:
            missing.add(step.name)
            words = f"not tried: it rests on {', '.join(lacking)}"
            yield Finding(step=step.name, state=State.NOT_TRIED, words=words)
            continue
        try:
            yield Finding(step=step.name, state=State.OK, words=step.look())
        except FedmqError as error:
            missing.add(step.name)
            yield Finding(
                step=step.name,
                state=State.FAILED,
                words=error.what,
                code=error.code if isinstance(error, WayBlocked) else f"{step.name}_failed",
                why=error.why,
                fix=error.fix,
            )


def make_letter(machine: str, login: Login) -> tuple[str, ...]:
    """Return the lines of what the network team is asked for: what this login really does."""
    targets = [one for one in login.addresses if not one.is_this_machine]
    if not targets:
        return ("The broker is on this machine: there is nothing to ask of the network team.",)
    lines = ["To the network team: please allow, from this machine and in this direction alone,"]
    for target in targets:
        if login.proxy is None:
            lines.append(f"  {machine} -> {target}, TCP, outbound")
        else:
            lines.append(f"  {machine} -> {login.proxy.address}, TCP, outbound: the proxy, where")
            lines.append(f"  CONNECT {target} is let through")
    return (
        *lines,
        "Nothing comes in: no inbound rule, no port on this machine.",
        *(() if login.tls is None else _encryption(login.tls)),
        f"It stays open for days; the idle timeout has to be over {login.heartbeat_s} seconds.",
    )


def _encryption(tls: Tls) -> tuple[str, ...]:
    versions = "TLS 1.3, or 1.2 where the broker is older," if tls.allows_1_2 else "TLS 1.3"
    shown = (
        "a certificate of the broker; this machine shows a password"
        if tls.certificate is None
        else "certificates of both ends"
    )
    # Where the system says whom to believe, an inspector may be among these, and then reads along.
    harm = (
        "the password would be read on the way."
        if tls.authority is None
        else "an inspected one does not work."
    )
    return (f"The connection is {versions} with {shown}.", f"It is not to be inspected: {harm}")
