"""Consent: the third-party rule as statements (domain.md, rule 8).

A portion that carries another state's label is that state's information, whoever sends it. The sender asks
the originator for one recipient by name; the originator's releasing officer grants or refuses; a grant is
carried in the release as evidence, so that the recipient can check it too.

One record has all three meanings; sender and addressee tell which it is (docs/format.md):

    from the sender to the originator      asks, for these slots of a bulletin that the originator was handed
    from the originator to the sender      grants these slots until then; with no slot: refuses, or takes back

    ask_consent     the sender hands the originator its portions, and asks
    answer_consent  the originator's officer grants or refuses
    on_consent      a peer's statement: a request about its bulletin, or an answer about this member's

``broker.lifecycle.redecide`` decides what a hand-over may carry of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from intelshare.audit.records import ConsentSaid, EntryType
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.damage import damaged_records, each_readable
from intelshare.broker.kernel.decide_pair import decide_pair
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Carried
from intelshare.broker.kernel.inbound import Inbound, known_row
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of, put_pair
from intelshare.broker.kernel.stored_bulletins import (
    Written,
    find_bulletin,
    may_see,
    only_one,
    read_written,
)
from intelshare.broker.kernel.tables import (
    BATCH,
    BULLETIN,
    CONSENT,
    INBOX,
    PAIR,
    PENDING,
    PORTION,
    RECEIVED,
    STATEMENT,
    BulletinRow,
    ConsentRow,
    PairRow,
    UserRow,
)
from intelshare.broker.kernel.transaction import ToSay, Transaction, open_secret
from intelshare.broker.lifecycle.add_recipient import add_recipient, addressed_by, new_pair
from intelshare.broker.lifecycle.read import Shown, received, show
from intelshare.broker.lifecycle.redecide import ONLY_OWN, ConsentState, decide_portions, redecide
from intelshare.broker.lifecycle.stop import stop
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Batch, Claims, Consent, Kind
from intelshare.delivery import BestReceipt, Cause, Stage, pair
from intelshare.envelope import Given
from intelshare.errors import DeliveryError, EnvelopeError, StoreError
from intelshare.ids import LeafId, MemberCode, UserUri
from intelshare.instant import NEVER, Instant
from intelshare.policy import originator_of
from intelshare.ports import EVERY_ROW, Plan, Random, View, changed
from intelshare.statement import Verified

MAX_LISTED = 1000

MAX_ASKED: Final = 256
"""The most recipients that a peer may ask about for one bulletin."""


@dataclass(frozen=True, slots=True)
class AskConsentCommand:
    """A user's request to the originators of a bulletin's portions to let one more recipient have them."""

    actor: Actor
    bulletin: str
    recipient: MemberCode
    until: Instant
    """NEVER: as long as the bulletin is valid."""


@dataclass(frozen=True, slots=True)
class AnswerConsentCommand:
    """A releasing officer's answer to a request; with ``grant`` false it refuses, or takes a grant back."""

    actor: Actor
    bulletin: str
    recipient: MemberCode
    grant: bool
    until: Instant
    originator: str = ""
    """The member that wrote the bulletin; empty: any, if only one has a bulletin with that id."""


@dataclass(frozen=True, slots=True)
class ConsentLine:
    """A request as it is listed, with the id of its bulletin."""

    bulletin: bytes
    row: ConsentRow


@dataclass(frozen=True, slots=True)
class ConsentResult:
    """The requests as they stand afterwards, and what to send."""

    lines: tuple[ConsentLine, ...]
    effects: Effects


