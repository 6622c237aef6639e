"""The registry from its data files: states, groups and ladders, each with its source. Text in, value out."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from intelshare.labels.intervals import Interval, interval
from intelshare.labels.ladders import JOINT, UNMARKED_NAME, Alias, Ladder, LadderRow, Level, Reference, ladder
from intelshare.labels.registry import Group, Registry, fold, level_texts
from intelshare.labels.vocabulary import Vocabulary, Word, WordKind
from intelshare.toml import Table, read_table

LANGUAGES = ("tr", "el")
"""The languages with special rules of case: dotless i, accents that capitals drop."""

_WORD_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")

_STATE = re.compile(r"[A-Z]{3}")
_GROUP = re.compile(r"[A-Z][A-Z0-9]{0,15}")
_NO_CODES = (JOINT, "TLP", "FGI")
"""Codes that are words of labels themselves."""

_SEPARATORS = ("//", "(", ")", ",", "RELEASABLE TO", "TLP:")
"""The separators of a label's text, which no level name may contain."""


_NOTHING = Registry({}, {}, {})


def parse_registry(texts: Mapping[str, str], shipped: Registry = _NOTHING) -> Registry:
    """Return the registry that the files (name to TOML text) form together, in whatever order.

    ``shipped``: a registry to which the files add, without changing it. Raises PolicyFileError with file and
    line: FIELD_*, DUPLICATE_KEY (a code stated twice, one text for two levels), LADDER_CONFLICT (already
    stated in ``shipped``), INTERVAL_OVERLAP, PARTY_UNKNOWN (a group member that is not a state, a ladder of
    an unknown authority), REFERENCE_CYCLE (groups that contain each other).
    """
    adding = shipped is not _NOTHING
    stated = _Stated()
    for name in sorted(texts):
        _read(read_table(texts[name], name), stated, shipped, adding=adding)
    _check_groups(stated, shipped)
    groups = {code: group for code, (_, group) in stated.groups.items()}
    organisations = {code for code, group in groups.items() if group.organisation}
    listed = {code: table for code, (table, _) in stated.states.items()}
    organisations.update(code for code in shipped.groups if shipped.is_organisation(code))
    _check_alone(listed, organisations, stated.ladders, shipped)
    for code, (table, _) in stated.ladders.items():
        if code not in listed and code not in shipped.states and code not in organisations:
            table.fail("PARTY_UNKNOWN", f"{code!r} is not a state or organisation", "authority")
    return Registry(
        {**shipped.states, **{code: state for code, (_, state) in stated.states.items()}},
        {**shipped.groups, **groups},
        {**shipped.ladders, **{code: read for code, (_, read) in stated.ladders.items()}},
        Vocabulary({kind: {**shipped.words.of(kind), **stated.words[kind]} for kind in WordKind}),
        texts if adding else {},
    )


class _Stated:
    """The definitions of the files read so far, by code or name, each beside the table that states it."""

    def __init__(self) -> None:
        self.states: dict[str, tuple[Table, str]] = {}
        self.groups: dict[str, tuple[Table, Group]] = {}
        self.codes: set[str] = set()
        """Of states and groups."""
        self.ladders: dict[str, tuple[Table, Ladder]] = {}
        self.words: dict[WordKind, dict[str, Word]] = {kind: {} for kind in WordKind}


def _read(top: Table, stated: _Stated, shipped: Registry, *, adding: bool) -> None:
    """Read one file into ``stated``."""
    listed = top.table("state")
    for code in listed.names():
        if not _STATE.fullmatch(code) or code in _NO_CODES:
            listed.fail("FIELD_RANGE", "a state's code has three capital letters, A to Z", code)
        _new(listed, code, stated.codes, shipped.known, code)
        stated.states[code] = listed, listed.text(code)
        stated.codes.add(code)
    for table in top.tables("group"):
        group = _group(table)
        _new(table, group.code, stated.codes, shipped.known, "code")
        stated.groups[group.code] = table, group
        stated.codes.add(group.code)
    for table in top.tables("ladder"):
        read = _ladder(table)
        _new(table, read.authority, stated.ladders, _classified(shipped))
        stated.ladders[read.authority] = table, read
    for kind in WordKind:
        for table in top.tables(kind.value):
            word = _word(table, kind, adding=adding)
            known = shipped.words.find(kind, word.name)
            _new(table, word.name, stated.words[kind], () if known is None else (word.name,), "name")
            stated.words[kind][word.name] = word
    top.text_or("source", None)
    top.close()


