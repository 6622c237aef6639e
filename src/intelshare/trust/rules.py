"""The rules by which a root or directory may replace the one held, in this order and without I/O.

First contact (only with a fingerprint that two people compared):
    version 1 has the given fingerprint ................................. TRUST_FINGERPRINT
    it is signed by a threshold of the keys it names .................... TRUST_THRESHOLD
    later versions follow as below.

Root:
    its member is known (first contact came before) ..................... TRUST_FINGERPRINT
    a version held, same bytes: no change if it is the last; otherwise .. TRUST_ROLLBACK
    a version held, other bytes: signed like the one held ............... TRUST_FORK
                                 not so ................................. TRUST_THRESHOLD
    version n+1, not later: those before it are missing ................. TRUST_THRESHOLD
    none of its keys begins to count ahead of this node's clock ......... CLOCK_SKEW
    signed by a threshold of version n's keys *and* of its own .......... TRUST_THRESHOLD

Directory:
    its member is known ................................................. TRUST_FINGERPRINT
    its version is not below the one held ............................... TRUST_ROLLBACK
    signed by a directory key that the latest root names, then valid .... TRUST_THRESHOLD
    no other bytes for the version held ................................. TRUST_FORK
    its nodes are in the root's domain, its keys are not also root keys . NOT_AUTHORISED, ENVELOPE_MALFORMED
    no more than 4,096 revocations with those remembered ................ ENVELOPE_MALFORMED
    no more than 16 earlier directories must be kept beside it .......... ENVELOPE_MALFORMED
    not issued ahead of this node's clock ............................... CLOCK_SKEW
    not expired ......................................................... TRUST_EXPIRED

A root that no longer names the key which signed the directory held makes that directory count as expired, and
its version as 0: a thief of a directory key could otherwise publish the highest version and so lock the
member out for ever (python-tuf, "fast-forward attack").

What a directory has revoked stays revoked, whatever later ones say: the key or certificate is remembered
beside the directory held, with the harshest revocation of it (decision 78). A node is a name that directories
list or leave out, so of nodes the present directory alone decides. A signing or note key that a directory
leaves out has ended with its issue, and the last directory that lists it is kept: what the key signed before
is judged by it, and a member that has forgotten the key is shown it (decision 81). A root that drops a
directory key starts the memory again, as it starts the versions again, and for the same reason.

Roots do not expire, because their keys are offline.
An attacker who keeps a peer at an old root (freeze) also withholds the new directory; the old one expires
within 7 days, and that shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from intelshare.crypto.codec import malformed
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse, Trust
from intelshare.crypto.suites import Suites
from intelshare.errors import TrustError
from intelshare.ids import MemberCode
from intelshare.instant import MAX_AHEAD, SECOND, Instant
from intelshare.trust.documents import (
    MAX_REVOCATIONS,
    DirectoryDocument,
    Revocation,
    Revoked,
    RootDocument,
    check_keys,
    harshest,
    is_missing,
    read_directory,
    read_root,
    signatures_by,
)
from intelshare.trust.fingerprint import check_fingerprint, fingerprint
from intelshare.trust.former import FormerDirectory, begun_keys, ended_by, kept_beside, lasting_keys

MAX_CHAIN: Final = 256
"""The most roots of one member: more than five a year for fifty years."""


@dataclass(frozen=True, slots=True)
class MemberTrust:
    """The documents accepted of one member."""

    roots: tuple[Trust, ...]
    """The chain from version 1: index n - 1 holds version n."""
    root: RootDocument
    """The last root of the chain, decoded."""
    directory: DirectoryDocument | None = None
    directory_signed: Trust | None = None
    supported: bool = False
    """True if the latest root still names the key that signed the directory."""
    remembered: tuple[Revocation, ...] = ()
    """The revocations of earlier directories that the one held does not say, or says less harshly."""
    former: tuple[FormerDirectory, ...] = ()
    """The earlier directories that list signing or note keys which the one held leaves out, the oldest first;
    each has one that no later one lists.
    """

    @property
    def member(self) -> MemberCode:
        """The member whose documents these are."""
        return self.root.member

    @property
    def fingerprint(self) -> str:
        """The fingerprint of root version 1, for people."""
        return fingerprint(self.roots[0].document)

    @property
    def revocations(self) -> tuple[Revocation, ...]:
        """The revocations that count, by the directory held or by one before it: the harshest of each
        thing.
        """
        stated = self.directory.revocations if self.directory is not None else ()
        return _in_order((*self.remembered, *stated))

    @property
    def lasting_revocations(self) -> tuple[Revocation, ...]:
        """The revocations that the next directory must not take back: without those of a directory whose key
        the root has dropped since.
        """
        return self.revocations if self.supported else _in_order(self.remembered)

    @property
    def directories(self) -> tuple[Trust, ...]:
        """The directories that are kept, the oldest first: the one held is the last."""
        held = () if self.directory_signed is None else (self.directory_signed,)
        return (*(one.signed for one in self.former), *held)

    @property
    def left_out(self) -> tuple[KeyRecord, ...]:
        """The keys of earlier directories that the one held leaves out."""
        if self.directory is None:
            return ()
        listed, issued = self.directory.keys, self.directory.issued
        found = {key: None for one in self.former for key in begun_keys(one.directory, issued)}
        return tuple([key for key in found if key not in listed])

    def fresh(self, at: Instant) -> bool:
        """Return True if there is a directory that has not expired and that the root still supports."""
        return self.supported and self.directory is not None and at < self.directory.expires


def first_contact(roots: Sequence[Trust], given: str, suites: Suites) -> MemberTrust:
    """Return the member of this chain of roots, if version 1 has the fingerprint that a person gives.

    Raises TrustError (top of this module), EnvelopeError ENVELOPE_MALFORMED.
    """
    if not roots or len(roots) > MAX_CHAIN:
        raise _threshold("the file has no root, or more roots than any member has")
    check_fingerprint(roots[0].document, given)
    return restore(roots, None, suites)


def restore(
    roots: Sequence[Trust],
    directory: Trust | None,
    suites: Suites,
    remembered: tuple[Revocation, ...] = (),
    earlier: Iterable[Trust] = (),
) -> MemberTrust:
    """Read previously accepted documents from this node's store, and what it remembers of earlier ones:
    signatures are checked again, expiry is not. ``earlier``: directories that came before.

    Raises TrustError TRUST_THRESHOLD, EnvelopeError ENVELOPE_MALFORMED.
    """
    root = read_root(roots[0], suites)
    if root.version != 1:
        raise _threshold("the chain of roots does not start at version 1")
    _need_root_signatures(roots[0], root, root, suites)
    held = MemberTrust((roots[0],), root)
    for following in roots[1:]:
        held = accept_root(held, following, suites)
    if directory is None:
        return replace(held, remembered=_in_order(remembered))
    read = read_directory(directory, suites)
    if is_signed(directory, read, held.root, suites):
        if read.member != held.member:
            raise _not_theirs(read.member, held.member)
        stated = harshest(read.revocations)
        before = [FormerDirectory(read_directory(one, suites), one) for one in earlier]
        return replace(
            _with_directory(held, directory, read, suites),
            remembered=tuple(row for row in _in_order(remembered) if is_missing(row, stated)),
            former=kept_beside(
                [one for one in before if is_signed(one.signed, one.directory, held.root, suites)], read
            ),
        )
    # Signed by a key that the latest root no longer names: it still names the member's nodes, so that its
    # successor can be asked for, but counts as expired.
    if not any(is_signed(directory, read, read_root(r, suites), suites) for r in roots):
        raise _threshold(f"the directory of {held.member} was never signed by a directory key of its roots")
    return replace(held, directory=read, directory_signed=directory, remembered=remembered)


def accept_root(held: MemberTrust, trust: Trust, suites: Suites, at: Instant | None = None) -> MemberTrust:
    """Return the member's trust after this root; ``held`` itself if the root says nothing new. Rules: top of
    this module.

    ``at`` is the present time; None for a root that was accepted before.
    """
    root = read_root(trust, suites)
    if root.member != held.member:
        raise _not_theirs(root.member, held.member)
    present = held.root.version
    if root.version <= present:
        return _root_again(held, trust, root, suites)
    if root.version != present + 1 or present >= MAX_CHAIN:
        raise _threshold(f"root {root.version} of {root.member} needs root {present + 1} first")
    if at is not None:
        check_begun(root, at)
    _need_root_signatures(trust, held.root, root, suites)
    supported = (
        held.supported
        and held.directory is not None
        and held.directory_signed is not None
        and is_signed(held.directory_signed, held.directory, root, suites)
    )
    lasting = set(held.root.directory) <= set(root.directory)
    return replace(
        held,
        roots=(*held.roots, trust),
        root=root,
        supported=supported,
        remembered=held.remembered if lasting else (),
        former=held.former if lasting else (),
    )


def check_begun(root: RootDocument, at: Instant) -> None:
    """Check that every key of a root counts by now: a root bears no time, and root keys have no end, so there
    is nothing else to judge of their dates.

    Raises TrustError CLOCK_SKEW.
    """
    first = max(key.not_before for key in (*root.keys, *root.directory))
    if first > at + MAX_AHEAD:
        raise TrustError(
            "CLOCK_SKEW",
            f"a key of root {root.version} of {root.member} counts only in {(first - at) // SECOND} s",
            hint="compare both clocks with a time server; the peer will try again",
        )


def accept_directory(
    held: MemberTrust, trust: Trust, directory: DirectoryDocument, at: Instant, suites: Suites
) -> MemberTrust:
    """Return the member's trust after this directory; ``held`` itself if it says nothing new. Rules: top of
    this module. ``directory`` is what ``read_directory`` has read in ``trust``.
    """
    after = _replace_directory(held, trust, directory, suites)
    if directory.issued > at + MAX_AHEAD:
        raise TrustError(
            "CLOCK_SKEW",
            f"the directory of {held.member} is dated {(directory.issued - at) // SECOND} s in the future",
            hint="compare both clocks with a time server; the peer will try again",
        )
    if not after.fresh(at):
        raise expired(held.member)
    return after


def learn_directory(held: MemberTrust, trust: Trust, suites: Suites) -> MemberTrust:
    """Return this member's own trust with a directory that it has signed and forgotten; ``held`` itself if
    that says nothing new. Age and expiry do not matter: its keys and revocations count, and a newer version
    is followed by a newer one.

    Raises TrustError (top of this module), EnvelopeError ENVELOPE_MALFORMED.
    """
    directory = read_directory(trust, suites)
    if directory.member != held.member:
        raise _not_theirs(directory.member, held.member)
    if held.directory is None or not held.supported or directory.version >= held.directory.version:
        return _replace_directory(held, trust, directory, suites)
    if not is_signed(trust, directory, held.root, suites):
        raise _threshold(f"the directory of {held.member} is not signed by a directory key of its root")
    _check_within(held.root, directory, suites)
    former = kept_beside((*held.former, FormerDirectory(directory, trust)), held.directory)
    # Nothing is sealed to a key that is not listed, and revocations of those are not stated again.
    keys = {key_id(key) for key in (*held.directory.keys, *lasting_keys(directory))}
    said = [row for row in directory.revocations if row.what is not Revoked.KEY or row.subject in keys]
    stated = harshest(held.directory.revocations)
    known = _in_order((*held.remembered, *said, *ended_by(directory, held.directory)))
    remembered = tuple(row for row in known if row.what is not Revoked.NODE and is_missing(row, stated))
    _need_bound(len(remembered) + len(held.directory.revocations))
    if (former, remembered) == (held.former, held.remembered):
        return held
    return replace(held, former=former, remembered=remembered)


def is_signed(trust: Trust, directory: DirectoryDocument, root: RootDocument, suites: Suites) -> bool:
    """Return True if a directory key of this root, valid at the directory's issue, signed the directory.

    ``directory`` is what ``read_directory`` has read in ``trust``.
    """
    usable = [key for key in root.directory if key.not_before <= directory.issued < key.not_after]
    return signatures_by(trust, usable, suites) > 0


def expired(member: MemberCode) -> TrustError:
    """Return TRUST_EXPIRED with the one wording used for it."""
    return TrustError(
        "TRUST_EXPIRED",
        f"the directory of {member} held here has expired",
        hint="traffic with this member resumes when its next directory arrives; see `intelshare member list`",
    )


def unknown_member(member: MemberCode) -> TrustError:
    """Return TRUST_FINGERPRINT for a member whose root was never compared by people."""
    return TrustError(
        "TRUST_FINGERPRINT",
        f"{member} is not known here: its first root needs a fingerprint that two people compared",
        hint="`intelshare member import FILE --fingerprint ...` with what the other side reads out",
    )


def other_root(member: MemberCode) -> TrustError:
    """Return TRUST_FINGERPRINT for a member file that begins with a root other than the one held."""
    return TrustError(
        "TRUST_FINGERPRINT",
        f"{member} is known here by another root, which this file does not continue",
        hint="ask its people for a file of the node that they had; a member keeps its first root",
    )


def _root_again(held: MemberTrust, trust: Trust, root: RootDocument, suites: Suites) -> MemberTrust:
    if held.roots[root.version - 1].document == trust.document:
        if root.version == held.root.version:
            return held
        raise _rollback("root", root.version, held.root.version, held.member)
    # Version 1 has no predecessor: only the holders of its keys can have signed another.
    before = read_root(held.roots[max(root.version - 2, 0)], suites)
    _need_root_signatures(trust, before, root, suites)
    raise _fork("root", root.version, held.member)


def _need_root_signatures(trust: Trust, before: RootDocument, root: RootDocument, suites: Suites) -> None:
    for of, which in ((before, "the version before it"), (root, "its own keys")):
        count = signatures_by(trust, of.keys, suites)
        if count < of.threshold:
            raise _threshold(
                f"root {root.version} of {root.member} has {count} of {of.threshold} signatures of {which}"
            )


def _replace_directory(
    held: MemberTrust, trust: Trust, directory: DirectoryDocument, suites: Suites
) -> MemberTrust:
    if directory.member != held.member:
        raise _not_theirs(directory.member, held.member)
    present = held.directory.version if held.directory is not None and held.supported else 0
    if directory.version < present:
        raise _rollback("directory", directory.version, present, held.member)
    if not is_signed(trust, directory, held.root, suites):
        raise _threshold(f"the directory of {held.member} is not signed by a directory key of its root")
    if directory.version == present and held.directory_signed is not None:
        if trust.document != held.directory_signed.document:
            raise _fork("directory", present, held.member)
        return held
    return _with_directory(held, trust, directory, suites)


def _with_directory(
    held: MemberTrust, trust: Trust, directory: DirectoryDocument, suites: Suites
) -> MemberTrust:
    """Return the member's trust with a directory whose member and signature were checked."""
    _check_within(held.root, directory, suites)
    return replace(
        held,
        directory=directory,
        directory_signed=trust,
        supported=True,
        remembered=_remembered(held, directory),
        former=_former(held, directory),
    )


