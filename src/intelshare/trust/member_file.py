"""The member file of first contact: a chain of roots and a directory, as text that fits into an e-mail.

The file proves nothing by itself. What makes it trustworthy is the fingerprint of root version 1 that two
people compare by voice; the one written in the file is only for the reader's convenience and is never
believed.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

import msgspec

from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Trust, TrustType
from intelshare.errors import EnvelopeError, Place, TrustError
from intelshare.ids import MemberCode
from intelshare.trust.documents import DirectoryDocument, RootDocument
from intelshare.trust.fingerprint import fingerprint
from intelshare.trust.former import MAX_FORMER
from intelshare.trust.rules import MAX_CHAIN, MemberTrust

SCHEMA: Final = "intelshare/member/1"
MAX_MEMBER_FILE: Final = 8 * 1024 * 1024
"""The largest member file, in bytes; that of a member with one root of three keys has about 40 kB."""


@dataclass(frozen=True, slots=True)
class MemberFile:
    """The contents of a member file, none of it accepted yet (``TrustView.with_member``)."""

    member: MemberCode
    """The member named by root version 1, for the question that is put to the operator."""
    fingerprint: str
    """The fingerprint computed from root version 1, whatever the file claims."""
    roots: tuple[Trust, ...]
    directory: Trust | None
    former: tuple[Trust, ...] = ()
    """Earlier directories, for the keys that the present one leaves out."""

    @property
    def has_address(self) -> bool:
        """Return true if the directory names an address of a node. Raises EnvelopeError."""
        if self.directory is None:
            return False
        return any(node.endpoints for node in decode(DirectoryDocument, self.directory.document).nodes)


class _Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    schema: str
    member: str
    name: str
    fingerprint: str
    roots: tuple[str, ...]
    directory: str | None
    former: tuple[str, ...] = ()


def write_member_file(held: MemberTrust) -> str:
    """Return the file of a member: JSON with one value per line."""
    text = _Text(
        schema=SCHEMA,
        member=held.member,
        name=held.root.name,
        fingerprint=held.fingerprint,
        roots=tuple(_wrap(root) for root in held.roots),
        directory=None if held.directory_signed is None else _wrap(held.directory_signed),
        former=tuple(_wrap(one.signed) for one in held.former),
    )
    return msgspec.json.format(msgspec.json.encode(text), indent=2).decode() + "\n"


def documents_of(held: MemberTrust) -> list[str]:
    """Return all documents of a member as text, for files that are to be checked without a node."""
    return [_wrap(trust) for trust in (*held.roots, *held.directories)]


def read_member_file(text: bytes, source: str) -> MemberFile:
    """Read a member file, without accepting anything; ``source`` names it in errors.

    Raises TrustError TOO_LARGE, INPUT_INVALID.
    """
    if len(text) > MAX_MEMBER_FILE:
        message = f"a member file has at most {MAX_MEMBER_FILE} bytes"
        raise TrustError("TOO_LARGE", message, place=Place(source))
    try:
        read = msgspec.json.decode(text, type=_Text)
        if read.schema != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        if not 1 <= len(read.roots) <= MAX_CHAIN:
            raise ValueError(f"it holds {len(read.roots)} roots")
        roots = tuple(_unwrap(root, TrustType.ROOT) for root in read.roots)
        directory = None if read.directory is None else _unwrap(read.directory, TrustType.DIRECTORY)
        if len(read.former) > MAX_FORMER:
            raise ValueError(f"it holds {len(read.former)} earlier directories")
        former = tuple(_unwrap(one, TrustType.DIRECTORY) for one in read.former)
        member = decode(RootDocument, roots[0].document).member
        if member != read.member:
            raise ValueError("it names a different member from its root")
    except (ValueError, RecursionError, msgspec.MsgspecError, EnvelopeError) as error:
        raise TrustError(
            "INPUT_INVALID",
            f"this is not a member file: {str(error)[:200]}",
            place=Place(source),
            hint="ask for the file that `intelshare member export` writes",
        ) from None
    return MemberFile(member, fingerprint(roots[0].document), roots, directory, former)


def _wrap(trust: Trust) -> str:
    return b64encode(encode(Trust, trust)).decode("ascii")


def _unwrap(text: str, kind: TrustType) -> Trust:
    trust = decode(Trust, b64decode(text, validate=True))
    if trust.type is not kind:
        raise ValueError(f"a {trust.type.name.lower()} where a {kind.name.lower()} is expected")
    return trust
