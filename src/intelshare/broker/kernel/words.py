"""A check of words that users write: categories and flags must be known here, so that slips show."""

from __future__ import annotations

from collections.abc import Iterable

from intelshare.broker.kernel.node import Node
from intelshare.errors import DeliveryError, Place
from intelshare.instant import Instant
from intelshare.labels import WordKind
from intelshare.policy import word_hint


def check_words(
    node: Node, kind: WordKind, words: Iterable[str], at: Instant | None = None, place: Place | None = None
) -> None:
    """Return if each word is known and may be used at ``at``. Raises DeliveryError WORD_UNKNOWN."""
    registry = node.world.registry
    for word in words:
        wrong = registry.words.wrong(kind, word, at)
        if wrong is not None:
            raise DeliveryError("WORD_UNKNOWN", wrong, place=place, hint=word_hint(kind, word, registry))