def ask_consent(
    node: Node, view: View, command: AskConsentCommand, now: Instant, random: Random
) -> Plan[ConsentResult]:
    """Ask every originator whose portions this recipient may not have without consent.

    With the question, the originator is handed its own portions of the bulletin. Where this member's law
    holds those, nobody is asked before that hold is closed: then the user asks again.

    Raises DeliveryError NOT_FOUND, INPUT_INVALID (nothing to ask; recalled; the pair was handed over),
    UNKNOWN_MEMBER.
    """
    user = user_row_of(view, command.actor)
    written = find_bulletin(node, view, command.bulletin, user, now)
    tx = Transaction(node, view, now, random)
    md = written.row.md
    row = view.get(PAIR, md, command.recipient)
    if row is None:
        raise DeliveryError(
            "NOT_FOUND",
            f"the bulletin is not addressed to {command.recipient}",
            hint="send it to that member too: portions that need consent are withheld until it is granted",
        )
    if row.stage >= Stage.HANDED_OVER:
        raise DeliveryError(
            "INPUT_INVALID",
            f"a part of it was already handed to {command.recipient}: a pair is handed over only once",
            hint="send the portions that need consent as a separate bulletin, and ask for consent to that",
        )
    if written.row.recalled:
        raise DeliveryError("INPUT_INVALID", "the bulletin was recalled: it is not sent to anybody any more")
    until = min(command.until, written.row.expires)
    if until <= now:
        raise DeliveryError("INPUT_INVALID", "the consent would end before it starts")
    slots = _to_ask(tx, written, row)
    said, lines = [], []
    questions: dict[MemberCode, Consent] = {}
    for originator in sorted(slots):
        if originator not in node.world.members:
            raise DeliveryError(
                "UNKNOWN_MEMBER",
                f"{originator}, the originator of a portion, is not a member that this node knows",
                hint="`intelshare member import` adds one",
            )
        held = _hand_own(tx, written, originator, command.actor.user)
        if held.cause != Cause.NONE or held.conflict or held.receipt == BestReceipt.REFUSED:
            raise DeliveryError(
                "INPUT_INVALID",
                f"{originator}, the originator of a portion, does not get the bulletin: it cannot be asked",
                hint=f"`intelshare outbox {command.bulletin}` shows why",
            )
        if held.stage == Stage.HELD:
            continue  # Even the question must wait until the hold is closed: it would reveal the bulletin.
        asked = Consent(originator, md, tuple(slots[originator]), command.recipient, until)
        questions[originator] = asked
        said.append(ToSay(originator, Kind.CONSENT, encode(Consent, asked), row.rank))
        tx.log(
            EntryType.CONSENT, ConsentSaid(originator, md, command.recipient, asked.slots, ConsentState.ASKED)
        )
    for outbound in tx.say(said):
        (leaf,) = outbound.leaves
        _end_question(tx, view.get(CONSENT, md, command.recipient, outbound.peer))
        new = _put(tx, outbound.peer, 1, questions[outbound.peer], ConsentState.ASKED, leaf)
        lines.append(ConsentLine(written.row.bulletin, new))
    return tx.plan(ConsentResult(tuple(lines), tx.effects()))


def answer_consent(
    node: Node, view: View, command: AnswerConsentCommand, now: Instant, random: Random
) -> Plan[ConsentResult]:
    """Grant or refuse what a peer has asked.

    Raises DeliveryError NOT_FOUND, NOT_AUTHORISED, INPUT_INVALID.
    """
    officer = user_row_of(view, command.actor)
    found = received(node, view, command.bulletin, officer, now, command.originator)
    shown = only_one(found, command.bulletin, command.originator)
    row = view.get(CONSENT, shown.row.md, command.recipient, shown.row.sender)
    if row is None or row.own or not sees(shown, row):
        raise DeliveryError(
            "NOT_FOUND",
            f"{shown.row.sender} has not asked for consent for {command.recipient}",
            hint="`intelshare consent list` shows what was asked",
        )
    until = min(command.until, row.until)
    if command.grant and until <= now:
        raise DeliveryError("INPUT_INVALID", "the consent would end before it starts")
    tx = Transaction(node, view, now, random)
    slots = tuple(row.slots) if command.grant else ()
    said = Consent(row.member, row.md, slots, command.recipient, until, (row.leaf,))
    state = ConsentState.GRANTED if command.grant else ConsentState.REFUSED
    _end_earlier(tx, row)
    tx.say([ToSay(row.member, Kind.CONSENT, encode(Consent, said), 0)])
    after = changed(row, state=state, until=until if command.grant else row.until, changed=now)
    tx.put(CONSENT, after)
    tx.log(EntryType.CONSENT, ConsentSaid(row.member, row.md, row.recipient, said.slots, state))
    return tx.plan(ConsentResult((ConsentLine(shown.row.bulletin, after),), tx.effects()))


