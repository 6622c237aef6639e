"""Labels from text: every form that CAPCO, organisations, states and TLP write, and nothing else.

The first error in the order of the policy guide ("Labels") is reported: characters, emptiness, the
classification block, then piece by piece from the left, then contradictions. Case, runs of spaces, spaces
around separators and portion brackets do not matter; nothing else is folded.
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
    NOFORN,
    TLP_WORDS,
    Label,
    order_codes,
    order_controls,
)
from intelshare.labels.ladders import JOINT
from intelshare.labels.markings import (
    CONFLICTS,
    CONTROL_TEXTS,
    DISPLAY_ONLY_TEXTS,
    FGI_TEXTS,
    REL_TO_TEXTS,
    list_after,
    not_carried,
    not_read,
)
from intelshare.labels.registry import Registry, fold
from intelshare.toml import guess

MAX_LABEL_BYTES = 4096

_FORBIDDEN_CATEGORIES = frozenset(("Cc", "Cf", "Co", "Cs", "Zl", "Zp"))
TLP_TEXTS = {**{word: word for word in TLP_WORDS}, "WHITE": CLEAR}
"""The words allowed after ``TLP:``; WHITE is TLP 1.0's name for CLEAR."""

_PROSE = " RELEASABLE TO"


@dataclass(frozen=True, slots=True)
class _Span:
    """A piece of the text, folded, and its position, so that an error can point to it."""

    folded: str
    start: int
    end: int


@dataclass(slots=True)
class _Draft:
    """The parts of one label that have been read so far."""

    authority: str | None = None
    level: str | None = None
    level_span: _Span | None = None
    owners: tuple[str, ...] = ()
    releasable: list[str] | None = None
    releasable_span: _Span | None = None
    displayable: list[str] | None = None
    displayable_span: _Span | None = None
    fgi: list[str] | None = None
    controls: list[str] = field(default_factory=list)
    control_spans: dict[str, _Span] = field(default_factory=dict)
    tlp: str | None = None


def parse_label(
    text: str, registry: Registry, at: Instant | None = None, use: Literal["read", "write"] = "read"
) -> Label:
    """Return the label that the text states, in canonical order.

    With ``at``, a level before its first day is unknown, a group in REL TO stands for its members at that
    instant, and for ``use="write"`` a level that has ended is LEVEL_WITHDRAWN. Without ``at`` a group stands
    for everybody who was ever a member: what was once a label stays one. Raises LabelError with a stable
    code, the place in the text and a hint; TOO_LARGE over 4 KiB.
    """
    if len(text) > MAX_LABEL_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_LABEL_BYTES:
        raise LabelError("TOO_LARGE", f"a label may have at most {MAX_LABEL_BYTES} bytes")
    refuse_controls(text)
    return _Parser(unicodedata.normalize("NFC", text), registry, at).parse(use)


def refuse_controls(text: str) -> None:
    """Raise LabelError CONTROL_CHARACTER at the first control, format, private-use or unpaired surrogate
    character.
    """
    for column, letter in enumerate(text):
        if unicodedata.category(letter) in _FORBIDDEN_CATEGORIES:
            place = _place(ascii(text)[1:-1], len(ascii(text[:column])) - 2, len(ascii(letter)) - 2)
            message = f"a label cannot contain the character U+{ord(letter):04X}"
            raise LabelError("CONTROL_CHARACTER", message, place=place, hint="remove it")


