"""A proved entry is shown in words: no machine's brackets, no bare microseconds, nothing lost."""

from __future__ import annotations

from intelshare.cli.operator.proved import lines_of
from intelshare.instant import NEVER

DECISION = {
    "md": "56fa",
    "recipient": "KEN",
    "at": 1795663200158956,
    "portions": [
        {"position": 0, "slot": 14, "decision": {"outcome": 1, "basis": "UNRESTRICTED", "holds": []}},
        {
            "position": 1,
            "slot": 11,
            "decision": {
                "outcome": 3,
                "basis": "",
                "reasons": [
                    {"code": "NOT_RELEASABLE_TO", "detail": "KEN is not covered", "place": ""},
                    {"code": "EXCEEDS_CEILING", "detail": "SECRET > RESTRICTED", "place": "a.toml:11"},
                ],
            },
        },
    ],
}


def test_a_decision_is_shown_portion_by_portion_in_words() -> None:
    assert list(lines_of(DECISION)) == [
        "md 56fa, recipient KEN, at 2026-11-26T03:20:00.158956Z",
        "  portions: position 0, slot 14, decision (outcome allow, basis UNRESTRICTED)",
        "  portions: position 1, slot 11, decision (outcome deny; code NOT_RELEASABLE_TO, detail KEN is not "
        "covered; code EXCEEDS_CEILING, detail SECRET > RESTRICTED, place a.toml:11)",
    ]


def test_an_incarnation_is_shown_as_everywhere_and_a_time_without_end_is_never() -> None:
    assert list(
        lines_of({"incarnation": 255, "previous": 2**63, "since": NEVER, "codes": ["A", "B"], "cause": 3})
    ) == ["incarnation 00000000000000ff, previous 8000000000000000, since never, codes A B, cause 3"]
