"""A checkpoint or an entry in the formats of c2sp.org, judged by the note keys of the reader's member files.

It is written from those specifications and docs/format.md ("Notes for other tools"); the node has a separate
writer in ``audit.notes``. A note contains no documents: without the member file of its log it proves nothing.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.crypto.suites import verify_note
from intelshare.errors import CryptoError, TrustError
from intelshare.instant import LATEST, SECOND, Instant
from intelshare.verifier.entries import ENTRIES, read_entry
from intelshare.verifier.files import MAX_FILE, plain, unreadable
from intelshare.verifier.logs import entry_hash, named
from intelshare.verifier.members import Given, Member, members_of
from intelshare.verifier.merkle import inconsistent, root_with
from intelshare.verifier.verdict import Named, ProvenEntry, Witness

PROOF: Final = "c2sp.org/tlog-proof@v1"
_SCHEME: Final = "intelshare://"
_LOG, _WITNESS = 1, 4
"""The type of a signature line, which goes into its key id."""
_TEXT: Final = re.compile(r"([a-z0-9.:/_-]+)/([0-9a-f]{16})\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n")
_LINE: Final = re.compile(r"\u2014 ([^\s\x00-\x1f+]+) ([A-Za-z0-9+/]{7,}={0,2})")
"""Without control characters, and with at least a byte after the key id: what signed-note calls malformed is
no note for other tools either.
"""
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Noted:
    """The facts that a note shows."""

    node: str
    incarnation: int
    size: int
    root: bytes
    witnesses: tuple[Witness, ...]
    unknown: int
    """The number of lines whose signers are in no member file of the reader's."""
    entry: ProvenEntry | None
    """The entry that a tlog-proof opens."""
    members: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class _Note:
    text: str
    signed: tuple[tuple[str, bytes], ...]
    """The name in each line, and the bytes after it: key id ‖ signature."""
    node: str
    incarnation: int
    size: int
    root: bytes


def is_note(text: bytes) -> bool:
    """Return True if this may be a note or tlog-proof, and is not one of intelshare's JSON files."""
    return not text.lstrip().startswith(b"{")


def check_note(text: bytes, source: str, given: Sequence[Given]) -> Noted:
    """Check a checkpoint or tlog-proof.

    Raises TrustError TOO_LARGE, INPUT_INVALID, LOG_INCONSISTENT; CryptoError SIGNER_UNKNOWN, SIGNER_REVOKED,
    SIGNATURE_INVALID; EnvelopeError ENVELOPE_MALFORMED; what ``members_of`` raises.
    """
    if len(text) > MAX_FILE:
        raise TrustError("TOO_LARGE", f"this file may have at most {MAX_FILE} bytes")
    try:
        whole = text.decode("utf-8")
    except UnicodeDecodeError:
        raise unreadable("it is not UTF-8", source) from None
    members = list(members_of({}, given, source).by_code.values())
    front, raw = whole.split("\n\n", 1) if whole.startswith(f"{PROOF}\n") and "\n\n" in whole else ("", whole)
    note = _read(raw, source)
    owner = _owner(note, members)
    seen = list(_witnesses(note, owner, members, source))
    entry = _entry(front, note, source) if front else None
    return Noted(
        _SCHEME + note.node,
        note.incarnation,
        note.size,
        note.root,
        tuple([witness for _, witness in seen]),
        len(note.signed) - 1 - len(seen),
        entry,
        named(owner, [member for member, _ in seen]),
    )


def _read(raw: str, source: str) -> _Note:
    text, gap, behind = raw.rpartition("\n\n")
    said = _TEXT.fullmatch(text + "\n")
    lines = [_LINE.fullmatch(line) for line in behind.removesuffix("\n").split("\n")]
    if not gap or said is None or not behind.endswith("\n") or not all(lines):
        raise unreadable("it is neither JSON nor the signed checkpoint of an intelshare log", source)
    signed = tuple((line[1], _decoded(line[2], source)) for line in lines if line is not None)
    if len({(name, data[:4]) for name, data in signed}) != len(signed):
        raise unreadable("a key has signed it twice", source)
    return _Note(text + "\n", signed, said[1], int(said[2], 16), int(said[3]), _decoded(said[4], source))


def _owner(note: _Note, members: Sequence[Member]) -> Member:
    for member in members:
        for key, public, signature in _signatures(note, member, _LOG):
            if key.node == _SCHEME + note.node:
                verify_note(public, note.text.encode(), signature)
                return member
    raise CryptoError(
        "SIGNER_UNKNOWN",
        f"no note key in the given member files has signed for {note.node}",
        hint="give the member file of the log's member with --member",
    )


def _witnesses(
    note: _Note, owner: Member, members: Sequence[Member], source: str
) -> Iterator[tuple[Member, Witness]]:
    for member in members:
        for key, public, signature in _signatures(note, member, _WITNESS):
            if member.code == owner.code:
                continue
            seconds = int.from_bytes(signature[:8])
            message = f"cosignature/v1\ntime {seconds}\n{note.text}".encode()
            verify_note(public, message, signature[8:])
            at = _time(seconds * SECOND, source)
            yield member, Witness(member.code, key.node, note.size, at, True)


def _signatures(note: _Note, member: Member, kind: int) -> Iterator[tuple[KeyRecord, bytes, bytes]]:
    """Yield the signatures on the note under the names and ids of a member's note keys: key, public part,
    signature.

    Raises CryptoError SIGNER_REVOKED.
    """
    end = f"/{note.incarnation:016x}" if kind == _LOG else ""
    for identity, key in member.keys.items():
        if key.use is not KeyUse.NOTE:
            continue
        name = key.node.removeprefix(_SCHEME) + end
        public = key.public[:32] if kind == _LOG else key.public[32:]
        short = sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]
        signed = next((data for by, data in note.signed if (by, data[:4]) == (name, short)), None)
        if signed is None:
            continue
        if member.revocation(identity) is not None:
            raise CryptoError(
                "SIGNER_REVOKED",
                f"the note key of {member.code} was revoked, and a note does not state when it was signed",
            )
        yield key, public, signed[4:]


def _entry(front: str, note: _Note, source: str) -> ProvenEntry:
    lines = front.split("\n")[1:]
    if len(lines) < 2 or not lines[0].startswith("extra "):
        raise unreadable("the proof does not open an entry: `extra` is missing", source)
    told, index = _decoded(lines[0][6:], source), _INDEX.fullmatch(lines[1])
    if index is None or len(told) < 42:
        raise unreadable("the proof has no index, or what it opens is not an entry", source)
    proof = [_decoded(line, source) for line in lines[2:]]
    kind, at, place = told[0], _time(int.from_bytes(told[1:9]), source), int(index[1])
    entry = entry_hash(kind, at, told[9:41], told[41:])
    if root_with(entry, place, note.size, proof) != note.root:
        raise inconsistent(f"entry {place} is not in the log of size {note.size}")
    read = read_entry(kind, told[41:])
    return ProvenEntry(note.incarnation, place, ENTRIES[kind][0], at, plain(read), read, entry, ())


def _time(microseconds: int, source: str) -> Instant:
    if microseconds > LATEST:
        raise unreadable("it states a time after the year 9999", source)
    return Instant(microseconds)


def _decoded(text: str, source: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = b""
    if b64encode(data).decode() != text:
        raise unreadable("a value that should be base64 is not", source)
    return data