def _end_earlier(tx: Transaction, row: ConsentRow) -> None:
    """Send an earlier answer to the same question no more, if it still waits. What waits is sent in the order
    of the clock, and by one that went back, or another replica's, it would arrive last and count.
    """
    for said in tx.view.find(STATEMENT, "number", row.member, Kind.CONSENT, limit=EVERY_ROW):
        waits = tx.view.get(PENDING, said.leaf, row.member) is not None
        if waits and row.leaf in decode(Consent, said.data).question:
            tx.end(row.member, said.leaf)


def on_consent(inbound: Inbound, verified: Verified, carried: Carried) -> None:
    """Process a peer's question about its bulletin, or its answer about this member's.

    Raises EnvelopeError WRONG_RECIPIENT, DeliveryError CONSENT_UNKNOWN: rejected, and tried again.
    """
    del carried
    tx = inbound.tx
    said = verified.read(Consent)
    if said.to != tx.node.member:
        raise EnvelopeError("WRONG_RECIPIENT", "the consent is for another member")
    if tx.get(BULLETIN, said.md) is not None:
        state = _answered(inbound, verified, said)
    elif said.slots:
        state = _asked(inbound, verified, said)
    else:
        # A refusal that concerns a bulletin lost from the disk: there is nothing to stop.
        state = ConsentState.REFUSED
    tx.put(RECEIVED, known_row(inbound, verified, None))
    tx.log(EntryType.CONSENT, ConsentSaid(inbound.member, said.md, said.recipient, said.slots, state))


def consents(node: Node, view: View, actor: Actor, now: Instant) -> tuple[list[ConsentLine], tuple[str, ...]]:
    """List the requests in both directions, newest first, as far as the user may see their bulletins.

    Also returns the damaged records that were met: a request with one is left out (promise P13).
    """
    reader = user_row_of(view, actor)
    damaged: list[StoreError] = []

    def line(row: ConsentRow) -> ConsentLine | None:
        bulletin = (_own_bulletin if row.own else _received_bulletin)(node, view, row, reader, now)
        return ConsentLine(bulletin, row) if bulletin else None

    rows = view.find(CONSENT, "newest", limit=MAX_LISTED, damaged=damaged)
    return each_readable(rows, line, damaged), damaged_records(damaged)


def _own_bulletin(node: Node, view: View, row: ConsentRow, reader: UserRow, now: Instant) -> bytes:
    """Return the id of the bulletin that this member asked about; empty if the user may not see it."""
    bulletin = view.get(BULLETIN, row.md)
    if bulletin is None or not may_see(node, read_written(node, view, bulletin), reader, now):
        return b""
    return bulletin.bulletin


def _received_bulletin(node: Node, view: View, row: ConsentRow, reader: UserRow, now: Instant) -> bytes:
    """Return the id of the bulletin that a peer asks about; empty if the user may not see all of that."""
    inbox = view.get(INBOX, row.md)
    shown = show(node, view, inbox, reader, now) if inbox is not None else None
    return shown.row.bulletin if shown is not None and sees(shown, row) else b""


def sees(shown: Shown, row: ConsentRow) -> bool:
    """Decide if a reader may see all that is asked about: nobody answers for what they may not read, or
    learns that there is more (attacks.md row 51).
    """
    return {one.slot for one in shown.portions}.issuperset(row.slots)


