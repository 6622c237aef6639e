"""Processor time per release of encrypt, seal, open and receipts: readable code beside the batch loops.

python -m bench.envelope [--rounds 7] [--sizes 1 16 64 256] [--recipients 1 30] [--fake-suite]

One thread, one portion a bulletin. Each figure is the least of all rounds, in µs a release (of ``encrypt``:
a bulletin). ``--fake-suite``: with the simulator's suite, whose signatures and encapsulations cost next to
nothing: what is left is what the code costs for each release.

"recipients 30": each bulletin goes to 30 recipients with the same portions; a batch of 16 is then rounded
up to 30 releases. "open" is checks 2 to 13 of one recipient's frame of that many.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from intelshare.crypto.codec import encode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import (
    Citation,
    Evidence,
    Granted,
    KeyRecord,
    KeyUse,
    Kind,
    Portion,
    PortionKind,
    Precedence,
    Receipt,
    ReceiptStatus,
)
from intelshare.crypto.suites import SUITE_1, Signer, Suite, load_signer
from intelshare.envelope import (
    Cleared,
    ClearedPortion,
    EncryptedBulletin,
    Opener,
    Payload,
    SealingKeyHeld,
    Tip,
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
from intelshare.envelope.batch_encrypt import ToEncrypt, encrypt_many
from intelshare.envelope.batch_open import open_many
from intelshare.envelope.batch_seal import SealedMany, seal_many
from intelshare.errors import EnvelopeError
from intelshare.ids import Digest, Incarnation, KeyId, LeafId, MemberCode, NodeUri
from intelshare.instant import NEVER, SECOND, Instant
from intelshare.sim.fake_suite import FAKE_SUITE
from intelshare.statement import (
    Leaf,
    Statement,
    Verified,
    VerifiedRoots,
    parse_statement,
    read_batch,
    sign_batch,
    verify,
)
from intelshare.statement.batch import leaf_ids, sign_many, verify_many
from intelshare.statement.batch_receipts import Answer, encode_receipts, read_receipts

FRA = MemberCode("FRA")
NODE = NodeUri("intelshare://fra.intelshare.internal/node/paris-1")
NOW = Instant(1_800_000_000 * SECOND)
MOST = 256
"""Statements in a batch."""

Run = Callable[[], Any]


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


def key(suite: Suite, member: MemberCode, node: str, use: KeyUse) -> tuple[KeyRecord, KeyId, bytes]:
    secret = suite.generate(use, os.urandom)
    record = KeyRecord(1, member, NodeUri(node), use, suite.public_of(use, secret), Instant(0), NEVER)
    return record, key_id(record), secret


class World:
    """FRA sends to as many members as asked for."""

    def __init__(self, suite: Suite, recipients: int, content: int) -> None:
        self.suites = {suite.number: suite}
        record, signer_id, secret = key(suite, FRA, NODE, KeyUse.SIGNING)
        self.signer: Signer = load_signer(suite, record, signer_id, secret)
        self.trust = OneKey(signer_id, record)
        self.members = [MemberCode(f"X{number:02}") for number in range(recipients)]
        self.kems = {member: key(suite, member, "", KeyUse.SEALING) for member in self.members}
        self.held = {
            known_as: SealingKeyHeld(record, suite.load_sealing(secret))
            for record, known_as, secret in self.kems.values()
        }
        self.tips: dict[MemberCode, Tip] = {
            member: first_tip(NODE, Incarnation(7), member) for member in self.members
        }
        self.portion = Portion(
            PortionKind.TEXT, "(S//REL TO USA, FRA)", "climate", (), "B2", "text/plain", os.urandom(content)
        )
        self.ruling = (Citation("fra-usa-climate-2024", Digest(os.urandom(32)), "3.1"),), ("no onward",)

    def encrypt(self) -> EncryptedBulletin:
        return encrypt_bulletin(
            [self.portion], FRA, os.urandom, created=NOW, precedence=Precedence.ROUTINE, expires=NEVER
        )

    def cleared(self, bulletins: list[EncryptedBulletin], members: list[MemberCode]) -> list[Cleared]:
        """As hand-over clears them: recipients of one bulletin that are granted the same share a tuple."""
        made = []
        for one in bulletins:
            (body,) = one.portions
            portions = (ClearedPortion(Granted(body.slot, *self.ruling), body.secret, body.digest),)
            for member in members:
                record, known_as, _ = self.kems[member]
                made.append(
                    Cleared(
                        member, known_as, record, one.manifest, Precedence.ROUTINE, NEVER, portions,
                        "SECRET//REL TO USA, FRA", Digest(os.urandom(32)),
                    )
                )  # fmt: skip
        return made


@dataclass(frozen=True)
class Told:
    """A statement as a frame carries it."""

    kind: int
    nonce: bytes
    data: bytes
    proof: bytes
    grant: bytes = b""
    bodies: tuple[bytes, ...] = ()


def encrypting(world: World, size: int) -> tuple[Run, Run]:
    asked = [ToEncrypt((world.portion,), NOW, Precedence.ROUTINE, NEVER)] * size

    def readable() -> object:
        return [world.encrypt() for _ in asked]

    return readable, lambda: encrypt_many(asked, FRA, os.urandom)


def sealing(world: World, size: int) -> tuple[Run, Run]:
    bulletins = [world.encrypt() for _ in range(-(-size // len(world.members)))]
    cleared = world.cleared(bulletins, world.members)[:MOST]
    return (
        lambda: seal(cleared, world.signer, NOW, os.urandom, tips=world.tips, suites=world.suites),
        lambda: seal_many(cleared, world.signer, NOW, os.urandom, tips=world.tips, suites=world.suites),
    )


def opening(world: World, size: int) -> tuple[Run, Run]:
    member = world.members[0]
    kem_id = world.kems[member][1]
    bulletins = [world.encrypt() for _ in range(size)]
    sealed: SealedMany = seal_many(
        world.cleared(bulletins, [member]),
        world.signer,
        NOW,
        os.urandom,
        tips=world.tips,
        suites=world.suites,
    )
    frame = [
        Told(Kind.RELEASE, row.nonce, row.data, row.proof, row.grant, (one.portions[0].body,))
        for row, one in zip(sealed.rows, bulletins, strict=True)
    ]
    batch_key = sealed.batch_keys[kem_id]

    def readable() -> None:
        received = read_batch(sealed.batch)
        roots, opener = VerifiedRoots(), Opener(world.held)
        for one in frame:
            statement = parse_statement(one.kind, one.nonce, one.data, one.proof)
            payload = Payload(batch_key, one.grant, one.bodies)
            verified = verify(
                statement, received, FRA, NOW, trust=world.trust, suites=world.suites, roots=roots
            )
            peek(verified, member)
            release = read_release(verified)
            match_payload(release, payload)
            check_deliver_by(release, NOW)
            grant = open_grant(verified, release, payload, opener)
            claimed = read_claims(verified, release, payload, grant, NOW, prove_consent=no_consent)
            open_bodies(claimed, payload)

    def fast() -> None:
        verified = verify_many(
            sealed.batch, Kind.RELEASE, frame, FRA, NOW,
            trust=world.trust, suites=world.suites, roots=VerifiedRoots(),
        )  # fmt: skip
        assert verified is not None
        opened = open_many(verified, frame, batch_key, member, NOW, Opener(world.held))
        assert None not in opened.rows

    return readable, fast


def answering(world: World, size: int) -> tuple[Run, Run]:
    """Receipts made, signed, verified and read."""
    answers = [Answer(LeafId(os.urandom(32)), ReceiptStatus.ACCEPTED) for _ in range(size)]
    to = world.members[0]

    def readable() -> None:
        leaves = [
            Leaf(
                Kind.RECEIPT,
                os.urandom(16),
                encode(Receipt, Receipt(to, one.leaf, one.status, one.codes, NOW)),
            )
            for one in answers
        ]
        signed = sign_batch(leaves, world.signer, NOW, os.urandom)
        received, roots = read_batch(signed.batch), VerifiedRoots()
        for one in signed.statements:
            statement = parse_statement(one.kind, one.nonce, one.data, one.proof)
            verify(statement, received, FRA, NOW, trust=world.trust, suites=world.suites, roots=roots).read(
                Receipt
            )

    def fast() -> None:
        data = encode_receipts(to, answers, NOW)
        drawn = os.urandom(16 * size)
        nonces = [drawn[i : i + 16] for i in range(0, 16 * size, 16)]
        signed = sign_many(leaf_ids(Kind.RECEIPT, nonces, data), world.signer, NOW, os.urandom)
        told = [Statement(Kind.RECEIPT, *parts) for parts in zip(nonces, data, signed.proofs, strict=True)]
        verified = verify_many(
            signed.batch, Kind.RECEIPT, told, FRA, NOW,
            trust=world.trust, suites=world.suites, roots=VerifiedRoots(),
        )  # fmt: skip
        assert verified is not None
        assert None not in read_receipts(verified, to)

    return readable, fast


def no_consent(evidence: Evidence) -> Verified:
    raise EnvelopeError("BATCH_PROOF_INVALID", f"a {evidence.kind.name} that this benchmark never sends")


def best(run: Run, size: int, rounds: int) -> float:
    """The least processor time of a round, in µs a release. Signatures vary by a factor of five: many."""
    repeats = max(1, 1024 // size)
    took = []
    gc.collect()
    for _ in range(rounds):
        start = time.thread_time()
        for _ in range(repeats):
            run()
        took.append((time.thread_time() - start) / repeats / size)
    return min(took) * 1e6


STEPS = {"encrypt": encrypting, "seal": sealing, "open": opening, "receipts": answering}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--recipients", type=int, nargs="+", default=[1, 30])
    parser.add_argument("--content", type=int, default=2048)
    parser.add_argument("--steps", nargs="+", choices=sorted(STEPS), default=list(STEPS))
    parser.add_argument("--fake-suite", action="store_true")
    options = parser.parse_args()
    suite = FAKE_SUITE if options.fake_suite else SUITE_1
    print(f"{'step':<10}{'recipients':>11}{'batch':>7}{'readable µs':>13}{'fast µs':>10}{'ratio':>8}")
    for recipients in options.recipients:
        world = World(suite, recipients, options.content)
        for step in options.steps:
            if recipients > 1 and step != "seal":
                continue  # the same for any number of recipients
            for size in options.sizes:
                readable, fast = STEPS[step](world, size)
                count = min(MOST, -(-size // recipients) * recipients)
                costs = [best(run, count, options.rounds) for run in (readable, fast)]
                print(
                    f"{step:<10}{recipients:>11}{count:>7}{costs[0]:>13.1f}{costs[1]:>10.1f}"
                    f"{costs[0] / costs[1]:>8.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
