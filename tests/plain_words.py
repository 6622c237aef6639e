"""A second reading of codes, time, ladders and labels, slow and obvious: the words of ``plain_reading.py``.

Written from the specification's words alone (sections "Codes and time" to "Labels", in that order); it
shares no code with ``src/`` and takes the JSON shapes of ``tests/vectors/README.md``. Nothing is
compiled, remembered or left early: whoever doubts a decision reads it here, rule by rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]

REFERENCES = ["R0", "R1", "R2", "R3", "R4"]
CONTROLS = ["FOUO", "LES", "PROPIN", "ORCON", "NOFORN", "RELIDO", "EYES ONLY"]
TLP = ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]
JOINT_LEVELS = dict(
    zip(REFERENCES, ["UNCLASSIFIED", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP SECRET"], strict=True)
)


# 1. Codes and time.


def moment(text: str) -> datetime:
    """A date is its first instant in UTC; a time has an offset."""
    return datetime.fromisoformat(text + "T00:00:00+00:00" if len(text) == 10 else text)


def begun(start: str | None, at: datetime) -> bool:
    return start is None or moment(start) <= at


def over(until: str | None, at: datetime) -> bool:
    """Half open: no longer at the instant of the end."""
    return until is not None and moment(until) <= at


def during(intervals: Sequence[Sequence[str | None]], at: datetime) -> bool:
    return any(begun(start, at) and not over(until, at) for start, until in intervals)


def is_organisation(world: Json, code: str | None) -> bool:
    return code in world["groups"] and bool(world["groups"][code].get("organisation"))


def is_state(world: Json, code: str | None) -> bool:
    return code in world["members"] and code not in world["groups"]


def expand(world: Json, code: str, at: datetime) -> set[str]:
    """A group: its member states at T and, if it is an organisation, its node. Anything else: itself."""
    if code not in world["groups"]:
        return {code}
    found = {state for state, spans in world["groups"][code]["members"].items() if during(spans, at)}
    return found | ({code} if is_organisation(world, code) else set())


# 2. Ladders and equivalence. Levels are worth 0 to 4.


def rows_of(world: Json, authority: str | None) -> list[Json]:
    if authority == "JOINT":
        return [{"from": None, "until": None, "levels": JOINT_LEVELS}]
    rows = world["ladders"].get(authority, [])
    return sorted(rows, key=lambda row: (row["from"] is not None, row["from"] and moment(row["from"])))


def levels_at(world: Json, authority: str | None, at: datetime) -> dict[int, str]:
    """Worth to name of the levels valid at T; a ladder without R0, or an unknown one, has UNMARKED."""
    for row in rows_of(world, authority):
        if begun(row["from"], at) and not over(row["until"], at):
            named = {REFERENCES.index(worth): name for worth, name in row["levels"].items()}
            return {0: "UNMARKED", **named}
    return {0: "UNMARKED"}


def worth_of(world: Json, authority: str | None, name: str | None, at: datetime) -> int | None:
    """The worth of the last row at or before T that has the name; None: unknown."""
    found = None
    # Stretches of time with the levels that were valid then: rows, and the gaps between them.
    starts = {row["from"] for row in rows_of(world, authority)} | {
        row["until"] for row in rows_of(world, authority) if row["until"] is not None
    }
    first = datetime(1, 1, 1, tzinfo=UTC)
    for start in sorted(first if start is None else moment(start) for start in starts | {None}):
        if start <= at:
            for worth, known in levels_at(world, authority, start).items():
                if known == name:
                    found = worth
    return found


def convert(
    world: Json, authority: str | None, worth: int, to: str, at: datetime, rows: Sequence[Json] = ()
) -> tuple[str, int] | None:
    """Name and worth in the ladder of ``to``; None: NO_EQUIVALENCE."""
    there = levels_at(world, to, at)
    known = max(there) > 0
    usable: list[tuple[int, int, str]] = []
    for row in rows:
        own = worth_of(world, row["from"], row["level"], at)
        if row["from"] != authority or row["to"] != to or own is None:
            continue
        used = worth_of(world, to, row["as"], at) if known else own
        if used is not None and used >= own:  # else the row is void
            usable.append((own, used, row["as"]))
    exact = sorted((used, name) for own, used, name in usable if own == worth)
    if exact:
        return exact[0][1], exact[0][0]
    not_below = sorted(other for other in there if other >= worth)
    if not_below:
        return there[not_below[0]], not_below[0]
    above = sorted(row for row in usable if row[0] > worth)
    return (above[0][2], above[0][1]) if above else None


def threshold(world: Json, word: str, at: datetime) -> int | None:
    """What R0 to R4 or a level of an organisation is worth."""
    if word in REFERENCES:
        return REFERENCES.index(word)
    for code in world["groups"]:
        name = word.removeprefix(f"{code} ") if word.endswith(" UNMARKED") else word
        if is_organisation(world, code) and word != "UNMARKED":
            worth = worth_of(world, code, name, at)
            if worth is not None:
                return worth
    return None


# 3. Labels.


def classified_as(world: Json, label: Json, at: datetime) -> int | None:
    """The reference level; None: unknown."""
    authority, level, tlp = label.get("authority"), label.get("level"), label.get("tlp")
    if tlp is not None and tlp not in TLP:
        return None
    if level is None:
        return None if tlp is None else 0
    if not (authority == "JOINT" or is_state(world, authority) or is_organisation(world, authority)):
        return None
    return worth_of(world, authority, level, at)


def releasability(world: Json, label: Json, at: datetime) -> tuple[bool, set[str] | None]:
    """Stated?, and whom it covers at T (None: everybody), by REL TO or by DISPLAY ONLY."""
    named, shown = label.get("releasable_to"), label.get("displayable_to")
    if label.get("fgi") == []:
        return True, set()  # a concealed source: nobody but the originator
    if "EYES ONLY" in label.get("controls", ()):
        return True, {code for code in named or () if is_state(world, code)}
    covers: set[str] = set()
    for code in [*(named or ()), *(shown or ())]:
        covers |= expand(world, code, at)
    if is_organisation(world, label.get("authority")):
        return True, covers | expand(world, label["authority"], at)
    if named is not None or shown is not None:
        return True, covers
    return False, None if classified_as(world, label, at) == 0 else set()


def only_shown(world: Json, label: Json, at: datetime) -> set[str]:
    """Who is covered by DISPLAY ONLY and not by REL TO or as the organisation whose label it is."""
    listed = label.get("displayable_to") or ()
    through = {member for code in listed for member in expand(world, code, at)}
    _, covers = releasability(world, label, at)
    without = {name: value for name, value in label.items() if name != "displayable_to"}
    if label.get("releasable_to") is None:
        without["releasable_to"] = []
    _, kept = releasability(world, without, at)
    return (through & (covers or set())) - (kept or set())


def names(world: Json, label: Json) -> set[str]:
    """Recipients named themselves in REL TO; the code of an organisation names its node."""
    return {
        code
        for code in label.get("releasable_to") or ()
        if is_state(world, code) or is_organisation(world, code)
    }


def unrestricted(world: Json, label: Json, at: datetime) -> bool:
    """R0, not stated, TLP absent or CLEAR, and no control; RELIDO is none here, it changes no decision."""
    return (
        classified_as(world, label, at) == 0
        and not releasability(world, label, at)[0]
        and all(control == "RELIDO" for control in label.get("controls", ()))
        and label.get("fgi") is None
        and label.get("tlp") in (None, "CLEAR")
    )


def label_obligations(world: Json, label: Json, recipient: str, at: datetime) -> set[str]:
    found = set()
    if "ORCON" in label.get("controls", ()) or label.get("tlp") == "RED":
        found.add("no-onward-release")
    if recipient in only_shown(world, label, at):
        found.add("display-only")
    if label.get("tlp") == "AMBER+STRICT":
        found.add("own-organisation-only")
    return found


def rel_to_order(world: Json, codes: set[str], first: str | None) -> list[str]:
    return sorted(codes, key=lambda code: (code != first, code in world["groups"], code))


def banner(world: Json, originator: str, at_text: str, portions: Sequence[Json]) -> Json:
    """The banner of several portions, as a label; or ``{"error": code}``."""
    at = moment(at_text)
    worths = [classified_as(world, label, at) for label in portions]
    if None in worths:
        return {"error": "UNKNOWN_LEVEL"}
    level = convert(world, originator, max([0, *(worth or 0 for worth in worths)]), originator, at)
    if level is None:
        return {"error": "NO_EQUIVALENCE"}
    keeps, reaches = [], []
    for label, worth in zip(portions, worths, strict=True):
        stated, covers = releasability(world, label, at)
        red = label.get("tlp") == "RED"
        if worth or stated or "NOFORN" in label.get("controls", ()) or red:
            reach = covers if stated and covers is not None else set()
            if red:
                reach = names(world, label) if not stated else reach & names(world, label)
            reaches.append(reach)
            keeps.append(reach - only_shown(world, label, at))
    controls = {control for label in portions for control in label.get("controls", ())} - {"RELIDO"}
    releasable: set[str] | None = None
    shown: set[str] = set()
    if reaches and "NOFORN" not in controls:
        reach = set.intersection(*keeps) | {originator}
        shown = set.intersection(*reaches) - reach
        whole = expand(world, originator, at)
        if is_organisation(world, originator):
            if not whole <= reach:
                controls.add("NOFORN")
            elif reach - whole:
                releasable = (reach - whole) | {originator}
        elif reach != {originator}:
            releasable = reach
        elif not shown:
            controls.add("NOFORN")
    governing = [
        label
        for label, worth in zip(portions, worths, strict=True)
        if worth
        or label.get("releasable_to") is not None
        or label.get("displayable_to") is not None
        or "NOFORN" in label.get("controls", ())
    ]
    freed = all("RELIDO" in label.get("controls", ()) for label in governing)
    said = any("NOFORN" in label.get("controls", ()) for label in governing)
    if governing and freed and not said:
        if "NOFORN" in controls and max(worth or 0 for worth in worths) and originator not in world["groups"]:
            controls.discard("NOFORN")  # RELIDO instead: the disclosure officer decides
        if "NOFORN" not in controls and not shown:
            controls.add("RELIDO")
    if "NOFORN" in controls:
        controls.discard("EYES ONLY")
        shown = set()
    tlps = [label["tlp"] for label in portions if label.get("tlp")]
    made: dict[str, Any] = {"authority": originator, "level": level[0]}
    if releasable is not None:
        made["releasable_to"] = rel_to_order(world, releasable, originator)
    if shown:
        made["displayable_to"] = rel_to_order(world, shown, originator)
    foreign = {code for label in portions for code in label.get("fgi") or ()}
    for label in portions:
        owners = label.get("owners", ()) if label.get("authority") == "JOINT" else [label.get("authority")]
        foreign |= {code for code in owners if is_state(world, code)}
    if originator == "USA":
        if any(label.get("fgi") == [] for label in portions):
            made["fgi"] = []
        elif foreign - {"USA"}:
            made["fgi"] = rel_to_order(world, foreign - {"USA"}, None)
    if controls & set(CONTROLS):
        made["controls"] = [control for control in CONTROLS if control in controls]
    if tlps:
        made["tlp"] = max(tlps, key=TLP.index)
    return made
