"""The codec: every message survives the wire, and nothing else passes."""

import contextlib
import gc
import hashlib
import json
import random
import sys
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmq.errors import ProtocolError
from fedmq.messages.codec import (
    MAX_BODY_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_READERS,
    Parcel,
    decode,
    encode,
    pack_keys,
    pack_parcel,
    read_keys,
    unpack_parcel,
)
from fedmq.messages.envelope import MAJOR, MINOR
from fedmq.messages.fields import MAX_METRICS
from fedmq.messages.registry import BODIES, Body
from fedmq.messages.replies import EvaluateReply, TrainReply
from tests.unit.messages import examples

GOLDEN = Path(__file__).parent / "golden.json"
ENCODED = {body.TYPE: encode(examples.a_message(body)) for body in examples.BODIES}


def altered(
    example: Body,
    header: Mapping[str, object] = MappingProxyType({}),
    body: Mapping[str, object] = MappingProxyType({}),
    *,
    body_bytes: bytes | None = None,
    data: bytes | None = None,
) -> bytes:
    """Return an encoded example with fields of its header and body, or whole parts, altered."""
    parcel = unpack_parcel(ENCODED[example.TYPE])
    packed = msgpack.packb(msgpack.unpackb(parcel.body) | body)
    return pack_parcel(
        Parcel(
            header=msgpack.packb(msgpack.unpackb(parcel.header) | header),
            body=packed if body_bytes is None else body_bytes,
            data=parcel.data if data is None else data,
        )
    )


def reason_of(encoded: bytes) -> str:
    """Return the reason for which `encoded` is refused."""
    with pytest.raises(ProtocolError) as caught:
        decode(encoded)
    return caught.value.reason


def test_every_message_of_the_registry_has_an_example() -> None:
    """A message that no test goes through does not exist."""
    assert {type(body) for body in examples.BODIES} == set(BODIES)


@pytest.mark.parametrize("body", examples.BODIES, ids=lambda body: body.TYPE)
def test_a_message_comes_back_as_it_was_sent(body: Body) -> None:
    """Decoding what was encoded gives an equal message."""
    message = examples.a_message(body)
    assert decode(encode(message)) == message


def test_the_bytes_of_this_protocol_version_are_pinned() -> None:
    """A change of any message's bytes is a change of the protocol, and shows here."""
    digests = {name: hashlib.sha256(encoded).hexdigest() for name, encoded in ENCODED.items()}
    assert digests == json.loads(GOLDEN.read_text())[f"{MAJOR}.{MINOR}"]


@pytest.mark.parametrize("body", examples.BODIES, ids=lambda body: body.TYPE)
def test_every_truncation_is_refused(body: Body) -> None:
    """No prefix of a message is a message."""
    encoded = ENCODED[body.TYPE]
    for length in range(len(encoded)):
        with pytest.raises(ProtocolError):
            decode(encoded[:length])


