"""The JSON files that the judge reads: their members and bounds, and the conversion from text to bytes."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from typing import Annotated, Any, Final, TypeVar

import msgspec

from intelshare.crypto.codec import decode
from intelshare.crypto.records import Trust
from intelshare.errors import EnvelopeError, Place, TrustError

R = TypeVar("R")
F = TypeVar("F", bound=msgspec.Struct)

MAX_FILE: Final = 16 * 1024 * 1024
EXACT: Final = 2**53
"""From this value on an integer is written as text, because readers in other languages would lose
precision.
"""

Index = Annotated[int, msgspec.Meta(ge=0, lt=EXACT)]
Hex32 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
HexId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
Hashes = Annotated[list[Hex32], msgspec.Meta(max_length=65)]
Documents = dict[str, Annotated[list[str], msgspec.Meta(max_length=512)]]


class OpenedText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One opened portion of a DECISION, with the salt of its hash."""

    slot: Annotated[int, msgspec.Meta(ge=0, lt=256)]
    salt: Hex32
    decision: str


class EntryText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One log entry, opened."""

    incarnation: HexId
    index: Index
    type: Annotated[int, msgspec.Meta(ge=1, le=255)]
    time: Index
    salt: Hex32
    record: str
    proof: Hashes
    hops: Annotated[list[str], msgspec.Meta(max_length=256)]
    opened: Annotated[list[OpenedText], msgspec.Meta(max_length=256)]
    """The portions that are shown, if the entry is a DECISION."""
    says: dict[str, Any]
    """The contents for human readers; computed again."""


class CosigningText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another member's checkpoint that lists a state of the log."""

    signed: str
    proof: Hashes


class LogText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entries of one node's log under its signed checkpoint."""

    node: str
    checkpoint: str
    cosigned: Annotated[list[CosigningText], msgspec.Meta(max_length=1024)]
    entries: Annotated[list[EntryText], msgspec.Meta(max_length=1024)]


class ProofText(LogText, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file ``intelshare/log-proof/1``."""

    schema: str
    documents: Documents


class EvidenceText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file ``intelshare/evidence/1``."""

    schema: str
    code: str
    accused: str
    holder: str
    first_seen: int
    what: str
    exhibit: str
    seen: Annotated[list[LogText], msgspec.Meta(max_length=64)]
    """Other members' logs that contain the statements."""
    documents: Documents


class PortionText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One portion with the secret that opens its commitment."""

    slot: Annotated[int, msgspec.Meta(ge=0, lt=256)]
    secret: Hex32
    portion: str
    """The padded record, in base64."""


class ReleaseText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file ``intelshare/release-proof/1``."""

    schema: str
    release: str
    claims: str | None
    secrets: Hex32
    """H of the granted secrets, in their order."""
    portions: Annotated[list[PortionText], msgspec.Meta(max_length=256)]
    about: Annotated[list[str], msgspec.Meta(max_length=64)]
    """The receipts of the release and the recalls of its bulletin."""
    logs: Annotated[list[LogText], msgspec.Meta(max_length=64)]
    documents: Documents


class MemberText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file ``intelshare/member/1``."""

    schema: str
    member: str
    name: str
    fingerprint: str
    roots: Annotated[list[str], msgspec.Meta(min_length=1, max_length=256)]
    directory: str | None
    former: Annotated[list[str], msgspec.Meta(max_length=16)] = []
    """Earlier directories, for the keys that the present one leaves out."""


@dataclass(frozen=True, slots=True)
class GivenMember:
    """A member file that the reader obtained elsewhere: the only source for that member."""

    member: str
    roots: tuple[Trust, ...]
    directory: Trust | None
    former: tuple[Trust, ...] = ()


def read_text(kind: type[F], schema: str, text: bytes, source: str) -> F:
    """Read a file without believing anything in it. Raises TrustError TOO_LARGE, INPUT_INVALID."""
    if len(text) > MAX_FILE:
        raise TrustError("TOO_LARGE", f"this file may have at most {MAX_FILE} bytes", place=Place(source))
    try:
        found = msgspec.json.decode(text, type=kind)
        # Of two members with one name, JSON readers believe the first or the last: a proof for one reader
        # would not be a proof for another.
        json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise unreadable(str(error), source) from None
    if getattr(found, "schema", "") != schema:
        raise unreadable(f"its schema is not {schema}", source)
    return found


def _unique(members: list[tuple[str, Any]]) -> None:
    """Raise ValueError if an object has two members with one name."""
    if len({name for name, _ in members}) != len(members):
        raise ValueError("an object has two members of one name")


class _AnyFile(msgspec.Struct, frozen=True):
    schema: str = ""


def schema_of(text: bytes) -> str:
    """Return the schema that this file states; empty if it states none."""
    try:
        return msgspec.json.decode(text[: MAX_FILE + 1], type=_AnyFile).schema
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return ""


def read_given(text: bytes, source: str) -> GivenMember:
    """Read a member file; its documents are checked where they are used. Raises TrustError INPUT_INVALID."""
    file = read_text(MemberText, "intelshare/member/1", text, source)
    roots = tuple(unwrap(Trust, one, source) for one in file.roots)
    directory = None if file.directory is None else unwrap(Trust, file.directory, source)
    former = tuple(unwrap(Trust, one, source) for one in file.former)
    return GivenMember(file.member, roots, directory, former)


def unwrap(kind: type[R], text: str, source: str) -> R:
    """Decode the record that stands in a file as base64. Raises TrustError INPUT_INVALID."""
    try:
        return decode(kind, from_base64(text, source))
    except EnvelopeError as error:
        raise unreadable(str(error), source) from None


def from_base64(text: str, source: str) -> bytes:
    """Decode base64. Raises TrustError INPUT_INVALID."""
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise unreadable(str(error), source) from None


def from_hex(text: str, source: str) -> bytes:
    """Decode lower-case hexadecimal. Raises TrustError INPUT_INVALID."""
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise unreadable(str(error), source) from None
    if raw.hex() != text:
        raise unreadable("hexadecimal digits must be lower case, without spaces", source)
    return raw


def plain(value: Any) -> Any:
    """Convert a record for human readers: bytes in hexadecimal, enums by name, large integers as text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, int):
        return value if value < EXACT else str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    return value


def unreadable(why: str, source: str) -> TrustError:
    """Return INPUT_INVALID for a file that cannot be read."""
    return TrustError(
        "INPUT_INVALID",
        f"the file cannot be read: {why[:200]}",
        place=Place(source),
        hint="`intelshare export`, `audit prove` and `audit export` write such files",
    )
