"""A release is proved to a stranger by either side, and nothing is said of what was withheld."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest

from builders import NOW, actor, draft, text
from export_world import HIDDEN, SHOWN, bring, deliver, exported, sent
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.errors import IntelshareError
from intelshare.instant import Instant
from intelshare.trust import read_member_file, write_member_file
from intelshare.verifier import Released, check_release
from line_world import TO_USA, arrive, met, send, with_law


@pytest.fixture
def members() -> Any:
    return met()


def judged(members: Any, file: bytes, *given: str) -> Released:
    files = [
        read_member_file(write_member_file(members["KEN"].node.trust.members[code]).encode(), code)
        for code in given
    ]
    return check_release(file, "file", files)


def established(found: Released) -> list[str]:
    return [step.what for step in found.steps if step.established]


def test_the_sender_proves_what_it_released_to_whom_under_which_article_and_that_it_was_accepted(
    members: Any,
) -> None:
    bulletin = sent(members)
    deliver(members)
    found = judged(members, exported(members, "FRA", bulletin, content=True), "FRA", "USA", "KEN")
    assert (found.sender, found.recipient, found.outcome, found.confirmed) == ("FRA", "USA", "accepted", True)
    assert [portion.content.decode() for portion in found.portions] == [SHOWN]
    assert found.md and found.originator == "FRA"  # noqa: PT018
    told = "\n".join(established(found))
    for part in (
        "FRA released number 1 to USA",
        "gsa-fra-usa, art. 4",
        "logged this decision",
        "USA accepted it",
    ):
        assert part in told
    assert [one.member for one in found.members][:2] == ["FRA", "USA"]
    assert all(step.established for step in found.steps)


def test_the_recipient_proves_what_it_got_from_whom(members: Any) -> None:
    bulletin = sent(members)
    deliver(members)
    found = judged(members, exported(members, "USA", bulletin), "FRA", "USA", "KEN")
    assert (found.sender, found.recipient, found.outcome, found.confirmed) == ("FRA", "USA", "accepted", True)
    release = found.steps[0]
    assert [(by.member, by.how.split(", ")[-1]) for by in release.seen] == [("USA", "RECEIVED")]
    assert [step.what for step in found.steps if not step.established] == [
        f"slot {found.granted[0].slot}: content",
        "FRA logged this decision before it released",
    ]


def test_nothing_of_what_was_withheld_or_of_others_is_in_the_file(members: Any) -> None:
    bulletin = sent(members)
    deliver(members)
    for content in (False, True):
        file = exported(members, "FRA", bulletin, content=content)
        told = json.loads(file)
        entries = [entry["type"] for log in told["logs"] for entry in log["entries"]]
        assert 3 not in entries, "a DECISION tells what was withheld"
        raw = file + b"".join(
            b64decode(one) for one in [told["claims"], *[portion["portion"] for portion in told["portions"]]]
        )
        assert HIDDEN.encode() not in raw
        assert (SHOWN.encode() in raw) is content


def test_a_refusal_is_proved_with_its_reason(members: Any) -> None:
    with_law(
        members["USA"], '[[refuse]]\nid = "usa"\nwhen = { categories = ["cyber"] }\nsource = "invented"\n'
    )
    bulletin = sent(members)
    deliver(members)
    found = judged(members, exported(members, "FRA", bulletin), "FRA", "USA")
    assert found.outcome == "refused"
    assert any("USA refused it (POLICY_DENIED" in step for step in established(found))


def test_a_recall_is_proved_by_its_originator(
    members: Any,
) -> None:
    bulletin = sent(members)
    deliver(members)
    done = members["FRA"].do(
        recall, RecallCommand(actor("FRA", "a"), bulletin, "a mistake"), at=Instant(NOW + 1)
    )
    for outbound in done.effects.outbound:
        bring(members, arrive(members["USA"], members["FRA"], outbound.frame, at=Instant(NOW + 2)), "USA")
    found = judged(members, exported(members, "FRA", bulletin), "FRA", "USA")
    assert "FRA recalled it" in established(found)
    assert (found.outcome, len(found.granted)) == ("accepted", 1)
    with pytest.raises(IntelshareError, match="NOT_FOUND"):
        exported(members, "USA", bulletin)


def test_every_byte_of_what_was_signed_counts(members: Any) -> None:
    bulletin = sent(members)
    deliver(members)
    whole = json.loads(exported(members, "FRA", bulletin, content=True))
    signed = [("release",), ("claims",), ("about", 0), ("portions", 0, "portion")]
    tried = 0
    for path in signed:
        holder = whole
        for step in path[:-1]:
            holder = holder[step]
        kept = holder[path[-1]]
        raw = b64decode(kept)
        for place in range(0, len(raw), max(1, len(raw) // 60)):
            holder[path[-1]] = b64encode(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]).decode()
            with pytest.raises(IntelshareError):
                check_release(json.dumps(whole).encode(), "file")
            tried += 1
        holder[path[-1]] = kept
    assert tried > 200
    with pytest.raises(IntelshareError, match="COMMITMENT_MISMATCH"):
        check_release(json.dumps({**whole, "secrets": "00" * 32}).encode(), "file")
    assert check_release(json.dumps(whole).encode(), "file").outcome == "accepted"


def test_parts_of_two_releases_do_not_go_together(members: Any) -> None:
    first = sent(members)
    second = str(send(members["FRA"], draft(text(TO_USA, "another"), to=["USA"]), key="k2").bulletin.hex())
    deliver(members)
    one, other = (json.loads(exported(members, "FRA", name, content=True)) for name in (first, second))
    for name, code in (
        ("claims", "COMMITMENT_MISMATCH"),
        ("about", "RECEIPT_UNKNOWN"),
        ("decision", "LOG_INCONSISTENT"),
        ("release", "COMMITMENT_MISMATCH"),
    ):
        mixed = {**one, name: other[name]}
        with pytest.raises(IntelshareError, match=code):
            check_release(json.dumps(mixed).encode(), "file")
    moved = {**one, "portions": other["portions"]}
    with pytest.raises(IntelshareError, match=r"(MANIFEST|COMMITMENT)_MISMATCH"):
        check_release(json.dumps(moved).encode(), "file")
