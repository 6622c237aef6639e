"""Cost per release of seal and of verify + open (checks 2 to 13), one thread, one 2 KiB portion each.

python bench/envelope.py [batch sizes]        default: 1 16 64 256
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from intelshare.crypto.pae import key_id
from intelshare.crypto.records import (
    Citation,
    Evidence,
    Granted,
    KeyRecord,
    KeyUse,
    Portion,
    PortionKind,
    Precedence,
)
from intelshare.crypto.suites import SUITE_1, SUITES, load_signer
from intelshare.envelope import (
    Cleared,
    ClearedPortion,
    Opener,
    Payload,
    SealedBatch,
    SealingKeyHeld,
    check_deliver_by,
    encrypt_bulletin,
    first_tip,
    match_payload,
    open_bodies,
    open_grant,
    peek,
    read_claims,
    read_release,
    seal,
)
from intelshare.errors import EnvelopeError
from intelshare.ids import Digest, Incarnation, KeyId, MemberCode, NodeUri
from intelshare.instant import NEVER, SECOND, Instant
from intelshare.statement import Verified, VerifiedRoots, parse_statement, read_batch, verify

FRA, USA = MemberCode("FRA"), MemberCode("USA")
NODE = NodeUri("intelshare://fra.intelshare.internal/node/paris-1")
NOW = Instant(1_800_000_000 * SECOND)


@dataclass
class OneKey:
    """Trust in a single signing key."""

    key: KeyId
    record: KeyRecord
    floor: int = 1
    revoked: dict[KeyId, None] = field(default_factory=dict)

    def key_record(self, key_id: KeyId) -> KeyRecord | None:
        return self.record if key_id == self.key else None

    def directory_fresh(self, member: MemberCode, at: Instant) -> bool:
        return member == self.record.member and at < NEVER

    def revocation(self, key_id: KeyId) -> None:
        return self.revoked.get(key_id)


def key(member: MemberCode, node: str, use: KeyUse) -> tuple[KeyRecord, KeyId, bytes]:
    secret = SUITE_1.generate(use, os.urandom)
    record = KeyRecord(1, member, NodeUri(node), use, SUITE_1.public_of(use, secret), Instant(0), NEVER)
    return record, key_id(record), secret


def main(sizes: list[int]) -> None:
    record, signer_id, secret = key(FRA, NODE, KeyUse.SIGNING)
    signer = load_signer(SUITE_1, record, signer_id, secret)
    kem, kem_id, kem_secret = key(USA, "", KeyUse.SEALING)
    held = {kem_id: SealingKeyHeld(kem, SUITE_1.load_sealing(kem_secret))}
    trust = OneKey(signer_id, record)
    portion = Portion(
        PortionKind.TEXT, "(S//REL TO USA, FRA)", "climate", (), "B2", "text/plain", os.urandom(2048)
    )
    encrypted = encrypt_bulletin(
        [portion], FRA, os.urandom, created=NOW, precedence=Precedence.ROUTINE, expires=NEVER
    )
    (body,) = encrypted.portions
    citation = Citation("fra-usa-climate-2024", Digest(os.urandom(32)), "3.1")
    cleared = Cleared(
        USA,
        kem_id,
        kem,
        encrypted.manifest,
        Precedence.ROUTINE,
        NEVER,
        (ClearedPortion(Granted(body.slot, (citation,), ()), body.secret, body.digest),),
        "SECRET//REL TO USA, FRA",
        Digest(os.urandom(32)),
    )
    tips = {USA: first_tip(NODE, Incarnation(7), USA)}

    def sealed(size: int) -> SealedBatch:
        return seal([cleared] * size, signer, NOW, os.urandom, tips=tips)

    def opened(batch: SealedBatch) -> None:
        received = read_batch(batch.batch)
        roots, opener = VerifiedRoots(), Opener(held)
        for item in batch.releases:
            s = item.statement
            statement = parse_statement(s.kind, s.nonce, s.data, s.proof)
            payload = Payload(batch.batch_keys[kem_id], item.grant, (body.body,))
            verified = verify(statement, received, FRA, NOW, trust=trust, suites=SUITES, roots=roots)
            peek(verified, USA)
            release = read_release(verified)
            match_payload(release, payload)
            check_deliver_by(release, NOW)
            grant = open_grant(verified, release, payload, opener)
            claimed = read_claims(verified, release, payload, grant, NOW, prove_consent=no_consent)
            open_bodies(claimed, payload)

    print(f"release {len(sealed(1).releases[0].statement.data)} B")
    print(f"{'batch':>6} {'seal µs':>9} {'verify+open µs':>15}   per release, best of 5")
    for size in sizes:
        batch = sealed(size)
        seal_cost = best(lambda size=size: sealed(size), size)  # type: ignore[misc]
        open_cost = best(lambda batch=batch: opened(batch), size)  # type: ignore[misc]
        print(f"{size:>6} {seal_cost:>9.1f} {open_cost:>15.1f}")


def no_consent(evidence: Evidence) -> Verified:
    raise EnvelopeError("BATCH_PROOF_INVALID", f"a {evidence.kind.name} that this benchmark never sends")


def best(run: Callable[[], object], size: int) -> float:
    rounds = max(1, 1024 // size)
    took = []
    gc.collect()
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(rounds):
            run()
        took.append((time.perf_counter() - start) / rounds / size)
    return min(took) * 1e6


if __name__ == "__main__":
    main([int(arg) for arg in sys.argv[1:]] or [1, 16, 64, 256])
