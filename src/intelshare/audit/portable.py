"""Files for others: proofs of log entries and evidence, as JSON text that is checked without a node.

Signed bytes stand in them as base64, whole; everything else is for the reader's eye, and computed anew by
whoever checks (``verifier``). Layouts: docs/format.md, "Files for others".
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Any, Final, TypeVar

import msgspec

from intelshare.crypto.codec import Encoded, decode, encode
from intelshare.errors import IntelshareError, Place, TrustError

R = TypeVar("R")
F = TypeVar("F", bound=msgspec.Struct)

PROOF_SCHEMA: Final = "intelshare/log-proof/1"
EVIDENCE_SCHEMA: Final = "intelshare/evidence/1"
RELEASE_SCHEMA: Final = "intelshare/release-proof/1"
MAX_FILE: Final = 16 * 1024 * 1024
EXACT: Final = 2**53
"""From here on an integer stands in a file as text: readers in other languages would lose it."""

Documents = dict[str, list[str]]
"""A member's roots and directory, as a member file has them."""


class OpenedPortion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a DECISION says of one portion."""

    slot: int
    salt: str
    decision: str
    """A ``LoggedDecision``, hex."""


class ProvedEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry, opened, and how the checkpoint commits to it."""

    incarnation: str
    index: int
    type: int
    time: int
    salt: str
    record: str
    proof: list[str]
    """Inclusion in the log at the size at which that log is known."""
    hops: list[str]
    """From the checkpoint's log back to this one; empty if it is the same."""
    opened: list[OpenedPortion]
    """Of a DECISION: the portions that are shown; else empty."""
    says: dict[str, Any]
    """What the record says, for the eye."""


class Cosigning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another node's checkpoint that lists a state of this log, and that the checkpoint begins with that."""

    signed: str
    proof: list[str]


class ShownLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entries of a node's log under its signed checkpoint, and who else has seen that log."""

    node: str
    checkpoint: str
    cosigned: list[Cosigning]
    entries: list[ProvedEntry]


class ProofFile(ShownLog, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A log as it is shown, with the documents of everybody who signed."""

    schema: str
    documents: Documents


class EvidenceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Signed statements that contradict each other."""

    schema: str
    code: str
    accused: str
    holder: str
    """Who kept it."""
    first_seen: int
    what: str
    exhibit: str
    seen: list[ShownLog]
    """Logs of others in which the statements stand: when they were witnessed."""
    documents: Documents


class ShownPortion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One portion with the secret that opens its commitment."""

    slot: int
    secret: str
    portion: str


class ReleaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A release, what it granted, and what was signed and logged about it."""

    schema: str
    release: str
    claims: str | None
    secrets: str
    portions: list[ShownPortion]
    about: list[str]
    """Receipts of the release and recalls of its bulletin."""
    logs: list[ShownLog]
    documents: Documents


def write(file: msgspec.Struct) -> str:
    """The text of a file, one value a line."""
    return msgspec.json.format(msgspec.json.encode(file), indent=1).decode() + "\n"


def read(kind: type[F], schema: str, text: bytes, source: str) -> F:
    """The file, nothing of it checked. Raises TrustError TOO_LARGE, INPUT_INVALID; ``source`` names it."""
    if len(text) > MAX_FILE:
        raise TrustError("TOO_LARGE", f"such a file has at most {MAX_FILE} bytes", place=Place(source))
    try:
        found = msgspec.json.decode(text, type=kind)
        if getattr(found, "schema", "") != schema:
            raise ValueError(f"its schema is not {schema}")
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise _unreadable(str(error), source) from None
    return found


def wrap(kind: type[R], value: R) -> str:
    """A record in a file."""
    return b64encode(encode(kind, value)).decode("ascii")


def unwrap(kind: type[R], text: str, source: str) -> R:
    """The record. Raises TrustError INPUT_INVALID."""
    try:
        return decode(kind, b64decode(text, validate=True))
    except (ValueError, IntelshareError) as error:
        raise _unreadable(str(error), source) from None


def plain(value: Any) -> Any:
    """A record as a person reads it: bytes in hexadecimal, enums by name, integers from 2^53 on as text."""
    if isinstance(value, Encoded):
        return plain(value.value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, int):
        return value if value < EXACT else str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _unreadable(why: str, source: str) -> TrustError:
    return TrustError(
        "INPUT_INVALID",
        f"the file cannot be read: {why[:200]}",
        place=Place(source),
        hint="`intelshare audit prove`, `audit export` and `audit report --format json` write such files",
    )
