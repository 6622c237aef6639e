"""Acceptance of one release: checks 6 to 15 of attacks.md, in order.

6   for this member, from the signing key's node       rejected
7   the whole record                                   refused
8   the payload is what was signed; the disk
    has room for it (DISK_FULL)                        rejected
9   incarnation, number, neighbours; cancelled         rejected; refused
10  deliver-by                                         refused
11  batch key and grant                                refused
12  claims and manifest; the same bulletin as before;
    neither recalled nor destroyed before              refused
13  bodies, commitments, records, labels, banner       refused
14  this node's policy; the citations                  refused
15  inbox, receipt, log: one plan                      accepted
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from intelshare.audit.records import EntryType, Received
from intelshare.broker.exchange.rfi import note_received
from intelshare.broker.kernel.counters import INBOX_COUNTER
from intelshare.broker.kernel.decide_pair import PairDecision, decide_pair
from intelshare.broker.kernel.frame import Carried, rank
from intelshare.broker.kernel.inbound import Inbound, Refusal, known_row
from intelshare.broker.kernel.portion_secrets import put_secret
from intelshare.broker.kernel.shortage import need_disk
from intelshare.broker.kernel.tables import (
    INBOX,
    PORTION,
    RECALLED,
    RECEIVED,
    InboxRow,
    PortionRow,
)
from intelshare.broker.lifecycle.attachments import want
from intelshare.broker.lifecycle.destroy import Gone, due_of
from intelshare.broker.lifecycle.duties import note_duties
from intelshare.broker.lifecycle.relations import keep, named_in
from intelshare.broker.lifecycle.streams import number
from intelshare.bulletin import check_content
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Citation, Portion, ReceiptStatus, Release, ReleasePeek
from intelshare.envelope import (
    Claimed,
    Given,
    Opened,
    Payload,
    body_digest,
    check_deliver_by,
    check_same_bulletin,
    match_payload,
    open_bodies,
    open_grant,
    peek,
    read_claims,
    read_release,
)
from intelshare.errors import CryptoError, EnvelopeError, LabelError
from intelshare.ids import BulletinId, Digest, ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.labels import Label, level_reference
from intelshare.statement import Verified, verify_evidence

_JUDGED_UNKNOWN = frozenset(("UNKNOWN_MEMBER", "UNKNOWN_LEVEL"))
"""Label errors that count as a policy decision (attacks.md row 16): old or foreign codes, not bad grammar."""

_SAID_BY_CONTENT = frozenset(("MARKING_CONFLICT", "INPUT_INVALID"))
"""Errors of content that states its markings itself (attacks.md row 71)."""


def accept(inbound: Inbound, verified: Verified, carried: Carried) -> None:
    """Accept the release, or raise ``Refusal`` (a receipt reports it) or IntelshareError (rejected)."""
    tx = inbound.tx
    node, now = tx.node, tx.now
    start = peek(verified, node.member)
    payload = Payload(inbound.batch_key, carried.grant, carried.bodies)
    unreadable: Refusal | None = None
    try:
        release = read_release(verified)
        match_payload(release, payload)
        need_disk(node.lacks, release.precedence)
        _need_clock(inbound, release)
    except EnvelopeError as bad:
        if bad.code in ("SEALED_HASH_MISMATCH", "CLOCK_SKEW"):
            raise
        unreadable = Refusal((bad.code,), start)
    voided = number(inbound, verified.leaf, start)
    if unreadable is not None:
        raise unreadable
    if voided:
        raise Refusal(("VOIDED",), start)
    claimed: Claimed | None = None
    try:
        check_deliver_by(release, now)
        grant = open_grant(verified, release, payload, inbound.opener)
        claimed = read_claims(
            verified,
            release,
            payload,
            grant,
            now,
            prove_consent=partial(verify_evidence, trust=node.trust, suites=node.suites, roots=node.roots),
        )
        bulletin = (claimed.manifest.originator, claimed.manifest.bulletin)
        check_same_bulletin(claimed, _held(inbound, *bulletin))
        _check_not_over(inbound, claimed)
        opened = open_bodies(claimed, payload)
        obligations = decide_release(inbound, _brought(verified, opened))
    except (EnvelopeError, CryptoError) as bad:
        raise Refusal((bad.code,), start, claimed.md if claimed is not None else None) from None
    except Denied as denied:
        raise Refusal(denied.codes, start, claimed.md if claimed is not None else None) from None
    _store(inbound, verified, release, start, payload, opened, obligations)


def _need_clock(inbound: Inbound, release: Release) -> None:
    """Reject, and do not refuse for good, what is over by a clock that may be wrong."""
    if not inbound.tx.node.confirmed and inbound.tx.now >= release.deliver_by:
        raise EnvelopeError(
            "CLOCK_SKEW",
            "the release came after its deliver-by, by a clock that nobody has confirmed since the start",
            hint="`intelshare node clock` at the recipient shows it; the sender tries again",
        )


def _held(inbound: Inbound, originator: MemberCode, bulletin: BulletinId) -> ManifestDigest | None:
    if (originator, bulletin) in inbound.bulletins:
        return inbound.bulletins[originator, bulletin]
    known = inbound.tx.view.find(INBOX, "bulletin", originator, bulletin, limit=1)
    return known[0].md if known else None


def _check_not_over(inbound: Inbound, claimed: Claimed) -> None:
    """Refuse what was recalled or destroyed: it never comes back, whatever the clock says (promise P10)."""
    tx, originator = inbound.tx, claimed.manifest.originator
    if tx.get(RECALLED, originator, claimed.md) is not None:
        raise Denied("BULLETIN_RECALLED")
    held = tx.get(INBOX, claimed.md)
    if held is not None and held.gone != Gone.NO:
        raise Denied("EXPIRED")


class Denied(Exception):
    """A denial by this member's law, or because the bulletin was destroyed before, with its codes."""

    def __init__(self, *codes: str) -> None:
        super().__init__(*codes)
        self.codes = codes


