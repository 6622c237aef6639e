"""Two members and a stand-in for the trust documents, for tests of statements and envelopes.

Everything that a test sees is made from one seed (``stream_of``), but for what the library draws itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from both_ways import Recipient
from intelshare.broker.kernel.frame import Carried, Frame
from intelshare.crypto.codec import encode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import (
    Citation,
    Granted,
    KeyRecord,
    KeyUse,
    Kind,
    Portion,
    PortionKind,
    Precedence,
    Release,
)
from intelshare.crypto.suites import SUITE_1, Signer, Suite, Suites, load_signer
from intelshare.envelope import (
    Cleared,
    ClearedPortion,
    EncryptedBulletin,
    Opened,
    Payload,
    SealedBatch,
    SealingKeyHeld,
    encrypt_bulletin,
    first_tip,
    seal,
)
from intelshare.ids import Digest, Incarnation, KeyId, ManifestDigest, MemberCode, NodeUri
from intelshare.instant import DAY, SECOND, Instant
from intelshare.statement import (
    Leaf,
    SignedBatch,
    Statement,
    Verified,
    VerifiedRoots,
    parse_statement,
    read_batch,
    sign_batch,
    verify,
)

FRA, DEU, USA, ITA = (MemberCode(code) for code in ("FRA", "DEU", "USA", "ITA"))
NOW = Instant(1_800_000_000 * SECOND)
LATER = Instant(NOW + 7 * DAY)
INCARNATION = Incarnation(7)


def stream_of(seed: str) -> Callable[[int], bytes]:
    """An endless stream of bytes that depends on the seed alone."""
    count = 0

    def random(length: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{seed}/{count}".encode()).digest(length)

    return random


@dataclass(frozen=True)
class Revoked:
    compromised: bool
    effective: Instant


@dataclass
class Directories:
    """What a member has learnt of keys."""

    records: dict[KeyId, KeyRecord] = field(default_factory=dict)
    revoked: dict[KeyId, Revoked] = field(default_factory=dict)
    expired: set[MemberCode] = field(default_factory=set)
    floor: int = 1

    def key_record(self, key_id: KeyId) -> KeyRecord | None:
        return self.records.get(key_id)

    def directory_fresh(self, member: MemberCode, at: Instant) -> bool:
        return member not in self.expired and at < LATER

    def revocation(self, key_id: KeyId) -> Revoked | None:
        return self.revoked.get(key_id)


def make_key(
    seed: str, member: MemberCode, use: KeyUse, suite: Suite = SUITE_1
) -> tuple[KeyRecord, KeyId, bytes]:
    """A key record valid from an hour before NOW to LATER, its id and its secret."""
    secret = suite.generate(use, stream_of(seed))
    node = NodeUri("" if use is KeyUse.SEALING else f"intelshare://{member.lower()}.test/node/one")
    record = KeyRecord(
        suite.number, member, node, use, suite.public_of(use, secret), Instant(NOW - 3600 * SECOND), LATER
    )
    return record, key_id(record), secret


def make_signer(
    seed: str, member: MemberCode, use: KeyUse = KeyUse.SIGNING, suite: Suite = SUITE_1
) -> Signer:
    record, known_as, secret = make_key(seed, member, use, suite)
    return load_signer(suite, record, known_as, secret)


def text_portion(text: str, label: str = "(S//REL TO USA)") -> Portion:
    return Portion(PortionKind.TEXT, label, "climate", ("raw",), "B2", "text/plain", text.encode())


@dataclass
class Delivery:
    """One release as its recipient gets it; tests replace parts of it."""

    batch: bytes
    statement: Statement
    payload: Payload


@dataclass
class World:
    """FRA sends to USA. ``trust`` is USA's."""

    suites: Suites
    signer: Signer
    kem: KeyRecord
    kem_id: KeyId
    opener_keys: dict[KeyId, SealingKeyHeld]
    trust: Directories
    seed: str
    roots: VerifiedRoots = field(default_factory=VerifiedRoots)
    roots_of_batches: VerifiedRoots = field(default_factory=VerifiedRoots)
    """The batch loops have a cache of their own: a mistake of theirs must not help the readable code."""

    def encrypt(self, *portions: Portion, seed: str = "bulletin") -> EncryptedBulletin:
        return encrypt_bulletin(
            portions,
            self.signer.record.member,
            stream_of(f"{self.seed}/{seed}"),
            created=NOW,
            precedence=Precedence.PRIORITY,
            expires=LATER,
        )

    def clear(self, bulletin: EncryptedBulletin, recipient: MemberCode = USA) -> Cleared:
        citation = Citation("fra-usa-climate-2024", Digest(bytes(range(32))), "3.1")
        return Cleared(
            recipient,
            self.kem_id,
            self.kem,
            bulletin.manifest,
            Precedence.PRIORITY,
            LATER,
            tuple(
                ClearedPortion(
                    Granted(portion.slot, (citation,), ("no onward",)), portion.secret, portion.digest
                )
                for portion in bulletin.portions
            ),
            "SECRET//REL TO USA, FRA",
            Digest(bytes(range(32, 64))),
        )

    def seal(
        self, *cleared: Cleared, seed: str = "seal", incarnation: Incarnation = INCARNATION
    ) -> SealedBatch:
        tips = {
            item.recipient: first_tip(self.signer.record.node, incarnation, item.recipient)
            for item in cleared
        }
        return seal(
            cleared, self.signer, NOW, stream_of(f"{self.seed}/{seed}"), tips=tips, suites=self.suites
        )

    def deliver(self, batch: SealedBatch, number: int, bulletin: EncryptedBulletin) -> Delivery:
        release = batch.releases[number]
        return Delivery(
            batch.batch,
            release.statement,
            Payload(
                batch.batch_keys[release.release.kem],
                release.grant,
                tuple(portion.body for portion in bulletin.portions),
            ),
        )

    def send(self, *texts: str) -> Delivery:
        """One bulletin, honestly sealed to USA."""
        bulletin = self.encrypt(*(text_portion(text) for text in texts or ("hello",)))
        return self.deliver(self.seal(self.clear(bulletin)), 0, bulletin)

    def resign(self, release: Release, nonce: bytes, signer: Signer | None = None) -> SignedBatch:
        """Sign a release of any content: what only a malicious originator can do."""
        return self.sign_data(encode(Release, release), nonce, signer)

    def sign_data(self, data: bytes, nonce: bytes, signer: Signer | None = None) -> SignedBatch:
        leaf = Leaf(Kind.RELEASE, nonce, data)
        return sign_batch([leaf], signer or self.signer, NOW, stream_of("resign"))

    def verify(self, delivery: Delivery, at: Instant = NOW, peer: MemberCode = FRA) -> Verified:
        """Checks 2, 4 and 5."""
        batch = read_batch(delivery.batch)
        told = delivery.statement
        statement = parse_statement(told.kind, told.nonce, told.data, told.proof)
        return verify(statement, batch, peer, at, trust=self.trust, suites=self.suites, roots=self.roots)

    def receive(
        self,
        delivery: Delivery,
        at: Instant = NOW,
        *,
        peer: MemberCode = FRA,
        member: MemberCode = USA,
        held: ManifestDigest | None = None,
        retired: Sequence[KeyId] = (),
    ) -> Opened:
        """Checks 2 to 13, in order, as the broker calls them; the batch loops must say the same."""
        told, payload = delivery.statement, delivery.payload
        carried = Carried(told.kind, told.nonce, told.data, told.proof, payload.grant, payload.bodies)
        frame = Frame(delivery.batch, payload.batch_key, (carried,))
        return self.recipient(member, retired).receive(frame, peer, at, held)

    def recipient(self, member: MemberCode = USA, retired: Sequence[KeyId] = ()) -> Recipient:
        """Reads with the keys and documents of this world."""
        return Recipient(
            member, self.trust, self.suites, self.opener_keys, retired, self.roots, self.roots_of_batches
        )


def make_world(suite: Suite = SUITE_1, seed: str = "world", sealing: Suite | None = None) -> World:
    """``sealing``: the suite of USA's sealing key, if it is not the one that FRA signs with."""
    sealing = sealing or suite
    signer = make_signer(f"{seed}/FRA", FRA, suite=suite)
    kem, kem_id, kem_secret = make_key(f"{seed}/USA", USA, KeyUse.SEALING, sealing)
    return World(
        suites={suite.number: suite, sealing.number: sealing},
        signer=signer,
        kem=kem,
        kem_id=kem_id,
        opener_keys={kem_id: SealingKeyHeld(kem, sealing.load_sealing(kem_secret))},
        trust=Directories({signer.key_id: signer.record}),
        seed=seed,
    )
