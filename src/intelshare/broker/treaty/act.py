"""Treaty acts: a member's numbered statements about its part in a treaty, the same bytes for every peer.

An act of this member is decided by a releasing officer or an operator, signed, numbered, and counts from its
commit on: the node with the act in its world is swapped in before any later step (c18). A peer's act counts
from its receipt at the earliest. Acts form a chain, each naming the one before it (attacks.md rows 43, 44,
96):

    for another member than the signer's     SIGNER_NOT_AUTHORISED
    the next one                             counts, and so do those that waited for it
    one behind a gap                         waits; the gap is shown and asked for; the world is unchanged
    one of this member that comes back       counts as before, if this node had forgotten it (decision 81)
    two of one number, or another "before"   SEQUENCE_FORK: both are evidence, the first stays, and all later
                                             ones wait until an operator lets them count (``resume``)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from intelshare.audit.exhibit import contradiction, exhibit_of
from intelshare.audit.records import EntryType, Rejected, TreatyActed
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Carried, Gap
from intelshare.broker.kernel.inbound import Inbound, known_row
from intelshare.broker.kernel.node import Node, with_acts
from intelshare.broker.kernel.tables import (
    ACT,
    RECEIVED,
    STATEMENT,
    UNHEARD,
    UNKNOWN,
    ActRow,
    ReceivedRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.kernel.words import check_words
from intelshare.broker.lifecycle.anew import queue_again
from intelshare.broker.transparency.evidence import contradict, signed_of
from intelshare.broker.treaty.act_record import FIRST, check, record_of, value_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Evidence, Kind, TreatyAct
from intelshare.errors import CryptoError, DeliveryError, EnvelopeError, StoreError
from intelshare.ids import Digest, KeyId, LeafId, ManifestDigest, MemberCode, UserUri
from intelshare.instant import EPOCH, Instant
from intelshare.labels import WordKind
from intelshare.policy import ANY_CATEGORY, ActKind, PartyAct, Reservation, Treaty, World
from intelshare.ports import EVERY_ROW, Plan, Random, View, changed
from intelshare.statement import ReceivedBatch, Statement, Verified, verify_evidence

MAX_ACTS: Final = 4096
"""The most acts of one member."""

MAX_WAITING: Final = 256
"""The most numbers by which an act may run ahead of the next one."""

MAX_CONTRADICTING: Final = 16
"""The most acts of one member that are kept although they contradict another; more are only counted."""

MAX_BYTES: Final = 8192
"""The most bytes of one act."""


class ActState(IntEnum):
    """The state of an act."""

    COUNTS = 1
    WAITS = 2
    CONTRADICTS = 3


@dataclass(frozen=True, slots=True)
class ActCommand:
    """A user asks this member to act. ``since`` 0: from now on."""

    actor: Actor
    treaty: str
    kind: ActKind
    since: Instant = EPOCH
    reservation: Reservation | None = None
    n: int = 0
    """The number that was shown with the effect; 0: whichever is next."""


@dataclass(frozen=True, slots=True)
class ActResult:
    """An act that counts or, in a preview of its effect, would count."""

    act: PartyAct
    effects: Effects


def acts(view: View, *member: MemberCode) -> list[ActRow]:
    """Return all acts held, of one member or of all, ordered by member and number."""
    return view.find(ACT, "key", *member, limit=EVERY_ROW)


def _own_acts(node: Node, view: View) -> list[ActRow]:
    """This member's acts, all of them. Raises StoreError RECORD_CORRUPT: the number of a damaged one would be
    given twice."""
    damaged: list[StoreError] = []
    rows = view.find(ACT, "key", node.member, limit=EVERY_ROW, damaged=damaged)
    if damaged:
        raise damaged[0]
    return rows


def counting(view: View) -> list[PartyAct]:
    """Return the acts from which the world is compiled at a start."""
    return [value_of(row) for row in acts(view) if row.state == ActState.COUNTS]


def effect_of_act(node: Node, view: View, command: ActCommand, now: Instant) -> tuple[ActResult, World]:
    """Return what ``act`` would sign, and the world in which it counts; store nothing.

    Raises what ``act`` raises.
    """
    user_row_of(view, command.actor)
    treaty = _own_treaty(node, command.treaty)
    if 0 < command.since < now:
        raise DeliveryError(
            "INPUT_INVALID",
            "an act cannot be backdated: for peers it counts from its receipt at the earliest",
            hint="leave out --effective to act now, or name a future instant",
        )
    if (command.reservation is None) != (command.kind is not ActKind.RESERVE) and (
        command.kind is not ActKind.REINSTATE
    ):
        raise DeliveryError(
            "INPUT_INVALID", "a reservation is needed to reserve, and allowed only to reserve or reinstate"
        )
    if command.reservation is not None and command.kind is ActKind.RESERVE:
        named = command.reservation.categories or frozenset()
        check_words(node, WordKind.CATEGORY, sorted(named - {ANY_CATEGORY}))
    _need_heard(node, view)
    last = _last(_own_acts(node, view))
    n = 1 if last is None else last.n + 1
    if command.n not in (0, n):
        raise DeliveryError(
            "ID_CONFLICT",
            f"another act was made since: the next number is {n}",
            hint="look at the effect again",
        )
    if n > MAX_ACTS:
        raise DeliveryError("TOO_LARGE", f"a member makes at most {MAX_ACTS} acts")
    said = PartyAct(
        node.member, n, treaty.id, treaty.text, command.kind, now, command.since or now, command.reservation
    )
    after = with_acts(node, (*node.world.acts, said)).world
    if _part(after, said) == _part(node.world, said):
        raise DeliveryError(
            "INPUT_INVALID",
            f"this would change nothing about {node.member}'s part in {treaty.id}",
            hint=f"`intelshare treaty acts --treaty {treaty.id}` shows the acts so far",
        )
    return ActResult(said, Effects()), after


def act(node: Node, view: View, command: ActCommand, now: Instant, random: Random) -> Plan[ActResult]:
    """Sign and number an act of this member for all members. It counts from this commit on.

    Raises DeliveryError NOT_AUTHORISED, NOT_FOUND (no such treaty), INPUT_INVALID (not a party, dated back,
    no effect), ID_CONFLICT, TOO_LARGE.
    """
    said = effect_of_act(node, view, command, now)[0].act
    tx = Transaction(node, view, now, random)
    last = _last(_own_acts(node, view))
    data = encode(TreatyAct, record_of(said, FIRST if last is None else last.leaf))
    if len(data) > MAX_BYTES:
        raise DeliveryError("TOO_LARGE", f"an act has at most {MAX_BYTES} bytes, not {len(data)}")
    leaf = tx.say_to_all(node.trust.partners, Kind.TREATY_ACT, data, 0)
    row = ActRow(node.member, said.n, leaf, ActState.COUNTS, now, said.since, command.actor.user, data)
    _let_count(tx, row)
    # Use the act as it will be read at the next start.
    tx.node = with_acts(tx.node, (*tx.node.world.acts, value_of(row)))
    return tx.plan(ActResult(said, tx.effects()))


def on_treaty_act(inbound: Inbound, verified: Verified, carried: Carried) -> None:
    """Process a peer's act. Rejections: see the module; also ENVELOPE_MALFORMED, TOO_LARGE, RATE, CLOCK."""
    del carried
    tx, member = inbound.tx, inbound.member
    if len(verified.statement.data) > MAX_BYTES:
        raise EnvelopeError("TOO_LARGE", f"an act of more than {MAX_BYTES} bytes")
    said = verified.read(TreatyAct)
    if said.member != member:
        raise CryptoError("SIGNER_NOT_AUTHORISED", f"{member} signs an act of {said.member}")
    check(said)
    if not inbound.clock:
        # A suspension accepted while the clock is two days ahead would take effect only in two days.
        raise DeliveryError(
            "CLOCK",
            "this node's clock is wrong: it cannot tell from when the act applies",
            hint="the peer tries again",
        )
    if inbound.acts is None:
        inbound.acts = {row.leaf: row for row in acts(tx.view, member)}
    held = inbound.acts
    last = _last(held.values())
    expected = 1 if last is None else last.n + 1
    row = ActRow(
        member,
        said.n,
        verified.leaf,
        ActState.WAITS,
        tx.now,
        Instant(0),
        UserUri(""),
        verified.statement.data,
    )
    if any(other.n == said.n for other in held.values()) or said.n < expected:
        raise _contradiction(inbound, verified, row)
    stuck = _contradicted(held.values())
    if not stuck and said.n == expected and said.previous != (FIRST if last is None else last.leaf):
        raise _contradiction(inbound, verified, row)
    if said.n > min(expected + MAX_WAITING, MAX_ACTS):
        raise DeliveryError("RATE", f"act {said.n} of {member} is too far ahead: {expected} is the next")
    held[row.leaf] = row
    tx.put(ACT, row)
    tx.put(RECEIVED, known_row(inbound, verified, None))
    if not stuck:
        _go_on(inbound)


