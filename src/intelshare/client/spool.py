"""The client's memory of everything it sent, so that a lost answer can be asked for again.

There is one file per idempotency key, or per batch. The keys and keyed digests of what is about to be sent
are fsynced before the call (crash point c1); the answers are appended afterwards. No content and no label is
ever written here.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from intelshare.errors import ConfigError, Place
from intelshare.instant import DAY, Instant
from intelshare.private_files import sync_folder

KEPT = 30 * DAY
"""The time for which an answered key is remembered; one without an answer stays."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """One bulletin that was sent."""

    key: bytes
    digest: str
    made: Instant
    bulletin: str = ""
    """The bulletin's id in hexadecimal; empty while no answer is known."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One bulletin to be sent in a batch."""

    digest: str
    """The SHA-256 of its content, in hexadecimal."""
    key: bytes | None = None
    """The key, if the author of the batch chose one."""


def new_key(now: Instant, random: Callable[[int], bytes]) -> bytes:
    """Return a UUIDv7: 16 bytes that sort by time (RFC 9562)."""
    tail = bytearray(random(10))
    tail[0] = 0x70 | tail[0] & 0x0F
    tail[2] = 0x80 | tail[2] & 0x3F
    return (now // 1000).to_bytes(6) + bytes(tail)


def parse_key(text: str) -> bytes:
    """Return a key that was written with or without dashes. Raises ConfigError INPUT_INVALID."""
    try:
        key = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        key = b""
    if len(key) != 16:
        raise ConfigError(
            "INPUT_INVALID",
            "a key is a UUID of 32 hexadecimal digits",
            place=Place("--key"),
            hint="omit --key to send something new",
        )
    return key


def show_key(key: bytes) -> str:
    """Return a key with dashes."""
    text = key.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def digest_key(folder: Path) -> bytes:
    """Return the 32 random bytes that key all digests of what is sent; they are made on first use.

    ``folder`` contains the user's private key: whoever copies only a spool cannot test guesses.
    """
    path = folder / "digest.key"
    if not path.exists():
        new = folder / f"digest.key.{os.getpid()}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(descriptor)
        # If two processes make it at once, the first one stays.
        with suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
        sync_folder(folder)
    return path.read_bytes()


def remember(folder: Path, key: bytes, digest: str, now: Instant) -> bool:
    """Remember a key durably: the call may be made only after this returns. The same key may be remembered
    again; return true if it is new.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = not _path(folder, key).exists()
    with _appending(_path(folder, key)) as append:
        append(_entry(Spooled(key, digest, now)))
    sync_folder(folder)
    return new


def answered(folder: Path, key: bytes, bulletin: bytes) -> None:
    """Record the answer."""
    with _appending(_path(folder, key)) as append:
        append(_answer(key, bulletin))


def forget(folder: Path, key: bytes) -> None:
    """Forget a key under which nothing was stored for certain."""
    _path(folder, key).unlink(missing_ok=True)


def remember_batch(
    folder: Path,
    source: str,
    drafts: Sequence[Draft],
    now: Instant,
    random: Callable[[int], bytes],
    *,
    again: bool = False,
) -> list[Spooled]:
    """Return the key of each draft in a batch, durable when this returns: only then may the first be sent.

    ``source`` names where the batch comes from (a path). A draft that an earlier run from there has sent gets
    the same key, recognised by its content: of drafts with equal content the first has the first key, and so
    on. So the same batch stores nothing twice, even if other lines of it were changed. ``again``: all keys
    are new. Raises ConfigError RECORD_CORRUPT: which keys the drafts had is no longer known.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _batch_path(folder, source)
    known = defaultdict[str, list[Spooled]](list)
    with _locked(folder):  # another run of the batch has the same keys
        found, damaged = ([], 0) if again else _read(path)
        for entry in found:
            known[entry.digest].append(entry)
        entries = []
        for draft in drafts:
            earlier = known[draft.digest]
            chosen = next((one for one in earlier if draft.key in (None, one.key)), None)
            if chosen is not None:
                earlier.remove(chosen)
            elif damaged and draft.key is None:
                raise _key_lost(path, damaged)
            entries.append(chosen or Spooled(draft.key or new_key(now, random), draft.digest, now))
        _write_batch(path, entries)
    return entries


def _key_lost(path: Path, line: int) -> ConfigError:
    return ConfigError(
        "RECORD_CORRUPT",
        "what was remembered of this batch has changed: some may have been sent under another key",
        place=Place(str(path), line),
        hint="take the bulletins that `intelshare outbox` shows out of the batch, then add --again",
    )


@contextmanager
def answering_batch(folder: Path, source: str) -> Iterator[Callable[[bytes, bytes | None], None]]:
    """Yield ``note(key, bulletin)`` for the answers of a batch; they are durable at the end.

    ``bulletin``: None forgets a key under which nothing was stored for certain: one that is new, and whose
    draft was refused. An answer that is lost in a crash is only asked for again.
    """
    with _appending(_batch_path(folder, source)) as append:
        yield lambda key, bulletin: append(_answer(key, bulletin))


def spooled(folder: Path, now: Instant) -> Iterator[Spooled]:
    """Yield everything remembered, oldest first; entries answered more than 30 days ago are removed."""
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        entries, _ = _read(path)
        if entries and all(entry.bulletin and entry.made < now - KEPT for entry in entries):
            path.unlink(missing_ok=True)
        else:
            yield from entries


def _read(path: Path) -> tuple[list[Spooled], int]:
    """Return the entries of a file, in the order in which their keys were recorded, and the number of a line
    that has changed since it was written; 0 if there is none.

    A line that a crash has cut is the last one, until something is appended.
    """
    entries: dict[str, Spooled] = {}
    refused: dict[str, Spooled] = {}
    damaged = 0
    try:
        lines = path.read_text("utf-8", "replace").split("\n")
    except FileNotFoundError:
        return [], 0
    for number, line in enumerate(lines, 1):
        try:
            facts = json.loads(line or "{}")
            key, digest, made = facts.get("key"), facts.get("digest"), facts.get("made")
            told = bytes.fromhex(facts.get("bulletin", "")).hex()
            own = bytes.fromhex(key) if line else b""
        except (ValueError, TypeError, AttributeError):
            damaged = damaged or (number if number < len(lines) else 0)
            continue
        if len(own) == 16 and isinstance(digest, str) and isinstance(made, int):
            known = entries[key].bulletin if key in entries else ""
            entries[key] = Spooled(own, digest, Instant(made), told or known)
        elif key in entries and facts.get("refused"):
            if not entries[key].bulletin:  # another run of the batch has stored it
                refused[key] = entries.pop(key)
        elif told and (one := entries.get(key) or refused.get(key)):
            entries[key] = replace(one, bulletin=told)
        elif line and key not in refused:
            damaged = damaged or number
    return list(entries.values()), damaged


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_batch(path: Path, entries: Sequence[Spooled]) -> None:
    """Write a batch in one piece: a crash leaves the old file or the new one."""
    new = path.with_suffix(f".{os.getpid()}.new")
    new.unlink(missing_ok=True)
    with _appending(new) as append:
        for entry in entries:
            append(_entry(entry))
    new.replace(path)
    sync_folder(path.parent)


def _entry(entry: Spooled) -> dict[str, object]:
    facts: dict[str, object] = {"key": entry.key.hex(), "digest": entry.digest, "made": entry.made}
    return facts | ({"bulletin": entry.bulletin} if entry.bulletin else {})


def _answer(key: bytes, bulletin: bytes | None) -> dict[str, object]:
    return {"key": key.hex(), **({"refused": True} if bulletin is None else {"bulletin": bulletin.hex()})}


def _path(folder: Path, key: bytes) -> Path:
    return folder / f"{key.hex()}.jsonl"


def _batch_path(folder: Path, source: str) -> Path:
    return folder / f"{sha256(source.encode()).hexdigest()[:32]}.batch.jsonl"


@contextmanager
def _appending(path: Path) -> Iterator[Callable[[dict[str, object]], None]]:
    """Yield ``append(facts)``, which writes a line; the lines are durable at the end, whatever happened.

    A line that was cut does not take the next one with it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "ab") as file:
        try:
            size = os.fstat(file.fileno()).st_size
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                file.write(b"\n")
            yield lambda facts: _write_line(file, facts)
        finally:
            file.flush()
            os.fsync(file.fileno())


def _write_line(file: BinaryIO, facts: dict[str, object]) -> None:
    file.write(json.dumps(facts).encode() + b"\n")
    file.flush()
