"""Who released what to whom, under which article, and what became of it.

Every step is either established, with what it rests on, or not, with the reason. What contradicts what was
signed is no missing step: it refuses the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from intelshare.verifier.files import (
    DecisionText,
    PortionText,
    ReleaseText,
    from_base64,
    from_hex,
    read_text,
    unwrap,
)
from intelshare.verifier.logs import ShownLog, named, prove_hash, show_log
from intelshare.verifier.members import Given, Member, Members, members_of
from intelshare.verifier.padding import unpadded
from intelshare.verifier.seeing import seen_in
from intelshare.verifier.statements import Said, revoked, verify
from intelshare.verifier.verdict import Named, Step

MAX_RELEASE: Final = 1000
PORTION_FLOOR: Final = 256


@dataclass(frozen=True, slots=True)
class ShownPortion:
    """One portion that the file shows, as the originator committed to it."""

    slot: int
    kind: PortionKind
    label: str
    category: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Released:
    """What a release proof shows."""

    sender: str
    node: str
    recipient: str
    number: int
    signed_at: Instant
    md: str
    """Digest of the manifest; empty if the claims are not shown."""
    originator: str
    granted: tuple[Granted, ...]
    portions: tuple[ShownPortion, ...]
    outcome: str
    """The latest that the recipient signed: accepted, refused, read, destroyed; else "released"."""
    steps: tuple[Step, ...]
    members: tuple[Named, ...]

    @property
    def confirmed(self) -> bool:
        """Whether the reader's copies confirmed everybody on whose signature this rests."""
        return all(one.confirmed for one in self.members)


def check_release(text: bytes, source: str, given: Sequence[Given] = ()) -> Released:
    """Check a release proof. ``given``: the member files that the reader has from elsewhere.

    Raises CryptoError, EnvelopeError, TrustError for anything that contradicts what was signed.
    """
    file = read_text(ReleaseText, "intelshare/release-proof/1", text, source)
    members = members_of(file.documents, given, source)
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
        steps.append(_decision(file.decision, claims, said, logs, source))
    answers, outcome = _answers(file, said, release, claims, members, logs, vouching, source)
    steps += answers
    return Released(
        said.member.code, said.node, release.recipient, release.sequence, said.signed_at,
        _md(claims).hex() if claims is not None else "",
        decode(Manifest, claims.manifest).originator if claims is not None else "",
        claims.granted if claims is not None else (), portions, outcome, tuple(steps),
        named(said.member, vouching),
    )  # fmt: skip


def _release(said: Said) -> Release:
    if said.kind is not Kind.RELEASE:
        raise malformed("Release", f"the statement is a {said.kind.name}")
    if len(said.evidence.data) > MAX_RELEASE:
        raise malformed("Release", f"it has more than {MAX_RELEASE} bytes")
    found = decode(Release, said.evidence.data)
    if found.origin != said.node:
        raise CryptoError("SIGNER_NOT_AUTHORISED", "the release is of another node than its signing key")
    return found


def _signed(said: Said, logs: Sequence[ShownLog], vouching: list[Member], what: str) -> Step:
    """That its signer said so; under a revoked key only as far as somebody else saw it before."""
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
        if file.portions or file.decision is not None:
            raise malformed("Release proof", "portions or a decision without the claims that name them")
        return None
    raw = from_base64(file.claims, source)
    if digest(Domain.GRANT, raw, from_hex(file.secrets, source)) != release.grant_digest:
        raise EnvelopeError("COMMITMENT_MISMATCH", "these claims are not those of the release")
    claims = decode(Claims, raw)
    manifest = decode(Manifest, claims.manifest)
    slots = [granted.slot for granted in claims.granted]
    if len(set(slots)) != len(slots) or max(slots) >= len(manifest.commitments):
        raise malformed("Claims", "a slot stands in it twice, or is none of the manifest")
    if claims.recipient != release.recipient or manifest.precedence != release.precedence:
        raise EnvelopeError("MANIFEST_MISMATCH", "recipient or precedence differ from those of the release")
    if manifest.originator != said.member.code:
        vouching.append(_consenting(claims, manifest, said, members))
    return claims