def on_returned_act(inbound: Inbound, statement: Statement, batch: ReceivedBatch) -> None:
    """Take in an act of this member that the node has forgotten: it counts as it did, if it is the next one.
    An act that was made since under its number stays. Raises CryptoError, EnvelopeError.
    """
    tx = inbound.tx
    evidence = Evidence(statement.kind, statement.nonce, statement.data, statement.proof, batch.raw)
    verified = verify_evidence(evidence, trust=tx.node.trust, suites=tx.node.suites, roots=tx.node.roots)
    said = verified.read(TreatyAct)
    if said.member != tx.node.member:
        raise CryptoError("SIGNER_NOT_AUTHORISED", f"{tx.node.member} has signed an act of {said.member}")
    check(said)
    known = [*_own_acts(tx.node, tx.view), *[row for row in tx.put_into(ACT) if row.member == said.member]]
    last = _last(known)
    if (said.n, said.previous) != ((1, FIRST) if last is None else (last.n + 1, last.leaf)):
        return
    tx.put(
        STATEMENT,
        StatementRow(
            verified.leaf, MemberCode(""), statement.kind, statement.nonce, statement.data, statement.proof,
            tx.batch(batch.raw), KeyId(b""), b"", ManifestDigest(b""), b"", tx.node.incarnation, 0,
        ),
    )  # fmt: skip
    made = batch.record.signed_at
    row = ActRow(
        said.member, said.n, verified.leaf, ActState.COUNTS, made, said.effective, UserUri(""), statement.data
    )
    _let_count(tx, row)
    inbound.counting.append(value_of(row))


