"""Hello: both sides of a new link sign who they are, over the dialler's TLS leaf, before anything else.

The hello is the channel binding that gRPC's client lacks (it cannot see the server's certificate); it also
shows each node what the other has forgotten. It consists of three messages, each a record (docs/format.md,
"Hello"):

    dialler  -> acceptor   Opening {nonce A}
    acceptor -> dialler    Proof {nonce B, payload, signature}
    dialler  -> acceptor   Proof {nonce A, payload, signature}

Checks of a proof, in this order; the first that fails gives the code and the link is closed:

    layout; the nonce is the one expected ............. ENVELOPE_MALFORMED; SIGNATURE_INVALID
    the key is in a directory held .................... SIGNER_UNKNOWN
    and of the node that TLS (or the dial) named ...... PEER_IDENTITY_MISMATCH
    for signing ....................................... SIGNER_NOT_AUTHORISED
    its suite known, at or above our floor ............ SUITE_UNKNOWN, SUITE_BELOW_FLOOR
    valid now, not revoked ............................ SIGNER_NOT_VALID, SIGNER_REVOKED
    the signature ..................................... SIGNATURE_INVALID
    the payload's layout .............................. ENVELOPE_MALFORMED

A proof reflected to its sender names the sender's own key: PEER_IDENTITY_MISMATCH. One of an earlier
connection or under another leaf signs other bytes: SIGNATURE_INVALID. Freshness is not required, because the
directory that restores it may follow. This module is pure: the caller sends and receives the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

from intelshare.crypto.codec import B16, B32, U16, U63, Bytes32, Count, decode, encode, record
from intelshare.crypto.pae import Domain, pae, u16
from intelshare.crypto.records import (
    Cosigned,
    IncarnationId,
    KeyRecord,
    KeyRef,
    KeyUse,
    Member,
    StreamHead,
    Time,
)
from intelshare.crypto.suites import Context, Random, Signer, verify_signature
from intelshare.errors import CryptoError, TrustError
from intelshare.ids import KeyId, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.trust.view import TrustView

NONCE_LENGTH: Final = 32


class Role(IntEnum):
    """The side that signs: it is part of the message, so that neither side's proof passes for the other's."""

    DIALLER = 1
    ACCEPTOR = 2


@record
class Opening:
    """The first message."""

    nonce: Bytes32


@record
class DocumentVersions:
    """The versions of one member's documents that the sender holds; 0 if it holds none."""

    member: Member
    root: U63
    directory: U63


@record
class HelloPayload:
    """A node's statement about itself when a link opens."""

    time: Time
    suites: Annotated[tuple[U16, ...], Count(1, 16)]
    documents: Annotated[tuple[DocumentVersions, ...], Count(0, 1024)]
    """The documents of the sender's member and of the receiver's: each learns what the other lacks."""
    incarnation: IncarnationId
    heads: Annotated[tuple[StreamHead, ...], Count(0, 64)]
    """The sender's streams to the receiver, the present one first."""
    checkpoint: Annotated[tuple[Cosigned, ...], Count(0, 1)]
    """The latest checkpoint of the receiver's log that the sender holds."""


@record
class Proof:
    """The second and the third message."""

    key: KeyRef
    nonce: Bytes32
    payload: B32
    signature: B16


@dataclass(frozen=True, slots=True)
class Channel:
    """The facts about a connection that both sides know before either has signed."""

    dialler: NodeUri
    acceptor: NodeUri
    leaf: bytes
    """The SHA-256 of the DER of the dialler's TLS leaf (``x509.Leaf.digest``)."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A hello under way; on the acceptor's side, after it has answered."""

    channel: Channel
    nonce_a: bytes
    nonce_b: bytes


@dataclass(frozen=True, slots=True)
class PeerHello:
    """The facts that the other side has proved."""

    member: MemberCode
    node: NodeUri
    key: KeyId
    payload: HelloPayload
    offset: int
    """The peer's clock minus this node's, in microseconds, as far as the message's travel time allows."""


def open_hello(random: Random) -> tuple[bytes, bytes]:
    """Make the first message as the dialler; return it with the nonce to keep."""
    nonce = random(NONCE_LENGTH)
    return encode(Opening, Opening(nonce)), nonce


def answer_hello(
    message: bytes, channel: Channel, signer: Signer, payload: HelloPayload, *, random: Random
) -> tuple[bytes, Pending]:
    """Make the signed second message as the acceptor. Raises EnvelopeError ENVELOPE_MALFORMED."""
    pending = Pending(channel, decode(Opening, message).nonce, random(NONCE_LENGTH))
    return _prove(Role.ACCEPTOR, pending, signer, payload), pending