def _check_groups(stated: _Stated, shipped: Registry) -> None:
    """Check that no group contains itself, and that all other members are states."""
    groups = stated.groups
    named = {code: group.members.keys() & groups.keys() for code, (_, group) in groups.items()}
    for table, group in groups.values():
        if _leads_back(group.code, named):
            table.fail("REFERENCE_CYCLE", f"the group {group.code} contains itself")
        for state in group.members:
            if state not in stated.states and state not in shipped.states:
                table.fail(
                    "PARTY_UNKNOWN", f"{state!r} is not a state", hint="a group lists its member states"
                )


def _classified(shipped: Registry) -> frozenset[str]:
    """Return the authorities whose levels above unclassified are known."""
    return frozenset(
        code
        for code, ladder in shipped.ladders.items()
        if code != JOINT and any(row.known for row in ladder.rows)
    )


def _word(table: Table, kind: WordKind, *, adding: bool) -> Word:
    if adding and table.has("enforced"):
        hint = "leave it out: people, not the node, carry out the obligations that you add"
        table.fail(
            "FIELD_RANGE",
            "only words that ship with the program may state what the node does by itself",
            "enforced",
            hint,
        )
    word = Word(
        name=table.text("name"),
        means=table.text("means"),
        during=_during(table),
        enforced=table.text_or("enforced", "") if kind is WordKind.OBLIGATION else "",
        source=table.text_or("source", ""),
    )
    plain = word.name.replace("{days}d", "0d") if kind is WordKind.OBLIGATION else word.name
    if len(plain) > 64 or not _WORD_LETTERS.issuperset(plain):
        table.fail("FIELD_RANGE", "a word has up to 64 small letters, digits and hyphens", "name")
    table.close()
    return word


def _check_alone(
    states: Mapping[str, Table],
    organisations: AbstractSet[str],
    ladders: Mapping[str, tuple[Table, Ladder]],
    shipped: Registry,
) -> None:
    """Check that a text without a country before it means one level only.

    Levels of organisations and of the United States are written without a country: two alike could not be
    told apart, and the later file would change the meaning of labels written before it.
    """
    alone = {text: code for text, (code, _) in shipped.organisation_levels.items() if code not in ladders}
    alone |= dict.fromkeys(shipped.level_names.get("USA", ()), "USA")
    for code in ("USA", *sorted(organisations)):
        table, read = ladders.get(code, (None, None))
        if table is None or read is None:
            continue
        for text, name in level_texts(read):
            if name != UNMARKED_NAME and alone.setdefault(text, code) != code:
                table.fail("DUPLICATE_KEY", f"{text} is already a level of {alone[text]}", "authority")
        # Without a country before it, the first word names the authority: the text would be theirs.
        for text, _ in level_texts(read):
            first, _, rest = text.partition(" ")
            if rest and (first == JOINT or first in states or first in shipped.states):
                table.fail("DUPLICATE_KEY", f"{text} is read as a level of {first}", "authority")
    for text in alone:
        first, _, rest = text.partition(" ")
        if rest and first in states:
            states[first].fail("DUPLICATE_KEY", f"{text} is already a level of {alone[text]}", first)


def _leads_back(code: str, named: Mapping[str, AbstractSet[str]]) -> bool:
    """Return True if the groups that a group contains lead back to it."""
    reached: set[str] = set()
    ahead = list(named[code])
    while ahead:
        group = ahead.pop()
        if group not in reached:
            reached.add(group)
            ahead += named[group]
    return code in reached


def _new(
    table: Table, code: str, known: Iterable[str], shipped: Iterable[str], name: str | None = None
) -> None:
    if code in shipped:
        hint = "files beside the treaties can add to what ships, but cannot change it"
        table.fail("LADDER_CONFLICT", f"{code} ships with the program", name, hint)
    if code in known:
        table.fail("DUPLICATE_KEY", f"{code} is stated twice", name)


def _fits(spans: list[Interval], during: Interval) -> bool:
    """Insert an interval among others, in order; return False, without inserting it, if it overlaps one of
    them.
    """
    place = bisect(spans, during)
    if (place and spans[place - 1].until > during.start) or (
        place < len(spans) and spans[place].start < during.until
    ):
        return False
    spans.insert(place, during)
    return True


