"""The test whether the text of a STIX statement states terms of use, or is meant as a label.

The test is closed and errs towards the label: terms that are taken for a label are refused, but a label taken
for terms would be lost. A text counts as a label if it has ``//`` outside an address, begins with a word used
in markings or with a near miss of one, or contains such a word in capitals.
"""

from __future__ import annotations

import re

from intelshare.labels.label import CONTROLS
from intelshare.labels.ladders import JOINT
from intelshare.labels.registry import Registry, fold

MAX_TERMS = 16 * 1024
"""The characters of a statement that are examined; a longer statement is never taken for terms."""

_ADDRESS = re.compile(r"\bhttps?://\S*")
_WORD = re.compile(r"[^\W_]+")
_MARKINGS = (
    "CLASSIFIED",
    "UNCLASSIFIED",
    "CLASSIFICATION",
    "DECLASSIFY",
    "DERIVED",
    "CUSTOM",
    "TLP",
    "REL",
    "FGI",
)
_SHORT = 4
"""The word length up to which too many words are alike: such words count only exactly as written, in
capitals.
"""


class Terms:
    """The test for the words of one registry; making it costs milliseconds, each use microseconds."""

    def __init__(self, registry: Registry) -> None:
        texts = [text for names in registry.level_names.values() for text in names]
        words = {word for text in (*texts, *CONTROLS) for word in _WORD.findall(text) if len(word) > 1}
        self._words = frozenset((*words, *_MARKINGS, *registry.known, JOINT))
        self._near = frozenset(
            near for word in self._words if len(word) > _SHORT for near in (word, *_with_a_letter_less(word))
        )

    def are(self, text: str) -> bool:
        """Return True if the text is plainly not a label."""
        bare = _ADDRESS.sub(" ", text)
        if len(text) > MAX_TERMS or "//" in bare:
            return False
        words = _WORD.findall(bare)
        if not words or any(word == word.upper() and fold(word) in self._words for word in words):
            return False
        first = fold(words[0][:64])
        return len(first) <= _SHORT or self._near.isdisjoint((first, *_with_a_letter_less(first)))


def _with_a_letter_less(word: str) -> list[str]:
    """Return the word with each letter left out in turn: two words that share a result differ by one letter,
    or by two that changed places.
    """
    return [word[:at] + word[at + 1 :] for at in range(len(word))]
