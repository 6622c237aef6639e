"""What drafts that differ in nothing but their content share: made once, and remembered with the world.

A client sends many bulletins under the same labels to the same recipients. Their labels are read, decided and
put into words once for each stretch of time in which the world does not change; a draft adds its content, its
ids and the slots in which its portions stand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, NamedTuple

from intelshare.audit.records import LoggedPortion
from intelshare.broker.kernel.decide_pair import PairDecision, banner_of, decide_pair
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.stored_bulletins import encode_heads, without_content
from intelshare.broker.kernel.words import check_words
from intelshare.broker.lifecycle.add_recipient import NewPair, facts_of_new, new_pair
from intelshare.bulletin import Draft, content_is_read
from intelshare.crypto.codec import Count, Fixed, Text, encode, record
from intelshare.crypto.records import Md32, Member, Portion
from intelshare.delivery import status_of
from intelshare.errors import DeliveryError, Place
from intelshare.ids import BulletinId, ManifestDigest
from intelshare.instant import Instant
from intelshare.labels import Label, WordKind, format_portion, parse_label
from intelshare.policy import foreign_owners

NOBODY: Final = (BulletinId(bytes(16)), ManifestDigest(bytes(32)))
"""The ids of what is not stored."""
_IDS: Final = 48
"""Their bytes."""
_MAX_SLOTS: Final = 64
"""Ways in which portions stand in their slots that are remembered of drafts that are alike."""


@record
class SubmittedPair:
    """One recipient: the status that is shown, and the decision behind it."""

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


class Decided(NamedTuple):
    """Drafts that are alike, their portions in certain slots: what was decided, and how that is told."""

    pairs: tuple[PairDecision, ...]
    """For each recipient."""
    new: tuple[NewPair, ...]
    """The same, as they are stored."""
    banner: str
    marks: tuple[str, ...]
    """Of the portions, in reading order."""
    told: tuple[SubmittedPair, ...]
    encoded: bytes
    """The answer as it is kept, but for the ids."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Of all drafts with these recipients and these marks. Made by ``alike_of``."""

    labels: tuple[Label, ...]
    heads: tuple[Portion, ...]
    """The portions without their content."""
    encoded_heads: bytes
    reread: bool
    """The labels read the same once they are stored."""
    content_is_read: bool
    """A portion has content that says itself how it is marked."""
    foreign: bool
    """A portion has another state's label."""
    decided: dict[tuple[int, ...], Decided] = field(default_factory=dict, repr=False, compare=False)
    """By slots: a memory that changes no outcome."""


def alike_of(node: Node, draft: Draft, now: Instant) -> Alike:
    """What such drafts share at this time. Raises LabelError for a label that may not be written,
    DeliveryError WORD_UNKNOWN."""
    marks = tuple([(p.kind, p.label, p.category, p.flags, p.grade, p.media) for p in draft.portions])
    # A request's instant counts by its stretch of time and by whether the bulletin has expired.
    key = (alike_of, node.member, node.storage_key, draft.to, now >= draft.valid_until, marks)
    return node.world.at(now).remember(key, lambda: _made(node, draft, now))


def _made(node: Node, draft: Draft, now: Instant) -> Alike:
    labels = tuple([_label(node, portion.label, now) for portion in draft.portions])
    for number, portion in enumerate(draft.portions, 1):
        place = Place(f"portion {number}")
        check_words(node, WordKind.CATEGORY, (portion.category,), now, place)
        check_words(node, WordKind.FLAG, portion.flags, now, place)
    heads = without_content(draft.portions)
    registry = node.world.registry
    return Alike(
        labels,
        heads,
        encode_heads(heads),
        labels == tuple([node.labels.read(head.label) for head in heads]),
        any(content_is_read(head) for head in heads),
        any(foreign_owners(label, node.member, registry) for label in labels),
    )


def decided_of(node: Node, draft: Draft, alike: Alike, slots: tuple[int, ...], now: Instant) -> Decided:
    """The decisions for a draft whose portions stand in these slots. Raises DeliveryError UNKNOWN_MEMBER,
    INPUT_INVALID; LabelError."""
    found = alike.decided.get(slots)
    if found is None:
        found = _decided(node, draft, alike, slots, now)
        if len(alike.decided) >= _MAX_SLOTS:
            alike.decided.clear()
        alike.decided[slots] = found
    return found


def _decided(node: Node, draft: Draft, alike: Alike, slots: tuple[int, ...], now: Instant) -> Decided:
    _check_recipients(node, draft)
    portions = list(zip(slots, draft.portions, alike.labels, strict=True))
    pairs = tuple(
        [decide_pair(node, portions, recipient, now, valid_until=draft.valid_until) for recipient in draft.to]
    )
    banner = banner_of(node, alike.labels, node.member, now)
    marks = tuple([_mark(node, label, now) for label in alike.labels])
    told = tuple([SubmittedPair(one.recipient, status_of(facts_of_new(one)), one.logged) for one in pairs])
    return Decided(
        pairs,
        tuple([new_pair(node, one) for one in pairs]),
        banner,
        marks,
        told,
        encode(SubmitResult, SubmitResult(*NOBODY, banner, marks, told))[_IDS:],
    )


def _check_recipients(node: Node, draft: Draft) -> None:
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
