"""Damaged, altered and invented input for everything that reads bytes of others.

Most of it is what the broker or somebody on the way could do: bytes altered, cut, joined, made up,
and well-formed msgpack of the wrong kind. Some is what a member could do: bodies altered and then
sealed and signed as they should be. Only ProtocolError, ConfigurationError or WayBlocked may come
of it, and memory stays flat. And nothing is believed that nobody said: where somebody without keys
altered a message, a roster or a chunk and it is taken, it says what the original says (`forged`
counts those that do not).
"""

import hashlib
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgpack

from fedmq.errors import ConfigurationError, ProtocolError, WayBlocked
from fedmq.hub.requests import parse_request
from fedmq.messages.codec import (
    Message,
    decode,
    encode,
    make_parcel,
    pack_keys,
    pack_parcel,
)
from fedmq.messages.notices import RosterNotice
from fedmq.messages.payloads import Chunk, check_extent, make_manifest, require_hash
from fedmq.messages.registry import Body
from fedmq.security.joining import read_token
from fedmq.security.roster import open_roster, read_notice, sign_roster
from fedmq.security.sealing import seal_body, wrap_key
from fedmq.security.wire import EVENTS, SealedWire
from fedmq.transport.address import Address
from fedmq.transport.proxy import date_of, is_open, read_proxy
from fedmq.types import Digest, Role
from tests.support.keys import Keys
from tests.unit.messages import examples

SEED = 20261124
LYON, CENTRE = "chu-lyon", "orchestrator"
INSIDERS = 0.01
"""Of the inputs, those that a member has sealed and signed; they take the longest."""
_ODD: Final[tuple[object, ...]] = (
    None,
    True,
    -1,
    2**63,
    1.5,
    float("nan"),
    "",
    "x" * 300,
    b"",
    b"\x00" * 300,
    [],
    {},
    [[]],
)

_PROXY: Final = read_proxy("http://svc@proxy.hospital:3128")
_TARGET: Final = Address("broker.example.org", 443)
_PROXY_ANSWERS: Final = (
    b"HTTP/1.1 200 Connection established\r\nDate: Tue, 24 Nov 2026 08:00:00 GMT\r\n\r\n",
    b'HTTP/1.1 407 Wanted\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
    b"HTTP/1.0 503 Nobody there\r\n\r\n",
)

Input = Callable[[], None]


class Forged(Exception):  # noqa: N818 - what happened, not a fault of the program
    """Something was believed that nobody said."""


