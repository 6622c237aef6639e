"""The head of a courier bundle: it takes the place of the hello where there is no connection.

The node that wrote the bundle signs, for one member, what it would say in a hello. The signature covers the
bundle's prefix: the sealed file key and the header of the stream. Only the writer and the recipient know that
key, so everything that follows in the stream comes from the writer. The trust documents in the head are
judged before its signature, each separately: one that succeeds a document held here is accepted, so that a
renewed directory arrives together with whatever depends on it.

Nothing in a bundle is fresh. The signature is judged at the time of signing, like that of a statement, and
whatever the head says is treated as old news (docs/decisions/0050).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from intelshare.crypto.codec import B16, B32, Count, decode, encode, record
from intelshare.crypto.pae import Domain, pae, sha256, u16, u64
from intelshare.crypto.records import KeyRecord, KeyRef, Member, Node, Time, Trust
from intelshare.crypto.suites import Context, Signer, verify_signature
from intelshare.errors import CryptoError, EnvelopeError, IntelshareError, TrustError
from intelshare.ids import KeyId, MemberCode, NodeUri
from intelshare.instant import MAX_AHEAD, SECOND, Instant
from intelshare.trust.hello import HelloPayload, PeerHello, signer_of
from intelshare.trust.view import TrustView

MAX_DOCUMENTS: Final = 64
"""The most documents in one head: the newest roots, and the directory."""


@record
class BundleHead:
    """A node's hello, and the member it is for."""

    to: Member
    hello: HelloPayload


@record
class SignedHead:
    """The first message of a bundle."""

    node: Node
    documents: Annotated[tuple[B32, ...], Count(0, MAX_DOCUMENTS)]
    """The trust records of the writer's member, roots in order and then the directory; each proves itself."""
    key: KeyRef
    signed_at: Time
    head: B32
    signature: B16


@dataclass(frozen=True, slots=True)
class CourierHello:
    """A head whose signature is valid."""

    peer: PeerHello
    documents: tuple[Trust, ...]
    """The documents that succeed what is held here, in their order."""
    signed_at: Instant


def bundle_key(view: TrustView, member: MemberCode, at: Instant) -> tuple[KeyId, KeyRecord]:
    """Return the newest valid sealing key of that member, for a bundle; an expired directory does not matter,
    because the bundle may bring the one that replaces it.

    Raises TrustError TRUST_FINGERPRINT, PEER_REVOKED; CryptoError KEM_KEY_UNKNOWN.
    """
    if member not in view.members or member == view.own:
        raise TrustError(
            "TRUST_FINGERPRINT",
            f"{member} is not a member that this node knows",
            hint="`intelshare member import` makes it known",
        )
    view.need_dealing(member)
    for identity, key in view.sealing_keys(member, at):
        return identity, key
    raise CryptoError(
        "KEM_KEY_UNKNOWN",
        f"this node holds no sealing key of {member} that is valid now",
        hint="import a bundle from it, or its member file, first",
    )


def own_documents(view: TrustView) -> tuple[bytes, ...]:
    """Return the encoded documents of this node's member, for a head."""
    own = view.members[view.own]
    last = [own.directory_signed] if own.directory_signed is not None else []
    return tuple([encode(Trust, one) for one in [*own.roots[-(MAX_DOCUMENTS - 1) :], *last]])


def sign_head(
    prefix: bytes, node: NodeUri, documents: Sequence[bytes], head: BundleHead, signer: Signer
) -> bytes:
    """Return the signed head: the first message of the bundle with this prefix."""
    raw, at = encode(BundleHead, head), head.hello.time
    message = head_message(signer.record.suite, signer.key_id, prefix, at, raw)
    signature = signer.sign(message, Context.BUNDLE)
    return encode(SignedHead, SignedHead(node, tuple(documents), signer.key_id, at, raw, signature))


def check_head(raw: bytes, prefix: bytes, at: Instant, *, view: TrustView) -> CourierHello:
    """Check the head of a bundle, and return what its writer has proved.

    Raises EnvelopeError ENVELOPE_MALFORMED, CLOCK_SKEW, WRONG_RECIPIENT; CryptoError and TrustError of
    ``hello.signer_of``, SIGNATURE_INVALID; TrustError PEER_REVOKED, NOT_AUTHORISED (a bundle of this member).
    """
    signed = decode(SignedHead, raw)
    after, learnt = _learn(signed.documents, at, view)
    if signed.signed_at > at + MAX_AHEAD:
        raise EnvelopeError(
            "CLOCK_SKEW",
            f"the bundle was signed {(signed.signed_at - at) / SECOND:.0f} s ahead of this node's clock",
            hint="compare both clocks with a time server, then import it again",
        )
    key = signer_of(signed.key, signed.node, "bundle", signed.signed_at, after)
    if key.member == view.own:
        raise TrustError("NOT_AUTHORISED", "this bundle was written by a node of this member")
    after.need_node(signed.node, at)
    message = head_message(key.suite, signed.key, prefix, signed.signed_at, signed.head)
    verify_signature(after.suites[key.suite], key.public, Context.BUNDLE, message, signed.signature)
    head = decode(BundleHead, signed.head)
    if head.to != view.own:
        raise EnvelopeError("WRONG_RECIPIENT", f"the bundle was written for {head.to}")
    documents = tuple([one for one, member in learnt if member == key.member])
    return CourierHello(
        PeerHello(key.member, signed.node, signed.key, head.hello, 0), documents, signed.signed_at
    )


def head_message(suite: int, key: KeyId, prefix: bytes, at: Instant, head: bytes) -> bytes:
    """Return the bytes that the signature of a head covers."""
    return pae(Domain.BUNDLE_HEAD, u16(suite), key, sha256(prefix), u64(at), head)


def _learn(
    documents: Sequence[bytes], at: Instant, view: TrustView
) -> tuple[TrustView, tuple[tuple[Trust, MemberCode], ...]]:
    """Return the view with every document that succeeds one held; older or invalid ones are passed over."""
    taken = []
    for raw in documents:
        trust = decode(Trust, raw)
        try:
            change = view.with_document(trust, at)
        except IntelshareError:
            continue
        if change.changed and change.member != view.own:
            view = change.view
            taken.append((trust, change.member))
    return view, tuple(taken)
