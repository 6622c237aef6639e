"""The decision on one bulletin for one recipient: every portion, and what follows for the pair.

Submit, hand-over and receive all decide through here, so that a pair gets the same decision whenever the
question is asked (promise P9). Between two changes of the world the same question has the same answer, which
the world's snapshot remembers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intelshare.audit.records import DecisionKept, LoggedDecision, LoggedPortion, LoggedReason
from intelshare.broker.kernel.node import Node
from intelshare.crypto.codec import Encoded, encode, encoded
from intelshare.crypto.pae import Domain, kdf, u16, u64
from intelshare.crypto.records import Citation, Portion
from intelshare.envelope import Given
from intelshare.errors import Place
from intelshare.ids import Digest, ManifestDigest, MemberCode
from intelshare.instant import NEVER, Instant
from intelshare.labels import Label, format_banner, rollup
from intelshare.policy import (
    OWN_PRODUCT,
    UNRESTRICTED,
    Decision,
    Outcome,
    Request,
    World,
    consents_asked,
    decide,
    originator_of,
)

OUTCOMES = {Outcome.ALLOW: 1, Outcome.HOLD: 2, Outcome.DENY: 3}

_NO_CONSENT: frozenset[str] = frozenset()

_NOBODY = ManifestDigest(bytes(32))


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision, and the form in which a grant and the log carry it."""

    decision: Decision
    cited: tuple[Citation, ...]
    logged: Encoded[LoggedDecision]


@dataclass(frozen=True, slots=True)
class PortionDecision:
    """The slot and label of a portion, and the ruling on it."""

    slot: int
    label: Label
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class PairDecision:
    """The decisions on all portions for one recipient."""

    recipient: MemberCode
    portions: tuple[PortionDecision, ...]
    granted: tuple[PortionDecision, ...]
    """The portions that nothing denies; a hold may still apply to them."""
    logged: tuple[LoggedPortion, ...]

    @property
    def holds(self) -> tuple[str, ...]:
        """The ids of all hold rows that are still open: any of them holds the whole pair."""
        found = [hold for p in self.portions for hold in p.ruling.decision.holds]
        return tuple(sorted(set(found))) if found else ()

    @property
    def codes(self) -> tuple[str, ...]:
        """The reason codes of everything that is denied, each once."""
        return tuple(dict.fromkeys(code for p in self.portions for code in p.ruling.decision.codes))

    @property
    def basis(self) -> str:
        """The basis of the granted portions: see ``basis_of``."""
        return basis_of([granted.ruling.decision.basis or "" for granted in self.granted])


def basis_of(found: Sequence[str]) -> str:
    """Return the basis of a pair whose granted portions have these: a treaty if any of them needs one; empty
    if none is granted.
    """
    treaties = (basis for basis in found if basis not in (UNRESTRICTED, OWN_PRODUCT))
    return next(treaties, found[0] if found else "")


def decide_pair(
    node: Node,
    portions: Sequence[tuple[int, Portion, Label]],
    recipient: MemberCode,
    at: Instant,
    *,
    valid_until: Instant,
    sender: MemberCode | None = None,
    originator: MemberCode | None = None,
    approvals: frozenset[str] = frozenset(),
    consents: Sequence[Given] = (),
    released: bool = False,
) -> PairDecision:
    """Decide (slot, portion, label) in reading order at ``at`` in the node's present world.

    ``consents`` are all that were given to the sender for this bulletin, by whomever and for whatever.
    """
    world, sender = node.world, sender or node.member
    until = None if valid_until == NEVER else valid_until
    # The answer depends on the instant only through the snapshot and through whether the bulletin has
    # expired.
    expired = at >= valid_until
    snapshot = world.at(at)
    judged = []
    for slot, portion, label in portions:
        flags = frozenset(portion.flags)
        claimed = originator or sender
        agreed = _agreed(world, consents, slot, label, claimed, sender, at) if consents else _NO_CONSENT

        def make(
            label: Label = label,
            category: str = portion.category,
            flags: frozenset[str] = flags,
            agreed: frozenset[str] = agreed,
        ) -> Ruling:
            return _ruling(
                decide(
                    world,
                    Request(
                        label=label,
                        category=category,
                        at=at,
                        sender=sender,
                        recipient=recipient,
                        originator=originator,
                        flags=flags,
                        consents=agreed,
                        approvals=approvals,
                        released=released,
                        valid_until=until,
                    ),
                )
            )

        key = (
            decide, label, portion.category, flags, sender, recipient, originator, agreed, approvals,
            released, expired,
        )  # fmt: skip
        judged.append(PortionDecision(slot, label, snapshot.remember(key, make)))
    return PairDecision(
        recipient,
        tuple(judged),
        tuple([one for one in judged if one.ruling.decision.outcome is not Outcome.DENY]),
        tuple([LoggedPortion(place, one.slot, one.ruling.logged) for place, one in enumerate(judged)]),
    )


