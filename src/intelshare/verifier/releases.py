"""The check of a release proof: who released what to whom, under which article, and with what outcome.

Every step is either established, with its grounds, or not, with the reason. A contradiction of something
signed is not a missing step: it refuses the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from intelshare.crypto.codec import decode, malformed
from intelshare.crypto.pae import Domain, digest, kdf, u32
from intelshare.crypto.records import (
    Claims,
    Consent,
    Evidence,
    Granted,
    Kind,
    Manifest,
    Portion,
    PortionKind,
    Recall,
    Receipt,
    ReceiptStatus,
    Release,
)
from intelshare.errors import CryptoError, EnvelopeError, IntelshareError
from intelshare.instant import Instant
from intelshare.verifier.entries import Decided, Destroyed, HandOver
from intelshare.verifier.files import (
    PortionText,
    ReleaseText,
    from_base64,
    from_hex,
    read_text,
    unwrap,
)
from intelshare.verifier.logs import ShownLog, named, show_log
from intelshare.verifier.members import Given, Member, Members, members_of
from intelshare.verifier.padding import unpadded
from intelshare.verifier.seeing import seen_in
from intelshare.verifier.statements import Said, revoked, verify
from intelshare.verifier.verdict import Named, SeenBy, Step

MAX_RELEASE: Final = 1000
PORTION_FLOOR: Final = 256
ALLOWED: Final = 1
"""The logged outcome of a portion that is granted."""


@dataclass(frozen=True, slots=True)
class ShownPortion:
    """One portion that the file shows, as the originator committed to it."""

    slot: int
    kind: PortionKind
    label: str
    category: str
    media: str
    content: bytes
    """The content; for an attachment, its Attachment record."""


@dataclass(frozen=True, slots=True)
class Released:
    """The facts that a release proof shows."""

    sender: str
    node: str
    recipient: str
    number: int
    signed_at: Instant
    md: str
    """The digest of the manifest; empty if the claims are not shown."""
    originator: str
    granted: tuple[Granted, ...]
    portions: tuple[ShownPortion, ...]
    outcome: str
    """The latest status that the recipient signed (accepted, refused, read, destroyed), or "released" if it
    signed none.
    """
    decided_at: Instant
    """The time that the recipient states for it; the time of the release if it signed none."""
    steps: tuple[Step, ...]
    members: tuple[Named, ...]

    @property
    def confirmed(self) -> bool:
        """True if the reader's copies confirmed every member on whose signature this rests."""
        return all(one.confirmed for one in self.members)


def check_release(
    text: bytes, source: str, given: Sequence[Given] = (), fingerprints: Collection[str] = ()
) -> Released:
    """Check a release proof. ``given`` and ``fingerprints`` are what the reader has of members.

    Raises CryptoError, EnvelopeError, TrustError for anything that contradicts what was signed.
    """
    file = read_text(ReleaseText, "intelshare/release-proof/1", text, source)
    members = members_of(file.documents, given, source, fingerprints)
    logs = [show_log(log, members, source) for log in file.logs]
    said = verify(unwrap(Evidence, file.release, source), members)
    release = _release(said)
    vouching: list[Member] = []
    steps = [
        _signed(
            said,
            logs,
            vouching,
            f"{said.member.code} released number {release.sequence} to {release.recipient}",
        )
    ]
    claims = _claims(file, said, release, members, vouching, source)
    portions: tuple[ShownPortion, ...] = ()
    if claims is None:
        steps.append(Step(False, "what was released", "the claims are not in the file"))
    else:
        manifest = decode(Manifest, claims.manifest)
        portions = tuple([_portion(one, claims, manifest, source) for one in file.portions])
        steps += _what(claims, manifest, portions)
        steps.append(_decision(claims, said, logs))
    steps += _logged(logs, said, release, claims)
    answers, decided_at, outcome = _answers(file, said, release, claims, members, logs, vouching, source)
    steps += answers
    steps += _witnessed(logs, vouching)
    return Released(
        said.member.code, said.node, release.recipient, release.sequence, said.signed_at,
        _md(claims).hex() if claims is not None else "",
        decode(Manifest, claims.manifest).originator if claims is not None else "",
        claims.granted if claims is not None else (), portions, outcome, decided_at, tuple(steps),
        named(said.member, vouching),
    )  # fmt: skip


def _release(said: Said) -> Release:
    if said.kind is not Kind.RELEASE:
        raise malformed("Release", f"the statement is a {said.kind.name}")
    if len(said.evidence.data) > MAX_RELEASE:
        raise malformed("Release", f"it has more than {MAX_RELEASE} bytes")
    found = decode(Release, said.evidence.data)
    if found.origin != said.node:
        raise CryptoError(
            "SIGNER_NOT_AUTHORISED", "the release names a different node from that of its signing key"
        )
    return found


