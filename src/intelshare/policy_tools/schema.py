"""The JSON Schema of the three kinds of policy files, for editors that complete and check while you write."""

from __future__ import annotations

from typing import Any

from intelshare.labels import Reference, Registry, WordKind
from intelshare.policy import Code, Kind, Outcome

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 4096}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_WHEN: dict[str, Any] = {
    "type": "string",
    "description": "a date (its first instant in UTC) or a time with offset; written without quotes",
}
_FLAG: dict[str, Any] = {"type": "boolean"}


def schema_of(kind: str, registry: Registry) -> dict[str, Any]:
    """Return the schema of ``treaty``, ``overlay`` or ``test`` files. Raises KeyError for another kind."""
    make, title = {
        "treaty": (_treaty, "a treaty"),
        "overlay": (_overlay, "a national overlay"),
        "test": (_test, "policy tests"),
    }[kind]
    return {"$schema": DIALECT, "title": f"intelshare: {title}", **make(registry)}


def _words(kind: WordKind, registry: Registry) -> dict[str, Any]:
    """Return the schema of a list of words: an editor offers the known ones with their meanings, and accepts
    others.

    The words in ``words/`` beside the treaties are not part of a schema; ``policy check`` knows them.
    """
    return {"type": "array", "items": _word(kind, registry)}


def _word(kind: WordKind, registry: Registry) -> dict[str, Any]:
    known = [{"const": name, "description": word.means} for name, word in registry.words.of(kind).items()]
    return {"anyOf": [*known, _TEXT]} if known else _TEXT


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        # A name that is a Python keyword is passed with a trailing underscore.
        "properties": {name.rstrip("_"): value for name, value in properties.items()},
        "required": required.split(),
        "additionalProperties": False,
    }


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "maxItems": 4096}


def _treaty(registry: Registry) -> dict[str, Any]:
    member, level = _member(registry), _level(registry)
    categories = _words(WordKind.CATEGORY, registry)
    span = _object("from", from_=_WHEN, until=_WHEN)
    reservation = _object(
        "",
        categories=categories,
        level_at_least=level,
        counterparties=_list(member),
        from_=_WHEN,
        until=_WHEN,
    )
    party = _object(
        "member",
        member=member,
        signed=_WHEN,
        ratified=_WHEN,
        in_force=_WHEN,
        withdrawn=_WHEN,
        notified={"anyOf": [_WHEN, _list(_WHEN)]},
        periods=_list(span),
        suspended=_list(span),
        reservations=_list(reservation),
        text=_TEXT,
    )
    party |= {
        "dependentRequired": {"withdrawn": ["in_force"]},
        "not": {"required": ["in_force", "periods"]},
    }
    provision = _object(
        "article categories ceiling",
        article=_TEXT,
        categories={**categories, "minItems": 1},
        ceiling=level,
        obligations=_words(WordKind.OBLIGATION, registry),
        from_=_WHEN,
        until=_WHEN,
        reinstated=_WHEN,
    )
    provision["dependentRequired"] = {"reinstated": ["until"]}
    row = _object("from level to as", from_=member, level=_TEXT, to=member, as_=_TEXT)
    levels = _object("", **{reference.name: _TEXT for reference in Reference})
    ladder = _object(
        "authority levels",
        authority=member,
        from_=_WHEN,
        until=_WHEN,
        levels={**levels, "minProperties": 1},
    )
    return _object(
        "id title kind in_force source",
        id={**_TEXT, "pattern": "^[a-z0-9-]{1,64}$"},
        title=_TEXT,
        kind={"enum": [kind.value for kind in Kind]},
        adopted=_WHEN,
        in_force=_WHEN,
        terminated=_WHEN,
        text={**_TEXT, "pattern": "^sha256:[0-9a-f]{64}$"},
        source=_TEXT,
        unclassified_only=_TEXT,
        party={**_list(party), "maxItems": 1000},
        provision=_list(provision),
        ladder=_list(ladder),
        equivalence=_list(row),
    )


def _overlay(registry: Registry) -> dict[str, Any]:
    level = _level(registry)
    group = {"enum": sorted(registry.groups)}
    groups = {"anyOf": [group, {"type": "array", "items": group, "minItems": 1}]}
    condition = _object(
        "",
        categories=_words(WordKind.CATEGORY, registry),
        flags=_words(WordKind.FLAG, registry),
        to=_list(_member(registry)),
        level_at_least=level,
        to_group=groups,
        not_to_group=groups,
    )
    rule = _object("id source when", id=_TEXT, source=_TEXT, when=condition)
    oblige = _object(
        "id source when obligation",
        id=_TEXT,
        source=_TEXT,
        when=condition,
        obligation=_word(WordKind.OBLIGATION, registry),
    )
    return _object("", forbid=_list(rule), hold=_list(rule), refuse=_list(rule), oblige=_list(oblige))


def _test(registry: Registry) -> dict[str, Any]:
    member = _member(registry)
    code = {"enum": [code.value for code in Code]}
    world = _object("", treaties=_TEXTS, overlays=_TEXTS, members=_list(member))
    question: dict[str, Any] = {
        "name": _TEXT,
        "at": _WHEN,
        "from_": _TEXT,
        "label": _TEXT,
        "category": _word(WordKind.CATEGORY, registry),
        "flags": _words(WordKind.FLAG, registry),
        "originator": _TEXT,
        "consents": _TEXTS,
        "approvals": _TEXTS,
        "recalled": _FLAG,
        "valid_until": _WHEN,
    }
    case = _object(
        "name from to label category expect",
        **question,
        to=_TEXT,
        expect={"enum": [outcome.value for outcome in Outcome]},
        reason=code,
        reasons=_list(code),
        basis=_TEXT,
        article=_TEXT,
        obligations=_words(WordKind.OBLIGATION, registry),
        holds=_TEXTS,
        as_=_TEXT,
    )
    # A denial has fields that a grant lacks, and the other way round.
    case |= {
        "if": {"properties": {"expect": {"const": Outcome.DENY.value}}},
        "then": {"not": {"anyOf": _required("basis", "article", "obligations", "holds")}},
        "else": {"not": {"anyOf": _required("reason", "reasons")}},
    }
    cell = {"enum": ["allow", "hold", *(code.value for code in Code)]}
    grid = _object(
        "name from to label category levels expect",
        **question,
        to=_list(member),
        levels=_TEXTS,
        expect=_list(_list(cell)),
    )
    return _object("world", world=world, case=_list(case), matrix=_list(grid))


def _required(*names: str) -> list[dict[str, Any]]:
    return [{"required": [name]} for name in names]


def _level(registry: Registry) -> dict[str, Any]:
    return {
        "enum": [*Reference.__members__, *sorted(registry.organisation_levels)],
        "description": "R0 to R4, or a level of an organisation",
    }


def _member(registry: Registry) -> dict[str, Any]:
    organisations = [code for code in registry.groups if registry.is_organisation(code)]
    return {"enum": sorted((*registry.states, *organisations))}
