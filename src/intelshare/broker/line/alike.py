"""The parts that drafts share if they differ only in content: made once, and remembered with the world.

A client sends many bulletins under the same labels to the same recipients. Their labels are read, decided and
formatted once for each stretch of time in which the world does not change; each draft adds its content, its
ids and the slots of its portions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
from intelshare.errors import DeliveryError, LabelError, Place
from intelshare.ids import BulletinId, ManifestDigest
from intelshare.instant import Instant
from intelshare.labels import Label, WordKind, format_portion, parse_label
from intelshare.policy import foreign_owners

NOBODY: Final = (BulletinId(bytes(16)), ManifestDigest(bytes(32)))
"""The ids of a bulletin that is not stored."""
_IDS: Final = 48
"""The number of bytes of both ids."""
_MAX_SLOTS: Final = 64
"""The most arrangements of slots that are remembered for drafts that are alike."""


@record
class SubmittedPair:
    """One recipient: the status that is shown, and the decision behind it."""

    recipient: Member
    word: Text
    portions: Annotated[tuple[LoggedPortion, ...], Count()]


@record
class SubmitResult:
    """The answer: what was stored or, on a dry run (ids of zeros), would be. It is kept as bytes."""

    bulletin: Annotated[BulletinId, Fixed("16s", 16)]
    md: Md32
    banner: Text
    marks: Annotated[tuple[Text, ...], Count()]
    """The portion marks in reading order."""
    pairs: Annotated[tuple[SubmittedPair, ...], Count()]


class Decided(NamedTuple):
    """The decisions for drafts that are alike, with their portions in certain slots, as stored and shown."""

    pairs: tuple[PairDecision, ...]
    """One for each recipient."""
    new: tuple[NewPair, ...]
    """The same pairs, as they are stored."""
    banner: str
    marks: tuple[str, ...]
    """The marks of the portions, in reading order."""
    told: tuple[SubmittedPair, ...]
    encoded: bytes
    """The answer as it is kept, without the ids."""


@dataclass(frozen=True, slots=True)
class Alike:
    """The shared parts of all drafts with these recipients and these marks. Made by ``alike_of``."""

    labels: tuple[Label, ...]
    heads: tuple[Portion, ...]
    """The portions without their content."""
    encoded_heads: bytes
    reread: bool
    """True if the stored labels read the same as the labels given."""
    content_is_read: bool
    """True if a portion's content states its markings itself."""
    foreign: bool
    """True if a portion has another state's label."""
    decided: dict[tuple[int, ...], Decided] = field(default_factory=dict, repr=False, compare=False)
    """The decisions by slots: a memory that changes no outcome."""


def alike_of(node: Node, draft: Draft, now: Instant) -> Alike:
    """Return what such drafts share at this time.

    Raises LabelError for a label that may not be written, DeliveryError WORD_UNKNOWN.
    """
    marks = tuple([(p.kind, p.label, p.category, p.flags, p.grade, p.media) for p in draft.portions])
    # The answer depends on the instant only through the snapshot and through whether the bulletin has
    # expired.
    key = (alike_of, node.member, node.storage_key, draft.to, now >= draft.valid_until, marks)
    return node.world.at(now).remember(key, lambda: _made(node, draft, now))


def _made(node: Node, draft: Draft, now: Instant) -> Alike:
    labels = tuple([_label(node, portion.label, now, n) for n, portion in enumerate(draft.portions, 1)])
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
    """Return the decisions for a draft whose portions are in these slots. Raises DeliveryError
    UNKNOWN_MEMBER, INPUT_INVALID; LabelError.
    """
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
            f"{unknown[0]!r} is not a member that this node knows",
            hint="it knows "
            + ", ".join(sorted(node.world.members))
            + "; `intelshare member import` adds one",
        )
    if node.member in draft.to:
        # There is no link to one's own member: it would wait for ever.
        raise DeliveryError(
            "INPUT_INVALID",
            f"{node.member} is your own member: a bulletin cannot be sent to it",
            hint="leave it out of --to; your colleagues find the bulletin with `intelshare outbox`",
        )


def _label(node: Node, text: str, now: Instant, number: int) -> Label:
    """Read the label of the ``number``-th portion; errors name the portion."""

    def parsed() -> Label:
        label, known = parse_label(text, node.world.registry, at=now, use="write"), node.labels.read(text)
        # Where it reads the same, return the very same object: later comparisons are then cheap.
        return known if known == label else label

    try:
        return node.world.at(now).remember((parse_label, text), parsed)
    except LabelError as error:
        place = replace(error.place or Place(""), source=f"portion {number}")
        raise LabelError(error.code, error.message, place=place, hint=error.hint) from None


def _mark(node: Node, label: Label, now: Instant) -> str:
    return node.world.at(now).remember(
        (format_portion, label), lambda: format_portion(label, node.world.registry)
    )