def returned_acts(view: View, member: MemberCode) -> Iterator[ReceivedRow]:
    """Yield the acts of a member as they came, for the member that has forgotten them."""
    for row in acts(view, member):
        received = view.get(RECEIVED, member, row.leaf) if row.state == ActState.COUNTS else None
        if received is not None:
            yield received


def settle(inbound: Inbound) -> None:
    """Put the acts that a frame brought into force into the world, from the next step on."""
    if inbound.counting:
        tx = inbound.tx
        tx.node = with_acts(tx.node, (*tx.node.world.acts, *inbound.counting))


def resume(
    node: Node, view: View, actor: Actor, member: MemberCode, now: Instant, random: Random
) -> Plan[ActResult]:
    """Let a member's contradicting acts count, from now at the earliest, and those that waited for them.

    Operators call this after asking that member which of its acts it means. Raises DeliveryError NOT_FOUND
    (none contradicts), NOT_AUTHORISED.
    """
    user_row_of(view, actor)
    rows = acts(view, member)
    if not _contradicted(rows):
        raise DeliveryError("NOT_FOUND", f"no act of {member} contradicts another")
    tx = Transaction(node, view, now, random)
    last = 0
    counted = []
    for held in sorted(rows, key=lambda row: (row.n, row.at)):
        if held.n > last + 1:
            break  # behind a gap: it keeps waiting
        row = held
        if held.state != ActState.COUNTS:
            since = max(decode(TreatyAct, held.data).effective, now)
            row = changed(held, state=ActState.COUNTS, since=since, by=actor.user)
            _let_count(tx, row)
        counted.append(value_of(row))
        last = row.n
    others = [one for one in node.world.acts if one.member != member]
    tx.node = with_acts(tx.node, (*others, *counted))
    return tx.plan(ActResult(counted[-1], tx.effects()))