def _agreed(
    world: World,
    consents: Sequence[Given],
    slot: int,
    label: Label,
    claimed: MemberCode,
    sender: MemberCode,
    at: Instant,
) -> frozenset[str]:
    """Return the members for whom everybody whose information the portion contains has consented (rule 8)."""
    originator = originator_of(world, label, claimed, at)
    held = {
        (given.by, given.consent.recipient)
        for given in consents
        if slot in given.consent.slots and at < given.consent.until
    }
    foreign = label.fgi or ()
    return frozenset(
        recipient
        for recipient in {recipient for _, recipient in held}
        if all((by, recipient) in held for by in consents_asked(originator, foreign, sender, recipient))
    )


def banner_of(node: Node, labels: Sequence[Label], originator: MemberCode, at: Instant) -> str:
    """Return the banner of these portions in the originator's ladder. Raises LabelError."""
    known = tuple(labels)
    registry = node.world.registry
    return node.world.at(at).remember(
        (rollup, originator, known),
        lambda: format_banner(rollup(originator, at, known, registry), registry),
    )


@dataclass(frozen=True, slots=True)
class Loggable:
    """A decision as it is kept (a ``DecisionKept``), without the seed, the bulletin and the time."""

    names: bytes
    portions: bytes
    fingerprint: Digest
    """Covers the decision but not its time: two decisions with the same fingerprint need one log entry."""

    def entry(self, md: ManifestDigest, at: Instant) -> bytes:
        """Return the log entry of this decision for a bulletin."""
        return b"".join((md, self.names, u64(at), self.portions))


def loggable(key: bytes, pair: PairDecision, sender: MemberCode) -> Loggable:
    """Return the decision in the form in which it is logged.

    The fingerprint covers the same record with an empty bulletin and sender and the time 0: what follows the
    recipient, which is nearly all of it, is encoded once for both uses. ``key`` is the vault's storage key:
    the database stores the fingerprint in clear, and labels are easily guessed.
    """
    nothing = DecisionKept(_NOBODY, _NOBODY, MemberCode(""), pair.recipient, Instant(0), pair.logged)
    plain = encode(DecisionKept, nothing)[32:]
    name, end = sender.encode(), 36 + len(pair.recipient.encode())
    return Loggable(
        u16(len(name)) + name + plain[34:end], plain[end + 8 :], Digest(kdf(key, Domain.DECIDED, plain))
    )


def _ruling(decision: Decision) -> Ruling:
    cited = tuple([Citation(c.treaty, Digest(c.digest), c.article) for c in decision.citations])
    reasons = tuple([LoggedReason(r.code.value, r.detail, place_text(r.place)) for r in decision.reasons])
    logged = LoggedDecision(
        OUTCOMES[decision.outcome],
        decision.basis or "",
        cited,
        decision.obligations,
        decision.holds,
        reasons,
    )
    return Ruling(decision, cited, encoded(LoggedDecision, logged))


def place_text(place: Place | None) -> str:
    """Return a place as text, such as ``demo-climate.toml:11``, or nothing."""
    if place is None:
        return ""
    return place.source if place.line is None else f"{place.source}:{place.line}"
