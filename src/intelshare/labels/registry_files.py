"""The registry from its data files: states, groups, ladders, each with its source. Text in, value out."""

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
"""Languages with rules of case of their own: dotless i, accents that capitals drop."""

_WORD_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")

_STATE = re.compile(r"[A-Z]{3}")
_GROUP = re.compile(r"[A-Z][A-Z0-9]{0,15}")
_NO_CODES = (JOINT, "TLP", "FGI")
"""Words of labels themselves."""

_SEPARATORS = ("//", "(", ")", ",", "RELEASABLE TO", "TLP:")
"""What the text of a label is taken apart by; no level may be called so."""


_NOTHING = Registry({}, {}, {})


def parse_registry(texts: Mapping[str, str], shipped: Registry = _NOTHING) -> Registry:
    """The registry that the files (name to TOML text) give together, in whatever order.

    ``shipped``: they add to this one, and change nothing of it. Raises PolicyFileError with file and line:
    FIELD_*, DUPLICATE_KEY (a code stated twice, one text for two levels), LADDER_CONFLICT (stated already in
    ``shipped``), INTERVAL_OVERLAP, PARTY_UNKNOWN (a group's member that is no state, a ladder of nobody),
    REFERENCE_CYCLE (groups that name each other).
    """
    adding = shipped is not _NOTHING
    states: dict[str, str] = {}
    named_at: dict[str, Table] = {}
    taken: set[str] = set()
    groups: dict[str, tuple[Table, Group]] = {}
    ladders: dict[str, tuple[Table, Ladder]] = {}
    words: dict[WordKind, dict[str, Word]] = {kind: {} for kind in WordKind}
    for name in sorted(texts):
        top = read_table(texts[name], name)
        listed = top.table("state")
        for code in listed.names():
            if not _STATE.fullmatch(code) or code in _NO_CODES:
                listed.fail("FIELD_RANGE", "a state has three capital letters, A to Z", code)
            _new(listed, code, taken, shipped.known, code)
            states[code] = listed.text(code)
            named_at[code] = listed
            taken.add(code)
        for table in top.tables("group"):
            group = _group(table)
            _new(table, group.code, taken, shipped.known, "code")
            groups[group.code] = (table, group)
            taken.add(group.code)
        for table in top.tables("ladder"):
            read = _ladder(table)
            _new(table, read.authority, ladders, _classified(shipped))
            ladders[read.authority] = (table, read)
        for kind in WordKind:
            for table in top.tables(kind.value):
                word = _word(table, kind, adding=adding)
                known = shipped.words.find(kind, word.name)
                _new(table, word.name, words[kind], () if known is None else (word.name,), "name")
                words[kind][word.name] = word
        top.text_or("source", None)
        top.close()
    named = {code: group.members.keys() & groups.keys() for code, (_, group) in groups.items()}
    for table, group in groups.values():
        if _leads_back(group.code, named):
            table.fail("REFERENCE_CYCLE", f"the group {group.code} is among its own members")
        for state in group.members:
            if state not in states and state not in shipped.states:
                table.fail("PARTY_UNKNOWN", f"{state!r} is no state", hint="a group lists its member states")
    own = {code for code, (_, group) in groups.items() if group.organisation}
    _authorities(named_at, own, ladders, shipped)
    return Registry(
        {**shipped.states, **states},
        {**shipped.groups, **{code: group for code, (_, group) in groups.items()}},
        {**shipped.ladders, **{code: read for code, (_, read) in ladders.items()}},
        Vocabulary({kind: {**shipped.words.of(kind), **words[kind]} for kind in WordKind}),
        texts if adding else {},
    )


def _classified(shipped: Registry) -> frozenset[str]:
    """Those of whom levels above unclassified are known."""
    return frozenset(
        code
        for code, ladder in shipped.ladders.items()
        if code != JOINT and any(row.known for row in ladder.rows)
    )