def measure(num_inputs: int) -> dict[str, object]:
    """Return how many inputs were tried, how many brought anything down, and the memory (MB)."""
    fuzzer = Fuzzer(random.Random(SEED))
    for _ in range(2_000):
        fuzzer.try_one()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    for number in range(1, num_inputs + 1):
        fuzzer.try_one()
        if number % 500_000 == 0:
            print(f"{number:,} inputs, {fuzzer.num_crashes} crashes", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for reason, count in fuzzer.reasons.most_common():
        print(f"{count:>10,} {reason}", file=sys.stderr)
    return {
        "inputs": num_inputs,
        "refused": sum(fuzzer.reasons.values()),
        "crashes": fuzzer.num_crashes,
        "forged": fuzzer.num_forged,
        "same": fuzzer.num_same,
        "insiders": fuzzer.num_insiders,
        "reasons": len(fuzzer.reasons),
        "inputs_per_s": round(num_inputs / seconds),
        "rss_growth_mb": round((after - before) / 1024, 2),
        "why": "\n".join(fuzzer.crashes),
    }


class Fuzzer:
    """Makes inputs and hands them to whoever reads such bytes."""

    def __init__(self, chance: random.Random) -> None:
        self.reasons: Counter[str] = Counter()
        self.num_crashes = 0
        self.num_forged = 0
        self.num_same = 0
        """Altered by somebody without keys, and taken: they say what the original says."""
        self.num_insiders = 0
        self.crashes: list[str] = []
        self._chance = chance
        self._keys = Keys({LYON: Role.NODE, CENTRE: Role.ORCHESTRATOR})
        self._wire: SealedWire = self._keys.wire(CENTRE)
        sender = self._keys.wire(LYON)
        self._messages = [self._from_lyon(body) for body in examples.BODIES]
        self._plain = [encode(message) for message in self._messages]
        self._sealed = [sender.seal(message, [CENTRE]) for message in self._messages]
        self._said = [self._wire.open(sealed) for sealed in self._sealed]
        """All that Lyon ever said."""
        self._chunk_data = self._chance.randbytes(3_000)
        manifest = make_manifest([self._chunk_data], chunk_bytes=4_096)
        sha256 = hashlib.sha256(self._chunk_data).hexdigest()
        self._chunk = Chunk(manifest=manifest, index=0, sha256=Digest(sha256))
        self._governance = self._keys.governance.public.signing
        self._texts = [
            sign_roster(self._keys.roster, self._keys.governance).notice.model_dump_json(),
            "fedmq-join-1.eNqrVkrLz1eyUkpKLFKqBQAlSwTP",
            '{"name":"chu-lyon","role":"node","signing":"00","sealing":"00"}',
        ]

    def try_one(self) -> None:
        """Make an input and hand it over; note what comes of it."""
        attempt = self._next()
        try:
            attempt()
        except ProtocolError as error:
            self.reasons[error.reason] += 1
        except ConfigurationError:
            self.reasons["configuration"] += 1
        except WayBlocked as error:
            self.reasons[error.code] += 1
        except Forged as error:
            self.num_forged += 1
            self._keep(error)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            self.num_crashes += 1
            self._keep(error)

    def _keep(self, error: Exception) -> None:
        if len(self.crashes) < 10:
            self.crashes.append(f"{type(error).__name__}: {error}")

    def _next(self) -> Input:
        draw = self._chance.random()
        if draw < INSIDERS:
            self.num_insiders += 1
            encoded = self._insider()
            return lambda: _ignore(self._wire.open(encoded))
        if draw < 0.05:
            text = self._altered(self._chance.choice(self._texts).encode()).decode(errors="replace")
            answer = self._altered(self._chance.choice(_PROXY_ANSWERS))
            data = self._altered(self._chunk_data)
            return self._chance.choice(
                [
                    lambda: _ignore(read_token(text)),
                    lambda: _ignore(parse_request(text, "somewhere")),
                    lambda: self._read_roster(text),
                    lambda: _ignore((is_open(answer, _TARGET, _PROXY), date_of(answer))),
                    lambda: self._take_chunk(data),
                ]
            )
        if draw < 0.5:
            damaged = self._altered(self._chance.choice(self._plain))
            return lambda: _ignore(decode(damaged))
        if draw < 0.6:
            odd = self._odd_parcel()
            return lambda: self._open(odd)
        altered = self._altered(self._chance.choice(self._sealed))
        return lambda: self._open(altered)

    def _open(self, encoded: bytes) -> None:
        """Open what somebody without keys made; what is believed was said."""
        opened = self._wire.open(encoded)
        if isinstance(opened.body, RosterNotice):
            # Anybody may bring a roster: its content is signed, its envelope says nothing.
            self._read_roster(opened.body.model_dump_json())
        else:
            self._must_be(opened in self._said, opened.envelope.type)

    def _take_chunk(self, data: bytes) -> None:
        check_extent(self._chunk, data)
        require_hash(self._chunk, data)
        self._must_be(data == self._chunk_data, "chunk")

    def _must_be(self, is_said: bool, what: str) -> None:  # noqa: FBT001 - a claim
        if not is_said:
            raise Forged(what)
        self.num_same += 1

    def _read_roster(self, text: str) -> None:
        try:
            found = RosterNotice.model_validate_json(text)
        except ValueError as error:
            raise ProtocolError("roster_invalid") from error
        roster = open_roster(read_notice(found), self._governance)
        self._must_be(roster == self._keys.roster, "roster")

    def _altered(self, original: bytes) -> bytes:
        chance, altered = self._chance, bytearray(original)
        match chance.randrange(6):
            case 0:
                return chance.randbytes(chance.randrange(300))
            case 1:
                return bytes(altered[: chance.randrange(len(altered))])
            case 2:
                other = chance.choice(self._plain)
                return (
                    bytes(altered[: chance.randrange(len(altered))]) + other[chance.randrange(9) :]
                )
            case _:
                for _ in range(chance.randrange(1, 8)):
                    altered[chance.randrange(len(altered))] = chance.randrange(256)
                return bytes(altered)

    def _odd_parcel(self) -> bytes:
        """Return well-formed msgpack in which something is of another kind."""
        chance = self._chance
        parts = list(msgpack.unpackb(chance.choice(self._sealed)))
        where = chance.randrange(len(parts) + 1)
        if where == len(parts):
            return bytes(msgpack.packb(chance.choice(_ODD)))
        if where == 0:
            parts[0] = msgpack.packb(self._odd_map(msgpack.unpackb(parts[0])))
        else:
            parts[where] = chance.choice(_ODD)
        return bytes(msgpack.packb(parts))

    def _odd_map(self, fields: dict[str, object]) -> dict[str, object]:
        chance = self._chance
        name = chance.choice(list(fields)) if fields else "x"
        value = chance.choice(_ODD)
        match chance.randrange(4):
            case 0:
                return {key: fields[key] for key in fields if key != name}
            case 1:
                return fields | {f"{name}x": value}
            case _ if isinstance(fields.get(name), dict):
                return fields | {name: self._odd_map(dict(fields[name]))}  # type: ignore[call-overload]
            case _:
                return fields | {name: value}

    def _insider(self) -> bytes:
        """Return a message of Lyon's whose body is odd, sealed and signed as it should be."""
        message = self._chance.choice(self._messages)
        parcel = make_parcel(message)
        fields = msgpack.unpackb(parcel.body)
        body = bytes(msgpack.packb(self._odd_map(fields)))
        identity, keys = self._keys.identities[LYON], b""
        if message.envelope.type not in EVENTS:
            key = self._chance.randbytes(32)
            reader = self._keys.identities[CENTRE].public.sealing
            wrap = wrap_key(key, sender=LYON, reader=CENTRE, reader_key=reader)
            keys = pack_keys({CENTRE: wrap})
            body = seal_body(body, key, header=parcel.header, nonce=self._chance.randbytes(12))
        signature = identity.sign(b"message", parcel.header, keys, body)
        return pack_parcel(replace(parcel, keys=keys, body=body, signature=signature))

    def _from_lyon(self, body: Body) -> Message:
        made = examples.a_message(body)
        envelope = made.envelope.model_copy(update={"sender": LYON, "recipient": CENTRE})
        return replace(made, envelope=envelope)


def _ignore(_found: object) -> None:
    """What was read is of no interest."""