class LabelReader:
    """``parse_label`` with a cache of up to ``bound`` texts, for the hot path; the cache is cleared when
    full.
    """

    def __init__(self, registry: Registry, bound: int = 4096) -> None:
        self.registry = registry
        self._bound = bound
        self._known: dict[str, Label] = {}

    def read(self, text: str) -> Label:
        """Return the label of the text, judged at no particular time. Raises LabelError as ``parse_label``
        does.
        """
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
        return Label(
            authority=draft.authority,
            level=draft.level,
            releasable_to=self._ordered(draft, draft.releasable),
            controls=order_controls(draft.controls),
            tlp=draft.tlp,
            owners=draft.owners,
            displayable_to=self._ordered(draft, draft.displayable),
            fgi=None if draft.fgi is None else order_codes(draft.fgi, None, (), self._registry),
        )

    def _ordered(self, draft: _Draft, codes: list[str] | None) -> tuple[str, ...] | None:
        return None if codes is None else order_codes(codes, draft.authority, draft.owners, self._registry)

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
            self._set_level(draft, "USA", self._registry.level_named("USA", block.folded, self._at), block)
        if prose:
            self._prose(draft, block)

    def _national(self, draft: _Draft, block: _Span) -> None:
        code, _, rest = block.folded.partition(" ")
        if not (len(code) == 3 and code.isascii() and code.isalpha()):
            self._unknown_level(block, self._all_levels())
        if not self._registry.is_state(code):
            self._unknown_code(self._word(block, 0, len(code)), self._registry.states, "a state")
        self._set_level(draft, code, self._registry.level_named(code, rest, self._at), block)

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
        codes = self._codes(self._after(start, "RELEASABLE", "TO"), block.end, block, "EMPTY_REL_TO")
        if draft.authority is not None and draft.authority not in codes:
            codes.append(draft.authority)
        draft.releasable, draft.releasable_span = codes, block

    def _set_level(self, draft: _Draft, authority: str, name: str | None, block: _Span) -> None:
        """Set the level if it is known (at the time asked for); otherwise raise UNKNOWN_LEVEL."""
        ladder = self._registry.ladder(authority)
        if name is None:
            self._unknown_level(block, self._registry.level_names.get(authority, ()))
        if ladder.read(name, self._at) is None:
            self._fail("UNKNOWN_LEVEL", f"{authority} did not have the level {name} yet", block)
        draft.authority, draft.level, draft.level_span = authority, name, block

    # Piece by piece.

    def _piece(self, draft: _Draft, piece: _Span) -> None:
        word = _tlp_word(piece)
        if draft.level is None or (draft.tlp is not None and word is None):
            hint = "nothing may follow a TLP word" if draft.tlp is not None else None
            self._fail(
                "UNKNOWN_CONTROL", f"{piece.folded!r} is not a control that can stand here", piece, hint
            )
        text = piece.folded
        control = CONTROL_TEXTS.get(text)
        if word is not None:
            tlp = self._tlp(word, piece)
            self._once(draft.tlp is None, "TLP", piece)
            draft.tlp = tlp
        elif control is not None:
            self._once(control not in draft.controls, control, piece)
            draft.controls.append(control)
            draft.control_spans[control] = piece
        elif (start := list_after(text, REL_TO_TEXTS)) is not None:
            codes = self._codes(self._past(piece, text[:start]), piece.end, piece, "EMPTY_REL_TO")
            self._once(draft.releasable is None, "REL TO", piece, "join the two lists")
            draft.releasable, draft.releasable_span = codes, piece
        elif (start := list_after(text, DISPLAY_ONLY_TEXTS)) is not None:
            codes = self._codes(self._past(piece, text[:start]), piece.end, piece, "EMPTY_DISPLAY_ONLY")
            self._once(draft.displayable is None, "DISPLAY ONLY", piece, "join the two lists")
            draft.displayable, draft.displayable_span = codes, piece
        elif draft.authority == "USA" and (start := list_after(text, FGI_TEXTS)) is not None:
            codes = self._foreign(piece, self._past(piece, text[:start]))
            self._once(draft.fgi is None, "FGI", piece, "join the two lists")
            draft.fgi = codes
        else:
            self._unknown_piece(piece)

    def _once(self, first: bool, marking: str, piece: _Span, hint: str | None = None) -> None:
        if not first:
            self._fail("DUPLICATE_CONTROL", f"{marking} is repeated", piece, hint)

    def _past(self, piece: _Span, words: str) -> int:
        return self._after(piece.start, *words.split(" "))

    def _codes(self, start: int, end: int, piece: _Span, empty: str) -> list[str]:
        """Return the codes of a list; all must be known, and each must occur once."""
        spans = list(self._split(start, end, ","))
        if len(spans) == 1 and not spans[0].folded:
            self._fail(empty, f"{piece.folded} names nobody", piece, "name the authority and the recipients")
        for span in spans:
            if not self._registry.is_known(span.folded):
                known = (*self._registry.states, *self._registry.groups)
                self._unknown_code(span, known, "a known state, group or organisation")
        return self._each_once(spans)

    def _foreign(self, piece: _Span, start: int) -> list[str]:
        """Return the states and organisations, separated by spaces, whose information it contains; empty if
        concealed.
        """
        spans = [span for span in self._split(start, piece.end, " ") if span.folded]
        for span in spans:
            if not self._registry.is_member(span.folded) or span.folded == "USA":
                self._unknown_code(span, self._registry.nodes - {"USA"}, "another state or organisation")
        return self._each_once(spans)

    def _each_once(self, spans: list[_Span]) -> list[str]:
        seen: list[str] = []
        for span in spans:
            if span.folded in seen:
                self._fail("DUPLICATE_CODE", f"{span.folded} is named twice", span)
            seen.append(span.folded)
        return seen

    def _unknown_piece(self, piece: _Span) -> NoReturn:
        what = not_carried(piece.folded)
        if what is not None:
            self._fail_not_carried(piece, what)
        known = not_read(piece.folded)
        if known is not None:
            self._fail("UNKNOWN_CONTROL", f"{piece.folded!r} is {known}; there is no rule for it here", piece)
        if list_after(piece.folded, FGI_TEXTS) is not None:
            self._fail("UNKNOWN_CONTROL", "only labels of the United States may have FGI", piece)
        hint = _meant(piece, (*CONTROL_TEXTS, *REL_TO_TEXTS, *DISPLAY_ONLY_TEXTS, *FGI_TEXTS))
        self._fail("UNKNOWN_CONTROL", f"{piece.folded!r} is not a control", piece, hint)

    def _fail_not_carried(self, span: _Span, what: str) -> NoReturn:
        message = f"{span.folded!r} is {what}, which this system never carries"
        hint = "share it by the means that its owner prescribes, or remove what this block covers"
        self._fail("COMPARTMENT_NOT_CARRIED", message, span, hint)

    def _tlp(self, word: str, span: _Span) -> str:
        tlp = TLP_TEXTS.get(word)
        if tlp is None:
            hint = _meant(span, TLP_TEXTS, word) or "use one of " + ", ".join(TLP_WORDS)
            self._fail("UNKNOWN_LEVEL", f"TLP has no word {word!r}", span, hint)
        return tlp

    # Contradictions.

    def _contradictions(self, draft: _Draft) -> None:
        if NOFORN in draft.controls and draft.releasable_span is not None:
            message = "NOFORN and REL TO contradict each other"
            self._fail("NOFORN_WITH_REL_TO", message, draft.releasable_span, "keep one of the two")
        spans = dict(draft.control_spans)
        if draft.displayable_span is not None:
            spans["DISPLAY ONLY"] = draft.displayable_span
        for pair in CONFLICTS:
            if pair <= spans.keys():
                last = max(pair, key=lambda control: spans[control].start)
                message = f"{' and '.join(sorted(pair))} contradict each other"
                self._fail("CONTROLS_CONFLICT", message, spans[last], "keep one of the two")
        self._covers_its_owners(draft)

    def _covers_its_owners(self, draft: _Draft) -> None:
        """Check that REL TO covers the owners of the information, by their code or through a group."""
        if draft.releasable is None or draft.releasable_span is None:
            return
        must = draft.owners if draft.authority == JOINT else (draft.authority,)
        for code in must:
            if code is not None and not any(self._holds(named, code) for named in draft.releasable):
                message = f"REL TO does not name {code}, whose information it is"
                self._fail("REL_TO_WITHOUT_AUTHORITY", message, draft.releasable_span, f"add {code}")

    def _holds(self, named: str, code: str) -> bool:
        if named == code:
            return True
        if self._at is not None:
            return code in self._registry.expand(named, self._at)
        group = self._registry.groups.get(named)
        return group is not None and code in group.members

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
        """Return where the text continues after these words, which begin at ``start``; spaces may be runs."""
        for word in words:
            while self._text[start] == " ":
                start += 1
            start += len(word)
        return start

    def _find(self, span: _Span, word: str) -> _Span:
        """Return the last occurrence of a word in a span."""
        at = fold(self._text[span.start : span.end]).rfind(word)
        return _Span(word, span.start + at, span.start + at + len(word)) if at >= 0 and word else span

    def _word(self, span: _Span, start: int, length: int) -> _Span:
        return _Span(span.folded[start : start + length], span.start + start, span.start + start + length)

    def _all_levels(self) -> Iterable[str]:
        return (text for names in self._registry.level_names.values() for text in names)

    def _written(self, authorities: Iterable[str]) -> list[str]:
        """Return the names with which levels are written now: hints offer no alias."""
        ladders = (self._registry.ladder(authority) for authority in authorities)
        levels = (level for ladder in ladders for row in ladder.rows for level in row.levels)
        return [fold(text) for level in levels for text in (level.name, level.short, level.display) if text]

    # Errors.

    def _unknown_level(self, block: _Span, names: Iterable[str]) -> NoReturn:
        what = not_carried(block.folded)
        if what is not None:
            self._fail_not_carried(block, what)
        names = list(names)
        hint = _stranger(block.folded, names) or self._level_meant(block)
        message = f"no level is called {block.folded!r} here"
        code, _, word = block.folded.partition(" ")
        ended = self._registry.english_ended(code, word) if "//" in self._text[: block.start] else None
        if ended is not None:
            message = f"{code} no longer has a level equal to {word}: {ended.name} has ended"
            hint = "an old document uses the name of its time; --at judges the label at another time"
        self._fail("UNKNOWN_LEVEL", message, block, hint)

    def _level_meant(self, block: _Span) -> str | None:
        """Suggest a level of the authority that the block names, never one that would make it another
        authority's.
        """
        registry = self._registry
        code, _, word = block.folded.partition(" ")
        foreign = "//" in self._text[: block.start]
        if registry.is_organisation(code):
            return guess(block.folded, self._written([code]))
        if code != JOINT and not registry.is_state(code):
            organisations = [code for code, group in registry.groups.items() if group.organisation]
            first = None if foreign else guess(block.folded, self._written(["USA"]))
            return first or guess(block.folded, self._written(organisations))
        return guess(word, self._written([code])) if foreign else f"write //{block.folded}"

    def _unknown_code(self, span: _Span, known: Iterable[str], expected: str) -> NoReturn:
        message = f"{span.folded!r} is not {expected}"
        self._fail("UNKNOWN_MEMBER", message, span, _meant(span, known))

    def _fail(self, code: str, message: str, span: _Span, hint: str | None = None) -> NoReturn:
        place = _place(self._text, span.start, span.end - span.start)
        raise LabelError(code, message, place=place, hint=hint)


def _meant(span: _Span, known: Iterable[str], text: str | None = None) -> str | None:
    """Suggest what could be meant: first point out a letter that no known name has, then offer the nearest
    name.
    """
    text, known = span.folded if text is None else text, list(known)
    return _stranger(text, known) or guess(text, known)


def _stranger(text: str, known: Iterable[str]) -> str | None:
    """Return a hint that names the first non-ASCII letter that is in no known name, because it may look like
    another.
    """
    used = frozenset("".join(known))
    letter = next((letter for letter in text if not letter.isascii() and letter not in used), None)
    if letter is None:
        return None
    return f"it contains U+{ord(letter):04X} {unicodedata.name(letter, '')}; names are read letter by letter"


def _tlp_word(span: _Span) -> str | None:
    """Return the word after ``TLP:``, or None if the piece is not a TLP marking."""
    head, colon, word = span.folded.partition(":")
    return word.strip(" ") if colon and head.strip(" ") == "TLP" else None


def _place(text: str, start: int, width: int) -> Place:
    return Place("label", 1, start + 1, excerpt=text, width=max(width, 1))
