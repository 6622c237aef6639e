"""The members whose signatures count: one view per member, made from its own documents and nothing else.

A document must belong to the member under whose name it is filed, or the file is refused. If the reader gives
a member file, that is the only source for the member: the documents that the file has for it are not even
read, except as the member's own statements: of what it has revoked, of when a key was not yet revoked, and of
signing keys that it leaves out by now. Who leaves a key out does not escape what the key has signed
(docs/format.md, "Judging a file").
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse, Trust, TrustType
from intelshare.errors import CryptoError, IntelshareError, TrustError
from intelshare.ids import KeyId
from intelshare.instant import Instant
from intelshare.verifier.documents import (
    DirectoryDocument,
    Revocation,
    RevokedWhat,
    RevokedWhy,
    RootDocument,
    fingerprint,
    need_distinct,
    own_keys,
    read_directory,
    read_root,
    signers,
    typed,
)
from intelshare.verifier.files import Documents, unreadable, unwrap

_LASTING: Final = (KeyUse.SIGNING, KeyUse.NOTE)
"""The uses of keys that sign what is judged later."""


class Given(Protocol):
    """A member file from the reader."""

    @property
    def member(self) -> str:
        """The member whose file it claims to be."""

    @property
    def roots(self) -> tuple[Trust, ...]:
        """The roots, from version 1 on."""

    @property
    def directory(self) -> Trust | None:
        """The directory in it, if any."""

    @property
    def former(self) -> tuple[Trust, ...]:
        """Earlier directories, for the keys that the present one leaves out."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member, and the source of its keys."""

    code: str
    fingerprint: str
    confirmed: bool
    """True if the reader knows it, by a member file or a fingerprint; otherwise only the file vouches for
    it.
    """
    directory: DirectoryDocument | None
    domain: str
    keys: Mapping[KeyId, KeyRecord] = field(repr=False)
    admissions: tuple[DirectoryDocument, ...] = field(default=(), repr=False)
    """Directories of any age, signed by a directory key of the latest root; ``directory`` is one of them."""

    def revocation(self, key: KeyId) -> Revocation | None:
        """Return the harshest revocation of this key in any directory shown: compromised counts most, then
        the earlier. What one directory has revoked stays so, whatever later ones say (decision 78). A
        directory that leaves the key out has ended it with its issue (decision 81).
        """
        listing = [one.version for one in self.admissions if _lists(one, key)]
        ended = [
            one.issued
            for one in self.admissions
            if listing and one.version > min(listing) and not _lists(one, key)
        ]
        rows = [Revocation(RevokedWhat.KEY, key, RevokedWhy.ROTATED, min(ended))] if ended else []
        rows += [
            row
            for one in self.admissions
            for row in one.revocations
            if row.what is RevokedWhat.KEY and row.subject == key
        ]
        return min(rows, key=lambda row: (-row.why, row.effective), default=None)

    def revoked_from(self, key: KeyId, revocation: Revocation) -> Instant:
        """Return the time before which the revocation cannot have existed, by the member's own statements.

        That is its effective time or, if later, the issue of a directory that lists the key and does not
        revoke it.
        """
        admitted = [
            one.issued
            for one in self.admissions
            if _lists(one, key)
            and not any(row.what is RevokedWhat.KEY and row.subject == key for row in one.revocations)
        ]
        return Instant(max([revocation.effective, *admitted]))


@dataclass(frozen=True, slots=True)
class Members:
    """All members whose signatures are checked."""

    by_code: Mapping[str, Member]

    def owner(self, key: KeyId) -> Member:
        """Return the member whose key this is. Raises CryptoError SIGNER_UNKNOWN."""
        for member in self.by_code.values():
            if key in member.keys:
                return member
        raise CryptoError(
            "SIGNER_UNKNOWN",
            f"a statement is signed by a key that no member's documents name, {key.hex()[:16]}",
            hint="give the member file of its signer with --member; if that leaves the key out, a directory "
            "that names it is missing: ask for a file made by a node that accepted the statement",
        )


