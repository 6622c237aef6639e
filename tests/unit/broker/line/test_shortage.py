"""A disk with little room left: FLASH, receipts and recalls go on, all else waits where it is (P14)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, text
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.shortage import RETRY_AFTER, Shortage
from intelshare.broker.kernel.tables import EVIDENCE, LOG
from intelshare.broker.lifecycle.attachments import BeginUpload, begin_upload
from intelshare.crypto.records import Precedence
from intelshare.ids import FilePlace
from line_world import TO_USA, arrive, codes, hand_over, met, refused, rows, said, send

LITTLE = Shortage("/data/fra", 3 << 20, 288 << 20)
ROUTINE = draft(text(TO_USA), to=["USA"])
FLASH = replace(ROUTINE, precedence=Precedence.FLASH)


@pytest.fixture(name="members")
def _members() -> Any:
    return met()


def lacks(member: Any, shortage: Shortage | None = LITTLE) -> None:
    member.node = replace(member.node, lacks=shortage)


def test_f8_a_bulletin_is_refused_naming_folder_and_need_and_flash_is_taken(members: Any) -> None:
    fra = members["FRA"]
    lacks(fra)
    for precedence in (Precedence.ROUTINE, Precedence.PRIORITY, Precedence.IMMEDIATE):
        no = refused(fra, lambda: send(fra, replace(ROUTINE, precedence=precedence)))  # noqa: B023
        assert (no.code, no.retry_after) == ("DISK_FULL", RETRY_AFTER)
        assert "/data/fra has 3 MiB free, and 288 MiB are needed" in no.message
    assert send(fra, FLASH).pairs[0].word == "queued"
    upload = BeginUpload(actor("FRA", "a"), FilePlace(bytes(16)), 10)
    assert refused(fra, lambda: fra.do(begin_upload, upload, at=NOW)).code == "DISK_FULL"


def test_f8_what_was_stored_under_a_key_is_answered_as_before(members: Any) -> None:
    fra = members["FRA"]
    first = send(fra, ROUTINE)
    lacks(fra)
    assert send(fra, ROUTINE) == first


def test_f8_only_flash_is_handed_over_and_the_rest_goes_when_there_is_room(members: Any) -> None:
    fra = members["FRA"]
    send(fra, ROUTINE, key="slow")
    send(fra, FLASH, key="fast")
    lacks(fra)
    (frame,) = hand_over(fra, "USA")
    assert len(frame.leaves) == 1
    assert hand_over(fra, "USA") == ()
    lacks(fra, None)
    assert len(hand_over(fra, "USA")) == 1


def test_f7_a_release_is_rejected_without_a_trace_and_taken_when_there_is_room(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    send(fra, ROUTINE)
    (frame,) = hand_over(fra, "USA")
    lacks(usa)
    before = [rows(usa, table) for table in (LOG, EVIDENCE)]
    taken = arrive(usa, fra, frame.frame)
    assert (codes(taken), said(taken)) == (["DISK_FULL"], [])
    assert [rows(usa, table) for table in (LOG, EVIDENCE)] == before
    lacks(usa, None)
    assert said(arrive(usa, fra, frame.frame)) == [("ACCEPTED", ())]


def test_f7_flash_is_accepted_and_a_recall_is_answered(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    stored = send(fra, FLASH)
    (frame,) = hand_over(fra, "USA")
    lacks(usa)
    assert said(arrive(usa, fra, frame.frame)) == [("ACCEPTED", ())]
    lacks(fra)
    done = fra.do(recall, RecallCommand(actor("FRA", "a"), stored.bulletin.hex(), "test"), at=NOW)
    for said_then in done.effects.outbound:
        assert codes(arrive(usa, fra, said_then.frame)) == [""]
