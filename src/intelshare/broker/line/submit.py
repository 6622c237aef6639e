"""Submit: from a user's draft to durable pairs, in one transaction (crash points c2 to c5).

    1. the user may send                                     register.need
    2. this key was seen: the first answer, or ID_CONFLICT   promise P2
       the disk has room                                    DISK_FULL
    3. bounds; every label is read, and may be written now;  TOO_LARGE, LABEL_*, LEVEL_WITHDRAWN
       content that states markings agrees with them        MARKING_CONFLICT, INPUT_INVALID
    4. every portion is decided for every recipient;
       every queue in which it would wait has room          QUEUE_FULL
    5. each portion is encrypted once                        envelope.encrypt_bulletin
    6. bulletin, portions, pairs, decisions in the log       one plan

The user is told OK only after the commit, which holds all recipients or none. ``submit_many`` does the same
for many drafts in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from intelshare.audit.records import EntryType, Submit
from intelshare.broker.exchange.rfi import requests_of
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.counters import OUTBOX_COUNTER
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.portion_secrets import put_secret
from intelshare.broker.kernel.queue_bounds import need_room
from intelshare.broker.kernel.shortage import need_disk
from intelshare.broker.kernel.stored_bulletins import Made, remember_made
from intelshare.broker.kernel.tables import (
    BULLETIN,
    PORTION,
    PURGE,
    REQUEST,
    SUBMISSION,
    USER,
    BulletinRow,
    PortionRow,
    PurgeRow,
    SubmissionRow,
    UserRow,
)
from intelshare.broker.kernel.transaction import Transaction, open_secret
from intelshare.broker.lifecycle.add_recipient import add_recipient
from intelshare.broker.lifecycle.attachments import take_uploads, uploads_of
from intelshare.broker.lifecycle.foreign import check_foreign
from intelshare.broker.lifecycle.relations import Named, keep, named_by
from intelshare.broker.line.alike import NOBODY, Alike, SubmitResult, alike_of, decided_of
from intelshare.bulletin import Draft, check_content, check_draft, encode_draft
from intelshare.crypto.codec import decode
from intelshare.envelope import Encrypted, ToEncrypt, encrypt_bulletin, encrypt_many
from intelshare.errors import CryptoError, DeliveryError, IntelshareError
from intelshare.ids import UserUri
from intelshare.instant import EPOCH, Instant
from intelshare.ports import Plan, Random, View


@dataclass(frozen=True, slots=True)
class SubmitCommand:
    """A user's draft under the client's idempotency key (16 bytes)."""

    actor: Actor
    key: bytes
    draft: Draft


def submit(
    node: Node, view: View, command: SubmitCommand, now: Instant, random: Random
) -> Plan[SubmitResult]:
    """Decide and store one draft. Raises what ``store_draft`` raises."""
    tx = Transaction(node, view, now, random)
    new: list[_New] = []
    answer = store_draft(tx, command, None, new)
    _put_bulletins(tx, new)
    return tx.plan(answer)


def submit_many(
    node: Node, view: View, submissions: Sequence[SubmitCommand], now: Instant, random: Random
) -> Plan[tuple[SubmitResult | IntelshareError, ...]]:
    """Decide and store drafts in one transaction; return for each its answer or its error, in order.

    Each draft is stored whole or not at all, and a refused one changes no other. Each is a microsecond later
    than the one before it, so that hand-over and lists keep their order.
    """
    tx = Transaction(node, view, now, random)
    tx.look_ahead(SUBMISSION, [(submission.key,) for submission in submissions])
    tx.look_ahead(USER, list({(submission.actor.user,) for submission in submissions}))
    answers: list[SubmitResult | IntelshareError] = []
    new: list[_New] = []
    for place, (submission, encrypted) in enumerate(
        zip(submissions, _encrypted_ahead(tx, submissions), strict=True)
    ):
        tx.now = Instant(now + place)
        try:
            answers.append(store_draft(tx, submission, encrypted, new))
        except IntelshareError as error:
            answers.append(error)
    _put_bulletins(tx, new)
    return tx.plan(tuple(answers))


def _encrypted_ahead(tx: Transaction, submissions: Sequence[SubmitCommand]) -> list[Encrypted | None]:
    """Encrypt the new drafts in one loop.

    None: a draft was stored before, or cannot be encrypted this way.
    """
    new = [place for place, one in enumerate(submissions) if tx.get(SUBMISSION, one.key) is None]
    asked = [_to_encrypt(submissions[place].draft, Instant(tx.now + place)) for place in new]
    found: list[Encrypted | None] = [None] * len(submissions)
    for place, encrypted in zip(new, encrypt_many(asked, tx.node.member, tx.random), strict=True):
        found[place] = encrypted
    return found


def _to_encrypt(draft: Draft, created: Instant) -> ToEncrypt:
    return ToEncrypt(draft.portions, created, draft.precedence, draft.valid_until)


class _New(NamedTuple):
    """A draft that is stored for the first time."""

    command: SubmitCommand
    encrypted: Encrypted
    alike: Alike
    created: Instant


def store_draft(
    tx: Transaction, command: SubmitCommand, encrypted: Encrypted | None, new: list[_New]
) -> SubmitResult:
    """Decide one draft, and write it into the transaction, all but what is in ``new`` then (for
    ``_put_bulletins``). A draft that is refused writes nothing.

    ``encrypted`` holds its portions, encrypted for the transaction's present time; None: not done yet. Raises
    DeliveryError (ID_CONFLICT, INPUT_INVALID, TOO_LARGE, UNKNOWN_MEMBER, QUEUE_FULL, DISK_FULL), LabelError;
    for the bulletins that it supersedes or replies to also NOT_FOUND, NOT_AUTHORISED, RECALL_NOT_ORIGINATOR.
    """
    node, now = tx.node, tx.now
    user = user_row_of(tx, command.actor)
    draft = command.draft
    content = encode_draft(check_draft(draft), node.world.at(now).remember)
    known = tx.get(SUBMISSION, command.key)
    if known is not None:
        return _first_answer(node, known, command, content)
    need_disk(node.lacks, draft.precedence)
    alike, named = _checked(node, tx.view, draft, user, now)
    uploads = uploads_of(tx, draft.portions, command.actor.user)
    encrypted = encrypted or _encrypt(tx, draft)
    decided = decided_of(node, draft, alike, tuple(encrypted.slots), now)
    requests = requests_of(tx, encrypted.md, draft.portions, named, decided.pairs)
    size = sum([len(body) for body in encrypted.bodies])
    queued = {pair.row.recipient: size for pair in decided.new if pair.row.open}
    need_room(tx, node.queues, queued, draft.precedence)
    # From here on nothing may be refused: a refusal after a write would leave the draft stored in part.
    new.append(_New(command, encrypted, alike, tx.now))
    keep(tx, encrypted.md, named)
    take_uploads(tx, encrypted.md, uploads, encrypted.slots, draft.valid_until)
    tx.count(OUTBOX_COUNTER, 1, size)
    tx.put(PURGE, PurgeRow(Instant(now + node.retention), encrypted.md))
    tx.log(EntryType.SUBMIT, Submit(encrypted.md, command.actor.user))
    due = min(draft.valid_until, draft.deliver_by)
    for pair in decided.new:
        add_recipient(tx, pair, encrypted.md, draft.precedence, due=due, size=size)
    for row in requests:
        tx.put(REQUEST, row)
    encoded = b"".join((encrypted.bulletin, encrypted.md, decided.encoded))
    sealed = tx.seal(SUBMISSION.name, command.key, 0, encoded, content)
    tx.put(SUBMISSION, SubmissionRow(command.key, command.actor.user, encrypted.md, sealed))
    if alike.reread:
        secrets = dict(zip(encrypted.slots, encrypted.secrets, strict=True))
        by_recipient = {one.recipient: one for one in decided.pairs}
        made = Made(alike.heads, alike.labels, secrets, bool(named), node.world.at(now), by_recipient)
        remember_made(node, encrypted.md, made)
    return SubmitResult(encrypted.bulletin, encrypted.md, decided.banner, decided.marks, decided.told)


def _checked(
    node: Node, view: View, draft: Draft, user: UserRow, now: Instant
) -> tuple[Alike, tuple[Named, ...]]:
    """Return what the draft shares with others, and the bulletins that it names. Raises as
    ``store_draft``.
    """
    alike = alike_of(node, draft, now)
    if alike.content_is_read:
        for place, (portion, label) in enumerate(zip(draft.portions, alike.labels, strict=True), 1):
            check_content(portion, label, node.member, node.world.registry, now, place)
    if alike.foreign:
        check_foreign(node, view, draft, alike.labels, user, now)
    return alike, named_by(node, view, draft, user, now)


def _encrypt(tx: Transaction, draft: Draft) -> Encrypted:
    """Encrypt one draft. Raises what ``encrypt_bulletin`` raises."""
    (encrypted,) = encrypt_many([_to_encrypt(draft, tx.now)], tx.node.member, tx.random)
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


def _put_bulletins(tx: Transaction, new: Sequence[_New]) -> None:
    """Write bulletins, those for the same recipients one after the other: they are handed over together, by a
    replica that reads nothing besides what is near them.
    """
    for one in sorted(new, key=lambda one: one.command.draft.to):
        _put_bulletin(tx, *one)


def _put_bulletin(
    tx: Transaction, command: SubmitCommand, encrypted: Encrypted, alike: Alike, created: Instant
) -> None:
    bulletin, manifest, md, slots, secrets, bodies, digests = encrypted
    draft = command.draft
    tx.put(
        BULLETIN,
        BulletinRow(
            md, bulletin, command.actor.user, created, -created, draft.precedence, draft.valid_until,
            draft.deliver_by, manifest, bytes(slots), Instant(0),
            tx.seal(BULLETIN.name, md, 0, alike.encoded_heads),
        ),
    )  # fmt: skip
    for position, (slot, secret, body, digest) in enumerate(
        zip(slots, secrets, bodies, digests, strict=True)
    ):
        put_secret(tx, md, slot, secret)
        author = UserUri("") if position else command.actor.user
        tx.put(PORTION, PortionRow(md, slot, position, body, digest, EPOCH, author))


def dry_run(node: Node, view: View, command: SubmitCommand, now: Instant) -> SubmitResult:
    """Make the same decision without storing anything. Raises what ``submit`` raises for the draft."""
    user = user_row_of(view, command.actor)
    draft = check_draft(command.draft)
    alike, _ = _checked(node, view, draft, user, now)
    decided = decided_of(node, draft, alike, tuple(range(len(alike.labels))), now)
    return SubmitResult(*NOBODY, decided.banner, decided.marks, decided.told)


def _first_answer(node: Node, known: SubmissionRow, command: SubmitCommand, content: bytes) -> SubmitResult:
    try:
        if known.user == command.actor.user:
            sealed = known.sealed_answer
            return decode(SubmitResult, open_secret(node, SUBMISSION.name, known.key, 0, sealed, content))
    except CryptoError:
        pass  # The store has checked the bytes, so the draft differs.
    raise DeliveryError(
        "ID_CONFLICT",
        "this idempotency key was used for another bulletin",
        hint="nothing was stored; send again without --key",
    )
