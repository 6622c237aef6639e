"""A second reading of the policy's rules, slow and obvious, to hold the engine against.

Written from the specification's words alone (labels, treaties, the release decision, in that order); it
shares no code with ``src/`` and takes the JSON shapes of ``tests/vectors/README.md``. Nothing is
compiled, remembered or left early: whoever doubts a decision reads it here, rule by rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]

REFERENCES = ["R0", "R1", "R2", "R3", "R4"]
CONTROLS = ["ORCON", "NOFORN", "RELIDO", "EYES ONLY", "DISPLAY ONLY"]
TLP = ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]
KINDS = ["bilateral", "regional", "multilateral", "political-commitment"]
JOINT_LEVELS = dict(
    zip(REFERENCES, ["UNCLASSIFIED", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP SECRET"], strict=True)
)
LIFECYCLE = ["NOT_RATIFIED", "NOT_YET_IN_FORCE", "SUSPENDED", "WITHDRAWN", "TERMINATED", "TEXT_MISMATCH"]
STEPS = ["OUT_OF_SCOPE", "PROVISION_SUNSET", "NO_EQUIVALENCE", "EXCEEDS_CEILING", "RESERVATION", "PERMITS"]


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
    """Stated?, and whom it covers at T (None: everybody)."""
    named = label.get("releasable_to")
    if "EYES ONLY" in label.get("controls", ()):
        return True, {code for code in named or () if is_state(world, code)}
    covers: set[str] = set()
    for code in named or ():
        covers |= expand(world, code, at)
    if is_organisation(world, label.get("authority")):
        return True, covers | expand(world, label["authority"], at)
    if named is not None:
        return True, covers
    return False, None if classified_as(world, label, at) == 0 else set()


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
        and label.get("tlp") in (None, "CLEAR")
    )


def label_obligations(label: Json) -> set[str]:
    found = set()
    if "ORCON" in label.get("controls", ()) or label.get("tlp") == "RED":
        found.add("no-onward-release")
    if "DISPLAY ONLY" in label.get("controls", ()):
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
    reaches = []
    for label, worth in zip(portions, worths, strict=True):
        stated, covers = releasability(world, label, at)
        red = label.get("tlp") == "RED"
        if worth or stated or "NOFORN" in label.get("controls", ()) or red:
            reach = covers if stated and covers is not None else set()
            if red:
                reach = names(world, label) if not stated else reach & names(world, label)
            reaches.append(reach)
    controls = {control for label in portions for control in label.get("controls", ())} - {"RELIDO"}
    releasable: set[str] | None = None
    if reaches and "NOFORN" not in controls:
        reach = set.intersection(*reaches) | {originator}
        whole = expand(world, originator, at)
        if is_organisation(world, originator):
            if not whole <= reach:
                controls.add("NOFORN")
            elif reach - whole:
                releasable = (reach - whole) | {originator}
        elif reach == {originator}:
            controls.add("NOFORN")
        else:
            releasable = reach
    governing = [
        label
        for label, worth in zip(portions, worths, strict=True)
        if worth
        or label.get("releasable_to") is not None
        or {"NOFORN", "DISPLAY ONLY"} & set(label.get("controls", ()))
    ]
    freed = all("RELIDO" in label.get("controls", ()) for label in governing)
    if governing and freed and "NOFORN" not in controls:
        controls.add("RELIDO")
    tlps = [label["tlp"] for label in portions if label.get("tlp")]
    made: dict[str, Any] = {"authority": originator, "level": level[0]}
    if releasable is not None:
        made["releasable_to"] = rel_to_order(world, releasable, originator)
    if controls:
        made["controls"] = [control for control in CONTROLS if control in controls]
    if tlps:
        made["tlp"] = max(tlps, key=TLP.index)
    return made


# 4. Treaties.


def party_stop(party: Json, at: datetime) -> str | None:
    """Why the party is not active at T; None if it is."""
    if during(party["in_force"], at):
        return "SUSPENDED" if during(party.get("suspended", ()), at) else None
    if any(over(until, at) for _, until in party["in_force"]):
        return "WITHDRAWN"
    ratified = party.get("ratified")
    if (not party["in_force"] and ratified is None) or (ratified is not None and not begun(ratified, at)):
        return "NOT_RATIFIED"
    return "NOT_YET_IN_FORCE"


def in_effect(provision: Json, at: datetime) -> bool:
    if not begun(provision.get("from"), at):
        return False
    reinstated = provision.get("reinstated")
    return not over(provision.get("until"), at) or (reinstated is not None and begun(reinstated, at))


def reserves(world: Json, row: Json, counterparty: str, category: str, worth: int, at: datetime) -> bool:
    """All given fields must match; none given matches all."""
    if not begun(row.get("from"), at) or over(row.get("until"), at):
        return False
    if "categories" in row and category not in row["categories"] and "*" not in row["categories"]:
        return False
    if "counterparties" in row and counterparty not in row["counterparties"]:
        return False
    least = threshold(world, row["level_at_least"], at) if "level_at_least" in row else 0
    return least is None or worth >= least


def ask_treaty(
    world: Json,
    treaty: Json,
    label: Json,
    worth: int,
    category: str,
    originator: str,
    recipient: str,
    at: datetime,
) -> tuple[str, list[Json]]:
    """How far it gets (a lifecycle code, a step, or PERMITS), and the provisions that permit."""
    parties = {party["member"]: party for party in treaty["parties"]}
    two = [parties[originator], parties[recipient]]
    stops = {party_stop(party, at) for party in two}
    if not begun(treaty["in_force"], at):
        stops.add("NOT_YET_IN_FORCE")
    if over(treaty.get("terminated"), at):
        stops.add("TERMINATED")
    adopted = [party["text"] for party in two if "text" in party]
    if any(text is None or text != treaty.get("text") for text in adopted):
        stops.add("TEXT_MISMATCH")
    for code in LIFECYCLE:
        if code in stops:
            return code, []
    rows = treaty.get("equivalence", ())
    reserved = any(
        reserves(world, row, other, category, worth, at)
        for party, other in zip(two, [recipient, originator], strict=True)
        for row in party.get("reservations", ())
    )
    reached = "OUT_OF_SCOPE"
    permitting = []
    for provision in treaty["provisions"]:
        ceiling = threshold(world, provision["ceiling"], at)
        if category not in provision["categories"] and "*" not in provision["categories"]:
            step = "OUT_OF_SCOPE"
        elif not in_effect(provision, at):
            step = "PROVISION_SUNSET"
        elif convert(world, label.get("authority"), worth, recipient, at, rows) is None:
            step = "NO_EQUIVALENCE"
        elif ceiling is None or worth > ceiling:
            step = "EXCEEDS_CEILING"
        elif reserved:
            step = "RESERVATION"
        else:
            step = "PERMITS"
            permitting.append(provision)
        reached = max(reached, step, key=STEPS.index)
    return reached, permitting


def precedence(treaty: Json) -> tuple[int, int, float, str]:
    """Kind, fewer listed parties, later in force, id."""
    later = -moment(treaty["in_force"]).timestamp()
    return KINDS.index(treaty["kind"]), len(treaty["parties"]), later, treaty["id"]


# 5. The decision.


def whose(world: Json, case: Json) -> str:
    """The originator of the portion."""
    label = case["label"]
    claimed = case.get("originator") or case["from"]
    authority = label.get("authority")
    if authority == "JOINT":
        owners = label.get("owners", ())
        if claimed in owners:
            return str(claimed)
        return rel_to_order({"groups": {}}, set(owners), "USA")[0] if owners else "JOINT"
    if authority is None or is_organisation(world, authority):
        return str(claimed)
    return str(authority)


def matches(world: Json, when: Json, case: Json, worth: int, at: datetime) -> bool:
    """All given fields must match; no field matches always."""
    recipient = case["to"]
    if "categories" in when and case["category"] not in when["categories"] and "*" not in when["categories"]:
        return False
    if "flags" in when and not set(when["flags"]) & set(case.get("flags", ())):
        return False
    if "to" in when and recipient not in when["to"]:
        return False
    if "level_at_least" in when:
        least = threshold(world, when["level_at_least"], at)
        if least is not None and worth < least:
            return False
    for field, wanted in (("to_group", True), ("not_to_group", False)):
        if field in when:
            codes = [when[field]] if isinstance(when[field], str) else when[field]
            if any(code not in world["groups"] for code in codes):
                continue  # an unknown group matches: overlays only restrict
            if any(recipient in expand(world, code, at) for code in codes) is not wanted:
                return False
    return True


def decide(world: Json, case: Json) -> dict[str, Any]:
    """What ``expect`` of a vector holds, and ``articles`` and ``holds`` besides."""
    label, at, recipient, sender = case["label"], moment(case["at"]), case["to"], case["from"]
    controls, named = label.get("controls", ()), label.get("releasable_to")
    originator = whose(world, case)
    worth = classified_as(world, label, at)
    unknown_level = worth is None
    worth = 4 if worth is None else worth
    stated, covers = releasability(world, label, at)
    reasons: list[str] = []

    def laws(kind: str, members: Sequence[str]) -> list[Json]:
        rows = [row for member in members for row in world["overlays"].get(member, {}).get(kind, ())]
        return [row for row in rows if matches(world, row["when"], case, worth, at)]

    # Rule 1
    if case.get("recalled"):
        reasons.append("BULLETIN_RECALLED")
    if over(case.get("valid_until"), at):
        reasons.append("BULLETIN_EXPIRED")
    # Rule 2
    codes = [*(named or ()), *label.get("owners", ())]
    if label.get("authority") not in (None, "JOINT"):
        codes.append(label["authority"])
    if (
        recipient not in world["members"]
        or sender not in world["members"]
        or not (is_state(world, originator) or is_organisation(world, originator))
        or any(code not in world["members"] and code not in world["groups"] for code in codes)
    ):
        reasons.append("UNKNOWN_MEMBER")
    if unknown_level:
        reasons.append("UNKNOWN_LEVEL")
    if any(control not in CONTROLS for control in controls):
        reasons.append("UNKNOWN_CONTROL")
    # Rule 3
    if laws("forbid", [originator, sender]):
        reasons.append("NATIONAL_LAW_FORBIDS")
    basis, articles, duties = None, [], set()
    if recipient == originator:
        basis = "OWN_PRODUCT"
    elif unrestricted(world, label, at):
        basis = "UNRESTRICTED"
    else:
        # Rules 4 to 8
        if "NOFORN" in controls:
            reasons.append("NOFORN")
        if stated and covers is not None and recipient not in covers:
            reasons.append("NOT_RELEASABLE_TO")
        if worth > 0 and not stated and "NOFORN" not in controls:
            reasons.append("RELEASABILITY_NOT_STATED")
        if label.get("tlp") == "RED" and recipient not in names(world, label):
            reasons.append("TLP_RED_NOT_NAMED")
        if sender != originator and recipient not in case.get("consents", ()):
            reasons.append("CONSENT_REQUIRED")
        # Rule 9
        asked = []
        for treaty in sorted(world["treaties"], key=precedence):
            listed = {party["member"] for party in treaty["parties"]}
            if {originator, recipient} <= listed:
                answer = ask_treaty(world, treaty, label, worth, case["category"], originator, recipient, at)
                asked.append((treaty["id"], *answer))
        permits = [answer for answer in asked if answer[1] == "PERMITS"]
        if permits:
            basis, _, permitting = permits[0]
            articles = sorted(provision["article"] for provision in permitting)
            duties = {duty for provision in permitting for duty in provision.get("obligations", ())}
        elif asked:
            order = [*LIFECYCLE, *STEPS]
            reasons.append(max((answer[1] for answer in asked), key=order.index))
        else:
            reasons.append("NO_TREATY")
    # Rule 10
    if laws("refuse", [recipient]):
        reasons.append("RECIPIENT_LAW_FORBIDS")
    if reasons:
        return {"outcome": "deny", "reasons": reasons}
    duties |= label_obligations(label) | {row["obligation"] for row in laws("oblige", [originator])}
    approved = case.get("approvals", ())
    holds = sorted({row["id"] for row in laws("hold", [originator, sender]) if row["id"] not in approved})
    return {
        "outcome": "hold" if holds else "allow",
        "basis": basis,
        "obligations": sorted(duties),
        "articles": articles,
        "holds": holds,
    }


def read(world: Json, case: Json) -> dict[str, Any]:
    """The reader's decision at member ``to``."""
    label, at, member, reader = case["label"], moment(case["at"]), case["to"], case["reader"]
    reasons = []
    if case.get("recalled"):
        reasons.append("BULLETIN_RECALLED")
    if over(case.get("valid_until"), at):
        reasons.append("BULLETIN_EXPIRED")
    worth = classified_as(world, label, at)
    worth = 4 if worth is None else worth
    rows = [
        row
        for treaty in world["treaties"]
        if treaty["id"] == case.get("basis") and member in {party["member"] for party in treaty["parties"]}
        for row in treaty.get("equivalence", ())
    ]
    word = reader["clearance"]
    clearance = REFERENCES.index(word) if word in REFERENCES else worth_of(world, member, word, at) or 0
    there = convert(world, label.get("authority"), worth, member, at, rows)
    if worth > 0 and (there is None or max(worth, there[1]) > clearance):
        reasons.append("CLEARANCE_INSUFFICIENT")
    if not unrestricted(world, label, at) and not {case["category"], "*"} & set(reader["categories"]):
        reasons.append("NEED_TO_KNOW")
    states = {code for code in label.get("releasable_to") or () if is_state(world, code)}
    if "EYES ONLY" in label.get("controls", ()) and reader["nationality"] not in states:
        reasons.append("EYES_ONLY_NATIONALITY")
    return {"outcome": "deny", "reasons": reasons} if reasons else {"outcome": "allow"}
