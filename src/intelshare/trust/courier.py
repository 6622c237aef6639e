"""The head of a courier bundle: what takes the place of the hello where there is no connection.

The node that wrote the bundle signs what it would say in a hello, for one member, over the bundle's prefix:
the sealed file key and the header of the stream. Only it and the recipient know that key, so that all that
follows in the stream is its word. The head's trust documents are judged before its signature, each by itself:
one that succeeds what is held here counts, so that a renewed directory arrives with what needs it.

Nothing in a bundle is fresh. The signature is judged at the time of signing, as that of a statement is, and
whatever the head says is taken as old news (docs/decisions/0050).
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
from intelshare.instant import SECOND, Instant
from intelshare.trust.hello import HelloPayload, PeerHello, signer_of
from intelshare.trust.view import TrustView

MAX_DOCUMENTS: Final = 64
"""Of one head: the newest roots, and the directory."""

AHEAD: Final = 300 * SECOND
"""How far the writer's clock may be ahead, as for statements."""


@record
class BundleHead:
    """What the node says, for whom."""

    to: Member
    hello: HelloPayload


@record
class SignedHead:
    """The first message of a bundle."""

    node: Node
    documents: Annotated[tuple[B32, ...], Count(0, MAX_DOCUMENTS)]
    """Trust records of its member, roots in order and then the directory: each proves itself."""
    key: KeyRef
    signed_at: Time
    head: B32
    signature: B16


@dataclass(frozen=True, slots=True)
class CourierHello:
    """A head whose signature holds."""

    peer: PeerHello
    documents: tuple[Trust, ...]
    """Those that succeed what is held here, in their order."""
    signed_at: Instant


def bundle_key(view: TrustView, member: MemberCode, at: Instant) -> tuple[KeyId, KeyRecord]:
    """The key to which a bundle for that member is sealed: its newest valid one, also of a directory that has
    expired, because what follows may heal that.

    Raises TrustError TRUST_FINGERPRINT, PEER_REVOKED; CryptoError KEM_KEY_UNKNOWN.
    """
    if member not in view.members or member == view.own:
        raise TrustError(
            "TRUST_FINGERPRINT",
            f"{member} is no member that this node has met",
            hint="`intelshare member import` makes it known",
        )
    view.need_dealing(member)
    for identity, key in view.sealing_keys(member, at):
        return identity, key
    raise CryptoError(
        "KEM_KEY_UNKNOWN",
        f"no sealing key of {member} that is held here is valid now",
        hint="import a bundle of it, or its member file, first",
    )


def own_documents(view: TrustView) -> tuple[bytes, ...]:
    """The own member's documents, for a head."""
    own = view.members[view.own]
    last = [own.directory_signed] if own.directory_signed is not None else []
    return tuple([encode(Trust, one) for one in [*own.roots[-(MAX_DOCUMENTS - 1) :], *last]])


def sign_head(
    prefix: bytes, node: NodeUri, documents: Sequence[bytes], head: BundleHead, signer: Signer
) -> bytes:
    """The first message of the bundle with this prefix."""
    raw, at = encode(BundleHead, head), head.hello.time
    message = head_message(signer.record.suite, signer.key_id, prefix, at, raw)
    signature = signer.sign(message, Context.BUNDLE)
    return encode(SignedHead, SignedHead(node, tuple(documents), signer.key_id, at, raw, signature))


def check_head(raw: bytes, prefix: bytes, at: Instant, *, view: TrustView) -> CourierHello:
    """What the writer of a bundle has proved.

    Raises EnvelopeError ENVELOPE_MALFORMED, CLOCK_SKEW, WRONG_RECIPIENT; CryptoError and TrustError of
    ``hello.signer_of``, SIGNATURE_INVALID; TrustError PEER_REVOKED, NOT_AUTHORISED (a bundle of this member).
    """
    signed = decode(SignedHead, raw)
    after, learnt = _learn(signed.documents, at, view)
    if signed.signed_at > at + AHEAD:
        raise EnvelopeError(
            "CLOCK_SKEW",
            f"the bundle was signed {(signed.signed_at - at) / SECOND:.0f} s ahead of our clock",
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
    """What the signature of a head covers."""
    return pae(Domain.BUNDLE_HEAD, u16(suite), key, sha256(prefix), u64(at), head)


def _learn(
    documents: Sequence[bytes], at: Instant, view: TrustView
) -> tuple[TrustView, tuple[tuple[Trust, MemberCode], ...]]:
    """The view with what succeeds what is held; what is older, or does not hold, is passed over."""
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
