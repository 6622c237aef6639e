"""Make edges.json: decisions at the borders of rules, in a world of four states made for them.

Expectations are written by hand. ``make mutants`` says which wrong `decide` no vector tells from the right
one; each case here is what one such needs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("edges.json")
NOW = "2025-06-01"
SINCE = [["2000-01-01", None]]


def ladder(code: str, *words: str) -> list[dict[str, Any]]:
    return [{"from": None, "until": None, "levels": {word: f"{code} {word}" for word in words}}]


ALL = ("R0", "R1", "R2", "R3", "R4")


def party(member: str, **more: Any) -> dict[str, Any]:
    return {"member": member, "in_force": SINCE, **more}


def treaty(name: str, *parties: dict[str, Any], **more: Any) -> dict[str, Any]:
    provisions = [{"article": "art. 1", "categories": ["cyber"], "ceiling": "R3", "obligations": ["log"]}]
    return {
        "id": name, "kind": "bilateral", "in_force": "2000-01-01", "parties": list(parties),
        "provisions": provisions, **more,
    }  # fmt: skip


def provision(**more: Any) -> dict[str, Any]:
    return {"article": "art. 1", "categories": ["cyber"], "ceiling": "R3", **more}


WORLD = {
    "members": ["AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH", "III", "JJJ", "KKK", "ORG"],
    "groups": {
        "ORG": {"organisation": True, "members": {"AAA": SINCE, "BBB": SINCE}},
        "CLUB": {"members": {"AAA": SINCE, "BBB": SINCE}},
    },
    "ladders": {
        **{
            code: ladder(code, *ALL)
            for code in ("AAA", "BBB", "CCC", "EEE", "FFF", "GGG", "HHH", "III", "JJJ", "KKK")
        },
        "DDD": ladder("DDD", "R2", "R3", "R4"),
        "ORG": [
            {"from": None, "until": "2010-01-01", "levels": {"R2": "ORG OLD", "R3": "ORG SECRET"}},
            {"from": "2010-01-01", "until": None, "levels": {"R1": "ORG NEW", "R3": "ORG SECRET"}},
        ],
    },
    "overlays": {
        "EEE": {
            "forbid": [
                {"id": "any-category", "when": {"categories": ["*"], "to": ["BBB"]}},
                {"id": "unknown-level", "when": {"level_at_least": "NO SUCH LEVEL", "to": ["CCC"]}},
                {"id": "unknown-group", "when": {"to_group": "NOBODY", "to": ["FFF"]}},
                {"id": "no-group", "when": {"not_to_group": "GGG", "to": ["GGG"]}},
            ],
            "oblige": [{"id": "never", "when": {"categories": []}, "obligation": "nothing"}],
        },
    },
    "treaties": [
        treaty("main", party("AAA"), party("BBB")),
        treaty(
            "reserved", party("AAA"),
            party(
                "CCC", reservations=[{"categories": ["cyber"], "from": "2010-01-01", "until": "2020-01-01"}]
            ),
        ),
        treaty("all-reserved", party("AAA"), party("FFF", reservations=[{"level_at_least": "R2"}])),
        treaty(
            "odd-reserved", party("AAA"), party("GGG", reservations=[{"level_at_least": "NO SUCH LEVEL"}])
        ),
        treaty("odd-ceiling", party("AAA"), party("HHH"), provisions=[provision(ceiling="NO SUCH LEVEL")]),
        treaty("old-ceiling", party("BBB"), party("HHH"), provisions=[provision(ceiling="ORG OLD")]),
        treaty("new-ceiling", party("BBB"), party("III"), provisions=[provision(ceiling="ORG NEW")]),
        treaty("empty", party("AAA"), party("III"), provisions=[]),
        treaty("late", party("AAA"), {"member": "JJJ", "in_force": [], "ratified": "2020-01-01"}),
        treaty(
            "again", party("AAA"), party("KKK"),
            provisions=[provision(until="2010-01-01", reinstated="2020-01-01")],
        ),
        treaty("left", party("BBB"), {"member": "CCC", "in_force": [["2000-01-01", "2020-01-01"]]}),
        treaty("of-ddd", party("AAA"), party("DDD")),
        *[treaty(f"of-eee-{to}", party("EEE"), party(to)) for to in ("BBB", "CCC", "FFF", "GGG", "III")],
    ],
}  # fmt: skip


def label(authority: str | None, word: str, *to: str, **more: Any) -> dict[str, Any]:
    named = {"releasable_to": [*to]} if to else {}
    level = {} if authority is None else {"authority": authority, "level": f"{authority} {word}"}
    return {**level, **named, **more}


def case(
    name: str, sender: str, to: str, what: dict[str, Any], expect: dict[str, Any], **more: Any
) -> dict[str, Any]:
    return {
        "id": name, "at": NOW, "from": sender, "to": to, "label": what, "category": "cyber", **more,
        "expect": expect,
    }  # fmt: skip


def allow(basis: str, *obligations: str) -> dict[str, Any]:
    return {"outcome": "allow", "basis": basis, "obligations": [*obligations]}


def deny(*reasons: str) -> dict[str, Any]:
    return {"outcome": "deny", "reasons": [*reasons]}


def reads(
    name: str, at: str, what: dict[str, Any], clearance: str | None, reasons: list[str], **more: Any
) -> dict[str, Any]:
    reader = {"clearance": clearance, "nationality": at, "categories": ["cyber"]}
    expect = {"outcome": "deny", "reasons": reasons} if reasons else {"outcome": "allow"}
    return {
        "id": name, "at": NOW, "to": at, "label": what, "category": "cyber", "reader": reader, **more,
        "expect": expect,
    }  # fmt: skip


def a_to(code: str, word: str = "R2") -> dict[str, Any]:
    return label("AAA", word, "AAA", code)


def e_to(code: str) -> dict[str, Any]:
    return label("EEE", "R2", "EEE", code)


FGI = {"fgi": ["CCC"]}
CASES = [
    case(
        "a reservation before its beginning",
        "AAA",
        "CCC",
        a_to("CCC"),
        allow("reserved", "log"),
        at="2009-12-31T23:59:59Z",
    ),
    case("a reservation at its beginning", "AAA", "CCC", a_to("CCC"), deny("RESERVATION"), at="2010-01-01"),
    case("a reservation at its end", "AAA", "CCC", a_to("CCC"), allow("reserved", "log"), at="2020-01-01"),
    case("a reservation of every category", "AAA", "FFF", a_to("FFF"), deny("RESERVATION")),
    case(
        "below a reservation of every category", "AAA", "FFF", a_to("FFF", "R1"), allow("all-reserved", "log")
    ),
    case(
        "a reservation of an unknown level covers all", "AAA", "GGG", a_to("GGG", "R1"), deny("RESERVATION")
    ),
    case("an unknown ceiling lets nothing through", "AAA", "HHH", a_to("HHH", "R1"), deny("EXCEEDS_CEILING")),
    case(
        "a ceiling that its organisation has no more",
        "BBB",
        "HHH",
        label("BBB", "R2", "BBB", "HHH"),
        allow("old-ceiling"),
    ),
    case(
        "a ceiling that its organisation has now",
        "BBB",
        "III",
        label("BBB", "R1", "BBB", "III"),
        allow("new-ceiling"),
    ),
    case(
        "a ceiling that its organisation had not then",
        "BBB",
        "III",
        label("BBB", "R1", "BBB", "III"),
        deny("EXCEEDS_CEILING"),
        at="2009-06-01",
    ),
    case("a treaty without provisions", "AAA", "III", a_to("III"), deny("OUT_OF_SCOPE")),
    case("ratified and not in force", "AAA", "JJJ", a_to("JJJ"), deny("NOT_YET_IN_FORCE")),
    case(
        "at the instant of ratification", "AAA", "JJJ", a_to("JJJ"), deny("NOT_YET_IN_FORCE"), at="2020-01-01"
    ),
    case("before ratification", "AAA", "JJJ", a_to("JJJ"), deny("NOT_RATIFIED"), at="2019-12-31T23:59:59Z"),
    case("at the instant of reinstatement", "AAA", "KKK", a_to("KKK"), allow("again"), at="2020-01-01"),
    case(
        "before reinstatement", "AAA", "KKK", a_to("KKK"), deny("PROVISION_SUNSET"), at="2019-12-31T23:59:59Z"
    ),
    case(
        "at the instant of withdrawal",
        "BBB",
        "CCC",
        label("BBB", "R1", "BBB", "CCC"),
        deny("WITHDRAWN"),
        at="2020-01-01",
    ),
    case("information of another inside", "AAA", "BBB", {**a_to("BBB"), **FGI}, deny("CONSENT_REQUIRED")),
    case(
        "information of another inside, with its consent",
        "AAA",
        "BBB",
        {**a_to("BBB"), **FGI},
        allow("main", "log"),
        consents=["BBB"],
    ),
    case(
        "information of another inside, consented for a third",
        "AAA",
        "BBB",
        {**a_to("BBB"), **FGI},
        deny("CONSENT_REQUIRED"),
        consents=["CCC"],
    ),
    case(
        "information of the recipient inside",
        "AAA",
        "BBB",
        {**a_to("BBB"), "fgi": ["BBB"]},
        allow("main", "log"),
    ),
    case(
        "unclassified with information of another inside",
        "AAA",
        "BBB",
        {**label("AAA", "R0"), **FGI},
        deny("CONSENT_REQUIRED"),
    ),
    case(
        "information of a concealed source inside",
        "AAA",
        "BBB",
        {**a_to("BBB"), "fgi": []},
        deny("NOT_RELEASABLE_TO"),
    ),
    case(
        "information inside of somebody whom nobody knows",
        "AAA",
        "BBB",
        {**a_to("BBB"), "fgi": ["XXX"]},
        deny("UNKNOWN_MEMBER", "CONSENT_REQUIRED"),
    ),
    case(
        "a state beside a group",
        "AAA",
        "FFF",
        label("AAA", "R1", "CLUB", "FFF"),
        allow("all-reserved", "log"),
    ),
    case(
        "a label of an organisation covers its members, whomever it names",
        "AAA",
        "BBB",
        label("ORG", "SECRET", "CCC"),
        allow("main", "log"),
    ),
    case(
        "somebody whom nobody knows beside those who are shown it",
        "AAA",
        "BBB",
        {**label("AAA", "R2", "AAA", "BBB", "XXX"), "displayable_to": ["DDD"]},
        deny("UNKNOWN_MEMBER"),
    ),
    case(
        "red, and named beside those who are shown it",
        "AAA",
        "BBB",
        {**a_to("BBB"), "tlp": "RED", "displayable_to": ["DDD"]},
        allow("main", "log", "no-onward-release"),
    ),
    case(
        "an originator that nobody knows",
        "AAA",
        "BBB",
        {"tlp": "GREEN"},
        deny("UNKNOWN_MEMBER", "CONSENT_REQUIRED", "NO_TREATY"),
        originator="XXX",
    ),
    case(
        "owners of a label that is not joint",
        "AAA",
        "BBB",
        {**a_to("BBB"), "owners": ["BBB"]},
        allow("main", "log"),
        originator="BBB",
    ),
    case(
        "a joint label of nobody",
        "AAA",
        "BBB",
        label("JOINT", "R2", "AAA", "BBB"),
        deny("UNKNOWN_MEMBER", "UNKNOWN_LEVEL", "CONSENT_REQUIRED", "NO_TREATY"),
    ),
    case("a law for every category", "EEE", "BBB", e_to("BBB"), deny("NATIONAL_LAW_FORBIDS")),
    case("a law above a level that nobody knows", "EEE", "CCC", e_to("CCC"), deny("NATIONAL_LAW_FORBIDS")),
    case("a law for a group that nobody knows", "EEE", "FFF", e_to("FFF"), deny("NATIONAL_LAW_FORBIDS")),
    case(
        "a law for all outside of what is no group", "EEE", "GGG", e_to("GGG"), deny("NATIONAL_LAW_FORBIDS")
    ),
    case("a law for no category", "EEE", "III", e_to("III"), allow("of-eee-III", "log")),
    reads("before valid-until", "BBB", a_to("BBB"), "R2", [], valid_until="2025-07-01"),
    reads("at valid-until", "BBB", a_to("BBB"), "R2", ["BULLETIN_EXPIRED"], valid_until=NOW),
    reads(
        "unclassified, where the lowest level is higher", "DDD", label("AAA", "R0", "AAA", "DDD"), None, []
    ),
    reads("no clearance", "DDD", label("AAA", "R1", "AAA", "DDD"), None, ["CLEARANCE_INSUFFICIENT"]),
    reads("a clearance that nobody knows", "BBB", a_to("BBB"), "NONSENSE", ["CLEARANCE_INSUFFICIENT"]),
    reads("a basis that nobody knows", "BBB", a_to("BBB"), "R2", [], basis="no such treaty"),
]


def main() -> None:
    PATH.write_text(
        json.dumps({"world": WORLD, "cases": CASES}, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )


if __name__ == "__main__":
    main()