def missing_acts(rows: Iterable[ActRow]) -> int | None:
    """Return the first missing act that others wait for, or None."""
    rows = list(rows)
    waiting = [row.n for row in rows if row.state == ActState.WAITS]
    last = _last(rows)
    expected = 1 if last is None else last.n + 1
    return expected if waiting and min(waiting) > expected and not _contradicted(rows) else None


def next_act(view: View, member: MemberCode) -> int:
    """Return the number of the first act of a member that is not held: to be requested when a link opens."""
    numbers = {row.n for row in acts(view, member)}
    return next(n for n in range(1, len(numbers) + 2) if n not in numbers)


def forgotten(node: Node, view: View, asked: int) -> int:
    """Return how many acts of this member a peer holds, judging by its request, that this node lacks.

    If more than 0, a disk has lost them (promise P12), or the peer is wrong.
    """
    last = _last(acts(view, node.member))
    return min(max(0, asked - 1 - (0 if last is None else last.n)), MAX_ACTS)


def gap_of_acts(inbound: Inbound) -> Iterator[Gap]:
    """Yield the gap to request from the peer after its acts were processed."""
    if inbound.acts is not None and (first := missing_acts(inbound.acts.values())) is not None:
        yield Gap.of_acts(first)


def queue_acts(tx: Transaction, peer: MemberCode, first: int) -> int:
    """Queue this member's acts from a number on for a peer again, as the same bytes; return how many."""
    asked = [row.leaf for row in acts(tx.view, tx.node.member) if row.n >= first]
    said = [row for leaf in asked if (row := tx.get(STATEMENT, leaf)) is not None]
    return queue_again(tx, peer, said)


def _need_heard(node: Node, view: View) -> None:
    """Check that somebody was heard who may hold acts that this node has forgotten.

    Raises DeliveryError ID_CONFLICT.
    """
    waited = {row.member for row in view.find(UNHEARD, "key", limit=EVERY_ROW) if not row.allowed}
    # A node that forgot, and knows nobody yet, may have forgotten who holds them.
    alone = node.trust.members.keys() <= {node.member} and view.get(UNHEARD, UNKNOWN) is not None
    if alone or (waited and waited.issuperset(node.trust.partners)):
        raise DeliveryError(
            "ID_CONFLICT",
            "this node has lost memory, and nobody was heard since who may hold acts that it has forgotten: "
            "another act would contradict them",
            hint="`intelshare node peers` shows who is waited for: a minute with one linked member is enough "
            "(`intelshare member import FILE` if nobody is shown)",
        )


def _own_treaty(node: Node, name: str) -> Treaty:
    found = next((treaty for treaty in node.world.files if treaty.id == name), None)
    if found is None:
        known = ", ".join(treaty.id for treaty in node.world.files) or "none"
        raise DeliveryError("NOT_FOUND", f"this node holds no treaty {name!r}", hint=f"it holds {known}")
    if all(party.member != node.member for party in found.parties):
        raise DeliveryError(
            "INPUT_INVALID",
            f"the file of {name} does not list {node.member} as a party",
            hint="each member's treaty file says who may be a party; an act cannot change that",
        )
    return found