def _remembered(held: MemberTrust, directory: DirectoryDocument) -> tuple[Revocation, ...]:
    """Return what must be remembered beside this directory. Raises EnvelopeError ENVELOPE_MALFORMED."""
    before = held.lasting_revocations
    if held.supported and held.directory is not None:
        before += ended_by(held.directory, directory)
    stated = harshest(directory.revocations)
    missing = tuple(
        row for row in _in_order(before) if row.what is not Revoked.NODE and is_missing(row, stated)
    )
    _need_bound(len(missing) + len(directory.revocations))
    return missing


def _need_bound(count: int) -> None:
    if count > MAX_REVOCATIONS:
        raise malformed(
            "DirectoryDocument", f"more than {MAX_REVOCATIONS} revocations, with those of earlier directories"
        )


def _former(held: MemberTrust, directory: DirectoryDocument) -> tuple[FormerDirectory, ...]:
    """Return the directories that must be kept beside this one. Raises EnvelopeError ENVELOPE_MALFORMED."""
    before = held.former
    if held.supported and held.directory is not None and held.directory_signed is not None:
        before = (*before, FormerDirectory(held.directory, held.directory_signed))
    return kept_beside(before, directory)


def _in_order(rows: Iterable[Revocation]) -> tuple[Revocation, ...]:
    """Return the harshest revocation of each thing, in order."""
    found = harshest(rows)
    return tuple(found[subject] for subject in sorted(found))


