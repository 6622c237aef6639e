"""Root and directory documents: their records, the conditions for being well formed, and their signatures.

A root names the keys that may speak for a member (offline keys, k of n); a directory, signed by the root's
directory key, says everything that changes from week to week. Layouts: docs/format.md, "Root and directory
documents". ``rules`` decides which document may replace which; this module only checks a document in itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Final

from intelshare.crypto.codec import B16, U8, U16, U63, Count, Text, decode, encode, malformed, only, record
from intelshare.crypto.pae import Domain, key_id, pae, u16
from intelshare.crypto.records import (
    Digest32,
    DocumentSignature,
    KeyRecord,
    KeyUse,
    Member,
    Node,
    Time,
    Trust,
    TrustType,
)
from intelshare.crypto.suites import Context, Signer, Suites, verify_signature
from intelshare.crypto.x509 import MAX_CERTIFICATE, is_authority
from intelshare.errors import CryptoError
from intelshare.ids import KeyId
from intelshare.instant import DAY, NEVER, Instant

DIRECTORY_LIFETIME: Final = 7 * DAY
"""The longest lifetime of a directory; one that claims more is malformed, so that silence always shows."""

MAX_DOCUMENT: Final = 512 * 1024
"""The largest document, in bytes: it must fit a frame."""

MAX_REVOCATIONS: Final = 4096
"""The most revocations of one member that count: its directory's, and those that earlier ones stated."""


class Revoked(IntEnum):
    """The kind of thing that a revocation names."""

    KEY = 1
    CERTIFICATE = 2
    NODE = 3


class Why(IntEnum):
    """Why something was revoked: a rotated key was honest until then; a compromised one never counts
    again.
    """

    ROTATED = 1
    COMPROMISED = 2


@record
class RootDocument:
    """The keys that may speak for a member, version by version."""

    format: Annotated[int, only(1, "H")]
    member: Member
    version: U63
    """The version, from 1 and without a gap."""
    domain: Text
    """The member's domain: each of its node and user URIs starts with ``intelshare://domain/``."""
    name: Text
    """The name by which people know the member."""
    threshold: U8
    keys: Annotated[tuple[KeyRecord, ...], Count(1, 32)]
    directory: Annotated[tuple[KeyRecord, ...], Count(1, 8)]
    """The directory keys: any one of them signs directories."""


@record
class Endpoint:
    """An address at which a node listens."""

    host: Text
    port: U16


@record
class DirectoryNode:
    """One node: the exact URI of its certificate, the matching DNS name, and the addresses to dial."""

    uri: Node
    dns: Text
    endpoints: Annotated[tuple[Endpoint, ...], Count(0, 8)]
    """The addresses to dial; empty if the node only dials out."""


@record
class Ratified:
    """A treaty text by which the member is bound, by id and hash."""

    treaty: Text
    text: Digest32


@record
class Revocation:
    """A key (id), certificate (SHA-256 of the DER) or node (URI) that no longer counts."""

    what: Revoked
    subject: B16
    why: Why
    effective: Time

    @property
    def compromised(self) -> bool:
        """True if nothing signed with it counts, whatever date it bears."""
        return self.why is Why.COMPROMISED

    def holds(self, at: Instant) -> bool:
        """Return True if the revoked subject may no longer be used at ``at``."""
        return self.compromised or at >= self.effective

    @property
    def mildness(self) -> tuple[bool, int]:
        """The order of two revocations of one thing: the least counts. Compromised comes first, then the
        earlier.
        """
        return not self.compromised, self.effective


def harshest(rows: Iterable[Revocation]) -> dict[tuple[Revoked, bytes], Revocation]:
    """Return the harshest of these revocations of each thing."""
    found: dict[tuple[Revoked, bytes], Revocation] = {}
    for row in rows:
        subject = (row.what, row.subject)
        found[subject] = min(row, found.get(subject, row), key=lambda one: one.mildness)
    return found


def is_missing(row: Revocation, stated: Mapping[tuple[Revoked, bytes], Revocation]) -> bool:
    """Return True if none of those stated says it, or says it as harshly."""
    said = stated.get((row.what, row.subject))
    return said is None or row.mildness < said.mildness