@dataclass(frozen=True, slots=True)
class OpenedRelease:
    """The input to this member's decision: the opened portions, and what their grant says of them."""

    originator: MemberCode
    expires: Instant
    signed_at: Instant
    banner: str
    slots: Sequence[int]
    portions: Sequence[Portion]
    citations: Sequence[tuple[Citation, ...]]
    """The citations for each portion."""
    obligations: Sequence[tuple[str, ...]]
    """The obligations of each portion."""
    consents: Sequence[Given] = ()


def _brought(verified: Verified, opened: Opened) -> OpenedRelease:
    claims, manifest = opened.claimed.claims, opened.claimed.manifest
    return OpenedRelease(
        manifest.originator,
        manifest.expires,
        verified.batch.record.signed_at,
        claims.banner,
        [one.slot for one in opened.portions],
        [one.portion for one in opened.portions],
        [granted.citations for granted in claims.granted],
        [granted.obligations for granted in claims.granted],
        opened.claimed.consents,
    )


def decide_release(inbound: Inbound, brought: OpenedRelease) -> frozenset[str]:
    """Decide by labels, banner and this member's law (the end of check 13, and 14); return all obligations.

    Obligations come from the grant and from this member's law. Raises Denied. The outcome depends on
    everything in ``brought``; on ``expires`` only through whether that time has passed, now and at the time
    of signing.
    """
    labels = _labels(inbound, brought.portions)
    _check_banner(inbound, brought.banner, labels)
    own = _decide(inbound, brought, labels)
    carried = [word for obligations in brought.obligations for word in obligations]
    return frozenset(carried).union(*[portion.ruling.decision.obligations for portion in own.portions])


def _labels(inbound: Inbound, portions: Sequence[Portion]) -> list[Label]:
    node, now = inbound.tx.node, inbound.tx.now
    labels = []
    for portion in portions:
        try:
            labels.append(node.labels.read(portion.label))
            check_content(portion, labels[-1], inbound.member, node.world.registry, now)
        except LabelError as bad:
            if bad.code in _SAID_BY_CONTENT:
                raise Denied(bad.code) from None
            if bad.code in _JUDGED_UNKNOWN:
                raise Denied("POLICY_DENIED", bad.code) from None
            raise Denied("LABEL_INVALID") from None
    return labels


