"""The scan of what a peer sends: what it accepts protobuf reads alike, and nothing else gets in."""

from __future__ import annotations

import tracemalloc

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from intelshare.audit.path import Hop, LogAsk, LogPath
from intelshare.broker.kernel.frame import SLICE, Ack, Carried, Frame, Gap, Slice, SliceAsk
from intelshare.errors import EnvelopeError
from intelshare.instant import LATEST, Instant
from intelshare.wire import (
    MAX_MESSAGE,
    MAX_STATEMENTS,
    Acks,
    Hello,
    Message,
    acks_message,
    ask_message,
    frame_message,
    gap_message,
    hello_message,
    link_message,
    path_message,
    read_message,
)
from intelshare.wire.v1 import peer_pb2 as pb
from wire_reading import by_protobuf

SMALL = st.binary(max_size=300)
FILLED = st.binary(min_size=1, max_size=300)
FRAMES = st.builds(
    Frame,
    SMALL,
    SMALL,
    st.lists(
        st.builds(
            Carried,
            st.integers(1, 2**32 - 1),
            FILLED,
            FILLED,
            FILLED,
            SMALL,
            st.lists(SMALL, max_size=4).map(tuple),
        ),
        min_size=1,
        max_size=5,
    ).map(tuple),
)
U64 = st.integers(0, 2**64 - 1)
U63 = st.integers(0, 2**63 - 1)
TIMES = st.integers(0, LATEST)
ACKS = st.builds(
    lambda time, acks: Acks(tuple(Ack(digest, code, Instant(time)) for digest, code in acks)),
    TIMES,
    st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.text(max_size=20)), min_size=1, max_size=9),
)
GAPS = st.builds(
    Gap,
    st.text(max_size=30),
    U64,
    st.lists(
        st.tuples(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1)).map(lambda r: (min(r), max(r))),
        min_size=1,
        max_size=64,
    ).map(tuple),
)
ACT_GAPS = st.integers(1, 2**63 - 1).map(Gap.of_acts)
ASKS = st.builds(LogAsk, st.text(max_size=30), U64, U63, U64, U63)
HASH = st.binary(min_size=32, max_size=32)
HASHES = st.lists(HASH, max_size=3).map(tuple)
PATHS = st.builds(
    LogPath,
    ASKS,
    st.lists(st.builds(Hop, TIMES, HASH, SMALL, HASHES), max_size=3).map(tuple),
    HASHES,
    st.just(()),
)
U32 = st.integers(0, 2**32 - 1)
SLICE_ASKS = st.builds(SliceAsk, HASH, U32)
PARTS = st.builds(Slice, HASH, U32, SMALL)
MESSAGES = st.one_of(FRAMES, ACKS, GAPS, ACT_GAPS, st.builds(Hello, SMALL), ASKS, PATHS, SLICE_ASKS, PARTS)


def write(message: Message) -> bytes:
    match message:
        case Frame():
            return frame_message(message)
        case Acks():
            return acks_message(message.acks, message.acks[0].time)
        case Gap():
            return gap_message(message)
        case Hello():
            return hello_message(message.payload)
        case LogAsk():
            return ask_message(message)
        case LogPath():
            return path_message(message)
        case _:
            return link_message(message, Instant(0))


def code_of(raw: bytes) -> str:
    with pytest.raises(EnvelopeError) as caught:
        read_message(raw)
    return caught.value.code


@given(MESSAGES)
def test_what_is_written_is_read_and_protobuf_agrees(message: Message) -> None:
    raw = write(message)
    assert read_message(raw) == message
    assert by_protobuf(raw) == message
    assert pb.LinkMessage.FromString(raw).SerializeToString() == raw


@given(MESSAGES, st.data())
def test_changed_bytes_are_refused_or_read_as_protobuf_reads_them(
    message: Message, data: st.DataObject
) -> None:
    raw = bytearray(write(message))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        if not raw:
            return
    try:
        read = read_message(bytes(raw))
    except EnvelopeError:
        return
    assert by_protobuf(bytes(raw)) == read


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_the_documented_error(raw: bytes) -> None:
    try:
        read = read_message(raw)
    except EnvelopeError:
        return
    try:
        assert by_protobuf(raw) == read
    except DecodeError:
        pytest.fail("the scan accepts what protobuf refuses")


def nested(tag: int, inside: bytes, times: int = 1) -> bytes:
    return (bytes([tag << 3 | 2]) + _length(len(inside)) + inside) * times


def _length(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("empty", b""),
        ("no statement", nested(2, b"")),
        ("two bodies", nested(1, b"") + nested(1, b"")),
        ("unknown field", nested(9, b"")),
        ("group", b"\x0b\x0c"),
        ("a field twice", nested(2, nested(1, b"a") * 2 + nested(3, b""))),
        ("non-minimal length", b"\x0a\x81\x00a"),
        ("cut", b"\x0a\x05abc"),
        ("cut number", b"\x0a\xff"),
        ("number of 11 bytes", b"\x0a" + b"\xff" * 10 + b"\x01"),
        ("kind over 32 bits", nested(2, nested(3, b"\x08\xff\xff\xff\xff\x1f"))),
        ("10^6 empty sub-messages", nested(2, b"\x1a\x00" * 500_000)),
        ("one statement too many", nested(2, nested(3, b"\x08\x01") * (MAX_STATEMENTS + 1))),
        ("10^5 bodies", nested(2, nested(3, b"\x32\x00" * 100_000))),
        ("depth 1000", b"\x12\x02" * 1000),
        ("code that is not UTF-8", nested(3, nested(2, nested(1, bytes(32)) + nested(2, b"\xff")))),
        ("short digest", nested(3, nested(2, nested(1, bytes(31))))),
        ("65 ranges", nested(4, nested(3, b"\x08\x01\x10\x02", 65))),
        ("a part named by 31 bytes", nested(7, nested(1, bytes(31)))),
        ("a part without a name", nested(8, b"\x10\x01")),
        ("a part over 64 KiB", nested(8, nested(1, bytes(32)) + nested(3, bytes(SLICE + 1)))),
        ("range of nothing", nested(4, nested(3, b"\x08\x02\x10\x01"))),
    ],
)
def test_malformed_messages_are_refused_within_10_mib(name: str, raw: bytes) -> None:
    tracemalloc.start()
    try:
        assert code_of(raw) == "ENVELOPE_MALFORMED", name
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_message_over_1_mib_is_too_large() -> None:
    assert code_of(nested(1, bytes(MAX_MESSAGE))) == "TOO_LARGE"