@pytest.mark.parametrize("body", examples.BODIES, ids=lambda body: body.TYPE)
def test_a_flipped_bit_is_refused_or_yields_a_valid_message(body: Body) -> None:
    """Any one bit turned gives a ProtocolError or a message that encodes again, nothing else."""
    encoded = ENCODED[body.TYPE]
    for position in range(0, 8 * len(encoded), 3):
        flipped = bytearray(encoded)
        flipped[position // 8] ^= 1 << (position % 8)
        try:
            message = decode(bytes(flipped))
        except ProtocolError:
            continue
        assert decode(encode(message)) == message


def test_an_unknown_type_is_refused_before_its_body_is_decoded() -> None:
    """The reason names the type although the body is no msgpack at all."""
    encoded = altered(examples.BODIES[0], header={"type": "run.anything"}, body_bytes=b"\xc1")
    assert reason_of(encoded) == "unknown_type"


def test_another_major_version_is_refused_with_its_reason() -> None:
    """A receiver says that the protocol differs, not that the message is broken."""
    encoded = altered(examples.BODIES[0], header={"major": MAJOR + 1})
    assert reason_of(encoded) == "major_version"


def test_unknown_fields_of_a_newer_minor_version_are_read_over() -> None:
    """A newer sender may add fields, to the envelope and to the body."""
    body = examples.BODIES[0]
    encoded = altered(body, header={"minor": MINOR + 1, "priority": 3}, body={"later": True})
    assert decode(encoded).body == body


def test_an_unknown_field_of_this_minor_version_is_refused() -> None:
    """Within one version nothing is read over."""
    assert reason_of(altered(examples.BODIES[0], body={"later": True})) == "body_invalid"


def test_extension_types_and_timestamps_are_refused() -> None:
    """Nothing but maps, lists, text, bytes, numbers, booleans and nil crosses the wire."""
    for value in (msgpack.ExtType(5, b"x"), msgpack.Timestamp(1)):
        encoded = altered(examples.BODIES[0], body={"config": {"epochs": value}})
        assert reason_of(encoded) in {"body_not_msgpack", "body_invalid"}


def test_infinite_and_missing_numbers_are_refused() -> None:
    """NaN and infinity have no place in a metric, a weight or a config."""
    for value in (float("nan"), float("inf")):
        encoded = altered(examples.BODIES[0], body={"config": {"rate": value}})
        assert reason_of(encoded) == "body_invalid"


@pytest.mark.parametrize("name", ["Loss", "case-0042", "a" * 41, "", "_loss", "loss\n", "perte é"])
def test_a_metric_whose_name_is_no_word_is_refused(name: str) -> None:
    """A node that was made to send names of cases is not heard."""
    ratio = {"numerator": 1.0, "denominator": 1.0}
    for body in (one for one in examples.BODIES if isinstance(one, TrainReply | EvaluateReply)):
        assert decode(altered(body, body={"metrics": {"a" * 40: ratio}})).body.TYPE == body.TYPE
        assert reason_of(altered(body, body={"metrics": {name: ratio}})) == "body_invalid"
        many = {f"m{number}": ratio for number in range(MAX_METRICS + 1)}
        assert reason_of(altered(body, body={"metrics": many})) == "body_invalid"


def test_a_message_beyond_the_limit_is_refused_by_its_length_alone() -> None:
    """Length is looked at before anything is allocated for the content."""
    assert reason_of(bytes(MAX_MESSAGE_BYTES + 1)) == "too_large"


def test_a_claimed_length_allocates_nothing() -> None:
    """A header that claims four gigabytes in nine bytes costs no memory."""
    tracemalloc.start()
    assert reason_of(b"\x93\x80\xc6\xff\xff\xff\xff\x00\xc4") == "not_msgpack"
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_a_depth_bomb_is_refused() -> None:
    """Thousands of nested lists end in a ProtocolError, not in the end of the stack."""
    assert reason_of(b"\x91" * 100_000 + b"\xc0") == "not_msgpack"


def test_a_body_beyond_the_limit_is_not_sent() -> None:
    """The sender finds out, not the broker."""
    body = examples.BODIES[0].model_copy(update={"plan_source": "x" * (MAX_BODY_BYTES + 1)})
    with pytest.raises(ProtocolError, match="limit"):
        encode(examples.a_message(body))


def test_data_beside_anything_but_a_chunk_is_refused() -> None:
    """Bulk bytes travel in chunks only."""
    assert reason_of(altered(examples.BODIES[0], data=b"surplus")) == "data_unexpected"


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_msgpack_value_is_refused_with_a_reason(value: object) -> None:
    """Well-formed msgpack that is no message raises ProtocolError."""
    with pytest.raises(ProtocolError):
        decode(msgpack.packb(value))


def test_a_hundred_thousand_fuzzed_messages_raise_protocol_errors_only() -> None:
    """Bytes altered, cut, joined and made up: one kind of error, and memory stays flat."""
    generator = random.Random(20261123)
    corpus = list(ENCODED.values())
    tracemalloc.start()
    early = early_blocks = 0
    for number in range(100_000):
        with contextlib.suppress(ProtocolError):
            decode(mutate(generator, corpus))
        if number == 10_000:
            early = reachable_bytes()
            early_blocks = sys.getallocatedblocks()
    grown = reachable_bytes() - early
    grown_blocks = sys.getallocatedblocks() - early_blocks
    tracemalloc.stop()
    # A message kept is several blocks and over 200 bytes. One table of the interpreter's may double
    # meanwhile, by megabytes where it knows many names: that is one block.
    assert grown_blocks < 9_000
    assert grown < 200 * 90_000


def reachable_bytes() -> int:
    """Return what is allocated and not only waits for the collector: errors are in cycles."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def mutate(generator: random.Random, corpus: list[bytes]) -> bytes:
    """Return a message of the corpus with some damage done to it, or bytes made up."""
    altered = bytearray(generator.choice(corpus))
    match generator.randrange(5):
        case 0:
            return generator.randbytes(generator.randrange(200))
        case 1:
            return bytes(altered[: generator.randrange(len(altered))])
        case 2:
            other = generator.choice(corpus)
            return bytes(altered[: generator.randrange(len(altered))]) + other
        case _:
            for _ in range(generator.randrange(1, 6)):
                altered[generator.randrange(len(altered))] = generator.randrange(256)
            return bytes(altered)


PARTS = st.binary(max_size=300) | st.sampled_from([0, 255, 256, 65_535, 65_536]).map(bytes)


@given(st.tuples(PARTS, PARTS, PARTS, PARTS, st.binary(max_size=64)))
def test_a_parcel_is_msgpack_and_its_bulk_data_is_not_copied(parts: tuple[bytes, ...]) -> None:
    """An array of five bins, as msgpack's own packer writes it, looked at where it lies."""
    header, keys, body, data, signature = parts
    header, keys = header[:4096], keys[:4096]
    parcel = Parcel(header=header, keys=keys, body=body, data=data, signature=signature)
    packed = pack_parcel(parcel)
    assert packed == msgpack.packb([header, keys, body, data, signature])
    found = unpack_parcel(packed)
    assert found == parcel
    assert isinstance(found.data, memoryview)
    assert found.data.obj is packed


def test_a_parcel_that_another_packer_wrote_is_read() -> None:
    """Sizes may be written longer than they need to be."""
    whole = b"\xdc\x00\x05" + b"".join(b"\xc6" + len(one).to_bytes(4, "big") + one for one in FIVE)
    in_part = b"\x95" + b"".join(b"\xc5" + len(one).to_bytes(2, "big") + one for one in FIVE)
    header, keys, body, data, signature = FIVE
    expected = Parcel(header=header, keys=keys, body=body, data=data, signature=signature)
    assert unpack_parcel(whole) == unpack_parcel(in_part) == expected


FIVE = (b"header", b"", b"body", b"data", b"signature")


@pytest.mark.parametrize("more", [b"", b"x"])
def test_what_is_no_array_of_five_bins_is_refused(more: bytes) -> None:
    """Too few, too many, something behind it, a bin that ends before its end."""
    good = msgpack.packb(list(FIVE))
    for bad in (
        good[:-1],
        good + b"x",
        msgpack.packb(list(FIVE[:4])),
        msgpack.packb([*FIVE, more]),
        msgpack.packb([*FIVE[:4], "text"]),
        b"\x95" + b"\xc6\xff\xff\xff\xff" + more,
        b"\x95" + b"\xc4" + more,
        b"\x95" + more,
        more,
    ):
        with pytest.raises(ProtocolError):
            unpack_parcel(bad)


def test_what_names_more_readers_than_any_of_them_would_take_is_not_packed() -> None:
    """Its sender hears of it, not its readers one by one."""
    wraps = {f"node-{number}": bytes(80) for number in range(MAX_READERS)}
    example = unpack_parcel(ENCODED[TrainReply.TYPE])
    assert read_keys(replace(example, keys=pack_keys(wraps))) == wraps
    with pytest.raises(ProtocolError, match="257 readers"):
        pack_keys(wraps | {"one-more": bytes(80)})