def _signed(said: Said, logs: Sequence[ShownLog], vouching: list[Member], what: str) -> Step:
    """Return the step that its signer made this statement; under a revoked key, only if somebody else saw it
    before.
    """
    seen = [row for log in logs for row in seen_in(said, log)]
    vouching += [said.member, *[member for member, _ in seen]]
    if said.revoked_from is not None and not any(by.at < said.revoked_from for _, by in seen):
        raise revoked(said, "nobody else is shown to have seen this statement before that")
    late = ", by a key that was revoked later" if said.revoked_from is not None else ""
    return Step(True, what, f"signed{late}", said.signed_at, tuple(by for _, by in seen))


def _claims(
    file: ReleaseText, said: Said, release: Release, members: Members, vouching: list[Member], source: str
) -> Claims | None:
    if file.claims is None:
        if file.portions:
            raise malformed("Release proof", "it has portions without the claims that name them")
        return None
    raw = from_base64(file.claims, source)
    if digest(Domain.GRANT, raw, from_hex(file.secrets, source)) != release.grant_digest:
        raise EnvelopeError("COMMITMENT_MISMATCH", "these claims do not belong to the release")
    claims = decode(Claims, raw)
    manifest = decode(Manifest, claims.manifest)
    slots = [granted.slot for granted in claims.granted]
    if len(set(slots)) != len(slots) or max(slots) >= len(manifest.commitments):
        raise malformed("Claims", "a slot is in it twice, or is not in the manifest")
    if claims.recipient != release.recipient or manifest.precedence != release.precedence:
        raise EnvelopeError(
            "MANIFEST_MISMATCH", "the recipient or precedence differs from that of the release"
        )
    if manifest.originator != said.member.code:
        vouching.append(_consenting(claims, manifest, said, members))
    return claims


def _consenting(claims: Claims, manifest: Manifest, said: Said, members: Members) -> Member:
    """Return the originator, which allowed the sender to pass it on."""
    for evidence in claims.consents:
        try:
            by = verify(evidence, members)
            consent = decode(Consent, evidence.data) if evidence.kind is Kind.CONSENT else None
        except IntelshareError:
            # As at a node, a consent that is not valid counts as absent.
            continue
        if consent is None or by.revoked_from is not None or by.member.code != manifest.originator:
            continue
        if (consent.to, consent.md, consent.recipient) == (said.member.code, _md(claims), claims.recipient):
            return by.member
    raise EnvelopeError("MANIFEST_MISMATCH", f"{manifest.originator} is not shown to have consented")


def _md(claims: Claims) -> bytes:
    return digest(Domain.MANIFEST, claims.manifest)


def _portion(given: PortionText, claims: Claims, manifest: Manifest, source: str) -> ShownPortion:
    if given.slot not in {granted.slot for granted in claims.granted}:
        raise EnvelopeError("MANIFEST_MISMATCH", f"slot {given.slot} was not granted to {claims.recipient}")
    secret, padded, slot = from_hex(given.secret, source), from_base64(given.portion, source), u32(given.slot)
    salt = kdf(secret, Domain.PORTION_SALT, manifest.bulletin, slot)
    if digest(Domain.PORTION, manifest.bulletin, slot, salt, padded) != manifest.commitments[given.slot]:
        raise EnvelopeError(
            "COMMITMENT_MISMATCH", f"the portion of slot {given.slot} is not the one that was committed to"
        )
    found = unpadded(Portion, padded, PORTION_FLOOR)
    return ShownPortion(given.slot, found.kind, found.label, found.category, found.media, found.content)


def _what(claims: Claims, manifest: Manifest, portions: Sequence[ShownPortion]) -> Iterator[Step]:
    count = len(claims.granted)
    yield Step(
        True, f"{count} portions of bulletin {manifest.bulletin.hex()} of {manifest.originator}", "by digest"
    )
    shown = {portion.slot for portion in portions}
    for granted in claims.granted:
        what = f"slot {granted.slot}: content"
        if granted.slot in shown:
            yield Step(True, what, "it is what the manifest commits to")
        else:
            yield Step(False, what, "the file does not show it")
        for cited in granted.citations:
            law = f"slot {granted.slot}: released under {cited.treaty}, {cited.article}"
            yield Step(True, law, f"treaty text {cited.text.hex()}")


def _decision(claims: Claims, said: Said, logs: Sequence[ShownLog]) -> Step:
    """Return the step about the entry that the claims name: it must be decided as the claims state."""
    what = f"{said.member.code} logged this decision before it released"
    entry = next(
        (
            entry
            for log in logs
            for entry in log.entries
            if log.said.node == said.node and entry.hash == claims.decision
        ),
        None,
    )
    if entry is None:
        return Step(False, what, f"the file does not show it in the log of {said.node}")
    told, granted = entry.record, {one.slot: one for one in claims.granted}
    named = (told.md, told.sender, told.recipient) if isinstance(told, Decided) else ()
    if named != (_md(claims), said.member.code, claims.recipient):
        raise EnvelopeError("MANIFEST_MISMATCH", "the entry that the claims name is a different decision")
    for slot, one in entry.opened:
        claimed = granted.get(slot)
        if claimed is None or (one.outcome, one.obligations) != (ALLOWED, claimed.obligations):
            raise EnvelopeError("MANIFEST_MISMATCH", f"slot {slot} was not granted as decided")
        if [(cited.treaty, cited.text, cited.article) for cited in one.citations] != [
            (cited.treaty, cited.text, cited.article) for cited in claimed.citations
        ]:
            raise EnvelopeError("MANIFEST_MISMATCH", f"slot {slot} was decided under another article")
    return Step(True, what, f"entry {entry.index} of log {entry.incarnation:016x}", entry.at)


