"""The world and the questions of ``decisions.json``, for checking an implementation.

A world is read as it is, without the checks of a linter. The shapes are those of ``tests/vectors/README.md``;
a missing key raises KeyError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from intelshare import instant
from intelshare.instant import NEVER, Instant
from intelshare.labels import (
    BEGINNING,
    Equivalence,
    Group,
    Interval,
    Label,
    Ladder,
    LadderRow,
    Level,
    Reference,
    Registry,
    interval,
    ladder,
)
from intelshare.policy.decision import Request
from intelshare.policy.overlay import Overlay, Rule, When
from intelshare.policy.reader import ReadRequest
from intelshare.policy.treaty import Kind, Party, Provision, Reservation, Treaty, text_hash
from intelshare.policy.world import World

Json = Mapping[str, Any]

_LABEL_FIELDS = {
    "authority", "level", "releasable_to", "displayable_to", "fgi", "controls", "tlp", "owners",
}  # fmt: skip


def world_from_json(document: Json) -> World:
    """Read the ``world`` member of the file."""
    groups = {
        code: Group(
            code,
            bool(group.get("organisation")),
            {state: _intervals(during) for state, during in group["members"].items()},
        )
        for code, group in document["groups"].items()
    }
    states = {code: code for code in document["members"] if code not in groups}
    return World(
        Registry(states, groups, _ladders(document["ladders"])),
        frozenset(document["members"]),
        tuple(_treaty(treaty) for treaty in document["treaties"]),
        {member: _overlay(member, rules) for member, rules in document["overlays"].items()},
    )


def label_from_json(document: Json) -> Label:
    """Read a label in the shape of ``labels.json``; it may be one that no text could state.

    Raises ValueError for a field that no label has, because a field that nobody reads must not pass for part
    of the case.
    """
    unknown = document.keys() - _LABEL_FIELDS
    if unknown:
        raise ValueError(f"a label has no field {', '.join(sorted(unknown))}")
    return Label(
        authority=document.get("authority"),
        level=document.get("level"),
        releasable_to=_listed(document.get("releasable_to")),
        controls=tuple(document.get("controls", ())),
        tlp=document.get("tlp"),
        owners=tuple(document.get("owners", ())),
        displayable_to=_listed(document.get("displayable_to")),
        fgi=_listed(document.get("fgi")),
    )


def label_to_json(label: Label) -> dict[str, Any]:
    """Return the label in the shape of ``labels.json``; a key is absent if the label lacks it."""
    fields = {
        "authority": label.authority,
        "level": label.level,
        "releasable_to": None if label.releasable_to is None else list(label.releasable_to),
        "displayable_to": None if label.displayable_to is None else list(label.displayable_to),
        "fgi": None if label.fgi is None else list(label.fgi),
        "controls": list(label.controls) or None,
        "tlp": label.tlp,
        "owners": list(label.owners) or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _listed(codes: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if codes is None else tuple(codes)


def request_from_json(case: Json) -> Request:
    """Read the question of a case without ``reader``."""
    return Request(
        label=label_from_json(case["label"]),
        category=case["category"],
        at=instant.parse(case["at"]),
        sender=case["from"],
        recipient=case["to"],
        originator=case.get("originator"),
        flags=frozenset(case.get("flags", ())),
        consents=frozenset(case.get("consents", ())),
        approvals=frozenset(case.get("approvals", ())),
        recalled=case.get("recalled", False),
        valid_until=_instant(case.get("valid_until"), None),
    )


def read_request_from_json(case: Json) -> ReadRequest:
    """Read the question of a case with ``reader``."""
    reader = case["reader"]
    return ReadRequest(
        label=label_from_json(case["label"]),
        category=case["category"],
        at=instant.parse(case["at"]),
        member=case["to"],
        clearance=reader["clearance"],
        nationality=reader["nationality"],
        categories=frozenset(reader["categories"]),
        basis=case.get("basis"),
        recalled=case.get("recalled", False),
        valid_until=_instant(case.get("valid_until"), None),
    )


def _instant(text: str | None, default: Instant | None) -> Instant | None:
    return default if text is None else instant.parse(text)


def _open(text: str | None, default: Instant) -> Instant:
    return default if text is None else instant.parse(text)


def _intervals(pairs: Sequence[Sequence[str | None]]) -> tuple[Interval, ...]:
    return tuple(interval(_instant(start, None), _instant(until, None)) for start, until in pairs)


def _ladders(document: Json) -> dict[str, Ladder]:
    return {authority: ladder(authority, [_row(row) for row in rows]) for authority, rows in document.items()}


def _row(row: Json) -> LadderRow:
    levels = tuple(Level(name, Reference[word]) for word, name in row["levels"].items())
    return LadderRow(interval(_instant(row["from"], None), _instant(row["until"], None)), levels)


def _treaty(document: Json) -> Treaty:
    kind = Kind(document["kind"])
    provisions = tuple(_provision(provision) for provision in document["provisions"])
    rows = tuple(
        Equivalence(row["from"], row["level"], row["to"], row["as"])
        for row in document.get("equivalence", ())
    )
    ladders = _ladders(document.get("ladders", {}))
    text = document.get("text") or text_hash(document["id"], kind, provisions, rows, ladders.values())
    return Treaty(
        id=document["id"],
        kind=kind,
        in_force=instant.parse(document["in_force"]),
        parties=tuple(_party(party, text) for party in document["parties"]),
        provisions=provisions,
        text=text,
        equivalence=rows,
        terminated=_open(document.get("terminated"), NEVER),
        ladders=tuple(ladders[authority] for authority in sorted(ladders)),
    )


def _provision(document: Json) -> Provision:
    return Provision(
        article=document["article"],
        categories=frozenset(document["categories"]),
        ceiling=document["ceiling"],
        obligations=tuple(document.get("obligations", ())),
        start=_open(document.get("from"), BEGINNING),
        until=_open(document.get("until"), NEVER),
        reinstated=_open(document.get("reinstated"), NEVER),
    )


def _party(document: Json, text: str) -> Party:
    return Party(
        member=document["member"],
        in_force=_intervals(document["in_force"]),
        text=document.get("text", text),
        signed=_instant(document.get("signed"), None),
        ratified=_instant(document.get("ratified"), None),
        suspended=_intervals(document.get("suspended", ())),
        reservations=tuple(
            Reservation(
                categories=_set(row, "categories"),
                level_at_least=row.get("level_at_least"),
                counterparties=_set(row, "counterparties"),
                during=interval(_instant(row.get("from"), None), _instant(row.get("until"), None)),
            )
            for row in document.get("reservations", ())
        ),
    )


def _overlay(member: str, rules: Json) -> Overlay:
    return Overlay(
        member,
        **{
            name: tuple(
                Rule(row["id"], _when(row["when"]), row.get("source", ""), row.get("obligation"))
                for row in rules.get(name, ())
            )
            for name in ("forbid", "hold", "oblige", "refuse")
        },
    )


def _when(document: Json) -> When:
    return When(
        categories=_set(document, "categories"),
        flags=_set(document, "flags"),
        to=_set(document, "to"),
        level_at_least=document.get("level_at_least"),
        to_group=_codes(document.get("to_group")),
        not_to_group=_codes(document.get("not_to_group")),
    )


def _set(document: Json, name: str) -> frozenset[str] | None:
    return frozenset(document[name]) if name in document else None


def _codes(value: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return None if value is None else (value,) if isinstance(value, str) else tuple(value)
