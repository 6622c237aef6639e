"""One bulletin for one recipient: every portion decided, and what that makes of the pair.

Submit, hand-over and receive all decide through here, so that a pair is judged the same way whenever it
is asked about (promise P9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intelshare.audit.records import DecisionMade, LoggedPortion, LoggedReason
from intelshare.broker.node import Node
from intelshare.crypto.codec import encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Citation as CitedText
from intelshare.crypto.records import Portion
from intelshare.errors import Place
from intelshare.ids import Digest, ManifestDigest, MemberCode
from intelshare.instant import NEVER, Instant
from intelshare.labels import Label, format_banner, rollup
from intelshare.policy import Citation, Decision, Outcome, Request, decide

OUTCOMES = {Outcome.ALLOW: 1, Outcome.HOLD: 2, Outcome.DENY: 3}


@dataclass(frozen=True, slots=True)
class Judged:
    """A portion's place, its label, and the decision."""

    position: int
    slot: int
    label: Label
    decision: Decision


@dataclass(frozen=True, slots=True)
class Pair:
    """The decisions of all portions for one recipient."""

    recipient: MemberCode
    portions: tuple[Judged, ...]

    @property
    def granted(self) -> tuple[Judged, ...]:
        """The portions that nothing denies; may be under a hold."""
        return tuple(p for p in self.portions if p.decision.outcome is not Outcome.DENY)

    @property
    def holds(self) -> tuple[str, ...]:
        """Ids of all open hold rows: any of them holds the whole pair."""
        return tuple(sorted({hold for p in self.portions for hold in p.decision.holds}))

    @property
    def codes(self) -> tuple[str, ...]:
        """Reason codes of all that is denied, each once."""
        return tuple(dict.fromkeys(code for p in self.portions for code in p.decision.codes))

    @property
    def basis(self) -> str:
        """The basis of the first granted portion; empty if none is."""
        return next((p.decision.basis or "" for p in self.granted), "")


def judge(
    node: Node,
    portions: Sequence[tuple[int, Portion, Label]],
    recipient: MemberCode,
    at: Instant,
    *,
    valid_until: Instant,
    sender: MemberCode | None = None,
    originator: MemberCode | None = None,
    approvals: frozenset[str] = frozenset(),
    consents: frozenset[str] = frozenset(),
    released: bool = False,
) -> Pair:
    """Decide (slot, portion, label) in reading order at ``at`` in the node's present world."""
    until = None if valid_until == NEVER else valid_until
    return Pair(
        recipient,
        tuple(
            [
                Judged(
                    position,
                    slot,
                    label,
                    decide(
                        node.world,
                        Request(
                            label=label,
                            category=portion.category,
                            at=at,
                            sender=sender or node.member,
                            recipient=recipient,
                            originator=originator,
                            flags=frozenset(portion.flags),
                            consents=consents,
                            approvals=approvals,
                            released=released,
                            valid_until=until,
                        ),
                    ),
                )
                for position, (slot, portion, label) in enumerate(portions)
            ]
        ),
    )


def banner_of(node: Node, labels: Sequence[Label], originator: MemberCode, at: Instant) -> str:
    """The banner of these portions in the originator's ladder. Raises LabelError."""
    return format_banner(rollup(originator, at, labels, node.world.registry), node.world.registry)


def record_of(pair: Pair, md: ManifestDigest, sender: MemberCode, at: Instant) -> DecisionMade:
    """The decision as it is logged, explanation and all."""
    return DecisionMade(md, sender, pair.recipient, at, tuple([_logged(p) for p in pair.portions]))


def cited(citations: Sequence[Citation]) -> tuple[CitedText, ...]:
    """Citations as a grant carries them."""
    return tuple([CitedText(c.treaty, Digest(c.digest), c.article) for c in citations])


def _logged(judged: Judged) -> LoggedPortion:
    decision = judged.decision
    return LoggedPortion(
        judged.position,
        judged.slot,
        OUTCOMES[decision.outcome],
        decision.basis or "",
        cited(decision.citations),
        decision.obligations,
        decision.holds,
        tuple([LoggedReason(r.code.value, r.detail, place_text(r.place)) for r in decision.reasons]),
    )


def place_text(place: Place | None) -> str:
    """``demo-climate.toml:11``, or nothing."""
    if place is None:
        return ""
    return place.source if place.line is None else f"{place.source}:{place.line}"


def gist_of(pair: Pair) -> Digest:
    """What was decided, without when: two decisions of one gist need one log entry."""
    made = record_of(pair, ManifestDigest(bytes(32)), MemberCode(""), Instant(0))
    return Digest(sha256(encode(DecisionMade, made)))
