"""Treaty and overlay files: TOML text in, values out, or the first error with its line and a hint.

What a file may hold is in the policy guide ("Files"); codes are FILE_SYNTAX, FIELD_UNKNOWN, FIELD_TYPE,
FIELD_RANGE, DUPLICATE_KEY, INTERVAL_OVERLAP, PARTY_UNKNOWN, LADDER_CONFLICT, WORD_UNKNOWN, OVERLAY_FOREIGN,
TOO_LARGE.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from intelshare.errors import Place
from intelshare.instant import NEVER
from intelshare.labels import (
    ALWAYS,
    BEGINNING,
    Equivalence,
    Interval,
    Ladder,
    LadderRow,
    Level,
    Reference,
    Registry,
    WordKind,
    interval,
    ladder,
    level_name,
    when,
)
from intelshare.policy.overlay import Overlay, Rule, When
from intelshare.policy.treaty import (
    ANY_CATEGORY,
    Kind,
    Party,
    Provision,
    Reservation,
    Treaty,
    text_hash,
)
from intelshare.toml import Table, guess, read_table

MAX_PARTIES = 1000

_PROVISION_FIELDS = ("article", "categories", "ceiling", "obligations", "from", "until", "reinstated")
_ID_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def parse_treaty(text: str, source_name: str, registry: Registry) -> Treaty:
    """Read a treaty from the text of a file. ``source_name`` is the file's name in errors and explanations.

    Raises PolicyFileError (codes: see the module) at the first error.
    """
    return read_treaty(read_table(text, source_name), registry)


def read_treaty(top: Table, registry: Registry) -> Treaty:
    """Read a treaty from a file's top table. Raises PolicyFileError at the first error."""
    name = top.text("id")
    if len(name) > 64 or not _ID_LETTERS.issuperset(name):
        top.fail("FIELD_RANGE", "an id has up to 64 lower-case letters, digits and hyphens", "id")
    kind = top.choice("kind", Kind, [kind.value for kind in Kind])
    in_force = top.instant("in_force")
    terminated = top.instant_or("terminated", NEVER)
    if terminated <= in_force:
        top.fail("FIELD_RANGE", "it ends before it enters into force", "terminated")
    provisions = tuple(_provision(table, registry) for table in top.tables("provision"))
    ladders = _ladders(top.tables("ladder"), registry)
    equivalence = _equivalence(top.tables("equivalence"), ladders, registry)
    adopted = text_hash(name, kind, provisions, equivalence, ladders.values())
    if top.text_or("text", adopted) != adopted:
        top.fail("FIELD_RANGE", f"the text of this file has the hash {adopted}", "text")
    parties = _parties(top, registry, adopted)
    _of_parties(top, parties)
    treaty = Treaty(
        id=name,
        kind=kind,
        in_force=in_force,
        parties=parties,
        provisions=provisions,
        text=adopted,
        equivalence=equivalence,
        terminated=terminated,
        title=top.text("title"),
        source=top.text("source"),
        unclassified_only=top.text_or("unclassified_only", ""),
        adopted=top.instant_or("adopted", None),
        ladders=tuple(ladders[authority] for authority in sorted(ladders)),
        place=_line(top, "id"),
    )
    top.close()
    return treaty


def parse_overlay(text: str, source_name: str, registry: Registry, member: str | None = None) -> Overlay:
    """Read an overlay from the text of a file: the law of the member that the file is named for
    (``deu.toml``, DEU).

    ``member`` is the member whose law it must be, if that matters: a node holds only its own member's law.
    Raises PolicyFileError at the first error; OVERLAY_FOREIGN for another member's law.
    """
    return read_overlay(read_table(text, source_name), registry, member)


def read_overlay(top: Table, registry: Registry, member: str | None = None) -> Overlay:
    """Read an overlay from a file's top table, as ``parse_overlay`` does."""
    seen: set[str] = set()
    forbid = _rules(top, "forbid", registry, seen)
    hold = _rules(top, "hold", registry, seen)
    oblige = _rules(top, "oblige", registry, seen)
    refuse = _rules(top, "refuse", registry, seen)
    top.close()
    own = _named_for(top, registry)
    if member is not None and own != member:
        message = f"a file of this name is the law of {own}, but this must be the law of {member}"
        top.fail("OVERLAY_FOREIGN", message, hint=f"the law of {member} is in {member.lower()}.toml")
    return Overlay(own, forbid=forbid, hold=hold, oblige=oblige, refuse=refuse)