def _check_within(root: RootDocument, directory: DirectoryDocument, suites: Suites) -> None:
    # No two members share a domain (TrustView), so no node is in two directories.
    prefix, suffix = f"intelshare://{root.domain}/node/", f".{root.domain}"
    for node in directory.nodes:
        if not (node.uri.startswith(prefix) and node.dns.endswith(suffix)):
            raise TrustError(
                "NOT_AUTHORISED",
                f"the directory of {root.member} names a node outside {root.domain}",
                hint="a member vouches for its own domain only",
            )
    own = tuple(key for key in directory.keys if key.member == root.member)
    for key in own:
        if key.use is not KeyUse.SEALING and not key.node.startswith(prefix):
            raise TrustError(
                "NOT_AUTHORISED",
                f"the directory of {root.member} names a key of a node outside {root.domain}",
                hint="a member vouches for its own domain only",
            )
    check_keys("DirectoryDocument", own + root.keys + root.directory, suites)


def _threshold(message: str) -> TrustError:
    return TrustError(
        "TRUST_THRESHOLD",
        message,
        hint="the member must send the documents in order, each signed by enough of its keys",
    )


def _rollback(what: str, version: int, present: int, member: MemberCode) -> TrustError:
    return TrustError(
        "TRUST_ROLLBACK",
        f"{what} {version} of {member} is older than the one held, {present}",
        hint="somebody is serving an old copy, or the member was restored from a backup: ask its operator",
    )


def _fork(what: str, version: int, member: MemberCode) -> TrustError:
    return TrustError(
        "TRUST_FORK",
        f"{member} has signed two contents for version {version} of its {what}",
        hint="keep both as evidence and ask the member's operator; the first one stays in force",
    )


def _not_theirs(named: MemberCode, held: MemberCode) -> TrustError:
    return TrustError("NOT_AUTHORISED", f"a document of {named} was given for {held}")
