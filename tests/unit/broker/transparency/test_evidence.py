"""Proofs and evidence for third parties, checked from their bytes alone; reports that two members compare.

Attack 34; promise P20.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from builders import NOW, actor, draft, text
from intelshare.audit.portable import write
from intelshare.audit.report import Report, counts, differences
from intelshare.broker.kernel.tables import EVIDENCE, INBOX, LOG_HEAD
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.queries.report import report
from intelshare.broker.transparency.proving import ProofQuery, prove_entries
from intelshare.crypto.codec import decode_prefix, encode
from intelshare.crypto.records import Kind, Precedence, ReleasePeek
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import DAY, HOUR, Instant
from intelshare.trust import documents_of, read_member_file, write_member_file
from intelshare.verifier import check_evidence, check_proof
from line_world import (
    TO_BOTH,
    TO_USA,
    Forger,
    arrive,
    codes,
    hand_over,
    met,
    pair_of,
    rows,
    send,
    signed,
    with_law,
)
from log_world import Logs, rewrite

USA = MemberCode("USA")


@pytest.fixture
def members() -> Any:
    return met()


@pytest.fixture
def logs(members: Any) -> Logs:
    return Logs(members)


def deliver(members: Any, to: str, at: Instant = NOW) -> None:
    """Hand over, accept, and bring the receipts back."""
    for outbound in hand_over(members["FRA"], to, at=at):
        taken = arrive(members[to], members["FRA"], outbound.frame, at=at)
        for receipt in taken.effects.outbound:
            arrive(members["FRA"], members[to], receipt.frame, at=at)


# Row 34: evidence of forks


def test_row_34_two_releases_under_one_number_are_evidence_that_holds_offline(
    members: Any, logs: Logs
) -> None:
    forger = Forger(members)
    tip = forger.tip
    assert codes(arrive(members["USA"], members["FRA"], forger.frame(seed="one"))) == [""]
    assert codes(arrive(members["USA"], members["FRA"], forger.frame(tip=tip, seed="two"))) == [
        "SEQUENCE_FORK"
    ]
    (row,) = logs.alarms("USA")
    proven = check_evidence(logs.export("USA", row, ["FRA"]), "file")
    assert (proven.member, proven.code, proven.what) == ("FRA", "SEQUENCE_FORK", "two releases have number 1")
    assert [kind for kind, _ in proven.statements] == ["RELEASE", "RELEASE"]
    assert proven.fingerprint == members["FRA"].node.trust.members["FRA"].fingerprint


def test_evidence_shows_where_its_holder_logged_the_statements_and_when(members: Any, logs: Logs) -> None:
    forger = Forger(members)
    tip = forger.tip
    for seed, own in (("one", None), ("two", tip)):
        arrive(members["USA"], members["FRA"], forger.frame(tip=own, seed=seed))
    (row,) = logs.alarms("USA")
    proven = check_evidence(logs.export("USA", row, seen=True), "file")
    seen = [[(by.member, by.how.split(", ")[-1]) for by in one.seen] for one in proven.convicting]
    assert seen == [[("USA", "RECEIVED")], [("USA", "REJECTED")]]
    assert [one.member for one in proven.members] == ["FRA", "USA"]


def test_evidence_of_a_rewriting_shows_when_the_earlier_log_was_seen(members: Any, logs: Logs) -> None:
    logs.show("FRA", "USA")
    fra = members["FRA"]
    rewrite(fra, 2)
    logs.act("FRA")
    logs.show("FRA", "USA")
    (row,) = logs.alarms("USA")
    proven = check_evidence(logs.export("USA", row, seen=True), "file")
    assert proven.code == "LOG_INCONSISTENT"
    assert {by.member for one in proven.convicting for by in one.seen} == {"USA"}


def test_row_34_a_number_that_names_another_one_before_it_is_evidence_too(members: Any, logs: Logs) -> None:
    forger, other = Forger(members), Forger(members)
    assert codes(arrive(members["USA"], members["FRA"], forger.frame(seed="one"))) == [""]
    other.frame(seed="never sent")
    assert codes(arrive(members["USA"], members["FRA"], other.frame(seed="two"))) == ["SEQUENCE_FORK"]
    (row,) = logs.alarms("USA")
    assert check_evidence(logs.export("USA", row), "file").what == "number 2 names another number 1"


def test_row_34_a_second_content_that_is_no_release_behind_its_number_is_evidence_too(
    members: Any, logs: Logs
) -> None:
    forger = Forger(members)
    frame = forger.frame(seed="one")
    assert codes(arrive(members["USA"], members["FRA"], frame)) == [""]
    start, _ = decode_prefix(ReleasePeek, frame.statements[0].data)
    junk = signed(members["FRA"], Kind.RELEASE, encode(ReleasePeek, start) + b"junk")
    assert codes(arrive(members["USA"], members["FRA"], junk)) == ["SEQUENCE_FORK"]
    (row,) = logs.alarms("USA")
    assert check_evidence(logs.export("USA", row), "file").what == "two releases have number 1"


def test_what_is_rejected_is_kept_whole_so_that_it_can_be_looked_at(members: Any, logs: Logs) -> None:
    frame = Forger(members).frame()
    bad = replace(frame, statements=(replace(frame.statements[0], grant=b"x"),))
    assert codes(arrive(members["USA"], members["FRA"], bad)) == ["SEALED_HASH_MISMATCH"]
    (row,) = rows(members["USA"], EVIDENCE)
    with pytest.raises(IntelshareError, match="EVIDENCE_INCONCLUSIVE"):
        check_evidence(logs.export("USA", row), "file")


# Proofs of entries


def proof(logs: Logs, code: str, wanted: ProofQuery) -> bytes:
    member = logs.members[code]
    logs.say(code)
    held = member.node.trust.members
    documents = {one: documents_of(trust) for one, trust in held.items()}
    file = prove_entries(member.node, member.store, wanted, documents)
    return write(file).encode()


def test_any_entry_is_proved_under_the_signed_checkpoint_with_who_else_has_seen_it(
    members: Any, logs: Logs
) -> None:
    sent = send(members["FRA"], draft(text(TO_USA), to=["USA"]))
    logs.show("FRA", "USA")
    logs.show("USA", "FRA")
    log = members["FRA"].node.incarnation
    size = members["FRA"].store.get(LOG_HEAD, log).size
    for index in range(size):
        found = check_proof(proof(logs, "FRA", ProofQuery(log, index)), "file")
        assert [entry.index for entry in found.entries] == [index]
        assert [witness.member for witness in found.witnesses] == ["USA"]
    by_bulletin = check_proof(
        proof(logs, "FRA", ProofQuery(log, 0, bulletin=sent.bulletin.hex()[:8])), "file"
    )
    assert [entry.type for entry in by_bulletin.entries] == ["SUBMIT", "DECISION"]
    assert by_bulletin.entries[1].says["recipient"] == "USA"
    whose = ProofQuery(log, 0, bulletin=sent.bulletin.hex(), originator="FRA")
    assert len(check_proof(proof(logs, "FRA", whose), "file").entries) == 2
    with pytest.raises(IntelshareError) as raised:
        proof(logs, "FRA", replace(whose, originator="USA"))
    assert raised.value.code == "NOT_FOUND"


def test_an_entry_of_an_earlier_log_is_proved_over_restarts(members: Any, logs: Logs) -> None:
    send(members["FRA"], draft(text(TO_USA), to=["USA"]))
    deliver(members, "USA")
    leaf = pair_of(members["FRA"]).leaf
    for _ in range(3):
        logs.restart("FRA")
    given = proof(logs, "FRA", ProofQuery(members["FRA"].node.incarnation, 0, statement=leaf.hex()[:10]))
    found = check_proof(given, "file")
    assert [entry.type for entry in found.entries] == ["HAND_OVER", "RECEIPT"]
    assert len(json.loads(given)["entries"][0]["hops"]) == 3


def test_a_proof_of_which_anything_was_changed_does_not_hold(members: Any, logs: Logs) -> None:
    send(members["FRA"], draft(text(TO_USA), to=["USA"]))
    given = json.loads(proof(logs, "FRA", ProofQuery(members["FRA"].node.incarnation, 3)))

    def changed(path: list[Any], value: Any) -> bytes:
        copy = json.loads(json.dumps(given))
        at = copy
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        return json.dumps(copy).encode()

    entry = given["entries"][0]
    flipped = lambda hexa: ("1" if hexa[0] != "1" else "2") + hexa[1:]  # noqa: E731
    for path, value in (
        (["entries", 0, "salt"], flipped(entry["salt"])),
        (["entries", 0, "record"], entry["record"][:-1] + "f" if entry["record"][-1] != "f" else "e"),
        (["entries", 0, "time"], entry["time"] + 1),
        (["entries", 0, "index"], entry["index"] + 1),
        (["entries", 0, "type"], entry["type"] % 12 + 1),
        (["entries", 0, "proof", 0], flipped(entry["proof"][0])),
        (["entries", 0, "incarnation"], "00000000000000aa"),
        (["node"], members["USA"].node.uri),
        (["checkpoint"], given["checkpoint"][:60] + "A" + given["checkpoint"][61:]),
        (["documents", "FRA"], given["documents"]["USA"]),
        (["documents"], {}),
    ):
        with pytest.raises(IntelshareError):
            check_proof(changed(path, value), "file")
    assert check_proof(json.dumps(given).encode(), "file").member == "FRA"


def test_a_member_file_that_is_given_counts_and_not_the_documents_in_the_proof(
    members: Any, logs: Logs
) -> None:
    given = proof(logs, "FRA", ProofQuery(members["FRA"].node.incarnation, 0))
    held = members["USA"].node.trust.members["FRA"]
    file = read_member_file(write_member_file(held).encode(), "fra")
    assert check_proof(given, "file", [file]).fingerprint == held.fingerprint
    stranger = met(("DEU", "GBR"))["DEU"].node.trust.members["DEU"]
    other = replace(read_member_file(write_member_file(stranger).encode(), "deu"), member=MemberCode("FRA"))
    with pytest.raises(IntelshareError):
        check_proof(given, "file", [other])


# Reports


def _with(made: Report, releases: list[Any]) -> Report:
    changed: Report = msgspec.structs.replace(made, releases=releases)
    return changed


def reported(members: Any, code: str, treaty: str = "", since: int = 0, until: int = NOW + DAY) -> Report:
    member = members[code]
    at = Instant(NOW + DAY)
    made: Report = report(member.node, member.store, treaty, Instant(since), Instant(until), at)
    return made


@pytest.fixture
def traffic(members: Any) -> Any:
    """Two bulletins to USA (one read), one to both in part, one that only FRA may see."""
    for number in range(2):
        send(members["FRA"], draft(text(TO_USA), text(TO_USA), to=["USA"]), key=f"u{number}")
    send(members["FRA"], draft(text(TO_BOTH, category="climate-disaster"), to=["USA", "KEN"]), key="both")
    send(members["FRA"], draft(text("//FRA SECRET//REL TO FRA"), to=["USA"]), key="own")
    for code in ("USA", "KEN"):
        deliver(members, code)
    return members


def test_a_report_says_who_shared_what_kind_with_whom_under_which_article(traffic: Any) -> None:
    found = reported(traffic, "FRA")
    lines = {
        (s.recipient, s.treaty, s.article, s.category, s.level): (s.bulletins, s.portions)
        for s in found.shared
    }
    assert lines["USA", "gsa-fra-usa", "art. 4", "cyber", "R3"] == (2, 4)
    assert ("KEN", "demo-climate", "art. 2", "climate-disaster", "R1") in lines
    assert [(s.recipient, s.word, s.code, s.bulletins) for s in found.stopped] == [
        ("USA", "withheld", "NOT_RELEASABLE_TO", 1)
    ]
    assert len(found.releases) == 4
    assert not found.missing
    theirs = reported(traffic, "USA")
    here = {
        (s.sender, s.recipient, s.treaty, s.article, s.category, s.level, s.bulletins, s.portions)
        for s in theirs.shared
    }
    there = {
        (s.sender, s.recipient, s.treaty, s.article, s.category, s.level, s.bulletins, s.portions)
        for s in found.shared
        if s.recipient == "USA"
    }
    assert here == there


def test_a_report_of_one_treaty_names_nothing_of_others_and_one_of_another_period_nothing(
    traffic: Any,
) -> None:
    found = reported(traffic, "FRA", "demo-climate")
    assert {s.treaty for s in found.shared} == {"demo-climate"}
    assert not found.stopped
    assert not reported(traffic, "FRA", since=NOW + HOUR).releases
    assert not reported(traffic, "FRA", until=NOW - HOUR).releases


def test_no_title_and_no_text_is_in_a_report(members: Any) -> None:
    send(members["FRA"], draft(text(TO_USA, "BLUE HERON confirms"), to=["USA"], precedence=Precedence.FLASH))
    deliver(members, "USA")
    for code in ("FRA", "USA"):
        assert "HERON" not in write(reported(members, code))


def test_receipts_that_are_missing_are_listed(members: Any) -> None:
    send(members["FRA"], draft(text(TO_USA), to=["USA"]))
    hand_over(members["FRA"], "USA")
    assert [one.recipient for one in reported(members, "FRA").missing] == ["USA"]


def test_what_a_recipient_refused_is_in_both_reports_with_its_reason(members: Any) -> None:
    with_law(
        members["USA"], '[[refuse]]\nid = "usa"\nwhen = { categories = ["cyber"] }\nsource = "invented"\n'
    )
    send(members["FRA"], draft(text(TO_USA), to=["USA"]))
    deliver(members, "USA")
    for code in ("FRA", "USA"):
        stopped = {(s.sender, s.recipient, s.word, s.code) for s in reported(members, code).stopped}
        assert ("FRA", "USA", "refused", "POLICY_DENIED") in stopped
    assert not list(differences(reported(members, "FRA"), reported(members, "USA")))


def test_two_reports_that_agree_and_each_difference_of_two_that_do_not(traffic: Any) -> None:
    ours, theirs = reported(traffic, "FRA"), reported(traffic, "USA")
    assert not list(differences(ours, theirs))
    assert counts(ours, "FRA", "USA") == (3, 3)
    # A reading is no difference: both mean taken.
    bulletin = rows(traffic["USA"], INBOX)[0].bulletin.hex()
    traffic["USA"].do(read, ReadCommand(actor("USA", "a"), bulletin))
    assert not list(differences(ours, reported(traffic, "USA")))
    mine = [one for one in ours.releases if one.recipient == "USA"]
    lacking = _with(theirs, [one for one in theirs.releases if one.statement != mine[0].statement])
    assert [d.what for d in differences(ours, lacking)] == [
        f"FRA says it sent number {mine[0].number}, USA knows of none"
    ]
    assert counts(lacking, "FRA", "USA") == (2, 2)
    assert ["USA says it received" in d.what for d in differences(lacking, ours)] == [False]
    refused = [
        msgspec.structs.replace(one, word="refused") if one.statement == mine[1].statement else one
        for one in theirs.releases
    ]
    assert [d.what for d in differences(ours, _with(theirs, refused))] == ["FRA: accepted, USA: refused"]
