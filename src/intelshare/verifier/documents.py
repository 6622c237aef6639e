"""Roots and directories as docs/format.md lays them out, and the conditions for being well formed.

Written from that page for the judge alone: the node has a separate reader in ``trust``, and a test gives both
the same mutants.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from hashlib import sha256
from typing import Annotated, Final

from intelshare.crypto.codec import B16, U8, U16, U63, Count, Text, decode, malformed, only, record
from intelshare.crypto.pae import Domain, key_id, pae, u16
from intelshare.crypto.records import Digest32, KeyRecord, KeyUse, Time, Trust, TrustType
from intelshare.crypto.suites import SUITES, Context, verify_signature
from intelshare.crypto.x509 import MAX_CERTIFICATE, is_authority
from intelshare.errors import CryptoError
from intelshare.instant import DAY, NEVER

MAX_DOCUMENT: Final = 512 * 1024
MAX_SIGNATURES: Final = 64
LIFETIME: Final = 7 * DAY

_HOST: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
_URI: Final = _HOST | frozenset(":/_")
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class RevokedWhat(IntEnum):
    """The kind of thing that a revocation names."""

    KEY = 1
    CERTIFICATE = 2
    NODE = 3


class RevokedWhy(IntEnum):
    """Why something no longer counts."""

    ROTATED = 1
    COMPROMISED = 2


@record
class RootDocument:
    """The keys that may speak for a member."""

    format: Annotated[int, only(1, "H")]
    member: Text
    version: U63
    domain: Text
    name: Text
    threshold: U8
    keys: Annotated[tuple[KeyRecord, ...], Count(1, 32)]
    directory: Annotated[tuple[KeyRecord, ...], Count(1, 8)]


@record
class Endpoint:
    """An address at which a node listens."""

    host: Text
    port: U16


@record
class DirectoryNode:
    """One node of a member."""

    uri: Text
    dns: Text
    endpoints: Annotated[tuple[Endpoint, ...], Count(0, 8)]


@record
class Ratified:
    """A treaty text by which the member is bound."""

    treaty: Text
    text: Digest32


@record
class Revocation:
    """A key, certificate or node that no longer counts."""

    what: RevokedWhat
    subject: B16
    why: RevokedWhy
    effective: Time


@record
class DirectoryDocument:
    """The facts about a member that hold for a week."""

    format: Annotated[int, only(1, "H")]
    member: Text
    version: U63
    issued: Time
    expires: Time
    nodes: Annotated[tuple[DirectoryNode, ...], Count(0, 64)]
    authorities: Annotated[tuple[B16, ...], Count(0, 8)]
    keys: Annotated[tuple[KeyRecord, ...], Count(0, 256)]
    suites: Annotated[tuple[U16, ...], Count(1, 16)]
    floor: U16
    ratified: Annotated[tuple[Ratified, ...], Count(0, 1024)]
    revocations: Annotated[tuple[Revocation, ...], Count(0, 4096)]


def read_root(trust: Trust) -> RootDocument:
    """Return the root of a Trust record. Raises EnvelopeError ENVELOPE_MALFORMED."""
    root = decode(RootDocument, _bounded(trust))
    _need_names("RootDocument", root.member, root.version)
    used = [(key, KeyUse.ROOT) for key in root.keys] + [(key, KeyUse.DIRECTORY) for key in root.directory]
    _need(
        "RootDocument",
        (_named(root.domain, _HOST) and root.domain.strip(".-") != "", "the domain is not a host name"),
        (root.name.isprintable() and 0 < len(root.name) <= 200, "the display name cannot be displayed"),
        (1 <= root.threshold <= len(root.keys), "no number of its keys reaches the threshold"),
        (
            all(key.use is use and key.member == root.member and not key.node for key, use in used),
            "a key has a different use or owner",
        ),
        (all(key.not_after == NEVER for key in root.keys), "a root key has an end, but a root bears no time"),
    )
    need_distinct("RootDocument", [key for key, _ in used])
    return root


def read_directory(trust: Trust) -> DirectoryDocument:
    """Return the directory of a Trust record. Raises EnvelopeError ENVELOPE_MALFORMED."""
    told = decode(DirectoryDocument, _bounded(trust))
    _need_names("DirectoryDocument", told.member, told.version)
    uris, hosts = {node.uri for node in told.nodes}, {node.dns for node in told.nodes}
    named = [(row.what, row.subject) for row in told.revocations]
    _need(
        "DirectoryDocument",
        (told.issued < told.expires <= told.issued + LIFETIME, "it does not expire within 7 days"),
        (told.floor <= max(told.suites), "none of its suites reaches its floor"),
        (all(_named(text, _URI) and len(text) <= 255 for text in uris | hosts), "a node has no usable name"),
        (len(uris) == len(hosts) == len(told.nodes), "two nodes share a name"),
        (len({row.treaty for row in told.ratified}) == len(told.ratified), "it names a treaty twice"),
        (
            all(len(der) <= MAX_CERTIFICATE and is_authority(der) for der in told.authorities),
            "an authority is not a CA certificate",
        ),
        (
            all(
                key.use in (KeyUse.SIGNING, KeyUse.SEALING, KeyUse.NOTE)
                and bool(key.node) is (key.use is not KeyUse.SEALING)
                for key in own_keys(told)
            ),
            "a key is neither a node's signing or note key nor a sealing key",
        ),
        (
            all(what is RevokedWhat.NODE or len(subject) == 32 for what, subject in named),
            "a revocation names nothing",
        ),
    )
    need_distinct("DirectoryDocument", own_keys(told))
    return told


def own_keys(directory: DirectoryDocument) -> list[KeyRecord]:
    """Return the keys for which the member itself vouches: records of other members are ignored."""
    return [key for key in directory.keys if key.member == directory.member]


def need_distinct(what: str, keys: Iterable[KeyRecord]) -> None:
    """Check that each key has its suite's length, and that no component key stands in two records.

    Raises EnvelopeError ENVELOPE_MALFORMED. A threshold would otherwise count one key twice.
    """
    seen: set[bytes] = set()
    for key in keys:
        suite = SUITES.get(key.suite)
        if suite is not None and len(key.public) != suite.public_length(key.use):
            raise malformed(what, "a public key does not have the length of its suite")
        for part in (key.public,) if suite is None else suite.components(key.use, key.public):
            if part in seen:
                raise malformed(what, "two records contain the same component key")
            seen.add(part)


def signers(trust: Trust, keys: Iterable[KeyRecord]) -> int:
    """Count how many of these keys signed the document; a wrong signature counts as none."""
    known = {key_id(key): key for key in keys}
    is_root = trust.type is TrustType.ROOT
    domain, context = (Domain.ROOT, Context.ROOT) if is_root else (Domain.DIRECTORY, Context.DIRECTORY)
    good = set()
    for one in trust.signatures[:MAX_SIGNATURES]:
        key = known.get(one.key)
        suite = None if key is None else SUITES.get(key.suite)
        if key is None or suite is None or one.key in good:
            continue
        message = pae(domain, u16(key.suite), one.key, trust.document)
        try:
            verify_signature(suite, key.public, context, message, one.signature)
        except CryptoError:
            continue
        good.add(one.key)
    return len(good)


def fingerprint(document: bytes) -> str:
    """Return the first 200 bits of the SHA-256 of root 1, in Crockford's base 32: eight groups of five."""
    number = int.from_bytes(sha256(document).digest()[:25])
    digits = "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(40)))
    return "-".join(digits[start : start + 5] for start in range(0, 40, 5))


def typed(text: str) -> str:
    """Normalise a fingerprint that a person typed: in any case, O for 0, I and L for 1, grouped in any
    way.
    """
    signs = text.upper().replace("-", "").replace(" ", "").translate(str.maketrans("OIL", "011"))
    return "-".join(signs[start : start + 5] for start in range(0, len(signs), 5))


def _bounded(trust: Trust) -> bytes:
    if len(trust.document) > MAX_DOCUMENT:
        raise malformed("Trust", "the document is larger than 512 KiB")
    return trust.document


def _need_names(what: str, member: str, version: int) -> None:
    code = member.isascii() and member.isalpha() and member.isupper() and 2 <= len(member) <= 16
    _need(what, (code, "the member is not a member code"), (version > 0, "versions start at 1"))


def _named(text: str, signs: frozenset[str]) -> bool:
    return text.isascii() and set(text) <= signs


def _need(what: str, *conditions: tuple[bool, str]) -> None:
    for holds, otherwise in conditions:
        if not holds:
            raise malformed(what, otherwise)