def _named_for(top: Table, registry: Registry) -> str:
    """Return the member whose law a file is, which only the file's name states."""
    stem = PurePath(top.source.name).stem
    if not registry.is_member(stem.upper()):
        close = guess(stem.upper(), registry.states)
        hint = "an overlay is named for the member whose law it is, such as deu.toml"
        message = f"the file is named {stem!r}, which is not a member code"
        top.fail("PARTY_UNKNOWN", message, hint=f"{hint}; {close}" if close else hint)
    return stem.upper()


# Parties.


def _parties(top: Table, registry: Registry, text: str) -> tuple[Party, ...]:
    tables = top.tables("party")
    if len(tables) > MAX_PARTIES:
        top.fail("TOO_LARGE", f"a treaty has at most {MAX_PARTIES} parties", "party")
    seen: set[str] = set()
    parties = []
    for table in tables:
        party = _party(table, registry, text)
        if party.member in seen:
            table.fail(
                "DUPLICATE_KEY", f"{party.member} is listed as a party twice", "member", value=party.member
            )
        seen.add(party.member)
        parties.append(party)
    return tuple(parties)


def _party(table: Table, registry: Registry, text: str) -> Party:
    member = table.text("member")
    _member(table, "member", member, registry)
    ratified = table.instant_or("ratified", None)
    in_force = _in_force(table)
    if ratified is not None and in_force and in_force[0].start < ratified:
        table.fail("FIELD_RANGE", "it was in force before it was ratified", "ratified")
    party = Party(
        member=member,
        in_force=in_force,
        text=table.text_or("text", text),
        signed=table.instant_or("signed", None),
        ratified=ratified,
        notified=table.instants("notified"),
        suspended=_intervals(table, "suspended"),
        reservations=tuple(_reservation(entry, registry) for entry in table.tables("reservations")),
        place=_line(table, ""),
    )
    table.close()
    return party


def _in_force(table: Table) -> tuple[Interval, ...]:
    """Return ``periods``, or the one period of ``in_force`` and ``withdrawn``, or none."""
    start, until = table.instant_or("in_force", None), table.instant_or("withdrawn", None)
    periods = _intervals(table, "periods")
    if start is None:
        if until is not None:
            table.fail("FIELD_RANGE", "it withdrew from a treaty that was never in force for it", "withdrawn")
        return periods
    if periods:
        table.fail("FIELD_RANGE", "in_force and periods state the same thing: keep one", "periods")
    if until is not None and until <= start:
        table.fail("FIELD_RANGE", f"it withdrew before {when(start)}", "withdrawn")
    return (interval(start, until),)


def _intervals(table: Table, name: str) -> tuple[Interval, ...]:
    found: list[Interval] = []
    for entry in table.tables(name):
        during = Interval(entry.instant("from"), entry.instant_or("until", NEVER))
        entry.close()
        if during.until <= during.start:
            entry.fail("FIELD_RANGE", "the interval ends before it begins", "until")
        if any(during.start < other.until and other.start < during.until for other in found):
            entry.fail("INTERVAL_OVERLAP", f"two intervals of {name} overlap")
        found.append(during)
    return tuple(sorted(found))


def _reservation(table: Table, registry: Registry) -> Reservation:
    counterparties = table.texts_or("counterparties", None)
    for code in counterparties or ():
        _member(table, "counterparties", code, registry)
    categories = _words(table, "categories", WordKind.CATEGORY, registry)
    during = Interval(table.instant_or("from", BEGINNING), table.instant_or("until", NEVER))
    if during.until <= during.start:
        table.fail("FIELD_RANGE", "the reservation ends before it begins", "until")
    reservation = Reservation(
        categories=None if categories is None else frozenset(categories),
        level_at_least=_level_at_least(table, registry),
        counterparties=None if counterparties is None else frozenset(counterparties),
        during=ALWAYS if during == ALWAYS else during,
    )
    table.close()
    return reservation


# The text: provisions, ladders and equivalence.


