"""The keys and nodes that may sign, be dialled and be sealed to now: one immutable value over all documents
accepted.

Every answer is a look-up; a new document makes a new view (``with_document``), which the runtime swaps in
after the commit that stored it. It answers what statement.verify asks (``TrustLookup``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse, Trust, TrustType
from intelshare.crypto.suites import Suites
from intelshare.crypto.x509 import Leaf, Validity, check_issued, inspect
from intelshare.errors import CryptoError, TrustError
from intelshare.ids import Digest, KeyId, MemberCode, NodeUri
from intelshare.instant import Instant, show
from intelshare.trust.documents import (
    DirectoryDocument,
    DirectoryNode,
    Revocation,
    Revoked,
    RootDocument,
    read_directory,
    read_root,
)
from intelshare.trust.exclusion import Exclusion, left_out
from intelshare.trust.rules import (
    MemberTrust,
    accept_directory,
    accept_root,
    expired,
    first_contact,
    learn_directory,
    other_root,
    unknown_member,
)
from intelshare.trust.stored import stored_members

_MAX_LEAVES: Final = 4096
"""The certificates remembered per view; only those that a member's authority issued get here."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A node that a TLS certificate speaks for."""

    member: MemberCode
    node: DirectoryNode
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class Change:
    """The result of accepting a document."""

    view: TrustView
    member: MemberCode
    changed: bool
    """False if the document was already held and nothing needs to be stored."""


@dataclass(frozen=True, slots=True)
class _Key:
    record: KeyRecord
    revocation: Revocation | None


