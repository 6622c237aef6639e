"""Files for third parties: proofs of log entries and evidence, as JSON text that is checked without a node.

Signed bytes stand in them whole, as base64; everything else is for the human reader, and the checking program
(``verifier``) computes it again. Layouts: docs/format.md, "Files for others".
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
"""From this value on an integer is written as text, because readers in other languages would lose precision.
"""

Documents = dict[str, list[str]]
"""Each member's roots and directory, as a member file has them."""


class OpenedPortion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One opened portion of a DECISION entry."""

    slot: int
    salt: str
    decision: str
    """The ``LoggedDecision``, in hexadecimal."""


class ProvedEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One opened entry, with the proof that the checkpoint commits to it."""

    incarnation: str
    index: int
    type: int
    time: int
    salt: str
    record: str
    proof: list[str]
    """The inclusion proof, at the size at which that log is known."""
    hops: list[str]
    """The hops from the checkpoint's log back to this one; empty if it is the same log."""
    opened: list[OpenedPortion]
    """The portions that are shown, if the entry is a DECISION; otherwise empty."""
    says: dict[str, Any]
    """The contents of the record, for human readers."""


class Cosigning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another node's checkpoint that lists a state of this log, with the proof that the log begins with that
    state.
    """

    signed: str
    proof: list[str]


class ShownLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entries of a node's log under its signed checkpoint, with the cosignatures of nodes that have seen that
    log.
    """

    node: str
    checkpoint: str
    cosigned: list[Cosigning]
    entries: list[ProvedEntry]


class ProofFile(ShownLog, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A log as it is shown, with the documents of every member that signed."""

    schema: str
    documents: Documents


class EvidenceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Signed statements that contradict each other."""

    schema: str
    code: str
    accused: str
    holder: str
    """The member that kept the evidence."""
    first_seen: int
    what: str
    exhibit: str
    seen: list[ShownLog]
    """Other nodes' logs that contain the statements: they show when the statements were witnessed."""
    documents: Documents


class ShownPortion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One portion with the secret that opens its commitment."""

    slot: int
    secret: str
    portion: str


class ReleaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A release, its grants, and the statements and log entries about it."""

    schema: str
    release: str
    claims: str | None
    secrets: str
    portions: list[ShownPortion]
    about: list[str]
    """The receipts of the release and the recalls of its bulletin."""
    logs: list[ShownLog]
    documents: Documents


def write(file: msgspec.Struct) -> str:
    """Return the text of a file, with one value per line."""
    return msgspec.json.format(msgspec.json.encode(file), indent=1).decode() + "\n"


def read(kind: type[F], schema: str, text: bytes, source: str) -> F:
    """Read a file without checking its contents; ``source`` names it. Raises TrustError TOO_LARGE,
    INPUT_INVALID.
    """
    if len(text) > MAX_FILE:
        raise TrustError(
            "TOO_LARGE", f"a file of this kind has at most {MAX_FILE} bytes", place=Place(source)
        )
    try:
        found = msgspec.json.decode(text, type=kind)
        if getattr(found, "schema", "") != schema:
            raise ValueError(f"its schema is not {schema}")
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise _unreadable(str(error), source) from None
    return found


def wrap(kind: type[R], value: R) -> str:
    """Encode a record as it stands in a file."""
    return b64encode(encode(kind, value)).decode("ascii")


def unwrap(kind: type[R], text: str, source: str) -> R:
    """Decode a record from a file. Raises TrustError INPUT_INVALID."""
    try:
        return decode(kind, b64decode(text, validate=True))
    except (ValueError, IntelshareError) as error:
        raise _unreadable(str(error), source) from None


def plain(value: Any) -> Any:
    """Convert a record for human readers: bytes in hexadecimal, enums by name, integers from 2^53 on as
    text.
    """
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
