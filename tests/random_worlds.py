"""Random worlds and questions in the JSON shapes of the vectors: small, so that everything meets everything.

``dice`` is any ``random.Random``: a seeded one for bulk, hypothesis' own where failures should shrink.
"""

from __future__ import annotations

from random import Random
from typing import Any

STATES = ["USA", "FRA", "GBR", "DEU", "POL", "KEN"]
ORGANISATIONS = ["NATO", "EU"]
GROUPS = ["FVEY"]
MEMBERS = [*STATES, *ORGANISATIONS]
CATEGORIES = ["cyber", "terrorism", "climate-disaster"]
FLAGS = ["personal-data", "source-identity"]
DAYS = ["1999-03-12", "2014-04-02", "2018-05-08", "2021-07-01", "2025-10-18"]
INSTANTS = [
    "1990-01-01",
    *DAYS,
    "2014-04-01T23:59:59.999999Z",
    "2016-02-29T12:00:00+02:00",
    "2021-06-30T23:59:59Z",
    "2026-06-01",
]
REFERENCES = ["R0", "R1", "R2", "R3", "R4"]
CONTROLS = ["FOUO", "LES", "PROPIN", "ORCON", "NOFORN", "RELIDO", "EYES ONLY"]
TLP = ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]
JOINT_LEVELS = ["UNCLASSIFIED", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP SECRET"]
KINDS = ["bilateral", "regional", "multilateral", "political-commitment"]
ORGANISATION_LEVELS = [f"{code} {word}" for code in ORGANISATIONS for word in ("L1", "L3", "UNMARKED")]
DUTIES = ["attribution", "no-onward-release", "retention-365d"]
OBJECTION = "sha256:" + "0" * 64


def maybe(dice: Random, chance: float) -> bool:
    return dice.random() < chance


def some(dice: Random, items: list[str], most: int, least: int = 0) -> list[str]:
    return dice.sample(items, dice.randint(least, min(most, len(items))))


def span(dice: Random) -> list[str | None]:
    start, until = sorted(dice.sample(range(-1, len(DAYS) + 1), 2))
    return [None if start < 0 else DAYS[start], None if until == len(DAYS) else DAYS[until]]


def spans(dice: Random) -> list[list[str | None]]:
    """Intervals in order that do not overlap; often one without an end."""
    if maybe(dice, 0.7):
        return [[dice.choice([None, *DAYS[:2]]), None]]
    first, second = span(dice), span(dice)
    if first[1] is not None and second[0] is not None and first[1] <= second[0]:
        return [first, second]
    return [first] if maybe(dice, 0.8) else []


def ladders(dice: Random) -> dict[str, Any]:
    """Some authorities without; levels missing, renamed or moved in time; gaps."""
    made: dict[str, Any] = {}
    for authority in MEMBERS:
        if maybe(dice, 0.2):
            continue
        change = dice.choice([None, None, None, *DAYS[1:4]])
        rows: list[dict[str, Any]] = [{"from": None, "until": change, "levels": rungs(dice, authority, "L")}]
        if change is not None:
            start = change if maybe(dice, 0.8) else dice.choice([day for day in DAYS if day >= change])
            word = dice.choice(["L", "N"])
            rows.append({"from": start, "until": None, "levels": rungs(dice, authority, word)})
        made[authority] = rows
    return made


def rungs(dice: Random, authority: str, word: str) -> dict[str, str]:
    prefix = f"{authority} " if authority in ORGANISATIONS else ""
    offset = dice.choice([0, 0, 0, 1])
    return {
        worth: f"{prefix}{word}{number + offset}"
        for number, worth in enumerate(REFERENCES)
        if maybe(dice, 0.85)
    }


def threshold(dice: Random) -> str:
    return dice.choice([*REFERENCES, *REFERENCES, *ORGANISATION_LEVELS, "nonsense"])


def reservation(dice: Random) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if maybe(dice, 0.5):
        row["categories"] = some(dice, [*CATEGORIES, "*"], 2)
    if maybe(dice, 0.5):
        row["level_at_least"] = threshold(dice)
    if maybe(dice, 0.4):
        row["counterparties"] = some(dice, MEMBERS, 3)
    if maybe(dice, 0.4):
        row["from"], row["until"] = span(dice)
    return row


def party(dice: Random, member: str) -> dict[str, Any]:
    made: dict[str, Any] = {"member": member, "in_force": spans(dice)}
    if maybe(dice, 0.2):
        made["ratified"] = dice.choice([None, *DAYS])
    if maybe(dice, 0.2):
        made["suspended"] = [span(dice)]
    if maybe(dice, 0.25):
        made["reservations"] = [reservation(dice) for _ in range(dice.randint(1, 2))]
    if maybe(dice, 0.06):
        made["text"] = dice.choice([None, OBJECTION])
    return made


def provision(dice: Random, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "article": f"art. {number}",
        "categories": some(dice, [*CATEGORIES, "*"], 3, 1),
        "ceiling": dice.choice(["R2", "R3", "R4", "R4", threshold(dice)]),
        "obligations": some(dice, DUTIES, 2),
    }
    if maybe(dice, 0.2):
        made["from"] = dice.choice(DAYS)
    if maybe(dice, 0.3):
        made["until"] = dice.choice(DAYS)
        if maybe(dice, 0.4):
            made["reinstated"] = dice.choice(DAYS)
    return made


def treaty(dice: Random, number: int, known: dict[str, Any]) -> dict[str, Any]:
    members = some(dice, MEMBERS, len(MEMBERS), 2)
    made: dict[str, Any] = {
        "id": f"treaty-{number}",
        "kind": dice.choice(KINDS),
        "in_force": dice.choice(["1949-08-24"] * 6 + DAYS),
        "terminated": dice.choice([None] * 12 + DAYS),
        "parties": [party(dice, member) for member in members],
        "provisions": [provision(dice, number) for number in range(dice.choice([0, 1, 1, 2, 3]))],
    }
    if maybe(dice, 0.25):
        drawn = ladders(dice)
        made["ladders"] = {authority: drawn[authority] for authority in some(dice, sorted(drawn), 3)}
        known = {**known, **made["ladders"]}
    if maybe(dice, 0.4):
        made["equivalence"] = [
            {
                "from": origin,
                "level": level_of(dice, known, origin),
                "to": to,
                "as": level_of(dice, known, to),
            }
            for origin, to in (
                dice.sample(dice.choice([members, MEMBERS]), 2) for _ in range(dice.randint(1, 5))
            )
        ]
    return made


def level_of(dice: Random, known: dict[str, Any], authority: str) -> str:
    if authority == "JOINT":
        return dice.choice(JOINT_LEVELS)
    named = [name for row in known.get(authority, ()) for name in row["levels"].values()]
    return "UNMARKED" if not named or maybe(dice, 0.1) else dice.choice(named)


def condition(dice: Random) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if maybe(dice, 0.4):
        made["categories"] = some(dice, [*CATEGORIES, "*"], 2)
    if maybe(dice, 0.3):
        made["flags"] = some(dice, FLAGS, 2)
    if maybe(dice, 0.3):
        made["to"] = some(dice, MEMBERS, 4)
    if maybe(dice, 0.4):
        made["level_at_least"] = threshold(dice)
    for field in ("to_group", "not_to_group"):
        if maybe(dice, 0.3):
            codes = [*ORGANISATIONS, *GROUPS, *ORGANISATIONS, "QQQ"]
            made[field] = dice.choice(codes) if maybe(dice, 0.5) else some(dice, codes[:3], 2)
    return made


def overlay(dice: Random, member: str) -> dict[str, Any]:
    def rows(kind: str, most: int) -> list[dict[str, Any]]:
        return [
            {"id": f"{member}-{kind}-{number}", "source": "", "when": condition(dice)}
            | ({"obligation": dice.choice(DUTIES)} if kind == "oblige" else {})
            for number in range(dice.randint(0, most))
        ]

    return {kind: rows(kind, 1 if kind in ("forbid", "refuse") else 2) for kind in RULES}


RULES = ("forbid", "hold", "oblige", "refuse")


def make_world(dice: Random) -> dict[str, Any]:
    known = ladders(dice)
    return {
        "members": [member for member in MEMBERS if member in STATES or maybe(dice, 0.9)],
        "groups": {
            code: {
                "organisation": code in ORGANISATIONS,
                "members": {state: spans(dice) for state in some(dice, STATES, 5, 1)},
            }
            for code in (*ORGANISATIONS, *GROUPS)
        },
        "ladders": known,
        "overlays": {member: overlay(dice, member) for member in some(dice, MEMBERS, 3)},
        "treaties": [treaty(dice, number, known) for number in range(dice.randint(0, 5))],
    }


def make_label(dice: Random, world: dict[str, Any], recipient: str | None = None) -> dict[str, Any]:
    """Mostly what a parser would give; sometimes what no text could."""
    if maybe(dice, 0.07):
        return {"tlp": dice.choice(TLP)}
    authority = dice.choice([*STATES, *MEMBERS, "JOINT"])
    label: dict[str, Any] = {"authority": authority, "level": level_of(dice, world["ladders"], authority)}
    if authority == "JOINT":
        label["owners"] = sorted(some(dice, STATES, 3, 2))
    if maybe(dice, 0.3):
        label["controls"] = [control for control in CONTROLS if maybe(dice, 0.25)]
    if maybe(dice, 0.2):
        label["displayable_to"] = sorted(some(dice, [*MEMBERS, *GROUPS], 3, 1))
    if maybe(dice, 0.3 if authority == "USA" else 0.04):
        label["fgi"] = sorted(some(dice, [state for state in STATES if state != "USA"], 2))
    if maybe(dice, 0.75) and "NOFORN" not in label.get("controls", ()):
        codes = {*label.get("owners", [authority]), *some(dice, [*MEMBERS, *GROUPS], 3)}
        if recipient is not None and maybe(dice, 0.7):
            codes.add(recipient)
        label["releasable_to"] = sorted(codes)
    if maybe(dice, 0.25):
        label["tlp"] = dice.choice(TLP)
    if maybe(dice, 0.06):
        field, value = dice.choice(UNSOUND)
        label[field] = value
    return label


def hopeful_label(dice: Random, world: dict[str, Any], authority: str, recipient: str) -> dict[str, Any]:
    label: dict[str, Any] = {
        "authority": authority,
        "level": level_of(dice, world["ladders"], authority),
        "releasable_to": sorted({authority, recipient, *some(dice, GROUPS, 1)}),
    }
    if maybe(dice, 0.2):
        label["controls"] = [control for control in CONTROLS if control != "NOFORN" and maybe(dice, 0.4)]
    if maybe(dice, 0.3):
        label["tlp"] = dice.choice(TLP)
    if maybe(dice, 0.25):
        # Named here instead of in REL TO, or beside it.
        label["displayable_to"] = sorted({recipient, *some(dice, [*MEMBERS, *GROUPS], 1)})
        if maybe(dice, 0.6):
            label["releasable_to"] = [authority]
    if authority == "USA" and maybe(dice, 0.3):
        label["fgi"] = sorted(some(dice, [state for state in STATES if state != "USA"], 2))
    return label


UNSOUND: list[tuple[str, Any]] = [
    ("authority", None),
    ("authority", "ZZZ"),
    ("level", None),
    ("level", "no such level"),
    ("tlp", "PURPLE"),
    ("owners", []),
    ("owners", ["FRA"]),
    ("controls", ["NOFORN"]),
    ("controls", ["SECRETISH", "ORCON"]),
    ("controls", ["DISPLAY ONLY"]),
    ("displayable_to", []),
    ("displayable_to", ["ZZZ"]),
    ("fgi", ["ZZZ"]),
    ("releasable_to", []),
    ("releasable_to", ["ZZZ", "FRA"]),
]


def make_case(dice: Random, world: dict[str, Any]) -> dict[str, Any]:
    """Any question; or, half of the time, one that has a chance: sound, between parties of one treaty."""
    sender, recipient = (
        dice.choice([*MEMBERS, *MEMBERS, "ZZZ"]),
        dice.choice([*MEMBERS, *MEMBERS, "FVEY", "ZZZ"]),
    )
    label = make_label(dice, world, recipient)
    authority = label.get("authority")
    if authority in MEMBERS and maybe(dice, 0.7):
        sender = authority
    if world["treaties"] and maybe(dice, 0.5):
        parties = dice.choice(world["treaties"])["parties"]
        sender, recipient = (party["member"] for party in dice.sample(parties, 2))
        label = hopeful_label(dice, world, sender, recipient)
    case: dict[str, Any] = {
        "at": dice.choice(INSTANTS),
        "from": sender,
        "to": recipient,
        "label": label,
        "category": dice.choice(CATEGORIES),
    }
    if maybe(dice, 0.2):
        case["originator"] = dice.choice([*MEMBERS, *MEMBERS, "ZZZ"])
    if maybe(dice, 0.3):
        case["flags"] = some(dice, FLAGS, 2)
    if maybe(dice, 0.4):
        case["consents"] = some(dice, MEMBERS, 4) + ([recipient] if maybe(dice, 0.5) else [])
    if maybe(dice, 0.3):
        case["approvals"] = [
            row["id"] for law in world["overlays"].values() for row in law["hold"] if maybe(dice, 0.7)
        ]
    if maybe(dice, 0.05):
        case["recalled"] = True
    if maybe(dice, 0.1):
        case["valid_until"] = dice.choice(INSTANTS)
    return case


def make_reading(dice: Random, world: dict[str, Any]) -> dict[str, Any]:
    """A reader's question; half of the time of a label that the rows of the cited treaty may convert."""
    case = make_case(dice, world)
    case["basis"] = dice.choice([None, "no-such-treaty", *(each["id"] for each in world["treaties"])])
    rows = [(each["id"], row) for each in world["treaties"] for row in each.get("equivalence", ())]
    if rows and maybe(dice, 0.6):
        case["basis"], row = dice.choice(rows)
        case["to"] = row["to"]
        case["label"] = hopeful_label(dice, world, row["from"], row["to"])
    levels = [*REFERENCES, *REFERENCES, level_of(dice, world["ladders"], case["to"])]
    case["reader"] = {
        "clearance": dice.choice([None, *levels, "nonsense"]),
        "nationality": dice.choice(STATES),
        "categories": some(dice, [*CATEGORIES, "*"], 3),
    }
    return case


def make_conversion(dice: Random, world: dict[str, Any]) -> dict[str, Any]:
    """A level into another ladder, mostly under the rows of a treaty."""
    rows = [row for each in world["treaties"] for row in each.get("equivalence", ())]
    origin, to = dice.choice([*MEMBERS, "JOINT"]), dice.choice(MEMBERS)
    if rows and maybe(dice, 0.8):
        row = dice.choice(rows)
        origin, to = row["from"], row["to"]
    return {
        "at": dice.choice(INSTANTS),
        "from": origin,
        "level": level_of(dice, world["ladders"], origin),
        "to": to,
        "rows": [row for row in rows if maybe(dice, 0.8)],
    }


def make_handed_in(dice: Random, world: dict[str, Any]) -> dict[str, Any]:
    """A label that a member hands in, with the received bulletin that it is said to come from, or none."""
    source = None
    if maybe(dice, 0.7):
        portions = [make_label(dice, world) for _ in range(dice.randint(0, 3))]
        source = {"originator": dice.choice(MEMBERS), "portions": portions}
    return {"label": make_label(dice, world), "member": dice.choice(MEMBERS), "source": source}


def make_portions(dice: Random, world: dict[str, Any]) -> dict[str, Any]:
    """A roll-up: portions that mostly name the same few, so that their reaches meet."""
    return {
        "at": dice.choice(INSTANTS),
        "originator": dice.choice(MEMBERS),
        "portions": [make_label(dice, world, dice.choice(MEMBERS)) for _ in range(dice.randint(0, 4))],
    }