def members_of(
    documents: Documents, given: Sequence[Given], source: str, fingerprints: Collection[str] = ()
) -> Members:
    """Return the members described by a file and its reader. ``fingerprints`` are those that the reader has
    of members.

    Raises TrustError INPUT_INVALID for a document under another member's name or a member given twice,
    TRUST_THRESHOLD, NOT_AUTHORISED, TRUST_FINGERPRINT; EnvelopeError ENVELOPE_MALFORMED.
    """
    wanted = {typed(one) for one in fingerprints}
    filed = {code: [unwrap(Trust, one, source) for one in texts] for code, texts in documents.items()}
    found: dict[str, Member] = {}
    for file in given:
        if file.member in found:
            raise unreadable(f"two member files of {file.member} were given", source)
        own = [*file.roots, *file.former, *([] if file.directory is None else [file.directory])]
        found[file.member] = _member(file.member, own, True, filed.pop(file.member, ()), source)
    for code, trusts in filed.items():
        member = _member(code, trusts, False, (), source)
        found[code] = replace(member, confirmed=member.fingerprint in wanted)
    missing = wanted - {member.fingerprint for member in found.values()}
    if missing:
        raise TrustError(
            "TRUST_FINGERPRINT",
            f"no member of the file has the fingerprint {min(missing)}",
            hint="compare it again; if it is right, the file contains somebody else's documents",
        )
    domains = [member.domain for member in found.values()]
    if len(set(domains)) != len(domains):
        raise TrustError("NOT_AUTHORISED", f"{source}: two members claim one domain")
    return Members({code: found[code] for code in sorted(found)})


def _member(
    code: str, trusts: Sequence[Trust], confirmed: bool, beside: Iterable[Trust], source: str
) -> Member:
    roots, directories = _sorted(code, trusts, source)
    latest = roots[-1]
    known = [(_directory(latest, trust), trust) for trust in directories]
    order = [directory.version for directory, _ in known]
    if sorted(set(order)) != order:
        raise unreadable(f"the directories of {code} are not in the order of their versions", source)
    current = known[-1][0] if known else None
    admissions = (*[directory for directory, _ in known], *_admitted(latest, beside))
    keys = [*latest.keys, *latest.directory, *(own_keys(current) if current is not None else ())]
    keys += [key for one in admissions for key in own_keys(one) if key.use in _LASTING]
    first = next(trust.document for trust in trusts if trust.type is TrustType.ROOT)
    return Member(
        code, fingerprint(first), confirmed, current, latest.domain, {key_id(key): key for key in keys},
        admissions,
    )  # fmt: skip


def _lists(directory: DirectoryDocument, key: KeyId) -> bool:
    return any(key_id(listed) == key for listed in own_keys(directory))


def _sorted(code: str, trusts: Sequence[Trust], source: str) -> tuple[list[RootDocument], list[Trust]]:
    """Return the chain of roots, each signed as required, and the directories that follow it."""
    roots: list[RootDocument] = []
    directories: list[Trust] = []
    for trust in trusts:
        named = (read_root if trust.type is TrustType.ROOT else read_directory)(trust).member
        if named != code:
            raise unreadable(f"a document of {named} is filed under the name of {code}", source)
        if trust.type is TrustType.DIRECTORY:
            directories.append(trust)
            continue
        root = read_root(trust)
        if directories or root.version != len(roots) + 1:
            raise _threshold(f"the roots of {code} are not in order, from version 1 on")
        for of in (roots[-1] if roots else root, root):
            if signers(trust, of.keys) < of.threshold:
                raise _threshold(f"root {root.version} of {code} lacks signatures")
        roots.append(root)
    if not roots:
        raise _threshold(f"there is no root of {code}")
    return roots, directories


def _directory(root: RootDocument, trust: Trust) -> DirectoryDocument:
    directory = read_directory(trust)
    usable = [key for key in root.directory if key.not_before <= directory.issued < key.not_after]
    if not signers(trust, usable):
        raise _threshold(f"a directory of {root.member} is not signed by a directory key of its latest root")
    start, end = f"intelshare://{root.domain}/node/", f".{root.domain}"
    own = own_keys(directory)
    inside = all(node.uri.startswith(start) and node.dns.endswith(end) for node in directory.nodes)
    if not inside or any(key.use is not KeyUse.SEALING and not key.node.startswith(start) for key in own):
        raise TrustError(
            "NOT_AUTHORISED", f"the directory of {root.member} names a node outside {root.domain}"
        )
    need_distinct("DirectoryDocument", [*own, *root.keys, *root.directory])
    return directory


def _admitted(root: RootDocument, beside: Iterable[Trust]) -> list[DirectoryDocument]:
    """Return the directories that a file has for a member the reader knows, if that member's key signed
    them.
    """
    found = []
    for trust in beside:
        if trust.type is TrustType.DIRECTORY:
            try:
                directory = _directory(root, trust)
            except IntelshareError:
                continue
            if directory.member == root.member:
                found.append(directory)
    return found


def _threshold(why: str) -> TrustError:
    return TrustError("TRUST_THRESHOLD", why, hint="ask the member for its present member file")