def _check_banner(inbound: Inbound, told: str, labels: Sequence[Label]) -> None:
    node, now = inbound.tx.node, inbound.tx.now
    registry = node.world.registry
    try:
        banner = level_reference(node.labels.read(told), registry, now)
    except LabelError:
        raise Denied("BANNER_MISMATCH") from None
    highest = [level for label in labels if (level := level_reference(label, registry, now)) is not None]
    if banner is None or (highest and banner < max(highest)):
        raise Denied("BANNER_MISMATCH")


def _decide(inbound: Inbound, brought: OpenedRelease, labels: Sequence[Label]) -> PairDecision:
    """Decide by this member's law now (check 14); compare the citations, now and at the time of signing."""
    node, now = inbound.tx.node, inbound.tx.now
    pair = _decide_at(inbound, brought, labels, now)
    if node.world.at(brought.signed_at) is not node.world.at(now):
        _check_citations(brought, _decide_at(inbound, brought, labels, brought.signed_at))
    _check_citations(brought, pair)
    return pair


def _decide_at(
    inbound: Inbound, brought: OpenedRelease, labels: Sequence[Label], at: Instant
) -> PairDecision:
    node = inbound.tx.node
    pair = decide_pair(
        node,
        list(zip(brought.slots, brought.portions, labels, strict=True)),
        node.member,
        at,
        valid_until=brought.expires,
        sender=inbound.member,
        originator=brought.originator,
        consents=brought.consents,
        released=True,
    )
    if len(pair.granted) < len(pair.portions):
        raise Denied("POLICY_DENIED", *pair.codes)
    return pair


def _check_citations(brought: OpenedRelease, pair: PairDecision) -> None:
    for given, judged in zip(brought.citations, pair.portions, strict=True):
        own = judged.ruling.cited
        if given != own and set(given) != set(own):
            raise Denied("TREATY_MISMATCH")


def _store(
    inbound: Inbound,
    verified: Verified,
    release: Release,
    start: ReleasePeek,
    payload: Payload,
    opened: Opened,
    obligations: frozenset[str],
) -> None:
    """Store the bulletin (check 15).

    Batch key and grant are dropped: only the secrets are kept, re-wrapped.
    """
    tx = inbound.tx
    claimed = opened.claimed
    md, manifest = claimed.md, claimed.manifest
    held = tx.get(INBOX, md)
    # A release by the originator replaces what somebody else has passed on: otherwise a forwarder that comes
    # first decides what is read here, while the originator is told that everything was accepted.
    if held is None or held.sender != inbound.member == manifest.originator:
        size = sum([len(body) for body in payload.bodies])
        tx.count(INBOX_COUNTER, 0 if held is not None else 1, size - (held.size if held is not None else 0))
        for position, (portion, secret, body) in enumerate(
            zip(opened.portions, claimed.secrets, payload.bodies, strict=True)
        ):
            put_secret(tx, md, portion.slot, secret)
            tx.put(PORTION, PortionRow(md, portion.slot, position, body, body_digest(body)))
        tx.put(
            INBOX,
            InboxRow(
                md, manifest.bulletin, manifest.originator, inbound.member, verified.leaf, manifest.created,
                tx.now, -tx.now, manifest.expires, manifest.precedence,
                rank(manifest.precedence), release.sequence,
                len(opened.portions), 0, Gone.NO, "",
                due_of(manifest.expires, tx.now, obligations), size,
                Digest(sha256(b"".join(claimed.secrets))),
                tx.seal(INBOX.name, md, 0, claimed.claims_bytes),
            ),
        )  # fmt: skip
        note_duties(tx, md, obligations)
        want(
            tx, inbound.member, md, [(one.slot, one.portion) for one in opened.portions], manifest.precedence
        )
        if inbound.member == manifest.originator:
            named = named_in(claimed.claims.supersedes, claimed.claims.reply, manifest.originator)
            keep(tx, md, named)
            note_received(tx, inbound.member, md, [one.portion for one in opened.portions], named)
        inbound.bulletins[manifest.originator, manifest.bulletin] = md
        inbound.accepted += 1
    tx.put(RECEIVED, known_row(inbound, verified, start))
    tx.log(
        EntryType.RECEIVED, Received(inbound.member, verified.statement.kind, verified.leaf, Digest(md), ())
    )
    inbound.receipts.append((verified.leaf, ReceiptStatus.ACCEPTED, (), rank(release.precedence)))
