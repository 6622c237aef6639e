"""A recipient that reads frames both ways, one release after another and in the batch loops, and compares."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from intelshare.broker.kernel.frame import Carried, Frame
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Kind, Release
from intelshare.crypto.suites import Suites
from intelshare.envelope import (
    Opened,
    OpenedRow,
    Opener,
    Payload,
    SealingKeyHeld,
    body_digest,
    check_deliver_by,
    check_same_bulletin,
    match_payload,
    open_bodies,
    open_grant,
    open_many,
    peek,
    read_claims,
    read_release,
)
from intelshare.errors import IntelshareError
from intelshare.ids import KeyId, ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.statement import (
    VerifiedRoots,
    leaf_id,
    parse_statement,
    read_batch,
    verify,
    verify_evidence,
    verify_many,
)


@dataclass
class Recipient:
    """Who reads, and what it has learnt of keys."""

    member: MemberCode
    trust: Any
    suites: Suites
    keys: Mapping[KeyId, SealingKeyHeld]
    retired: Collection[KeyId] = ()
    roots: VerifiedRoots = field(default_factory=VerifiedRoots)
    roots_of_batches: VerifiedRoots = field(default_factory=VerifiedRoots)
    """The batch loops have a cache of their own: a mistake of theirs must not help the readable code."""

    def check(self, frame: Frame, peer: MemberCode, at: Instant) -> int:
        """Every release is judged alike both ways; how many of them passed."""
        passed = 0
        for row, one in zip(self.rows(frame, peer, at), frame.statements, strict=True):
            try:
                self._judge(row, frame, one, peer, at)
            except IntelshareError:
                continue
            passed += 1
        return passed

    def receive(
        self, frame: Frame, peer: MemberCode, at: Instant, held: ManifestDigest | None = None
    ) -> Opened:
        """Checks 2 to 13 of the one release of a frame. Raises what the readable code raises."""
        (row,) = self.rows(frame, peer, at)
        (one,) = frame.statements
        return self._judge(row, frame, one, peer, at, held)

    def _judge(
        self,
        row: OpenedRow | None,
        frame: Frame,
        one: Carried,
        peer: MemberCode,
        at: Instant,
        held: ManifestDigest | None = None,
    ) -> Opened:
        try:
            opened = self.read(frame, one, peer, at, held)
        except IntelshareError as refused:
            # Whether the bulletin is the same as before is not the loops' question.
            if row is not None and refused.code != "BULLETIN_EQUIVOCATION":
                raise AssertionError(f"the batch loops say yes to {refused.code}") from refused
            raise
        check_agreement(row, opened, one)
        return opened

    def rows(self, frame: Frame, peer: MemberCode, at: Instant) -> tuple[OpenedRow | None, ...]:
        """What the batch loops say."""
        verified = verify_many(
            frame.batch,
            Kind.RELEASE,
            frame.statements,
            peer,
            at,
            trust=self.trust,
            suites=self.suites,
            roots=self.roots_of_batches,
        )
        if verified is None:
            return (None,) * len(frame.statements)
        opener = Opener(self.keys, self.retired)
        return open_many(verified, frame.statements, frame.batch_key, self.member, at, opener).rows

    def read(
        self, frame: Frame, one: Carried, peer: MemberCode, at: Instant, held: ManifestDigest | None = None
    ) -> Opened:
        """What the readable code says, in the order in which the broker asks it."""
        batch = read_batch(frame.batch)
        statement = parse_statement(one.kind, one.nonce, one.data, one.proof)
        verified = verify(statement, batch, peer, at, trust=self.trust, suites=self.suites, roots=self.roots)
        peek(verified, self.member)
        release = read_release(verified)
        payload = match_payload(release, Payload(frame.batch_key, one.grant, one.bodies))
        check_deliver_by(release, at)
        grant = open_grant(verified, release, payload, Opener(self.keys, self.retired))
        claimed = read_claims(
            verified,
            release,
            payload,
            grant,
            at,
            prove_consent=lambda evidence: verify_evidence(
                evidence, trust=self.trust, suites=self.suites, roots=self.roots
            ),
        )
        check_same_bulletin(claimed, held)
        return open_bodies(claimed, payload)


def check_agreement(row: OpenedRow | None, opened: Opened, one: Carried) -> None:
    """The row says what was opened; there is one, unless a consent was carried."""
    claimed = opened.claimed
    claims, manifest = claimed.claims, claimed.manifest
    if claims.consents:
        assert row is None
        return
    assert row is not None, "the batch loops say nothing of an honest release"
    release = decode(Release, one.data)
    assert row.leaf == leaf_id(Kind.RELEASE, one.nonce, one.data)
    assert (row.incarnation, row.number, row.prev, row.precedence) == (
        release.incarnation, release.sequence, release.prev, release.precedence,
    )  # fmt: skip
    assert (row.md, row.bulletin, row.created, row.expires) == (
        claimed.md, manifest.bulletin, manifest.created, manifest.expires,
    )  # fmt: skip
    assert row.claims == claimed.claims_bytes
    assert row.words == (
        tuple(granted.citations for granted in claims.granted),
        tuple(granted.obligations for granted in claims.granted),
        claims.banner,
        claims.supersedes,
        claims.reply,
    )
    assert row.slots == tuple(granted.slot for granted in claims.granted)
    assert row.secrets == list(claimed.secrets)
    assert [
        replace(head, content=content) for head, content in zip(row.heads, row.contents, strict=True)
    ] == [verified.portion for verified in opened.portions]
    assert row.digests == [body_digest(body) for body in one.bodies]