@record
class Revocations:
    """The revocations that a node remembers of the directories that it held before the present one."""

    rows: Annotated[tuple[Revocation, ...], Count(0, MAX_REVOCATIONS)]


@record
class DirectoryDocument:
    """The facts about a member that may change every week."""

    format: Annotated[int, only(1, "H")]
    member: Member
    version: U63
    issued: Time
    expires: Time
    nodes: Annotated[tuple[DirectoryNode, ...], Count(0, 64)]
    authorities: Annotated[tuple[B16, ...], Count(0, 8)]
    """The DER of the CAs that issue to nodes. The CA for users concerns nobody else."""
    keys: Annotated[tuple[KeyRecord, ...], Count(0, 256)]
    suites: Annotated[tuple[U16, ...], Count(1, 16)]
    floor: U16
    """The lowest suite that the member accepts."""
    ratified: Annotated[tuple[Ratified, ...], Count(0, 1024)]
    revocations: Annotated[tuple[Revocation, ...], Count(0, MAX_REVOCATIONS)]


def read_root(trust: Trust, suites: Suites) -> RootDocument:
    """Return the root in a trust record, well formed. Raises EnvelopeError ENVELOPE_MALFORMED."""
    root = decode(RootDocument, _bounded(trust))
    _check_names("RootDocument", root.member, root.version)
    if not root.domain.isascii() or not set(root.domain) <= _HOST or not root.domain.strip(".-"):
        raise malformed("RootDocument", "the domain is not a lower-case host name")
    if not root.name.isprintable() or not 0 < len(root.name) <= 200:
        raise malformed("RootDocument", "the display name is empty, too long or holds control characters")
    if not 1 <= root.threshold <= len(root.keys):
        raise malformed("RootDocument", f"threshold {root.threshold} of {len(root.keys)} keys")
    for keys, use in ((root.keys, KeyUse.ROOT), (root.directory, KeyUse.DIRECTORY)):
        for key in keys:
            if key.use is not use or key.member != root.member or key.node:
                raise malformed("RootDocument", f"a key in it is not a {use.name.lower()} key of the member")
    if any(key.not_after != NEVER for key in root.keys):
        raise malformed("RootDocument", "a root key has an end, but a root bears no time to judge it by")
    check_keys("RootDocument", root.keys + root.directory, suites)
    return root


def read_directory(trust: Trust, suites: Suites) -> DirectoryDocument:
    """Return the directory in a trust record, well formed. Raises EnvelopeError ENVELOPE_MALFORMED.

    Key records of other members are let through here: they are ignored, with a warning, when the directory is
    accepted.
    """
    directory = decode(DirectoryDocument, _bounded(trust))
    what = "DirectoryDocument"
    _check_names(what, directory.member, directory.version)
    if not directory.issued < directory.expires <= directory.issued + DIRECTORY_LIFETIME:
        raise malformed(what, "it does not expire within 7 days of its issue")
    if directory.floor > max(directory.suites):
        raise malformed(what, "none of its suites reaches its floor")
    uris = {node.uri for node in directory.nodes}
    hosts = {node.dns for node in directory.nodes}
    for text in uris | hosts:
        if not set(text) <= _URI or len(text) > 255:
            raise malformed(what, "a node's name is too long or has a character that is not allowed")
    treaties = {row.treaty for row in directory.ratified}
    if len(uris) != len(directory.nodes) or len(hosts) != len(directory.nodes):
        raise malformed(what, "two nodes share a name")
    if len(treaties) != len(directory.ratified):
        raise malformed(what, "one treaty is ratified twice")
    if not all(len(der) <= MAX_CERTIFICATE and is_authority(der) for der in directory.authorities):
        raise malformed(what, "one of its authorities is not a CA certificate")
    own = tuple(key for key in directory.keys if key.member == directory.member)
    for key in own:
        if key.use not in _LISTED or bool(key.node) is (key.use is KeyUse.SEALING):
            raise malformed(what, "one of its keys is neither a node's signing or note key nor a sealing key")
    check_keys(what, own, suites)
    for row in directory.revocations:
        if row.what is not Revoked.NODE and len(row.subject) != 32:
            raise malformed(what, "a revocation does not name a key or certificate by its 32 bytes")
    return directory