def _to_ask(tx: Transaction, written: Written, row: PairRow) -> dict[MemberCode, list[int]]:
    """Return the slots that another member's consent would release, by originator, without those already
    granted. A portion that stays denied even with consent is not asked about: the question would reveal the
    recipient.

    Raises DeliveryError INPUT_INVALID if there are none.
    """
    node, now = tx.node, tx.now
    foreign: dict[MemberCode, list[int]] = {}
    for slot, _, label in written.decidable():
        originator = MemberCode(originator_of(node.world, label, node.member, now))
        if originator not in (node.member, row.recipient):
            foreign.setdefault(originator, []).append(slot)
    if not foreign:
        raise DeliveryError(
            "INPUT_INVALID", "none of its portions belongs to another member: there is nobody to ask"
        )
    given = [
        Given(of, Consent(node.member, row.md, tuple(slots), row.recipient, NEVER))
        for of, slots in foreign.items()
    ]
    decided = decide_pair(
        node, written.decidable(), row.recipient, now, valid_until=written.row.expires, consents=given
    )
    helped = {one.slot for one in decided.granted}
    found = {
        of: kept for of, slots in foreign.items() if (kept := [slot for slot in slots if slot in helped])
    }
    if not found:
        raise DeliveryError(
            "INPUT_INVALID",
            f"no consent would help: {', '.join(decided.codes)}",
            hint=f"`intelshare outbox {written.row.bulletin.hex()[:8]}` shows why",
        )
    standing = {
        of for of, slots in found.items() if _in_force(tx.get(CONSENT, row.md, row.recipient, of), slots, now)
    }
    if standing == found.keys():
        raise DeliveryError(
            "INPUT_INVALID", "consent was already granted: `intelshare consent list` shows it"
        )
    return {of: slots for of, slots in found.items() if of not in standing}


def _in_force(row: ConsentRow | None, slots: Collection[int], now: Instant) -> bool:
    """Return True if these slots were granted, and still are."""
    return (
        row is not None
        and row.state == ConsentState.GRANTED
        and now < row.until
        and set(slots) <= set(row.slots)
    )


def _hand_own(tx: Transaction, written: Written, originator: MemberCode, by: UserUri) -> PairRow:
    """Address to the originator its portions and nothing else: it must see what it is asked about, but the
    author has not chosen it as a recipient of the rest.
    """
    md, row = written.row.md, written.row
    known = tx.get(PAIR, md, originator)
    if known is not None:
        return known
    decided = decide_portions(tx.node, written, originator, tx.now, only_own=True)
    marks = f"{addressed_by(by)} {ONLY_OWN}"
    pair = new_pair(tx.node, decided)
    new = add_recipient(
        tx, pair, md, row.precedence, due=min(row.expires, row.deliver_by), size=written.size, marks=marks
    )
    if new.ready:
        tx.ready.add(originator)
    return new


def _answered(inbound: Inbound, verified: Verified, said: Consent) -> ConsentState:
    """Process the originator's answer: portions withheld for lack of consent are decided again."""
    tx = inbound.tx
    asked = tx.get(CONSENT, said.md, said.recipient, inbound.member)
    state = ConsentState.GRANTED if said.slots else ConsentState.REFUSED
    if asked is None and not said.slots:
        return state
    if asked is None or not asked.own or not set(said.slots) <= set(asked.slots):
        if said.question and tx.get(STATEMENT, said.question[0]) is None:
            return state  # The question was lost with the disk: whoever asks again is answered again.
        raise _unknown(inbound.member)
    if asked.state == ConsentState.ASKED and said.question != (asked.leaf,):
        return state  # It answers an older question and crossed the open one on its way.
    if (
        state is ConsentState.GRANTED
        and asked.state == ConsentState.REFUSED
        and _is_older(tx, verified, asked)
    ):
        return state  # It came late: the grant was taken back since.
    tx.put(CONSENT, changed(asked, state=state, until=said.until, leaf=verified.leaf, changed=tx.now))
    bulletin, row = tx.get(BULLETIN, said.md), tx.get(PAIR, said.md, said.recipient)
    if bulletin is None or row is None:
        return state
    if state is ConsentState.GRANTED:
        facts = pair.consented(facts_of(row))
        here = not any(portion.purged for portion in tx.view.find(PORTION, "key", said.md))
        if facts != facts_of(row) and not bulletin.recalled and here:
            put_pair(tx, row, facts, codes="")
            tx.ready.add(said.recipient)
    elif row.stage == Stage.HANDED_OVER and row.receipt == BestReceipt.NONE and row.cause == Cause.NONE:
        _stop_if_denied(tx, row, bulletin)
    return state