def _part(world: World, said: PartyAct) -> object:
    """Return the member's history in the treaty."""
    treaty = next(treaty for treaty in world.treaties if treaty.id == said.treaty)
    party = next(party for party in treaty.parties if party.member == said.member)
    return party.in_force, frozenset(party.suspended), frozenset(party.reservations), party.text


def _contradiction(inbound: Inbound, verified: Verified, row: ActRow) -> DeliveryError:
    """Keep an act that contradicts another one, whole and provable; return the error that its signer gets."""
    assert inbound.acts is not None  # noqa: S101 - the caller has looked in them
    kept = sum(1 for other in inbound.acts.values() if other.state == ActState.CONTRADICTS)
    if kept < MAX_CONTRADICTING:
        row = changed(row, state=ActState.CONTRADICTS)
        inbound.acts[row.leaf] = row
        inbound.tx.put(ACT, row)
        received = changed(known_row(inbound, verified, None), code="SEQUENCE_FORK")
        inbound.tx.put(RECEIVED, received)
        _show(inbound, row, received)
    return DeliveryError(
        "SEQUENCE_FORK",
        f"act {row.n} of {row.member} contradicts another one: the first one stays in force",
        hint="later acts wait until an operator has asked the member and runs `treaty resume`",
    )


def _show(inbound: Inbound, row: ActRow, received: ReceivedRow | None) -> None:
    """Put it on the shelf of contradictions, beside the act that it contradicts."""
    tx, held = inbound.tx, inbound.acts or {}
    for number in (row.n, row.n - 1):
        rivals = (other for other in held.values() if other.n == number and other.leaf != row.leaf)
        rival = min(rivals, key=lambda other: (other.state, other.at), default=None)
        other = None if rival is None else tx.get(RECEIVED, rival.member, rival.leaf)
        if received is not None and other is not None:
            exhibit = exhibit_of([signed_of(tx, other), signed_of(tx, received)])
            if contradiction(exhibit) is not None:
                contradict(tx, row.member, "SEQUENCE_FORK", exhibit, row.leaf)
                return


def _go_on(inbound: Inbound) -> None:
    """Let waiting acts count as far as the chain is complete."""
    tx, held = inbound.tx, inbound.acts
    assert held is not None  # noqa: S101 - the caller has put one in
    last = _last(held.values())
    while True:
        expected = 1 if last is None else last.n + 1
        row = next((one for one in held.values() if one.n == expected and one.state == ActState.WAITS), None)
        if row is None:
            return
        if _previous(row) != (FIRST if last is None else last.leaf):
            # It was acknowledged as committed, but names a different act before it than this node holds.
            held[row.leaf] = row = changed(row, state=ActState.CONTRADICTS)
            tx.put(ACT, row)
            tx.log(EntryType.REJECTED, Rejected(row.member, Digest(row.leaf), "SEQUENCE_FORK"))
            _show(inbound, row, tx.get(RECEIVED, row.member, row.leaf))
            return
        said = decode(TreatyAct, row.data)
        held[row.leaf] = row = last = changed(row, state=ActState.COUNTS, since=max(said.effective, tx.now))
        _let_count(tx, row)
        inbound.counting.append(value_of(row))


def _let_count(tx: Transaction, row: ActRow) -> None:
    said = decode(TreatyAct, row.data)
    tx.put(ACT, row)
    tx.log(
        EntryType.TREATY_ACT,
        TreatyActed(row.member, row.n, row.leaf, said.treaty, said.act, row.since, row.by),
    )


def _last(rows: Iterable[ActRow]) -> ActRow | None:
    """Return the newest act that counts."""
    found = [row for row in rows if row.state == ActState.COUNTS]
    return max(found, key=lambda row: (row.n, row.at), default=None)


def _contradicted(rows: Iterable[ActRow]) -> bool:
    return any(row.state == ActState.CONTRADICTS for row in rows)


def _previous(row: ActRow) -> LeafId:
    return decode(TreatyAct, row.data).previous