def check_keys(what: str, keys: Sequence[KeyRecord], suites: Suites) -> None:
    """Check that each public string has its suite's length, and that no component key stands in two records.

    The second check makes a count of key ids a count of component keys (docs/format.md, thresholds).
    """
    seen: set[bytes] = set()
    for key in keys:
        suite = suites.get(key.suite)
        if suite is not None and len(key.public) != suite.public_length(key.use):
            raise malformed(what, f"a public key of suite {key.suite} has {len(key.public)} bytes")
        for part in components(key, suites):
            if part in seen:
                raise malformed(what, "two records contain the same component key")
            seen.add(part)


def components(key: KeyRecord, suites: Suites) -> tuple[bytes, ...]:
    """Return the component keys of a record's public string; the whole string if the suite is not known."""
    suite = suites.get(key.suite)
    if suite is None:
        return (key.public,)
    return suite.components(key.use, key.public)


def sign_root(root: RootDocument, signers: Iterable[Signer]) -> Trust:
    """Return the root with a signature of each of these keys."""
    return _sign(TrustType.ROOT, encode(RootDocument, root), signers)


def sign_directory(directory: DirectoryDocument, signer: Signer) -> Trust:
    """Return the directory with its signature."""
    return _sign(TrustType.DIRECTORY, encode(DirectoryDocument, directory), (signer,))


def signatures_by(trust: Trust, keys: Iterable[KeyRecord], suites: Suites) -> int:
    """Count how many of these keys have signed the document. A wrong signature counts as none."""
    by_id: Mapping[KeyId, KeyRecord] = {key_id(key): key for key in keys}
    good: set[KeyId] = set()
    for signature in trust.signatures[:_MAX_SIGNATURES]:
        key = by_id.get(signature.key)
        suite = suites.get(key.suite) if key is not None else None
        if key is None or suite is None or signature.key in good:
            continue
        message = document_message(trust.type, key.suite, signature.key, trust.document)
        try:
            verify_signature(suite, key.public, _CONTEXT[trust.type], message, signature.signature)
        except CryptoError:
            continue
        good.add(signature.key)
    return len(good)


_DOMAIN: Final = {TrustType.ROOT: Domain.ROOT, TrustType.DIRECTORY: Domain.DIRECTORY}
_CONTEXT: Final = {TrustType.ROOT: Context.ROOT, TrustType.DIRECTORY: Context.DIRECTORY}
_HOST: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
_URI: Final = _HOST | frozenset(":/_")
_LISTED: Final = frozenset((KeyUse.SIGNING, KeyUse.SEALING, KeyUse.NOTE))
_MAX_SIGNATURES: Final = 64
"""The signatures that are looked at: a root has at most 32 keys, of which a successor needs two sets."""


def document_message(kind: TrustType, suite: int, key: KeyId, document: bytes) -> bytes:
    """Return the bytes that this key's signature over a document covers."""
    return pae(_DOMAIN[kind], u16(suite), key, document)


def _sign(kind: TrustType, document: bytes, signers: Iterable[Signer]) -> Trust:
    return Trust(
        type=kind,
        document=document,
        signatures=tuple(
            DocumentSignature(
                s.key_id, s.sign(document_message(kind, s.record.suite, s.key_id, document), _CONTEXT[kind])
            )
            for s in signers
        ),
    )


def _bounded(trust: Trust) -> bytes:
    if len(trust.document) > MAX_DOCUMENT:
        raise malformed("Trust", f"a document of {len(trust.document)} bytes")
    return trust.document


def _check_names(what: str, member: str, version: int) -> None:
    if not (member.isascii() and member.isalpha() and member.isupper() and 2 <= len(member) <= 16):
        raise malformed(what, "the member is not a member code")
    if not version:
        raise malformed(what, "versions start at 1")