def _provision(table: Table, registry: Registry) -> Provision:
    table.texts("categories")
    categories = _words(table, "categories", WordKind.CATEGORY, registry)
    if not categories:
        table.fail("FIELD_RANGE", "a provision without categories can never apply", "categories")
    start = table.instant_or("from", BEGINNING)
    until = table.instant_or("until", NEVER)
    reinstated = table.instant_or("reinstated", NEVER)
    if until <= start:
        table.fail("FIELD_RANGE", "it ends before it begins", "until")
    if reinstated < NEVER and (until == NEVER or reinstated < until):
        table.fail("FIELD_RANGE", "only what has ended can be reinstated", "reinstated")
    provision = Provision(
        article=table.text("article"),
        categories=frozenset(categories),
        ceiling=_level(table, "ceiling", registry),
        obligations=_words(table, "obligations", WordKind.OBLIGATION, registry) or (),
        start=start,
        until=until,
        reinstated=reinstated,
        lines=tuple(
            (name, place)
            for name in ("", *_PROVISION_FIELDS)
            if (not name or table.has(name)) and (place := _line(table, name)) is not None
        ),
    )
    table.close()
    return provision


def _ladders(tables: Iterable[Table], registry: Registry) -> dict[str, Ladder]:
    """Return the ladders that the treaty provides for parties whose levels are not known otherwise."""
    rows: dict[str, list[LadderRow]] = {}
    for table in tables:
        authority = table.text("authority")
        _member(table, "authority", authority, registry)
        if any(row.known for row in registry.ladder(authority).rows):
            hint = "a treaty can state levels only for parties that have none"
            table.fail("LADDER_CONFLICT", f"{authority} already has a ladder", "authority", hint, authority)
        during = interval(table.instant_or("from", None), table.instant_or("until", None))
        if during.until <= during.start:
            table.fail("FIELD_RANGE", "the row ends before it begins", "until")
        row = LadderRow(during, _levels(table.table("levels")))
        table.close()
        before = rows.setdefault(authority, [])
        if any(during.start < one.interval.until and one.interval.start < during.until for one in before):
            table.fail("INTERVAL_OVERLAP", f"two rows for {authority} hold at the same time")
        before.append(row)
    return {authority: ladder(authority, found) for authority, found in rows.items()}


def _levels(table: Table) -> tuple[Level, ...]:
    """Return the levels of ``{ R1 = "RESTRICTED", R3 = "SECRET" }``, one name for each."""
    levels: list[Level] = []
    for reference in Reference:
        if table.text_or(reference.name, None) is not None:
            name = level_name(table, reference.name)
            if any(level.name == name for level in levels):
                table.fail("DUPLICATE_KEY", f"{name} names two levels at the same time", reference.name)
            levels.append(Level(name, reference))
    table.close()
    if not levels:
        table.fail("FIELD_RANGE", "a ladder states at least one level, R0 to R4")
    return tuple(levels)


def _of_parties(top: Table, parties: Iterable[Party]) -> None:
    """Refuse a ladder of an authority that is not a party, because it would hold nowhere."""
    members = [party.member for party in parties]
    for table in top.tables("ladder"):
        authority = table.text("authority")
        if authority not in members:
            hint = guess(authority, members) or "a ladder in a treaty must be that of one of its parties"
            table.fail(
                "PARTY_UNKNOWN", f"{authority} is not a party of this treaty", "authority", hint, authority
            )


def _equivalence(
    tables: Iterable[Table], ladders: Mapping[str, Ladder], registry: Registry
) -> tuple[Equivalence, ...]:
    rows: list[Equivalence] = []
    seen: set[tuple[str, str, str]] = set()
    for table in tables:
        origin, to = table.text("from"), table.text("to")
        _member(table, "from", origin, registry)
        _member(table, "to", to, registry)
        level = _ladder_name(table, "level", origin, ladders, registry)
        name = table.text("as")
        if to in ladders or registry.level_names.get(to):
            name = _ladder_name(table, "as", to, ladders, registry)
        table.close()
        if (origin, level, to) in seen:
            table.fail("DUPLICATE_KEY", f"two rows state what {to} uses for {origin} {level}")
        seen.add((origin, level, to))
        rows.append(Equivalence(origin, level, to, name))
    return tuple(rows)


def _ladder_name(
    table: Table, name: str, authority: str, ladders: Mapping[str, Ladder], registry: Registry
) -> str:
    """Return the canonical name of a level, however the file writes it."""
    word = table.text(name)
    names = registry.level_names.get(authority, {"UNMARKED": "UNMARKED"})
    if authority in ladders:
        names = {level.name: level.name for row in ladders[authority].rows for level in row.levels}
    canonical = names.get(word)
    if canonical is None:
        message = f"{authority} has no level {word!r}"
        table.fail("FIELD_RANGE", message, name, guess(word, names) or _one_of(names.values()), word)
    return canonical