def _witnessed(logs: Sequence[ShownLog], vouching: list[Member]) -> Iterator[Step]:
    """Yield the steps about the logs that the file shows, and who else has seen them."""
    for log in logs:
        vouching += [log.said.member, *[witness.member for witness, _ in log.witnesses]]
        seen = tuple(
            SeenBy(witness.member.code, witness.signed_at, f"its first {size} entries")
            for witness, size in log.witnesses
        )
        what = f"{log.said.member.code} showed its log of {log.at.size} entries to others"
        if seen:
            yield Step(True, what, "cosigned", log.said.signed_at, seen)
        else:
            yield Step(False, what, "no other member has signed in the file that it saw it")


def _logged(logs: Sequence[ShownLog], said: Said, release: Release, claims: Claims | None) -> Iterator[Step]:
    """Yield the steps that sender and recipient logged about the release: handed over, destroyed."""
    for log in logs:
        for entry in log.entries:
            told, whose = entry.record, log.said.member.code
            if getattr(told, "leaf", b"") != said.leaf or not isinstance(told, HandOver | Destroyed):
                continue
            if claims is not None and told.md != _md(claims):
                raise EnvelopeError(
                    "MANIFEST_MISMATCH", "a log entry names this release with a different bulletin"
                )
            where = f"entry {entry.index} of log {entry.incarnation:016x}"
            if isinstance(told, HandOver) and log.said.node == said.node:
                yield Step(True, f"{whose} logged that it hands over number {told.sequence}", where, entry.at)
            elif isinstance(told, Destroyed) and whose == release.recipient:
                what = f"{whose} logged that the keys are destroyed ({told.cause})"
                yield Step(True, what, where, entry.at)


def _answers(
    file: ReleaseText,
    said: Said,
    release: Release,
    claims: Claims | None,
    members: Members,
    logs: Sequence[ShownLog],
    vouching: list[Member],
    source: str,
) -> tuple[list[Step], Instant, str]:
    """Return the steps that the recipient signed about it, and the originator's recalls, as they were
    signed.
    """
    steps: list[tuple[Instant, Step]] = []
    outcome: tuple[Instant, int, str] = (said.signed_at, 0, "released")
    for text in file.about:
        answer = verify(unwrap(Evidence, text, source), members)
        if answer.kind is Kind.RECEIPT:
            receipt = decode(Receipt, answer.evidence.data)
            what = _receipt(answer, receipt, said, release)
            word = receipt.status.name.lower()
            said_so = (receipt.decided_at, int(receipt.status), word)
            outcome = max(outcome, said_so) if outcome[1] else said_so
        elif answer.kind is Kind.RECALL:
            what = _recall(answer, decode(Recall, answer.evidence.data), release, claims)
        else:
            raise malformed("Release proof", f"a {answer.kind.name} says nothing about a release")
        steps.append((answer.signed_at, _signed(answer, logs, vouching, what)))
    if not outcome[1]:
        steps.append((Instant(0), Step(False, f"{release.recipient} answered", "no receipt is in the file")))
    return [step for _, step in sorted(steps, key=lambda row: row[0])], outcome[0], outcome[2]


def _receipt(answer: Said, receipt: Receipt, said: Said, release: Release) -> str:
    if answer.member.code != release.recipient or receipt.to != said.member.code:
        raise CryptoError("SIGNER_NOT_AUTHORISED", "a receipt is from or to another member")
    if receipt.leaf != said.leaf:
        raise EnvelopeError("RECEIPT_UNKNOWN", "a receipt answers another release")
    codes = f" ({' '.join(receipt.codes)})" if receipt.codes else ""
    word = {ReceiptStatus.READ: "signed that it is read"}.get(
        receipt.status, receipt.status.name.lower() + " it"
    )
    return f"{release.recipient} {word}{codes}"


def _recall(answer: Said, recall: Recall, release: Release, claims: Claims | None) -> str:
    if claims is None or recall.md != _md(claims) or recall.to != release.recipient:
        raise EnvelopeError("MANIFEST_MISMATCH", "a recall is for another bulletin, or to another member")
    if answer.member.code != decode(Manifest, claims.manifest).originator:
        raise CryptoError("SIGNER_NOT_AUTHORISED", "a recall is not from the originator")
    return f"{answer.member.code} recalled it"