def _is_older(tx: Transaction, verified: Verified, asked: ConsentRow) -> bool:
    """Return True if it was signed before the answer in force."""
    kept = tx.get(RECEIVED, asked.member, asked.leaf)
    batch = tx.get(BATCH, kept.batch) if kept is not None else None
    return batch is not None and verified.batch.record.signed_at < decode(Batch, batch.record).signed_at


def _stop_if_denied(tx: Transaction, row: PairRow, bulletin: BulletinRow) -> None:
    """Stop a release that is on its way if it carries a consent that was taken back (promise P9)."""
    said = tx.get(STATEMENT, row.leaf)
    decided, _ = redecide(tx, row, read_written(tx.node, tx.view, bulletin))
    if said is not None and not {one.slot for one in decided.granted}.issuperset(said.slots):
        stop(tx, [row], Cause.WITHHELD, decided.codes)


def _asked(inbound: Inbound, verified: Verified, said: Consent) -> ConsentState:
    """Process a peer's question about a bulletin that it sent here, for slots that it granted this member."""
    tx = inbound.tx
    row = tx.get(INBOX, said.md)
    if row is None or row.sender != inbound.member:
        raise _unknown(inbound.member)
    claims = decode(Claims, open_secret(tx.node, INBOX.name, row.md, 0, row.sealed_claims))
    if not set(said.slots) <= {granted.slot for granted in claims.granted}:
        raise _unknown(inbound.member)
    known = tx.get(CONSENT, said.md, said.recipient, inbound.member)
    if known is None and tx.view.count(CONSENT, "key", said.md) >= MAX_ASKED:
        raise DeliveryError(
            "RATE", f"{inbound.member} has asked about {MAX_ASKED} recipients of one bulletin"
        )
    if known is None or not _in_force(known, said.slots, tx.now):
        _put(tx, inbound.member, 0, said, ConsentState.ASKED, verified.leaf)
        return ConsentState.ASKED
    # The grant crossed the question on its way: it is repeated, as the answer to this question.
    again = replace(said, to=inbound.member, until=min(known.until, said.until), question=(verified.leaf,))
    tx.say([ToSay(inbound.member, Kind.CONSENT, encode(Consent, again), 0)])
    tx.put(CONSENT, changed(known, slots=bytes(again.slots), until=again.until, leaf=verified.leaf))
    return ConsentState.GRANTED


def _end_question(tx: Transaction, row: ConsentRow | None) -> None:
    """Stop sending an unanswered question that a newer one replaces."""
    if row is not None and row.state == ConsentState.ASKED:
        tx.end(row.member, row.leaf)


def _put(
    tx: Transaction, member: MemberCode, own: int, said: Consent, state: ConsentState, leaf: LeafId
) -> ConsentRow:
    row = ConsentRow(
        said.md,
        said.recipient,
        member,
        own,
        state,
        bytes(said.slots),
        said.until,
        leaf,
        -tx.now,
        tx.now,
    )
    tx.put(CONSENT, row)
    return row


def _unknown(member: MemberCode) -> DeliveryError:
    return DeliveryError(
        "CONSENT_UNKNOWN",
        f"the consent of {member} concerns a bulletin, portion or request that this node does not have",
        hint="the peer tries again: the bulletin may still come",
    )
