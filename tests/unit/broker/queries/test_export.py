"""A release is proved to a stranger by either side, and nothing is said of what was withheld."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, text
from export_world import HIDDEN, SHOWN, bring, deliver, exported, sent
from intelshare.audit.records import DecisionMade
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.kept_claims import ClaimsKept
from intelshare.broker.kernel.tables import INBOX, LOG_HEAD, PAIR, PORTION, RECEIPT, STATEMENT
from intelshare.broker.kernel.transaction import open_secret
from intelshare.broker.lifecycle.destroy import finish, marked
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.lifecycle.stop import expire
from intelshare.broker.queries.export import ExportQuery, export_release
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Claims, Kind
from intelshare.crypto.rest import seal_at_rest
from intelshare.errors import IntelshareError, StoreError
from intelshare.instant import HOUR, Instant
from intelshare.ports import Plan, Put, changed
from intelshare.trust import read_member_file, write_member_file
from intelshare.verifier import Released, check_release
from line_world import TO_USA, arrive, met, rows, send, with_law
from rotten_view import Rotten


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
        f"USA showed its log of {rows(members['USA'], LOG_HEAD)[0].size} entries to others",
    ]


def test_nothing_of_what_was_withheld_or_of_others_is_in_the_file(members: Any) -> None:
    bulletin = sent(members)
    deliver(members)
    for content in (False, True):
        file = exported(members, "FRA", bulletin, content=content)
        told = json.loads(file)
        (decision,) = [entry for log in told["logs"] for entry in log["entries"] if entry["type"] == 3]
        granted = decode(Claims, b64decode(told["claims"])).granted
        assert [one["slot"] for one in decision["opened"]] == [one.slot for one in granted]
        assert len(decode(DecisionMade, bytes.fromhex(decision["record"])).portions) == 16
        assert b"NOT_RELEASABLE_TO" not in file
        assert b"NOT_RELEASABLE_TO" not in bytes.fromhex(decision["record"])
        raw = file + b"".join(
            b64decode(one) for one in [told["claims"], *[portion["portion"] for portion in told["portions"]]]
        )
        assert HIDDEN.encode() not in raw
        assert (SHOWN.encode() in raw) is content


@pytest.mark.parametrize("table", [PAIR, PORTION, RECEIPT], ids=lambda table: table.name)
def test_a_proof_that_would_lack_a_damaged_record_is_not_written(members: Any, table: Any) -> None:
    fra = members["FRA"]
    bulletin = sent(members)
    deliver(members)
    damaged = [(table, table.key_of(row)) for row in rows(fra, table)]
    wanted = ExportQuery(bulletin, content=True)
    with pytest.raises(StoreError) as caught:
        export_release(fra.node, Rotten(fra.store, *damaged), actor("FRA", "a"), wanted, {}, NOW)
    assert caught.value.code == "RECORD_CORRUPT"


def test_the_claims_that_are_exported_are_those_that_were_sealed_whatever_holds_now(members: Any) -> None:
    fra = members["FRA"]
    bulletin = sent(members)
    deliver(members)
    before = json.loads(exported(members, "FRA", bulletin))["claims"]
    (opened,) = [decode(Claims, b64decode(before))]
    (inbox,) = rows(members["USA"], INBOX)
    assert b64decode(before) == open_secret(members["USA"].node, "inbox", inbox.md, 0, inbox.sealed_claims)
    assert opened.banner
    with_law(fra, '[[forbid]]\nid = "x"\nwhen = { categories = ["*"] }\nsource = "invented"\n')
    assert json.loads(exported(members, "FRA", bulletin))["claims"] == before
    (row,) = [row for row in rows(fra, STATEMENT) if row.kind == Kind.RELEASE]
    kept = decode(ClaimsKept, open_secret(fra.node, "statement", row.leaf, 0, row.sealed_claims))
    edited = seal_at_rest(
        fra.node.storage_key, bytes(24), encode(ClaimsKept, replace(kept, banner="TLP:CLEAR")),
        table="statement", row=row.leaf, slot=0,
    )  # fmt: skip
    fra.store.apply(Plan((Put(STATEMENT, changed(row, sealed_claims=edited)),), None))
    with pytest.raises(IntelshareError, match="RECORD_CORRUPT"):
        exported(members, "FRA", bulletin)


def test_the_recipient_shows_what_it_may_read_and_nothing_else(members: Any) -> None:
    portions = [text(TO_USA, SHOWN), text(TO_USA, "another part")]
    bulletin = str(send(members["FRA"], draft(*portions, to=["USA"])).bulletin.hex())
    deliver(members)
    found = judged(members, exported(members, "USA", bulletin, content=True), "FRA", "USA", "KEN")
    assert [portion.content.decode() for portion in found.portions] == [SHOWN, "another part"]
    second = found.portions[1].slot
    for of in ("FRA", "USA"):
        file = exported(members, of, bulletin, content=True, slots=(second,))
        assert [one.content for one in judged(members, file, "FRA", "USA").portions] == [b"another part"]
        assert SHOWN.encode() not in b"".join(
            b64decode(one["portion"]) for one in json.loads(file)["portions"]
        )
        with pytest.raises(IntelshareError, match="NOT_FOUND"):
            exported(members, of, bulletin, content=True, slots=((second + 1) % 16,) * 2)
    assert found.granted[1].citations


def test_both_sides_prove_a_destruction_and_when_it_was(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    end = Instant(NOW + HOUR)
    bulletin = send(fra, replace(draft(text(TO_USA, SHOWN), to=["USA"]), valid_until=end)).bulletin.hex()
    deliver(members)
    usa.do(read, ReadCommand(actor("USA", "a"), bulletin))
    usa.do(expire, at=end)
    done = usa.do(finish, usa.store.ask_now(marked), at=end)
    for outbound in done.effects.outbound:
        arrive(fra, usa, outbound.frame, at=end)
    for of in ("FRA", "USA"):
        found = judged(members, exported(members, of, bulletin), "FRA", "USA")
        assert (found.outcome, found.decided_at) == ("destroyed", end)
        assert "USA destroyed it (EXPIRED)" in established(found)
        if of == "USA":
            assert "USA logged that the keys are destroyed (EXPIRED)" in established(found)
            with pytest.raises(IntelshareError, match="NOT_FOUND"):
                exported(members, of, bulletin, content=True)
    with pytest.raises(IntelshareError, match="NOT_FOUND"):
        exported(members, "USA", bulletin, user="r")


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


def test_what_was_destroyed_unread_is_proved_by_who_oversees_the_log_alone(members: Any) -> None:
    """For readers it does not exist; nothing is left by which to judge what they were cleared for."""
    bulletin = sent(members)
    deliver(members)
    fra, usa = members["FRA"], members["USA"]
    done = fra.do(recall, RecallCommand(actor("FRA", "a"), bulletin, "a mistake"), at=Instant(NOW + 1))
    for outbound in done.effects.outbound:
        bring(members, arrive(usa, fra, outbound.frame, at=Instant(NOW + 2)), "USA")
    end = Instant(NOW + 3)
    for outbound in usa.do(finish, usa.store.ask_now(marked), at=end).effects.outbound:
        arrive(fra, usa, outbound.frame, at=end)
    for user in ("a", "r", "o"):
        with pytest.raises(IntelshareError, match="NOT_FOUND"):
            exported(members, "USA", bulletin, user=user)
    file = exported(members, "USA", bulletin, user="o", overseen=True)
    assert SHOWN.encode() not in file
    found = judged(members, file, "FRA", "USA")
    assert (found.outcome, found.portions) == ("destroyed", ())
    for part in ("FRA released number 1 to USA", "FRA recalled it", "USA destroyed it (RECALLED)"):
        assert part in established(found)


def test_who_oversees_the_log_proves_own_and_received_ones_that_nobody_has_read(members: Any) -> None:
    bulletin = sent(members)
    deliver(members)
    for of in ("FRA", "USA"):
        found = judged(members, exported(members, of, bulletin, user="o", overseen=True), "FRA", "USA")
        assert (found.sender, found.recipient, found.portions) == ("FRA", "USA", ())
    for changes in ({"originator": "KEN"}, {"recipient": "KEN"}):
        with pytest.raises(IntelshareError, match="NOT_FOUND"):
            exported(members, "FRA", bulletin, user="o", overseen=True, **changes)


def test_the_originator_says_which_of_two_is_meant(members: Any) -> None:
    bulletin = sent(members)
    deliver(members)
    assert exported(members, "USA", bulletin, originator="FRA")
    for of, originator in (("USA", "KEN"), ("FRA", "USA")):
        with pytest.raises(IntelshareError, match="NOT_FOUND"):
            exported(members, of, bulletin, originator=originator)


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
        ("release", "COMMITMENT_MISMATCH"),
    ):
        mixed = {**one, name: other[name]}
        with pytest.raises(IntelshareError, match=code):
            check_release(json.dumps(mixed).encode(), "file")
    moved = {**one, "portions": other["portions"]}
    with pytest.raises(IntelshareError, match=r"(MANIFEST|COMMITMENT)_MISMATCH"):
        check_release(json.dumps(moved).encode(), "file")
