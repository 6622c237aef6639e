"""Submit: from a user's draft to durable pairs, in one transaction (crash points c2 to c5).

    1. the user may send                                     register.need
    2. this key was seen: the first answer, or ID_CONFLICT   promise P2
    3. bounds; every label is read, and may be written now;  TOO_LARGE, LABEL_*, LEVEL_WITHDRAWN
       content that states markings says no more             MARKING_CONFLICT, INPUT_INVALID
    4. every portion is decided for every recipient
    5. each portion is encrypted once                        envelope.encrypt_bulletin
    6. bulletin, portions, pairs, decisions in the log       one plan

OK is said after the commit and never before; all recipients are in it, or none. ``submit_many`` does the same
for many drafts in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from intelshare.audit.records import Approve, EntryType, LoggedPortion, Submit
from intelshare.broker.exchange.rfi import requests_of
from intelshare.broker.kernel.actor import Actor, row_of
from intelshare.broker.kernel.decide_pair import PairDecision, banner_of, decide_pair
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of, logged_decision, with_facts
from intelshare.broker.kernel.portion_secrets import put_secret
from intelshare.broker.kernel.stored_bulletins import (
    Made,
    find_bulletin,
    remember_made,
    seal_draft,
    without_content,
)
from intelshare.broker.kernel.tables import (
    BULLETIN,
    PAIR,
    PORTION,
    REQUEST,
    SUBMISSION,
    USER,
    BulletinRow,
    PortionRow,
    SubmissionRow,
)
from intelshare.broker.kernel.transaction import Transaction, open_secret
from intelshare.broker.lifecycle.add_recipient import add_recipient, addressed_by, facts_of_new
from intelshare.broker.lifecycle.foreign import check_foreign
from intelshare.broker.lifecycle.relations import keep, named_by
from intelshare.bulletin import Draft, check_content, check_draft, content_digest
from intelshare.crypto.codec import Count, Fixed, Text, decode, encode, record
from intelshare.crypto.records import Md32, Member, Portion
from intelshare.delivery import Stage, pair, word
from intelshare.envelope import Encrypted, ToEncrypt, encrypt_bulletin, encrypt_many
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.ids import BulletinId, ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.labels import Label, format_portion, parse_label
from intelshare.ports import Plan, Random, View


@dataclass(frozen=True, slots=True)
class SubmitCommand:
    """A user's draft under the client's idempotency key (16 bytes)."""

    actor: Actor
    key: bytes
    draft: Draft


@record
class SubmittedPair:
    """One recipient: the word that is shown, and the decision behind it."""

    recipient: Member
    word: Text
    portions: Annotated[tuple[LoggedPortion, ...], Count()]


@record
class SubmitResult:
    """The answer: what was stored, or on a dry run (ids of zeros) what would be. Kept as its bytes."""

    bulletin: Annotated[BulletinId, Fixed("16s", 16)]
    md: Md32
    banner: Text
    marks: Annotated[tuple[Text, ...], Count()]
    """Portion marks in reading order."""
    pairs: Annotated[tuple[SubmittedPair, ...], Count()]


@dataclass(frozen=True, slots=True)
class ApproveCommand:
    """A releasing officer releases one held pair."""

    actor: Actor
    bulletin: str
    recipient: MemberCode


def submit(
    node: Node, view: View, command: SubmitCommand, now: Instant, random: Random
) -> Plan[SubmitResult]:
    """Decide and store one draft. Raises what ``store_draft`` raises."""
    tx = Transaction(node, view, now, random)
    return tx.plan(store_draft(tx, command))


def submit_many(
    node: Node, view: View, submissions: Sequence[SubmitCommand], now: Instant, random: Random
) -> Plan[tuple[SubmitResult | IntelshareError, ...]]:
    """Decide and store drafts in one transaction; for each its answer, or why it was refused, in their order.

    Each draft is stored whole or not at all, and one that is refused changes no other. Each is a microsecond
    later than the one before it, so that hand-over and lists keep their order.
    """
    tx = Transaction(node, view, now, random)
    tx.look_ahead(SUBMISSION, [(submission.key,) for submission in submissions])
    tx.look_ahead(USER, list({(submission.actor.user,) for submission in submissions}))
    answers: list[SubmitResult | IntelshareError] = []
    for place, submission in enumerate(submissions):
        tx.now = Instant(now + place)
        try:
            answers.append(store_draft(tx, submission))
        except IntelshareError as error:
            answers.append(error)
    return tx.plan(tuple(answers))


def store_draft(tx: Transaction, command: SubmitCommand) -> SubmitResult:
    """Decide one draft, and write it into the transaction. A draft that is refused writes nothing.

    Raises DeliveryError (ID_CONFLICT, INPUT_INVALID, TOO_LARGE, UNKNOWN_MEMBER), LabelError; for what it
    supersedes or replies to also NOT_FOUND, NOT_AUTHORISED, RECALL_NOT_ORIGINATOR.
    """
    node, now = tx.node, tx.now
    user = row_of(tx, command.actor)
    draft = command.draft
    content = content_digest(node.storage_key, check_draft(draft))
    known = tx.get(SUBMISSION, command.key)
    if known is not None:
        return _first_answer(node, known, command, content)
    labels = _labels(node, draft, now)
    check_foreign(node, tx.view, draft, labels, user, now)
    named = named_by(node, tx.view, draft, user, now)
    encrypted = _encrypt(tx, draft)
    decided = _decide(node, draft, labels, encrypted.slots, now)
    requests = requests_of(tx, encrypted.md, draft.portions, named, decided)
    answer = _answer(node, encrypted.bulletin, encrypted.md, labels, decided, now)
    encoded = encode(SubmitResult, answer)
    # From here on nothing is refused: what is refused after a write would be stored in part.
    heads = _put_bulletin(tx, command, encrypted)
    keep(tx, encrypted.md, named)
    tx.log(EntryType.SUBMIT, Submit(encrypted.md, command.actor.user))
    for one in decided:
        add_recipient(tx, one, encrypted.md, draft.precedence, due=min(draft.valid_until, draft.deliver_by))
    for row in requests:
        tx.put(REQUEST, row)
    sealed = tx.seal(SUBMISSION.name, command.key, 0, encoded)
    tx.put(SUBMISSION, SubmissionRow(command.key, command.actor.user, content, encrypted.md, sealed))
    if labels == tuple([node.labels.read(head.label) for head in heads]):
        by_recipient = {one.recipient: one for one in decided}
        secrets = dict(zip(encrypted.slots, encrypted.secrets, strict=True))
        made = Made(heads, labels, secrets, bool(named), node.world.at(now), by_recipient)
        remember_made(node, encrypted.md, made)
    return answer


def _encrypt(tx: Transaction, draft: Draft) -> Encrypted:
    """Raises what ``encrypt_bulletin`` raises."""
    one = ToEncrypt(draft.portions, draft.precedence, draft.valid_until)
    (encrypted,) = encrypt_many([one], tx.node.member, tx.now, tx.random)
    if encrypted is not None:
        return encrypted
    made = encrypt_bulletin(
        draft.portions, tx.node.member, tx.random,
        created=tx.now, precedence=draft.precedence, expires=draft.valid_until,
    )  # fmt: skip
    return Encrypted(
        made.bulletin, made.manifest, made.md,
        [one.slot for one in made.portions], [one.secret for one in made.portions],
        [one.body for one in made.portions], [one.digest for one in made.portions],
    )  # fmt: skip


def _put_bulletin(tx: Transaction, command: SubmitCommand, encrypted: Encrypted) -> tuple[Portion, ...]:
    """The portions without their content."""
    md, draft = encrypted.md, command.draft
    heads = without_content(draft.portions)
    tx.put(
        BULLETIN,
        BulletinRow(
            md, encrypted.bulletin, command.actor.user, tx.now, -tx.now, draft.precedence, draft.valid_until,
            draft.deliver_by, encrypted.manifest, len(encrypted.slots), Instant(0), seal_draft(tx, md, heads),
        ),
    )  # fmt: skip
    _, _, _, slots, secrets, bodies, digests = encrypted
    for position, (slot, secret, body, digest) in enumerate(
        zip(slots, secrets, bodies, digests, strict=True)
    ):
        put_secret(tx, md, slot, secret)
        tx.put(PORTION, PortionRow(md, slot, position, body, digest))
    return heads


def dry_run(node: Node, view: View, command: SubmitCommand, now: Instant) -> SubmitResult:
    """The same decision, and nothing stored. Raises what ``submit`` raises for the draft."""
    user = row_of(view, command.actor)
    draft = check_draft(command.draft)
    labels = _labels(node, draft, now)
    check_foreign(node, view, draft, labels, user, now)
    named_by(node, view, draft, user, now)
    decided = _decide(node, draft, labels, list(range(len(labels))), now)
    return _answer(node, BulletinId(bytes(16)), ManifestDigest(bytes(32)), labels, decided, now)


def approve(node: Node, view: View, command: ApproveCommand, now: Instant, random: Random) -> Plan[str]:
    """Close the holds of a pair, by a second person; hand-over decides again. The word after it.

    Raises DeliveryError NOT_FOUND, NOT_AUTHORISED (own bulletin, or no releasing officer).
    """
    officer = row_of(view, command.actor)
    bulletin = find_bulletin(node, view, command.bulletin, officer, now).row
    row = view.get(PAIR, bulletin.md, command.recipient)
    if row is None:
        raise DeliveryError("NOT_FOUND", f"the bulletin was not sent to {command.recipient}")
    if bulletin.author == command.actor.user or addressed_by(command.actor.user) in row.approved.split():
        raise DeliveryError(
            "NOT_AUTHORISED",
            "a held bulletin is released by somebody else than its author, or who has addressed it",
            hint="ask another releasing officer",
        )
    facts = facts_of(row)
    if facts.stage is not Stage.HELD:
        raise DeliveryError("INPUT_INVALID", f"the pair is {word(facts)}, not held")
    logged = logged_decision(node, view, row)
    holds = tuple(sorted({hold for portion in logged.portions for hold in portion.decision.value.holds}))
    tx = Transaction(node, view, now, random)
    tx.log(EntryType.APPROVE, Approve(bulletin.md, command.recipient, command.actor.user, holds))
    approved = sorted({*row.approved.split(), *holds})
    after = with_facts(row, pair.approve(facts), now, approved=" ".join(approved))
    tx.put(PAIR, after)
    return tx.plan(word(facts_of(after)))


def _labels(node: Node, draft: Draft, now: Instant) -> tuple[Label, ...]:
    labels = tuple([_label(node, portion.label, now) for portion in draft.portions])
    for place, (portion, label) in enumerate(zip(draft.portions, labels, strict=True), 1):
        check_content(portion, label, node.member, node.world.registry, now, place)
    return labels


def _label(node: Node, text: str, now: Instant) -> Label:
    def parsed() -> Label:
        label, known = parse_label(text, node.world.registry, at=now, use="write"), node.labels.read(text)
        # Where it reads the same, the very same object: what is compared later is compared at a glance.
        return known if known == label else label

    return node.world.at(now).remember((parse_label, text), parsed)


def _mark(node: Node, label: Label, now: Instant) -> str:
    return node.world.at(now).remember(
        (format_portion, label), lambda: format_portion(label, node.world.registry)
    )


def _decide(
    node: Node, draft: Draft, labels: tuple[Label, ...], slots: list[int], now: Instant
) -> list[PairDecision]:
    unknown = [code for code in draft.to if code not in node.world.members]
    if unknown:
        raise DeliveryError(
            "UNKNOWN_MEMBER",
            f"{unknown[0]!r} is no member that this node knows",
            hint="known are "
            + ", ".join(sorted(node.world.members))
            + "; `intelshare member import` adds one",
        )
    if node.member in draft.to:
        # There is no link to oneself: it would wait for ever.
        raise DeliveryError(
            "INPUT_INVALID",
            f"{node.member} is your own member: nothing is sent there",
            hint="leave it out of --to; your own people find the bulletin with `intelshare outbox`",
        )
    portions = list(zip(slots, draft.portions, labels, strict=True))
    return [
        decide_pair(node, portions, recipient, now, valid_until=draft.valid_until) for recipient in draft.to
    ]


def _answer(
    node: Node,
    bulletin: BulletinId,
    md: ManifestDigest,
    labels: tuple[Label, ...],
    decided: list[PairDecision],
    now: Instant,
) -> SubmitResult:
    return SubmitResult(
        bulletin,
        md,
        banner_of(node, labels, node.member, now),
        tuple([_mark(node, label, now) for label in labels]),
        tuple([SubmittedPair(one.recipient, word(facts_of_new(one)), one.logged) for one in decided]),
    )


def _first_answer(node: Node, known: SubmissionRow, command: SubmitCommand, content: bytes) -> SubmitResult:
    if known.content != content or known.user != command.actor.user:
        raise DeliveryError(
            "ID_CONFLICT",
            "this idempotency key was used for another bulletin",
            hint="nothing was stored; send again without --key",
        )
    return decode(SubmitResult, open_secret(node, SUBMISSION.name, known.key, 0, known.sealed_answer))