def _code(table: Table) -> str:
    code = table.text("code")
    if not _GROUP.fullmatch(code) or code in _NO_CODES:
        table.fail(
            "FIELD_RANGE",
            "a group's code has up to 16 capital letters and digits, and begins with a letter",
            "code",
        )
    return code


def _group(table: Table) -> Group:
    members: dict[str, list[Interval]] = {}
    for entry in table.tables("membership"):
        during = _during(entry)
        for state in entry.texts("members"):
            if not _fits(members.setdefault(state, []), during):
                entry.fail(
                    "INTERVAL_OVERLAP", f"{state} is listed as a member twice for the same time", "members"
                )
        entry.close()
    group = Group(
        code=_code(table),
        organisation=table.flag("organisation"),
        members={state: tuple(spans) for state, spans in members.items()},
        name=table.text("name"),
        source=table.text("source"),
        unverified=table.text_or("unverified", ""),
    )
    table.close()
    return group


def _ladder(table: Table) -> Ladder:
    rows: list[LadderRow] = []
    spans: list[Interval] = []
    for entry in table.tables("row"):
        during = _during(entry)
        if not _fits(spans, during):
            entry.fail("INTERVAL_OVERLAP", "two rows of the ladder hold at the same time")
        levels: list[Level] = []
        for reference in Reference:
            if entry.has(reference.name):
                level = _level(entry, reference)
                if any(level.name == other.name for other in levels):
                    entry.fail(
                        "DUPLICATE_KEY", f"{level.name} names two levels at the same time", reference.name
                    )
                levels.append(level)
        rows.append(LadderRow(during, tuple(levels)))
        entry.close()
    language = table.choice("language", str, LANGUAGES) if table.has("language") else ""
    unverified = table.text_or("unverified", "")
    read = ladder(table.text("authority"), rows, table.text("source"), language, unverified)
    if not read.source.strip():
        table.fail("FIELD_RANGE", "the source of the levels is missing", "source")
    named: dict[str, str] = {}
    for text, name in level_texts(read):
        if named.setdefault(text, name) != name:
            table.fail("DUPLICATE_KEY", f"{text} means both {named[text]} and {name}", "authority")
    table.close()
    return read


def _level(row: Table, reference: Reference) -> Level:
    table = row.table(reference.name)
    level = Level(
        name=table.text("name"),
        reference=reference,
        short=table.text_or("short", None),
        display=table.text_or("display", None),
        also=tuple(_alias(each) for each in table.tables("also")),
    )
    for key, text in (("name", level.name), ("short", level.short), ("display", level.display)):
        if text is None:
            continue
        if key != "display" and not text.isascii():
            table.fail("FIELD_RANGE", "the canonical name is plain ASCII", key, "put accents into display")
        _readable(table, key, text)
    table.close()
    return level


def level_name(table: Table, key: str) -> str:
    """Read a level's canonical name: plain ASCII, such as a label can state. Raises PolicyFileError."""
    text = table.text(key)
    if not text.isascii():
        table.fail("FIELD_RANGE", "the canonical name is plain ASCII", key)
    _readable(table, key, text)
    return text


def _readable(table: Table, key: str, text: str) -> None:
    plain = fold(" ".join(unicodedata.normalize("NFC", text).split()))
    separated = any(each in text for each in _SEPARATORS)
    if plain != text or not text.isprintable() or separated or text == UNMARKED_NAME:
        hint = "use capitals and single spaces, no // ( ) , and not UNMARKED, which every ladder has anyway"
        table.fail("FIELD_RANGE", "no label with this text could be read", key, hint)


def _alias(table: Table) -> Alias:
    alias = Alias(table.text("name"), table.text("source"))
    spaced = " ".join(unicodedata.normalize("NFC", alias.text).split())
    separated = any(each in alias.text for each in _SEPARATORS)
    if spaced != alias.text or not alias.text.isprintable() or separated or fold(alias.text) == UNMARKED_NAME:
        table.fail(
            "FIELD_RANGE",
            "no label with this text could be read",
            "name",
            "use single spaces, and no // ( ) ,",
        )
    if not alias.source.strip():
        table.fail("FIELD_RANGE", "the source of this spelling is missing", "source")
    table.close()
    return alias


def _during(table: Table) -> Interval:
    during = interval(table.instant_or("from", None), table.instant_or("until", None))
    if during.start >= during.until:
        table.fail("FIELD_RANGE", "the interval ends before it begins", "until")
    return during
