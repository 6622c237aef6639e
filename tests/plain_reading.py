"""A second reading of the policy's rules, slow and obvious, to hold the engine against.

Written from the specification's words alone (treaties and the release decision, in that order; what comes
before them is in ``plain_words.py``); it shares no code with ``src/`` and takes the JSON shapes of
``tests/vectors/README.md``. Nothing is compiled, remembered or left early: whoever doubts a decision reads it
here, rule by rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from plain_words import (
    CONTROLS,
    REFERENCES,
    Json,
    begun,
    classified_as,
    convert,
    during,
    expand,
    is_organisation,
    is_state,
    label_obligations,
    moment,
    names,
    over,
    rel_to_order,
    releasability,
    threshold,
    unrestricted,
    worth_of,
)

KINDS = ["bilateral", "regional", "multilateral", "political-commitment"]
LIFECYCLE = ["NOT_RATIFIED", "NOT_YET_IN_FORCE", "SUSPENDED", "WITHDRAWN", "TERMINATED", "TEXT_MISMATCH"]
STEPS = ["OUT_OF_SCOPE", "PROVISION_SUNSET", "NO_EQUIVALENCE", "EXCEEDS_CEILING", "RESERVATION", "PERMITS"]


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


def under(world: Json, treaty: Json) -> Json:
    """The world with the ladders that the treaty's text brings."""
    return {**world, "ladders": {**world["ladders"], **treaty.get("ladders", {})}}


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
        elif convert(under(world, treaty), label.get("authority"), worth, recipient, at, rows) is None:
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


def may_hand_in(world: Json, label: Json, member: str, source: Json | None) -> bool:
    """At submit: an own label, or information that comes from the bulletin that is named."""

    def states(one: Json) -> set[str]:
        authority = one.get("authority")
        if authority == "JOINT":
            return set(one.get("owners", ()))
        return {authority} if authority is not None and is_state(world, authority) else set()

    whose_it_is = states(label)
    if not whose_it_is or member in whose_it_is:
        return True
    if source is None:
        return False
    if source["originator"] in whose_it_is:
        return True
    return any(whose_it_is.issubset(states(portion)) for portion in source["portions"])


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
    foreign = label.get("fgi") or ()
    codes = [*(named or ()), *(label.get("displayable_to") or ()), *foreign, *label.get("owners", ())]
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
        asked_for = {originator, *foreign} - {sender, recipient}
        if asked_for and recipient not in case.get("consents", ()):
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
    duties |= label_obligations(world, label, recipient, at) | {
        row["obligation"] for row in laws("oblige", [originator])
    }
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
    cited: Json = {}
    for treaty in world["treaties"]:
        if treaty["id"] == case.get("basis") and member in {party["member"] for party in treaty["parties"]}:
            cited = treaty
    word = reader["clearance"]
    clearance = REFERENCES.index(word) if word in REFERENCES else worth_of(world, member, word, at) or 0
    there = convert(
        under(world, cited), label.get("authority"), worth, member, at, cited.get("equivalence", ())
    )
    if worth > 0 and (there is None or max(worth, there[1]) > clearance):
        reasons.append("CLEARANCE_INSUFFICIENT")
    if not unrestricted(world, label, at) and not {case["category"], "*"} & set(reader["categories"]):
        reasons.append("NEED_TO_KNOW")
    states = {code for code in label.get("releasable_to") or () if is_state(world, code)}
    if "EYES ONLY" in label.get("controls", ()) and reader["nationality"] not in states:
        reasons.append("EYES_ONLY_NATIONALITY")
    return {"outcome": "deny", "reasons": reasons} if reasons else {"outcome": "allow"}