def _consenting(claims: Claims, manifest: Manifest, said: Said, members: Members) -> Member:
    """The originator, who allowed the sender to pass it on."""
    for evidence in claims.consents:
        try:
            by = verify(evidence, members)
            consent = decode(Consent, evidence.data) if evidence.kind is Kind.CONSENT else None
        except IntelshareError:
            # As at a node: one that does not hold counts as absent.
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
            "COMMITMENT_MISMATCH", f"the portion of slot {given.slot} is not the one committed to"
        )
    found = unpadded(Portion, padded, PORTION_FLOOR)
    return ShownPortion(given.slot, found.kind, found.label, found.category, found.content)


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


def _decision(
    given: DecisionText | None, claims: Claims, said: Said, logs: Sequence[ShownLog], source: str
) -> Step:
    what = f"{said.member.code} logged this decision before it released"
    own = next((log for log in logs if log.said.node == said.node), None)
    if given is None or own is None:
        return Step(False, what, f"the file does not show it in the log of {said.node}")
    prove_hash(claims.decision, given, own, source)
    return Step(True, what, f"entry {given.index} of log {given.incarnation}", own.said.signed_at)


def _answers(
    file: ReleaseText,
    said: Said,
    release: Release,
    claims: Claims | None,
    members: Members,
    logs: Sequence[ShownLog],
    vouching: list[Member],
    source: str,
) -> tuple[list[Step], str]:
    """What the recipient signed about it, and what the originator took back, as they were signed."""
    steps: list[tuple[Instant, Step]] = []
    outcome: tuple[Instant, int, str] = (Instant(-1), 0, "released")
    for text in file.about:
        answer = verify(unwrap(Evidence, text, source), members)
        if answer.kind is Kind.RECEIPT:
            receipt = decode(Receipt, answer.evidence.data)
            what = _receipt(answer, receipt, said, release)
            word = receipt.status.name.lower()
            outcome = max(outcome, (receipt.decided_at, int(receipt.status), word))
        elif answer.kind is Kind.RECALL:
            what = _recall(answer, decode(Recall, answer.evidence.data), release, claims)
        else:
            raise malformed("Release proof", f"a {answer.kind.name} says nothing about a release")
        steps.append((answer.signed_at, _signed(answer, logs, vouching, what)))
    if outcome[0] < 0:
        steps.append((Instant(0), Step(False, f"{release.recipient} answered", "no receipt is in the file")))
    return [step for _, step in sorted(steps, key=lambda row: row[0])], outcome[2]


def _receipt(answer: Said, receipt: Receipt, said: Said, release: Release) -> str:
    if answer.member.code != release.recipient or receipt.to != said.member.code:
        raise CryptoError("SIGNER_NOT_AUTHORISED", "a receipt is of another member, or to another")
    if receipt.leaf != said.leaf:
        raise EnvelopeError("RECEIPT_UNKNOWN", "a receipt answers another release")
    codes = f" ({' '.join(receipt.codes)})" if receipt.codes else ""
    word = {ReceiptStatus.READ: "signed that it is read"}.get(
        receipt.status, receipt.status.name.lower() + " it"
    )
    return f"{release.recipient} {word}{codes}"


def _recall(answer: Said, recall: Recall, release: Release, claims: Claims | None) -> str:
    if claims is None or recall.md != _md(claims) or recall.to != release.recipient:
        raise EnvelopeError("MANIFEST_MISMATCH", "a recall is of another bulletin, or to another member")
    if answer.member.code != decode(Manifest, claims.manifest).originator:
        raise CryptoError("SIGNER_NOT_AUTHORISED", "a recall is not of the originator")
    return f"{answer.member.code} recalled it"
