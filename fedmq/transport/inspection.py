"""Who answers in the broker's place: named from what was presented, and who can help. Pure."""

import time
from dataclasses import dataclass
from typing import Final

from fedmq.errors import WayBlocked
from fedmq.security.presented import Presented, names_of, read_presented
from fedmq.transport.address import Address

_PAGE: Final = (b"HTTP/", b"<")
_AMQP: Final = b"AMQP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of a beginning of TLS."""

    error: str = ""
    """What TLS has against it; empty where it believes who answers."""
    first_bytes: bytes = b""
    """What came first from the far end."""
    certificate: bytes | None = None
    """The one that was presented (DER), whether it is believed or not."""
    version: str = ""
    """Of TLS, such as TLSv1.3; empty where none was agreed upon."""


def explain(seen: Seen, target: Address, authorities: str, *, now: float) -> WayBlocked | None:
    """Return what stands in the way, by name; None where nothing can be told.

    `authorities` are those that vouch for the broker, as PEM; empty: those that the system trusts.
    """
    if not seen.error:
        return None
    if seen.first_bytes.startswith(_PAGE):
        return WayBlocked(
            "not_tls",
            f"at {target} a web page answers and not the broker",
            why="a portal or a proxy of this network took the connection for itself; it said "
            + repr(_first_line(seen.first_bytes)),
            fix=f"ask the network team to let TCP to {target} pass as it is, without a portal",
        )
    if seen.first_bytes.startswith(_AMQP):
        return _no_tls(target, "it speaks AMQP without TLS")
    presented = read_presented(seen.certificate, authorities) if seen.certificate else None
    if presented is None:
        return _without_certificate(seen, target)
    return _of_certificate(presented, target, authorities, seen.error, now=now)


def _first_line(said: bytes) -> str:
    return said.decode("latin-1").partition("\r\n")[0].partition("\n")[0]


def _without_certificate(seen: Seen, target: Address) -> WayBlocked:
    if not seen.first_bytes:
        return WayBlocked(
            "cut_at_tls",
            f"the connection to {target} is cut as soon as TLS begins",
            why=seen.error,
            fix=f"ask the network team whether a firewall inspects connections to {target}, and "
            "to let them pass as they are; the hub's operator whether the broker is up",
        )
    return _no_tls(target, seen.error)


def _no_tls(target: Address, why: str) -> WayBlocked:
    return WayBlocked(
        "not_tls",
        f"what answers at {target} does not speak TLS as the broker does",
        why=why,
        fix="ask the hub's operator for host and port; if they are right, the network team what "
        "answers there in the broker's place",
    )


def _of_certificate(
    presented: Presented, target: Address, authorities: str, error: str, *, now: float
) -> WayBlocked | None:
    if presented.is_vouched_for or not authorities:
        found = _of_known_issuer(presented, target, now=now)
        if found is not None or presented.is_vouched_for:
            return found
    if presented.has_their_name:
        return WayBlocked(
            "other_authority",
            f"what answers at {target} is certified by another {presented.issuer!r} than this one",
            why="it has the name of the federation's authority and another key: the hub was made "
            "anew, or somebody imitates it",
            fix="telephone the hub's operator; if the hub was made anew, join it with a new token",
        )
    expected = ", ".join(map(repr, names_of(authorities))) or "anybody that this machine trusts"
    return WayBlocked(
        "intercepted",
        f"the connection to {target} is opened by something between this machine and the broker",
        why=f"the certificate that came was issued by {presented.issuer!r}, not by {expected}"
        + ("" if authorities else f" ({error})"),
        fix=f"ask the network team to exempt {target} from TLS inspection"
        + ("" if authorities else "; or the broker's operator for FEDMQ_BROKER_AUTHORITY"),
    )


def _of_known_issuer(presented: Presented, target: Address, *, now: float) -> WayBlocked | None:
    if now < presented.begins:
        return WayBlocked(
            "clock_behind",
            "the broker's certificate is not good yet by this machine's clock",
            why=f"it begins on {_day(presented.begins)}, and the clock says {_day(now)}",
            fix="set this machine's clock, and it goes on by itself; "
            "if it is right, tell the hub's operator",
        )
    if now > presented.ends:
        return WayBlocked(
            "certificate_over",
            "the broker's certificate is over by this machine's clock",
            why=f"it ended on {_day(presented.ends)}, and the clock says {_day(now)}",
            fix="look at this machine's clock: set right, it goes on by itself; "
            "if it is right, the hub's operator: fedmq hub up",
        )
    if presented.names and target.host not in presented.names:
        return WayBlocked(
            "wrong_name",
            f"the broker's certificate is not for {target.host}",
            why=f"it is for {', '.join(presented.names)}",
            fix="ask the hub's operator under which name the broker is reached",
        )
    return None


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) + " UTC"