@dataclass(frozen=True, slots=True)
class TrustView:
    """The documents accepted of all members, including this node's. Made by ``load``; a change makes a new
    view.
    """

    own: MemberCode
    suites: Suites
    members: Mapping[MemberCode, MemberTrust]
    floor: int
    """The lowest suite that this node's directory accepts."""
    excluded: Mapping[MemberCode, Exclusion]
    """Members that this node's operators have suspended or removed, or must confirm."""
    _keys: Mapping[KeyId, _Key] = field(repr=False, compare=False)
    _nodes: Mapping[str, tuple[MemberCode, DirectoryNode]] = field(repr=False, compare=False)
    _revoked: Mapping[tuple[MemberCode, Revoked, bytes], Revocation] = field(repr=False, compare=False)
    _leaves: dict[bytes, tuple[Leaf, Validity]] = field(repr=False, compare=False)
    """The certificates checked in this view: each costs 0.6 ms, once."""

    @classmethod
    def load(
        cls,
        own: MemberCode,
        documents: Iterable[bytes],
        suites: Suites,
        excluded: Mapping[MemberCode, Exclusion] = MappingProxyType({}),
        remembered: Mapping[MemberCode, tuple[Revocation, ...]] = MappingProxyType({}),
    ) -> TrustView:
        """Load the view over the documents in this node's store (encoded ``Trust`` records, in any order).
        ``remembered`` is what earlier directories have revoked (``MemberTrust.remembered``).

        Signatures are checked again, expiry is not. Raises TrustError, EnvelopeError ENVELOPE_MALFORMED for a
        store that holds what was never accepted; TRUST_FINGERPRINT if its own member's root is missing.
        """
        members = stored_members(own, documents, suites, remembered)
        return _view(own, suites, members, excluded)

    def with_exclusion(self, member: MemberCode, how: Exclusion | None) -> TrustView:
        """Return the view in which that member is left out to this extent, or not at all (None)."""
        rest = {other: so for other, so in self.excluded.items() if other != member}
        if how is not None:
            rest[member] = how
        return _view(self.own, self.suites, self.members, rest)

    @property
    def partners(self) -> tuple[MemberCode, ...]:
        """The other members that are not removed, in order: statements to everybody go to these."""
        return tuple(
            member
            for member in sorted(self.members)
            if member != self.own and self.excluded.get(member) is not Exclusion.REMOVED
        )

    def need_dealing(self, member: MemberCode) -> None:
        """Check that there may be a link to that member. Raises TrustError PEER_REVOKED."""
        how = self.excluded.get(member)
        if how is not None:
            raise TrustError("PEER_REVOKED", f"{member} is {how.name.lower()} at this node")

    def with_member(self, roots: Sequence[Trust], fingerprint: str) -> Change:
        """Accept at first contact the member of this chain, whose fingerprint two people compared.

        For a member already known, version 1 must be the one held; later roots that were missing are added.
        Raises TrustError (rules.py), and NOT_AUTHORISED if its domain is another member's.
        """
        met = first_contact(roots, fingerprint, self.suites)
        held = self.members.get(met.member)
        if held is None:
            return self._changed(met)
        if held.roots[0].document != met.roots[0].document:
            raise other_root(met.member)
        after = held
        for trust in met.roots[held.root.version :]:
            after = accept_root(after, trust, self.suites)
        return self._changed(after)

    def with_document(self, trust: Trust, at: Instant, peer: MemberCode | None = None) -> Change:
        """Return the view after a root or directory. ``peer`` is the member that handed it over, if it came
        as a statement.

        Raises TrustError NOT_AUTHORISED if the document is not the peer's, then the codes of rules.py in
        their order; EnvelopeError ENVELOPE_MALFORMED. An error leaves everything as it is.
        """
        is_root = trust.type is TrustType.ROOT
        document = read_root(trust, self.suites) if is_root else read_directory(trust, self.suites)
        member = document.member
        if peer is not None and member != peer:
            raise TrustError(
                "NOT_AUTHORISED",
                f"{peer} hands over a document of {member}",
                hint="a member may hand over only its own documents",
            )
        held = self.members.get(member)
        if held is None:
            raise unknown_member(member)
        if isinstance(document, RootDocument):
            return self._changed(accept_root(held, trust, self.suites, at))
        return self._changed(accept_directory(held, trust, document, at, self.suites))

    def key_record(self, key_id: KeyId) -> KeyRecord | None:
        """Return the record with this id, of whatever use, from the documents held of any member."""
        known = self._keys.get(key_id)
        return None if known is None else known.record

    def records(self) -> tuple[tuple[KeyId, KeyRecord], ...]:
        """Return every key of every document held, with its id."""
        return tuple((identity, key.record) for identity, key in sorted(self._keys.items()))

    def revocation(self, key_id: KeyId) -> Revocation | None:
        """Return the revocation of this key by its own member, if any."""
        known = self._keys.get(key_id)
        return None if known is None else known.revocation

    def directory_fresh(self, member: MemberCode, at: Instant) -> bool:
        """Return True if that member's directory is present, supported by its root and not expired."""
        held = self.members.get(member)
        return held is not None and held.fresh(at)

    def need_fresh(self, member: MemberCode, at: Instant) -> DirectoryDocument:
        """Return that member's directory, for acting upon it.

        Raises TrustError TRUST_FINGERPRINT, MEMBER_SUSPENDED, MEMBER_REMOVED, TRUST_EXPIRED.
        """
        held = self.members.get(member)
        if held is None:
            raise unknown_member(member)
        how = self.excluded.get(member)
        if how is not None:
            raise left_out(member, how)
        if held.directory is None or not held.fresh(at):
            raise expired(member)
        return held.directory

    def identify(self, certificate: bytes, at: Instant, between: Sequence[bytes] = ()) -> Peer:
        """Return the node that this TLS leaf (DER) speaks for, found by its exact URI: check 1 of attacks.md.

        It takes 0.7 ms the first time and about 2 µs after that, so it can be called for every message of an
        open stream. It does not require freshness: a stale peer must be able to bring its new directory.
        ``between`` leads to a new authority of the peer (``check_issued``).
        Raises TrustError PEER_IDENTITY_INVALID, PEER_IDENTITY_MISMATCH, PEER_REVOKED.
        """
        checked = self._leaves.get(sha256(certificate).digest())
        if checked is None or not checked[1].holds(at):
            checked = self._check_leaf(certificate, at, between)
        leaf = checked[0]
        member, node = self._nodes[leaf.uri]
        self.need_dealing(member)
        for what, subject in ((Revoked.NODE, leaf.uri.encode()), (Revoked.CERTIFICATE, leaf.digest)):
            row = self._revoked.get((member, what, subject))
            if row is not None and row.holds(at):
                raise TrustError("PEER_REVOKED", f"{member} has revoked {leaf.uri} or its certificate")
        return Peer(member, node, leaf)

    def node(self, uri: NodeUri) -> tuple[MemberCode, DirectoryNode] | None:
        """Return the member and directory entry of a node, by its exact URI."""
        return self._nodes.get(uri)

    def need_node(self, uri: NodeUri, at: Instant) -> tuple[MemberCode, DirectoryNode]:
        """Return the member and directory entry of a node that may be dialled and listened to.

        Raises TrustError PEER_IDENTITY_INVALID, PEER_REVOKED.
        """
        found = self._nodes.get(uri)
        if found is None:
            raise TrustError("PEER_IDENTITY_INVALID", f"{uri} is in no directory held")
        self.need_dealing(found[0])
        row = self._revoked.get((found[0], Revoked.NODE, uri.encode()))
        if row is not None and row.holds(at):
            raise TrustError("PEER_REVOKED", f"{found[0]} has revoked {uri}")
        return found

    def authorities(self, member: MemberCode) -> tuple[bytes, ...]:
        """Return the DER of the CAs that issue to that member's nodes: the only roots of a channel to it."""
        held = self.members.get(member)
        return () if held is None or held.directory is None else held.directory.authorities

    def all_authorities(self) -> dict[MemberCode, tuple[bytes, ...]]:
        """Return the DER of each member's node CAs: the roots of the peer port; ``identify`` checks its
        callers.

        Those of a removed member are not among them: its nodes are strangers.
        """
        present = sorted((self.own, *self.partners))
        return {member: ders for member in present if (ders := self.authorities(member))}

    def keys_of(self, member: MemberCode, use: KeyUse, at: Instant) -> tuple[tuple[KeyId, KeyRecord], ...]:
        """Return that member's keys of one use that are valid and not revoked at ``at``, newest first."""
        held = [
            (identity, key.record)
            for identity, key in self._keys.items()
            if key.record.member == member
            and key.record.use is use
            and key.record.not_before <= at < key.record.not_after
            and not (key.revocation is not None and key.revocation.holds(at))
        ]
        return tuple(sorted(held, key=lambda row: (row[1].not_before, row[0]), reverse=True))

    def signing_key(self, node: NodeUri, at: Instant) -> KeyId:
        """Return the key with which this node signs statements now: the newest valid one.

        Raises CryptoError SIGNER_NOT_VALID if there is none; the remedy is to rotate keys.
        """
        return self._signing_keys(node, at)[0][0]

    def last_signing_key(self, node: NodeUri) -> KeyId:
        """Return the newest signing key of this node, although it may have ended: an operator is about to
        make another. Raises CryptoError SIGNER_NOT_VALID if there is none that was not stolen.
        """
        usable = [
            (record.not_before, identity)
            for identity, record in self._ever_signing(node)
            if (known := self._keys[identity].revocation) is None or not known.compromised
        ]
        if not usable:
            raise _not_valid(node, (), Instant(0))
        return max(usable)[1]

    def signing_keys(self, node: NodeUri, at: Instant) -> tuple[KeyId, ...]:
        """Return all valid keys of this node for statements, the newest first. Raises as ``signing_key``."""
        return tuple(identity for identity, _ in self._signing_keys(node, at))

    def hello_key(self, node: NodeUri, peer: MemberCode, at: Instant) -> KeyId:
        """Return the key with which this node signs a hello to that member: the *oldest* valid one.

        A peer that was away while keys were rotated knows only that one, and could otherwise never be told of
        the directory that names the new one. A key that the peer's floor rules out is passed over if there is
        another. Raises CryptoError SIGNER_NOT_VALID.
        """
        usable = self._signing_keys(node, at)[::-1]
        held = self.members.get(peer)
        floor = held.directory.floor if held is not None and held.directory is not None else 0
        return next((identity for identity, record in usable if record.suite >= floor), usable[0][0])

    def note_keys(self, node: NodeUri, at: Instant) -> tuple[tuple[KeyId, KeyRecord], ...]:
        """Return the valid note keys of a node, newest first; none for a node that is in no directory
        held.
        """
        if node not in self._nodes:
            return ()
        found = self.keys_of(self._nodes[node][0], KeyUse.NOTE, at)
        return tuple(row for row in found if row[1].node == node)

    def sealing_key(self, member: MemberCode, signing: int, at: Instant) -> tuple[KeyId, KeyRecord]:
        """Return the key to which releases for that member are sealed now: its newest valid one, of whatever
        suite.

        ``signing`` is the suite of the key that signs them. Raises TrustError TRUST_EXPIRED,
        TRUST_FINGERPRINT; CryptoError KEM_KEY_UNKNOWN, and SUITE_BELOW_FLOOR if either side's floor forbids
        it.
        """
        theirs = self.need_fresh(member, at)
        if signing < theirs.floor:
            raise _below_floor(
                f"{member} accepts suite {theirs.floor} or higher; this node signs with suite {signing}"
            )
        keys = self._sealing_keys(member, at)
        if not keys:
            raise CryptoError(
                "KEM_KEY_UNKNOWN",
                f"the directory of {member} names no currently valid sealing key of a suite known here",
                hint="releases for it wait until its next directory names one",
            )
        if keys[0][1].suite < self.floor:
            raise _below_floor(
                f"this node accepts suite {self.floor} or higher; {member} has suite {keys[0][1].suite}"
            )
        return keys[0]

    def sealing_keys(self, member: MemberCode, at: Instant) -> tuple[tuple[KeyId, KeyRecord], ...]:
        """Return that member's valid sealing keys that this node accepts, newest first, however old its
        directory: for the envelope of a bundle.
        """
        return tuple(row for row in self._sealing_keys(member, at) if row[1].suite >= self.floor)

    def ratified(self, member: MemberCode) -> Mapping[str, Digest]:
        """Return the treaty id -> text hash pairs that the member's directory names; empty without a
        directory.
        """
        held = self.members.get(member)
        rows = held.directory.ratified if held is not None and held.directory is not None else ()
        return MappingProxyType({row.treaty: row.text for row in rows})

    def _sealing_keys(self, member: MemberCode, at: Instant) -> list[tuple[KeyId, KeyRecord]]:
        return [row for row in self.keys_of(member, KeyUse.SEALING, at) if row[1].suite in self.suites]

    def _signing_keys(self, node: NodeUri, at: Instant) -> list[tuple[KeyId, KeyRecord]]:
        member = self._nodes[node][0] if node in self._nodes else self.own
        usable = [
            row
            for row in self.keys_of(member, KeyUse.SIGNING, at)
            if row[1].node == node and row[1].suite in self.suites
        ]
        if not usable:
            raise _not_valid(node, [record for _, record in self._ever_signing(node)], at)
        return usable

    def _ever_signing(self, node: NodeUri) -> list[tuple[KeyId, KeyRecord]]:
        return [
            (identity, key.record)
            for identity, key in self._keys.items()
            if key.record.use is KeyUse.SIGNING
            and key.record.node == node
            and key.record.suite in self.suites
        ]

    def _check_leaf(self, certificate: bytes, at: Instant, between: Sequence[bytes]) -> tuple[Leaf, Validity]:
        leaf = inspect(certificate)
        found = self._nodes.get(leaf.uri)
        if found is None:
            raise TrustError(
                "PEER_IDENTITY_INVALID",
                "the certificate names no node of any directory held",
                hint="import the member, or exchange directories if the node is new",
            )
        member, node = found
        if leaf.dns != node.dns:
            raise TrustError(
                "PEER_IDENTITY_MISMATCH", f"the certificate's DNS name is not that of {node.uri}"
            )
        checked = leaf, check_issued(certificate, self.authorities(member), at, between)
        while len(self._leaves) >= _MAX_LEAVES:
            self._leaves.pop(next(iter(self._leaves)), None)
        self._leaves[leaf.digest] = checked
        return checked

    def with_forgotten(self, trust: Trust) -> Change:
        """Return the view after a peer has shown a directory of this node's own member, which may have
        forgotten it (``rules.learn_directory``). Raises TrustError, EnvelopeError ENVELOPE_MALFORMED.
        """
        return self._changed(learn_directory(self.members[self.own], trust, self.suites))

    def _changed(self, after: MemberTrust) -> Change:
        if self.members.get(after.member) is after:
            return Change(self, after.member, changed=False)
        for other in self.members.values():
            if other.member != after.member and other.root.domain == after.root.domain:
                raise TrustError(
                    "NOT_AUTHORISED",
                    f"the root of {after.member} claims {after.root.domain}, the domain of {other.member}",
                    hint="two members cannot share a domain: ask both operators whose it is",
                )
        view = _view(self.own, self.suites, {**self.members, after.member: after}, self.excluded)
        return Change(view, after.member, changed=True)


