"""What the client remembers of each thing it sent, so that an answer that was lost can be asked for again.

One file per idempotency key, only ever appended to: first the key, fsynced before
the call (crash point c1); then the answer. No content, no label and no digest of them is ever written here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from intelshare.errors import ConfigError, Place
from intelshare.instant import DAY, Instant

KEPT = 30 * DAY
"""How long an answered key is remembered; one without an answer stays."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """One thing sent."""

    key: bytes
    made: Instant
    bulletin: str
    """Its id, hexadecimal; empty while no answer is known."""


def new_key(now: Instant, random: Callable[[int], bytes]) -> bytes:
    """A UUIDv7: 16 bytes that sort by time (RFC 9562)."""
    tail = bytearray(random(10))
    tail[0] = 0x70 | tail[0] & 0x0F
    tail[2] = 0x80 | tail[2] & 0x3F
    return (now // 1000).to_bytes(6) + bytes(tail)


def parse_key(text: str) -> bytes:
    """A key as people write it, with or without dashes. Raises ConfigError INPUT_INVALID."""
    try:
        key = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        key = b""
    if len(key) != 16:
        raise ConfigError(
            "INPUT_INVALID",
            "a key is a UUID of 32 hexadecimal digits",
            place=Place("--key"),
            hint="leave --key away to send something new",
        )
    return key


def show_key(key: bytes) -> str:
    """A key with dashes."""
    text = key.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def remember(folder: Path, key: bytes, now: Instant) -> None:
    """Durable when it returns: only then may the call be made. The same key may be remembered again."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _append(folder, key, {"key": key.hex(), "made": now})
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def answered(folder: Path, key: bytes, bulletin: bytes) -> None:
    """Note the answer."""
    _append(folder, key, {"bulletin": bulletin.hex()})


def forget(folder: Path, key: bytes) -> None:
    """Drop a key of which it is known that nothing was stored under it."""
    _path(folder, key).unlink(missing_ok=True)


def spooled(folder: Path, now: Instant) -> Iterator[Spooled]:
    """Everything remembered, oldest first; answered keys older than 30 days are removed."""
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        entry = _read(path)
        if entry is None:
            continue
        if entry.bulletin and entry.made < now - KEPT:
            path.unlink(missing_ok=True)
        else:
            yield entry


def _read(path: Path) -> Spooled | None:
    facts: dict[str, object] = {}
    for line in path.read_text("utf-8", "replace").split("\n"):
        try:
            facts |= json.loads(line or "{}")
        except ValueError:
            # The last line of a crash; what stands before it is whole.
            break
    key, made = facts.get("key"), facts.get("made")
    if not (isinstance(key, str) and isinstance(made, int)):
        return None
    return Spooled(bytes.fromhex(key), Instant(made), str(facts.get("bulletin", "")))


def _path(folder: Path, key: bytes) -> Path:
    return folder / f"{key.hex()}.jsonl"


def _append(folder: Path, key: bytes, facts: dict[str, object]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(_path(folder, key), flags, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(json.dumps(facts).encode() + b"\n")
        file.flush()
        os.fsync(descriptor)
