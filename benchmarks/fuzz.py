"""Damaged messages into the codec: only ProtocolError, and memory that stays flat."""

import random
import resource
import sys
import time

from fedmq.errors import ProtocolError
from fedmq.messages.codec import Message, decode, encode
from fedmq.messages.envelope import Envelope
from fedmq.messages.notices import Heartbeat, Receipt
from fedmq.messages.requests import PingRequest

SEED = 20261124


def measure(num_messages: int) -> dict[str, float]:
    """Return how many messages were refused, how fast, and how much memory grew (MB)."""
    generator = random.Random(SEED)
    corpus = _corpus()
    for _ in range(1_000):
        _try(_damage(generator, corpus))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    refused = sum(not _try(_damage(generator, corpus)) for _ in range(num_messages))
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{refused} of {num_messages} refused", file=sys.stderr)
    return {
        "messages": num_messages,
        "refused": refused,
        "other_errors": 0,
        "messages_per_s": round(num_messages / seconds),
        "rss_growth_mb": round((after - before) / 1024, 2),
    }


def _try(encoded: bytes) -> bool:
    """Return whether it was read; any error but ProtocolError ends the measurement."""
    try:
        decode(encoded)
    except ProtocolError:
        return False
    return True


def _corpus() -> list[bytes]:
    bodies = (
        PingRequest(asked_at=1.0),
        Receipt(of="lung.1.0.train.chu-lyon"),
        Heartbeat(version="0.1.0", activity="training", progress=0.5, num_waiting=1),
    )
    return [
        encode(
            Message(
                envelope=Envelope(
                    type=body.TYPE, message_id="m.1", sender="a", recipient="b", sent_at=1.0
                ),
                body=body,
            )
        )
        for body in bodies
    ]


def _damage(generator: random.Random, corpus: list[bytes]) -> bytes:
    altered = bytearray(generator.choice(corpus))
    kind = generator.randrange(4)
    if kind == 0:
        return generator.randbytes(generator.randrange(300))
    if kind == 1:
        return bytes(altered[: generator.randrange(len(altered))])
    for _ in range(generator.randrange(1, 8)):
        altered[generator.randrange(len(altered))] = generator.randrange(256)
    return bytes(altered)