def _view(
    own: MemberCode,
    suites: Suites,
    members: Mapping[MemberCode, MemberTrust],
    excluded: Mapping[MemberCode, Exclusion],
) -> TrustView:
    keys: dict[KeyId, _Key] = {}
    nodes: dict[str, tuple[MemberCode, DirectoryNode]] = {}
    revoked: dict[tuple[MemberCode, Revoked, bytes], Revocation] = {}
    for member, held in members.items():
        directory = held.directory
        for row in held.revocations:
            revoked[member, row.what, row.subject] = row
        for record in records_of(held):
            # Only the member named in a record can vouch for it: listing another member's key has no effect.
            if record.member == member:
                identity = key_id(record)
                keys[identity] = _Key(record, revoked.get((member, Revoked.KEY, identity)))
        for node in directory.nodes if directory is not None else ():
            nodes[node.uri] = (member, node)
    mine = members[own].directory
    return TrustView(
        own=own,
        suites=suites,
        members=MappingProxyType(dict(members)),
        floor=mine.floor if mine is not None else min(suites),
        excluded=MappingProxyType(dict(excluded)),
        _keys=keys,
        _nodes=nodes,
        _revoked=revoked,
        _leaves={},
    )


def _not_valid(node: NodeUri, keys: Sequence[KeyRecord], at: Instant) -> CryptoError:
    early = [record.not_before for record in keys if record.not_before > at]
    if early:
        return CryptoError(
            "SIGNER_NOT_VALID",
            f"{node} has no signing key that is valid now: by this machine's clock it is {show(at)}, and "
            f"its key is valid from {show(min(early))}",
            hint="this machine's clock is behind: compare it with another one (`timedatectl`), set it, and "
            "start the node again; make no key by a wrong clock",
        )
    until = f": the last one was valid until {show(max(one.not_after for one in keys))}" if keys else ""
    return CryptoError(
        "SIGNER_NOT_VALID",
        f"{node} has no signing key that is valid now{until}",
        hint="check this machine's clock first; if it is right: `intelshare vault rotate` makes a key, also "
        "on the folder of a stopped node",
    )


def _below_floor(message: str) -> CryptoError:
    return CryptoError(
        "SUITE_BELOW_FLOOR",
        message,
        hint="one side must change `suite` or `floor` in its node.toml; queued releases wait",
    )


def records_of(held: MemberTrust) -> tuple[KeyRecord, ...]:
    """Return every key in the documents kept of a member."""
    listed = held.directory.keys if held.directory is not None else ()
    return held.root.keys + held.root.directory + held.left_out + listed
