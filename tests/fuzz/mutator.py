"""Inputs that are nearly good: seeded, so that a run can be repeated."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterator, Sequence
from hashlib import sha256
from random import Random
from typing import Any

MOST = 1 << 16
"""Bytes of a mutant, but for seeds that are longer."""

_INTERESTING = (
    b"",
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
    b"\x80" + b"\0" * 7,
    b"\0" * 8,
    b'"',
    b"\\",
    b"\n",
    b"\r\n",
    b"\x1b]0;",
    b"\xe2\x80\xae",
    b"\xc3\x28",
    b"//",
    b"[",
    b"{",
    b"}",
    b"]",
    b"<",
    b"&",
    b"-1",
    b"1e999",
    b"NaN",
    b"18446744073709551616",
    b"9223372036854775807",
    b"null",
    b"2026-02-30",
    b"../",
    b"%2f",
)


def mutate(data: bytes, random: Random, seeds: Sequence[bytes]) -> bytes:
    """The bytes, changed at one to four places."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(out) + 1)
        match random.randrange(8):
            case 0 if out:
                at = min(at, len(out) - 1)
                out[at] ^= 1 << random.randrange(8)
            case 1 if out:
                out[min(at, len(out) - 1)] = random.randrange(256)
            case 2:
                del out[at : at + random.choice((1, 1, 2, 4, 8, 32, 200))]
            case 3:
                out[at:at] = random.choice(_INTERESTING)
            case 4:
                word = random.choice(_INTERESTING)
                out[at : at + len(word)] = word
            case 5:
                length = random.choice((1, 2, 4, 8, 32, 100))
                start = random.randrange(len(out) + 1)
                out[at:at] = out[start : start + length] * random.choice((1, 1, 2, 8))
            case 6:
                other = random.choice(seeds)
                start = random.randrange(len(other) + 1)
                length = random.choice((4, 16, 64))
                out[at : at + length] = other[start : start + length]
            case _:
                del out[at:]
    return bytes(out[: max(MOST, len(data))])


def mutate_json(data: bytes, random: Random, seeds: Sequence[bytes]) -> bytes:
    """A value somewhere in the document changed; base64 is changed inside. What is no JSON, as bytes."""
    if random.randrange(4) == 0:
        return mutate(data, random, seeds)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return mutate(data, random, seeds)
    places = list(_places(document))
    if not places:
        return mutate(data, random, seeds)
    holder, key = random.choice(places)
    value = holder[key]
    match random.randrange(6):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1:
            holder[key] = random.choice((None, -1, 2**64, 1.5, "", [], {}, True, value, [value, value]))
        case _ if isinstance(value, str):
            holder[key] = _within(value, random)
        case _ if isinstance(value, int):
            holder[key] = random.choice((value + 1, value - 1, -value, 2**31, 2**53, 2**63, 2**64))
        case _:
            other_holder, other_key = random.choice(places)
            holder[key] = other_holder[other_key]
    try:
        return json.dumps(document).encode()
    except ValueError:  # It came to hold itself.
        return mutate(data, random, seeds)


def mutate_checked(data: bytes, random: Random, seeds: Sequence[bytes]) -> bytes:
    """Bytes that end with the digest of those before: changed, with the digest that fits."""
    body = mutate(data[:-32], random, seeds)
    return body + (sha256(body).digest() if random.randrange(8) else data[-32:])


def _within(text: str, random: Random) -> str:
    try:
        inside = b64decode(text, validate=True)
    except (Error, ValueError):
        inside = b""
    if len(inside) > 30 and random.randrange(8):
        return b64encode(mutate(inside, random, [inside])).decode()
    raw = text.encode("utf-8", "surrogatepass")
    return mutate(raw, random, [raw]).decode("utf-8", "replace")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a document that holds a value: its holder and key."""
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        keys = (
            range(len(holder))
            if isinstance(holder, list)
            else list(holder)
            if isinstance(holder, dict)
            else ()
        )
        for key in keys:
            yield holder, key
            waiting.append(holder[key])
