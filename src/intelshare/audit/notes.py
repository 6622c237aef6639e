"""The log in the formats of C2SP: signed notes, checkpoints, cosignatures, proofs (c2sp.org).

    signed-note       text, an empty line, and lines "— name base64(key id ‖ signature)"
    tlog-checkpoint   the text: origin, size, root
    tlog-cosignature  a witness's line: u64 seconds ‖ Ed25519 over "cosignature/v1", "time ...", the text
    tlog-proof        index, inclusion, checkpoint in one file

Texts and bytes only; other modules decide who may sign. Each incarnation is a separate log here, because in
C2SP a log cannot start again.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Final

from intelshare.errors import TrustError
from intelshare.ids import Digest, Incarnation, NodeUri

MAX_NOTE: Final = 64 * 1024
"""The largest note, in bytes: enough for more than a hundred cosignatures."""

_SCHEME: Final = "intelshare://"
_DASH: Final = "\u2014 "
_ORIGIN: Final = re.compile(r"([a-z0-9.:/_-]+)/([0-9a-f]{16})")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class KeyType(IntEnum):
    """The kind of a signature line: the byte that goes into its key id."""

    LOG = 1
    COSIGNATURE = 4


@dataclass(frozen=True, slots=True)
class NoteKeyName:
    """A public key as notes name it."""

    name: str
    type: KeyType
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name ‖ line feed ‖ type ‖ public key)."""
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as verifiers write it into their settings."""
        return f"{self.name}+{self.key_id.hex()}+{_base64(bytes([self.type]) + self.public)}"

    def line(self, signature: bytes) -> str:
        """Return a signature line of this key."""
        return f"{_DASH}{self.name} {_base64(self.key_id + signature)}\n"


@dataclass(frozen=True, slots=True)
class NoteLine:
    """A signature line as it was read; nothing in it is verified."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note as it was read; nothing in it is verified."""

    text: str
    lines: tuple[NoteLine, ...]

    def signature_of(self, key: NoteKeyName) -> bytes | None:
        """Return the signature in the line with this key's name and id, if there is one."""
        for line in self.lines:
            if (line.name, line.key_id) == (key.name, key.key_id):
                return line.signature
        return None


@dataclass(frozen=True, slots=True)
class Head:
    """The contents of a checkpoint."""

    node: NodeUri
    incarnation: Incarnation
    size: int
    root: Digest

    @property
    def origin(self) -> str:
        """The log's name: ``fra.intelshare.internal/node/one/0123456789abcdef``."""
        return f"{witness_name(self.node)}/{self.incarnation:016x}"

    @property
    def text(self) -> str:
        """The text of the checkpoint's note."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


def witness_name(node: NodeUri) -> str:
    """Return the name under which a node cosigns: its URI without the scheme."""
    return node.removeprefix(_SCHEME)


def log_key(head: Head, public: bytes) -> NoteKeyName:
    """Return a note key (the public string of its record) in its role as the owner of this log."""
    return NoteKeyName(head.origin, KeyType.LOG, public[:32])


def witness_key(node: NodeUri, public: bytes) -> NoteKeyName:
    """Return a note key (the public string of its record) in its role as a witness."""
    return NoteKeyName(witness_name(node), KeyType.COSIGNATURE, public[32:])


def cosigned_message(text: str, seconds: int) -> bytes:
    """Return the bytes that a cosignature made at this time (seconds since 1970) covers."""
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def timestamped(seconds: int, signature: bytes) -> bytes:
    """Return a cosignature as its line carries it."""
    return seconds.to_bytes(8) + signature


def read_note(raw: str) -> Note:
    """Read a note of at most 64 KiB. Raises TrustError TOO_LARGE, INPUT_INVALID."""
    if len(raw.encode("utf-8", "surrogatepass")) > MAX_NOTE:
        raise TrustError("TOO_LARGE", f"a note has at most {MAX_NOTE} bytes")
    if any(ord(sign) < 32 and sign != "\n" for sign in raw):
        raise _unreadable("it contains a control character")
    text, gap, signed = raw.rpartition("\n\n")
    if not gap or not signed.endswith("\n"):
        raise _unreadable("it is not a text followed by an empty line and signatures")
    lines = tuple(_line(line) for line in signed.removesuffix("\n").split("\n"))
    if len({(line.name, line.key_id) for line in lines}) != len(lines):
        raise _unreadable("a key has signed it twice")
    return Note(text + "\n", lines)


def read_head(text: str) -> Head:
    """Read the text of a checkpoint of an intelshare log. Raises TrustError INPUT_INVALID."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise _unreadable("an intelshare checkpoint has three lines: origin, size, root")
    origin, size = _ORIGIN.fullmatch(lines[0]), _SIZE.fullmatch(lines[1])
    root = _bytes(lines[2])
    if origin is None or size is None or len(root) != 32:
        raise _unreadable("its origin, size or root does not have the form of an intelshare checkpoint")
    return Head(NodeUri(_SCHEME + origin[1]), Incarnation(int(origin[2], 16)), int(lines[1]), Digest(root))


def write_proof(index: int, proof: Sequence[bytes], note: str, extra: bytes = b"") -> str:
    """Return a tlog-proof of the entry at ``index``; ``extra`` is the data that its leaf is computed from, if
    it is disclosed.
    """
    lines = ["c2sp.org/tlog-proof@v1"]
    if extra:
        lines.append(f"extra {_base64(extra)}")
    lines += [f"index {index}", *[_base64(part) for part in proof]]
    return "\n".join(lines) + "\n\n" + note


def _line(line: str) -> NoteLine:
    name, _, data = line.removeprefix(_DASH).partition(" ")
    signed = _bytes(data)
    if not line.startswith(_DASH) or not name or "+" in name or len(signed) < 5:
        raise _unreadable("a line after the text is not a signature")
    return NoteLine(name, signed[:4], signed[4:])


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        raise _unreadable("a value that should be base64 is not") from None
    if _base64(data) != text:
        raise _unreadable("a base64 value is not in canonical form")
    return data


def _unreadable(why: str) -> TrustError:
    return TrustError(
        "INPUT_INVALID",
        f"this is not a signed checkpoint: {why}",
        hint="`intelshare audit export --tlog DIR` writes one to DIR/checkpoint",
    )