def _word(table: Table, kind: WordKind, *, adding: bool) -> Word:
    if adding and table.has("enforced"):
        hint = "leave it out: people see to an obligation of your own"
        table.fail(
            "FIELD_RANGE", "what the node does by itself is said by the words that ship", "enforced", hint
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


def _authorities(
    states: Mapping[str, Table],
    organisations: AbstractSet[str],
    ladders: Mapping[str, tuple[Table, Ladder]],
    shipped: Registry,
) -> None:
    """Ladders are those of states and organisations, and a text without a country means one of them.

    An organisation's level and one of the United States stand alone in a label: two alike could not be told
    apart, and the later file would change what labels mean that were written before it.
    """
    alone = {text: code for text, (code, _) in shipped.organisation_levels.items() if code not in ladders}
    alone |= dict.fromkeys(shipped.level_names.get("USA", ()), "USA")
    organisations = {*organisations, *(code for code in shipped.groups if shipped.is_organisation(code))}
    for code in ("USA", *sorted(organisations)):
        table, read = ladders.get(code, (None, None))
        if table is None or read is None:
            continue
        for text, name in level_texts(read):
            if name != UNMARKED_NAME and alone.setdefault(text, code) != code:
                table.fail("DUPLICATE_KEY", f"{text} is a level of {alone[text]} already", "authority")
        # Where no country stands before it, the first word says whose it is: it would take a label of theirs.
        for text, _ in level_texts(read):
            first, _, rest = text.partition(" ")
            if rest and (first == JOINT or first in states or first in shipped.states):
                table.fail("DUPLICATE_KEY", f"{text} is read as a level of {first}", "authority")
    for text in alone:
        first, _, rest = text.partition(" ")
        if rest and first in states:
            states[first].fail("DUPLICATE_KEY", f"{text} is a level of {alone[text]} already", first)
    for code, (table, _) in ladders.items():
        if code not in states and code not in shipped.states and code not in organisations:
            table.fail("PARTY_UNKNOWN", f"{code!r} is no state or organisation", "authority")


def _leads_back(code: str, named: Mapping[str, AbstractSet[str]]) -> bool:
    """Whether the groups that a group names lead back to it."""
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
        hint = "files beside the treaties add, and change nothing of what ships"
        table.fail("LADDER_CONFLICT", f"{code} ships with the program", name, hint)
    if code in known:
        table.fail("DUPLICATE_KEY", f"{code} is stated twice", name)


def _fits(spans: list[Interval], during: Interval) -> bool:
    """Put an interval among others, in order; whether it overlaps none of them."""
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
        table.fail("FIELD_RANGE", "a group has up to 16 capital letters and digits, A to Z first", "code")
    return code


def _group(table: Table) -> Group:
    members: dict[str, list[Interval]] = {}
    for entry in table.tables("membership"):
        during = _during(entry)
        for state in entry.texts("members"):
            if not _fits(members.setdefault(state, []), during):
                entry.fail("INTERVAL_OVERLAP", f"{state} is a member twice at one time", "members")
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
            entry.fail("INTERVAL_OVERLAP", "two rows of the ladder hold at one time")
        levels: list[Level] = []
        for reference in Reference:
            if entry.has(reference.name):
                level = _level(entry, reference)
                if any(level.name == other.name for other in levels):
                    entry.fail("DUPLICATE_KEY", f"{level.name} is two levels at one time", reference.name)
                levels.append(level)
        rows.append(LadderRow(during, tuple(levels)))
        entry.close()
    language = table.choice("language", str, LANGUAGES) if table.has("language") else ""
    unverified = table.text_or("unverified", "")
    read = ladder(table.text("authority"), rows, table.text("source"), language, unverified)
    if not read.source.strip():
        table.fail("FIELD_RANGE", "where can the levels be looked up?", "source")
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
    """A level's canonical name: plain ASCII, as a label could say it. Raises PolicyFileError."""
    text = table.text(key)
    if not text.isascii():
        table.fail("FIELD_RANGE", "the canonical name is plain ASCII", key)
    _readable(table, key, text)
    return text


def _readable(table: Table, key: str, text: str) -> None:
    plain = fold(" ".join(unicodedata.normalize("NFC", text).split()))
    separated = any(each in text for each in _SEPARATORS)
    if plain != text or not text.isprintable() or separated or text == UNMARKED_NAME:
        hint = "capitals, single spaces, no // ( ) , and not UNMARKED, which is there by itself"
        table.fail("FIELD_RANGE", "no label could be read that says this", key, hint)


def _alias(table: Table) -> Alias:
    alias = Alias(table.text("name"), table.text("source"))
    spaced = " ".join(unicodedata.normalize("NFC", alias.text).split())
    separated = any(each in alias.text for each in _SEPARATORS)
    if spaced != alias.text or not alias.text.isprintable() or separated or fold(alias.text) == UNMARKED_NAME:
        table.fail(
            "FIELD_RANGE", "no label could be read that says this", "name", "single spaces, no // ( ) ,"
        )
    if not alias.source.strip():
        table.fail("FIELD_RANGE", "where does it stand so?", "source")
    table.close()
    return alias


def _during(table: Table) -> Interval:
    during = interval(table.instant_or("from", None), table.instant_or("until", None))
    if during.start >= during.until:
        table.fail("FIELD_RANGE", "the interval ends before it begins", "until")
    return during
