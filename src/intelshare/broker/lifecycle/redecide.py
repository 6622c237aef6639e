"""Decides a stored pair again, with the consents that may be carried to its recipient.

Hand-over, review and resend all ask here, so that there is one answer to what may go (promise P9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Final

from intelshare.audit.records import LoggedPortion
from intelshare.broker.kernel.decide_pair import PairDecision, decide_pair
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.stored_bulletins import Written
from intelshare.broker.kernel.tables import BATCH, CONSENT, RECEIVED, PairRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Consent, Evidence, Kind
from intelshare.envelope import Given
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.policy import originator_of


class ConsentState(IntEnum):
    """The state of a consent."""

    ASKED = 1
    GRANTED = 2
    REFUSED = 3


ONLY_OWN: Final = "@own"
"""The mark, among the ids of approved rows, of a pair that was made to ask for consent: its recipient gets
only its portions, whatever else it may have. No row's id starts this way.
"""

Carrying = tuple[Given, Evidence]
"""A consent in force, with the statement that proves it."""


def redecide(tx: Transaction, row: PairRow, written: Written) -> tuple[PairDecision, tuple[Carrying, ...]]:
    """Decide the pair again; return the decision and the consents on which it rests.

    A consent names slots, and is carried whole. One that names a slot which the recipient does not get would
    reveal that something was withheld (promise P19): it does not count.
    """

    marks = frozenset(row.approved.split())

    def judged(consents: Sequence[Carrying] = ()) -> PairDecision:
        return decide_portions(
            tx.node,
            written,
            row.recipient,
            tx.now,
            only_own=ONLY_OWN in marks,
            approvals=marks,
            consents=[given for given, _ in consents],
        )

    decided = judged()
    # Consents are looked up only if a portion is another member's: most bulletins have none.
    found = given_for(tx, row.md, row.recipient) if "CONSENT_REQUIRED" in decided.codes else ()
    if not found:
        return decided, ()
    decided = judged(found)
    slots = {one.slot for one in decided.granted}
    carried = tuple([one for one in found if slots.issuperset(one[0].consent.slots)])
    return (decided if len(carried) == len(found) else judged(carried)), carried


def decide_portions(
    node: Node,
    written: Written,
    recipient: MemberCode,
    at: Instant,
    *,
    only_own: bool,
    approvals: frozenset[str] = frozenset(),
    consents: Sequence[Given] = (),
) -> PairDecision:
    """Decide the portions meant for a recipient: all, or only those whose originator the recipient is."""
    wanted = written.decidable()
    if only_own:
        wanted = [one for one in wanted if originator_of(node.world, one[2], node.member, at) == recipient]
    decided = decide_pair(
        node, wanted, recipient, at, valid_until=written.row.expires, approvals=approvals, consents=consents
    )
    if not only_own:
        return decided
    places = {row.slot: place for place, row in enumerate(written.portions)}
    logged = [LoggedPortion(places[one.slot], one.slot, one.decision) for one in decided.logged]
    return replace(decided, logged=tuple(logged))


def given_for(tx: Transaction, md: ManifestDigest, recipient: MemberCode) -> tuple[Carrying, ...]:
    """Return the consents in force for this recipient."""
    found = []
    for row in tx.view.find(CONSENT, "key", md, recipient):
        current = tx.get(CONSENT, row.md, row.recipient, row.member)
        if (
            current is None
            or not current.own
            or current.state != ConsentState.GRANTED
            or tx.now >= current.until
        ):
            continue
        kept = tx.get(RECEIVED, current.member, current.leaf)
        batch = tx.get(BATCH, kept.batch) if kept is not None else None
        if kept is None or batch is None:
            continue
        evidence = Evidence(Kind.CONSENT, kept.nonce, kept.data, kept.proof, batch.record)
        found.append((Given(current.member, decode(Consent, kept.data)), evidence))
    return tuple(found)