def check_answer(
    message: bytes, channel: Channel, nonce: bytes, at: Instant, *, view: TrustView
) -> tuple[PeerHello, Pending]:
    """Check, as the dialler, what the acceptor proved. The codes are listed at the top of this module."""
    proof = decode(Proof, message)
    pending = Pending(channel, nonce, proof.nonce)
    return _check(Role.ACCEPTOR, proof, pending, at, view), pending


def confirm_hello(pending: Pending, signer: Signer, payload: HelloPayload) -> bytes:
    """Make the signed third message as the dialler."""
    return _prove(Role.DIALLER, pending, signer, payload)


def check_confirmation(message: bytes, pending: Pending, at: Instant, *, view: TrustView) -> PeerHello:
    """Check, as the acceptor, what the dialler proved; the link is then open. The codes are listed at the top
    of this module.
    """
    proof = decode(Proof, message)
    if proof.nonce != pending.nonce_a:
        raise CryptoError("SIGNATURE_INVALID", "the hello confirms a different connection")
    return _check(Role.DIALLER, proof, pending, at, view)


def _prove(role: Role, pending: Pending, signer: Signer, payload: HelloPayload) -> bytes:
    raw = encode(HelloPayload, payload)
    message = hello_message(role, pending, signer.record.suite, signer.key_id, raw)
    nonce = pending.nonce_a if role is Role.DIALLER else pending.nonce_b
    return encode(Proof, Proof(signer.key_id, nonce, raw, signer.sign(message, Context.HELLO)))


def hello_message(role: Role, pending: Pending, suite: int, key: KeyId, payload: bytes) -> bytes:
    """Return the bytes that this side's signature covers."""
    channel = pending.channel
    return pae(
        Domain.HELLO,
        u16(suite),
        key,
        bytes([role]),
        pending.nonce_a,
        pending.nonce_b,
        channel.dialler.encode(),
        channel.acceptor.encode(),
        channel.leaf,
        payload,
    )


def _check(role: Role, proof: Proof, pending: Pending, at: Instant, view: TrustView) -> PeerHello:
    expected = pending.channel.dialler if role is Role.DIALLER else pending.channel.acceptor
    key = signer_of(proof.key, expected, "hello", at, view)
    message = hello_message(role, pending, key.suite, proof.key, proof.payload)
    verify_signature(view.suites[key.suite], key.public, Context.HELLO, message, proof.signature)
    payload = decode(HelloPayload, proof.payload)
    return PeerHello(key.member, expected, proof.key, payload, payload.time - at)


def signer_of(identity: KeyId, node: NodeUri, what: str, at: Instant, view: TrustView) -> KeyRecord:
    """Return the record of the key with which a node signs a hello, or the head of a bundle (``what``), at
    ``at``.

    Raises CryptoError SIGNER_UNKNOWN, SIGNER_NOT_AUTHORISED, SUITE_UNKNOWN, SUITE_BELOW_FLOOR,
    SIGNER_NOT_VALID, SIGNER_REVOKED; TrustError PEER_IDENTITY_MISMATCH.
    """
    key = view.key_record(identity)
    if key is None:
        raise CryptoError(
            "SIGNER_UNKNOWN",
            f"the {what} of {node} is signed by a key that is in no directory held here",
            hint="its directory changed while there was no link: import its member file or a courier bundle",
        )
    listed = view.node(node)
    if key.node != node or listed is None or listed[0] != key.member:
        raise TrustError(
            "PEER_IDENTITY_MISMATCH",
            f"this {what} claims to be from {node}, but is signed by a key of {key.node or key.member}",
        )
    if key.use is not KeyUse.SIGNING:
        raise CryptoError("SIGNER_NOT_AUTHORISED", f"a {key.use.name} key may not sign a {what}")
    if key.suite not in view.suites:
        raise CryptoError("SUITE_UNKNOWN", f"the {what} is signed with suite {key.suite}, unknown here")
    if key.suite < view.floor:
        raise CryptoError("SUITE_BELOW_FLOOR", f"suite {key.suite} is below our floor, suite {view.floor}")
    if not key.not_before <= at < key.not_after:
        raise CryptoError("SIGNER_NOT_VALID", f"the key that signed the {what} of {node} was not valid then")
    revocation = view.revocation(identity)
    if revocation is not None and revocation.holds(at):
        raise CryptoError("SIGNER_REVOKED", f"the key that signed the {what} of {node} was revoked")
    return key