# Overlays.


def _rules(top: Table, name: str, registry: Registry, seen: set[str]) -> tuple[Rule, ...]:
    rules = []
    for table in top.tables(name):
        rule = Rule(
            id=table.text("id"),
            when=_when(table.must("when"), registry),
            source=table.text("source"),
            obligation=_obligation(table, registry) if name == "oblige" else None,
            place=_line(table, ""),
        )
        table.close()
        if rule.id in seen:
            table.fail("DUPLICATE_KEY", f"two rules are called {rule.id!r}", "id", value=rule.id)
        seen.add(rule.id)
        rules.append(rule)
    return tuple(rules)


def _when(table: Table, registry: Registry) -> When:
    recipients = table.texts_or("to", None)
    for code in recipients or ():
        _member(table, "to", code, registry)
    condition = When(
        categories=_set(_words(table, "categories", WordKind.CATEGORY, registry)),
        flags=_set(_words(table, "flags", WordKind.FLAG, registry)),
        to=_set(recipients),
        level_at_least=_level_at_least(table, registry),
        to_group=_groups(table, "to_group", registry),
        not_to_group=_groups(table, "not_to_group", registry),
    )
    table.close()
    return condition


def _groups(table: Table, name: str, registry: Registry) -> tuple[str, ...] | None:
    """Return the group codes of a field, which may be one code or a list; an empty list is refused as
    meaningless.
    """
    if not table.has(name):
        return table.texts_or(name, None)
    codes = table.one_or_more(name)
    for code in codes:
        if code not in registry.groups:
            hint = guess(code, registry.groups) or _one_of(registry.groups)
            table.fail("PARTY_UNKNOWN", f"{code!r} is not a group or organisation", name, hint, code)
    return codes


# Words.


def _words(table: Table, name: str, kind: WordKind, registry: Registry) -> tuple[str, ...] | None:
    """Return the words of a list, each of which must be known; None if the field is absent."""
    words = table.texts_or(name, None)
    for word in words or ():
        if word == ANY_CATEGORY and kind is WordKind.CATEGORY:
            continue
        check_word(table, name, kind, word, registry)
    return words


def _obligation(table: Table, registry: Registry) -> str:
    word = table.text("obligation")
    check_word(table, "obligation", WordKind.OBLIGATION, word, registry)
    return word


def check_word(table: Table, name: str, kind: WordKind, word: str, registry: Registry) -> None:
    """Check that the word is known. Raises PolicyFileError WORD_UNKNOWN."""
    wrong = registry.words.wrong(kind, word)
    if wrong is not None:
        table.fail("WORD_UNKNOWN", wrong, name, word_hint(kind, word, registry), word)


def word_hint(kind: WordKind, word: str, registry: Registry) -> str:
    """Suggest what was probably meant, or say where more words are stated."""
    close = guess(word, registry.words.nearest(kind, word))
    return close or f"`intelshare policy words {kind.value}` lists them; a file in words/ adds one"


def _member(table: Table, name: str, code: str, registry: Registry) -> None:
    if not registry.is_member(code):
        hint = guess(code, (*registry.states, *registry.groups))
        hint = hint or "expected ISO 3166-1 alpha-3 or a known organisation"
        table.fail("PARTY_UNKNOWN", f"{code!r} is not a member code", name, hint, code)


def _level(table: Table, name: str, registry: Registry) -> str:
    """Return R0 to R4, or an organisation's level."""
    word = table.text(name)
    if word not in Reference.__members__ and word not in registry.organisation_levels:
        message = f"{word!r} is neither R0 to R4 nor a level of an organisation"
        hint = guess(word, (*Reference.__members__, *registry.organisation_levels))
        table.fail("FIELD_RANGE", message, name, hint, word)
    return word


def _level_at_least(table: Table, registry: Registry) -> str | None:
    name = "level_at_least"
    return _level(table, name, registry) if table.has(name) else table.text_or(name, None)


def _set(words: Sequence[str] | None) -> frozenset[str] | None:
    return None if words is None else frozenset(words)


def _one_of(words: Iterable[str]) -> str:
    return "use one of " + ", ".join(sorted(set(words)))


def _line(table: Table, name: str) -> Place | None:
    line = table.source.line((*table.path, name) if name else table.path)
    return None if line is None else Place(table.source.name, line)
