"""Labels from text: every form that CAPCO, organisations, states and TLP write, and nothing else.

The first error in the order of the policy guide ("Labels") counts: characters, emptiness, the
classification block, then piece by piece from the left, then what contradicts. Case, runs of
spaces, spaces round separators and portion brackets do not matter; nothing else is folded.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from intelshare.errors import LabelError, Place
from intelshare.instant import Instant
from intelshare.labels.label import (
    CLEAR,
    CONTROLS,
    NOFORN,
    ORCON,
    TLP_WORDS,
    Label,
    order_codes,
    order_controls,
)
from intelshare.labels.ladders import JOINT
from intelshare.labels.registry import Registry, fold
from intelshare.toml.reader import guess

MAX_LABEL_BYTES = 4096

_FORBIDDEN_CATEGORIES = frozenset(("Cc", "Cf", "Co", "Cs", "Zl", "Zp"))
_CONTROL_TEXTS = {**{control: control for control in CONTROLS}, "OC": ORCON, "NF": NOFORN}
TLP_TEXTS = {**{word: word for word in TLP_WORDS}, "WHITE": CLEAR}
"""What may stand after ``TLP:``; WHITE is the CLEAR of TLP 1.0."""

_PROSE = " RELEASABLE TO"


@dataclass(frozen=True, slots=True)
class _Span:
    """A piece of the text: folded, and where it stands, so that an error can point at it."""

    folded: str
    start: int
    end: int


@dataclass(slots=True)
class _Draft:
    """What has been read so far of one label."""

    authority: str | None = None
    level: str | None = None
    level_span: _Span | None = None
    owners: tuple[str, ...] = ()
    releasable: list[str] | None = None
    releasable_span: _Span | None = None
    controls: list[str] = field(default_factory=list)
    tlp: str | None = None


def parse_label(
    text: str, registry: Registry, at: Instant | None = None, use: Literal["read", "write"] = "read"
) -> Label:
    """The label that the text says, in canonical order.

    With ``at``, a level before its first day is unknown, and for ``use="write"`` one that has ended
    is LEVEL_WITHDRAWN. Raises LabelError with a stable code, the place in the text and a hint;
    TOO_LARGE over 4 KiB.
    """
    if len(text) > MAX_LABEL_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_LABEL_BYTES:
        raise LabelError("TOO_LARGE", f"a label has at most {MAX_LABEL_BYTES} bytes")
    refuse_controls(text)
    return _Parser(unicodedata.normalize("NFC", text), registry, at).parse(use)


def refuse_controls(text: str) -> None:
    """Raise LabelError CONTROL_CHARACTER at the first control, format, private or lone character."""
    for column, letter in enumerate(text):
        if unicodedata.category(letter) in _FORBIDDEN_CATEGORIES:
            place = _place(ascii(text)[1:-1], len(ascii(text[:column])) - 2, len(ascii(letter)) - 2)
            message = f"a label cannot hold the character U+{ord(letter):04X}"
            raise LabelError("CONTROL_CHARACTER", message, place=place, hint="remove it")


class LabelReader:
    """``parse_label`` with a memory of up to ``bound`` texts, for the hot path; forgets all when full."""

    def __init__(self, registry: Registry, bound: int = 4096) -> None:
        self.registry = registry
        self._bound = bound
        self._known: dict[str, Label] = {}

    def read(self, text: str) -> Label:
        """The label of the text, judged at no particular time. Raises LabelError as ``parse_label``."""
        label = self._known.get(text)
        if label is None:
            label = parse_label(text, self.registry)
            if len(self._known) >= self._bound:
                self._known.clear()
            self._known[text] = label
        return label


class _Parser:
    def __init__(self, text: str, registry: Registry, at: Instant | None) -> None:
        self._text = text
        self._registry = registry
        self._at = at

    def parse(self, use: Literal["read", "write"]) -> Label:
        if not self._text.strip(" ()/"):
            self._fail("EMPTY_LABEL", "the label is empty", self._span(0, len(self._text)))
        start, end = self._trim(0, len(self._text))
        if self._text[start] == "(" and self._text[end - 1] == ")":
            start, end = self._trim(start + 1, end - 1)
        foreign = self._text.startswith("//", start, end)
        blocks = list(self._split(start + 2 if foreign else start, end, "//"))
        draft = _Draft()
        pieces = [piece for block in blocks[1:] for piece in self._split(block.start, block.end, "/")]
        self._classification(draft, blocks[0], foreign)
        for piece in pieces:
            self._piece(draft, piece)
        self._contradictions(draft)
        if use == "write":
            self._written_now(draft)
        releasable = draft.releasable
        return Label(
            authority=draft.authority,
            level=draft.level,
            releasable_to=None
            if releasable is None
            else order_codes(releasable, draft.authority, draft.owners, self._registry),
            controls=order_controls(draft.controls),
            tlp=draft.tlp,
            owners=draft.owners,
        )

    # The classification block.

    def _classification(self, draft: _Draft, block: _Span, foreign: bool) -> None:
        if not foreign and (word := _tlp_word(block)) is not None:
            draft.tlp = self._tlp(word, block)
            return
        head, prose, codes = block.folded.partition(_PROSE)
        if prose and not codes.startswith(" ") and codes:
            prose = ""
        whole = self._registry.organisation_levels.get(head if prose else block.folded)
        if whole is not None:
            self._set_level(draft, *whole, block)
        elif foreign and block.folded.split(" ")[0] == JOINT:
            self._joint(draft, block)
        elif foreign:
            self._national(draft, block)
        else:
            name = self._registry.level_names.get("USA", {}).get(block.folded)
            self._set_level(draft, "USA", name, block)
        if prose:
            self._prose(draft, block)

    def _national(self, draft: _Draft, block: _Span) -> None:
        code, _, rest = block.folded.partition(" ")
        if not (len(code) == 3 and code.isascii() and code.isalpha()):
            self._unknown_level(block, self._all_levels())
        if not self._registry.is_state(code):
            self._unknown_code(self._word(block, 0, len(code)), self._registry.states, "a state")
        names = self._registry.level_names.get(code) or {"UNMARKED": "UNMARKED"}
        self._set_level(draft, code, names.get(rest), block)

    def _joint(self, draft: _Draft, block: _Span) -> None:
        words = block.folded.split(" ")[1:]
        names = self._registry.level_names[JOINT]
        taken = next((n for n in (2, 1) if " ".join(words[:n]) in names and len(words) >= n), 0)
        self._set_level(draft, JOINT, names.get(" ".join(words[:taken])), block)
        owners = words[taken:]
        for owner in owners:
            if not self._registry.is_state(owner):
                self._unknown_code(self._find(block, owner), self._registry.states, "a state")
        for owner in owners:
            if owners.count(owner) > 1:
                self._fail("DUPLICATE_CODE", f"{owner} owns the label twice", self._find(block, owner))
        if len(owners) < 2:
            self._fail("JOINT_NEEDS_TWO", "a JOINT label has at least two owners", block)
        draft.owners = tuple(sorted(owners))

    def _prose(self, draft: _Draft, block: _Span) -> None:
        start = block.start + fold(self._text[block.start : block.end]).find("RELEASABLE")
        codes = self._codes(self._after(start, "RELEASABLE", "TO"), block.end, block)
        if draft.authority is not None and draft.authority not in codes:
            codes.append(draft.authority)
        draft.releasable, draft.releasable_span = codes, block

    def _set_level(self, draft: _Draft, authority: str, name: str | None, block: _Span) -> None:
        """The level if it is known (at the time asked for); else UNKNOWN_LEVEL."""
        ladder = self._registry.ladder(authority)
        if name is None:
            self._unknown_level(block, self._registry.level_names.get(authority, ()))
        if ladder.read(name, self._at) is None:
            self._fail("UNKNOWN_LEVEL", f"{authority} had no level {name} yet", block)
        draft.authority, draft.level, draft.level_span = authority, name, block

    # Piece by piece.

    def _piece(self, draft: _Draft, piece: _Span) -> None:
        control = _CONTROL_TEXTS.get(piece.folded)
        word = _tlp_word(piece)
        listed = piece.folded == "REL TO" or piece.folded.startswith("REL TO ")
        alone = draft.level is None
        known = control is not None or word is not None or listed
        if alone or (draft.tlp is not None and word is None) or not known:
            hint = (
                "nothing follows a TLP word"
                if draft.tlp is not None
                else _meant(piece, (*_CONTROL_TEXTS, "REL TO"))
            )
            self._fail("UNKNOWN_CONTROL", f"{piece.folded!r} is no control", piece, hint)
        if listed:
            codes = self._codes(self._after(piece.start, "REL", "TO"), piece.end, piece)
            if draft.releasable is not None:
                self._fail("DUPLICATE_CONTROL", "REL TO stands twice", piece, "join the two lists")
            draft.releasable, draft.releasable_span = codes, piece
        elif word is not None:
            tlp = self._tlp(word, piece)
            if draft.tlp is not None:
                self._fail("DUPLICATE_CONTROL", "TLP stands twice", piece)
            draft.tlp = tlp
        elif control is not None:
            if control in draft.controls:
                self._fail("DUPLICATE_CONTROL", f"{control} stands twice", piece)
            draft.controls.append(control)

    def _codes(self, start: int, end: int, piece: _Span) -> list[str]:
        """The codes of a list: known ones, each once."""
        spans = list(self._split(start, end, ","))
        if len(spans) == 1 and not spans[0].folded:
            self._fail("EMPTY_REL_TO", "REL TO names nobody", piece, "name the authority and the recipients")
        known = (*self._registry.states, *self._registry.groups)
        for span in spans:
            if not self._registry.is_known(span.folded):
                self._unknown_code(span, known, "a known state, group or organisation")
        seen: list[str] = []
        for span in spans:
            if span.folded in seen:
                self._fail("DUPLICATE_CODE", f"{span.folded} is named twice", span)
            seen.append(span.folded)
        return seen

    def _tlp(self, word: str, span: _Span) -> str:
        tlp = TLP_TEXTS.get(word)
        if tlp is None:
            hint = foreign_letter(word) or guess(word, TLP_TEXTS) or "one of " + ", ".join(TLP_WORDS)
            self._fail("UNKNOWN_LEVEL", f"TLP has no {word!r}", span, hint)
        return tlp

    # What contradicts.

    def _contradictions(self, draft: _Draft) -> None:
        if draft.releasable is None or draft.releasable_span is None:
            return
        if NOFORN in draft.controls:
            message = "NOFORN and REL TO contradict each other"
            self._fail("NOFORN_WITH_REL_TO", message, draft.releasable_span, "keep one of the two")
        must = draft.owners if draft.authority == JOINT else (draft.authority,)
        for code in must:
            if code is not None and code not in draft.releasable:
                message = f"REL TO does not name {code}, whose information it is"
                self._fail("REL_TO_WITHOUT_AUTHORITY", message, draft.releasable_span, f"add {code}")

    def _written_now(self, draft: _Draft) -> None:
        if draft.authority is None or draft.level is None or self._at is None or draft.level_span is None:
            return
        row = self._registry.ladder(draft.authority).at(self._at)
        if row.level(draft.level) is None:
            valid = ", ".join(level.name for level in row.levels)
            message = f"{draft.authority} no longer uses {draft.level}"
            self._fail("LEVEL_WITHDRAWN", message, draft.level_span, f"use one of {valid}")

    # Places.

    def _trim(self, start: int, end: int) -> tuple[int, int]:
        while start < end and self._text[start] == " ":
            start += 1
        while end > start and self._text[end - 1] == " ":
            end -= 1
        return start, end

    def _span(self, start: int, end: int) -> _Span:
        start, end = self._trim(start, end)
        words = fold(self._text[start:end]).split(" ")
        folded = " ".join(word for word in words if word)
        return _Span(folded.replace(" /", "/").replace("/ ", "/"), start, end)

    def _split(self, start: int, end: int, separator: str) -> Iterator[_Span]:
        while True:
            found = self._text.find(separator, start, end)
            if found < 0:
                yield self._span(start, end)
                return
            yield self._span(start, found)
            start = found + len(separator)

    def _after(self, start: int, *words: str) -> int:
        """Where the text goes on after these words, which begin at ``start``; spaces may be runs."""
        for word in words:
            while self._text[start] == " ":
                start += 1
            start += len(word)
        return start

    def _find(self, span: _Span, word: str) -> _Span:
        """The last place of a word in a span."""
        at = fold(self._text[span.start : span.end]).rfind(word)
        return _Span(word, span.start + at, span.start + at + len(word)) if at >= 0 and word else span

    def _word(self, span: _Span, start: int, length: int) -> _Span:
        return _Span(span.folded[start : start + length], span.start + start, span.start + start + length)

    def _all_levels(self) -> Iterable[str]:
        return (text for names in self._registry.level_names.values() for text in names)

    # Errors.

    def _unknown_level(self, block: _Span, names: Iterable[str]) -> NoReturn:
        hint = foreign_letter(block.folded) or self._level_meant(block, names)
        self._fail("UNKNOWN_LEVEL", f"no level is called {block.folded!r} here", block, hint)

    def _level_meant(self, block: _Span, names: Iterable[str]) -> str | None:
        """A level of the authority that the block names, never one that would make it another's."""
        code, _, word = block.folded.partition(" ")
        if self._registry.is_organisation(code):
            return guess(block.folded, self._registry.level_names[code])
        if code != JOINT and not self._registry.is_state(code):
            return guess(block.folded, names) or guess(block.folded, self._registry.organisation_levels)
        return guess(word, names) if "//" in self._text[: block.start] else f"write //{block.folded}"

    def _unknown_code(self, span: _Span, known: Iterable[str], expected: str) -> NoReturn:
        message = f"{span.folded!r} is not {expected}"
        self._fail("UNKNOWN_MEMBER", message, span, _meant(span, known))

    def _fail(self, code: str, message: str, span: _Span, hint: str | None = None) -> NoReturn:
        place = _place(self._text, span.start, span.end - span.start)
        raise LabelError(code, message, place=place, hint=hint)


def _meant(span: _Span, known: Iterable[str]) -> str | None:
    return foreign_letter(span.folded) or guess(span.folded, known)


def foreign_letter(text: str) -> str | None:
    """A hint that names the first letter that is not ASCII: what looks like a Latin letter may be none."""
    letter = next((letter for letter in text if not letter.isascii()), None)
    if letter is None:
        return None
    return f"it holds U+{ord(letter):04X} {unicodedata.name(letter, '')}; names are read letter by letter"


def _tlp_word(span: _Span) -> str | None:
    """The word after ``TLP:``, or None if the piece is no TLP marking."""
    head, colon, word = span.folded.partition(":")
    return word.strip(" ") if colon and head.strip(" ") == "TLP" else None


def _place(text: str, start: int, width: int) -> Place:
    return Place("label", 1, start + 1, excerpt=text, width=max(width, 1))
