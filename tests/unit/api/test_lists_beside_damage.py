"""What a list of the library lacks because a record is damaged, it names (promise P13)."""

from __future__ import annotations

from typing import Any

import pytest

from intelshare.api import calls
from intelshare.wire.v1 import user_pb2 as pb

DAMAGED = "a record of pair does not match its digest: 00"
PRECEDENCE = pb.PRECEDENCE_ROUTINE


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (
            calls.inbox(unread=False, sender="", category="", since=None, limit=2),
            pb.InboxResponse(entries=[pb.InboxEntry(precedence=PRECEDENCE)] * 2, damaged=[DAMAGED]),
        ),
        (
            calls.outbox(held=False, limit=2),
            pb.OutboxResponse(entries=[pb.OutboxEntry(precedence=PRECEDENCE)] * 2, damaged=[DAMAGED]),
        ),
        (
            calls.receipts("3f9a1c22"),
            pb.ReceiptsResponse(receipts=[pb.SignedReceipt()] * 2, damaged=[DAMAGED]),
        ),
    ],
)
def test_p13_a_list_names_what_it_lacks_and_has_the_rest(call: calls.Call[Any], answer: Any) -> None:
    listed = call.read(answer)
    assert listed.damaged == (DAMAGED,)
    assert [*listed] == [listed[0], listed[1]]
    assert len(listed[:1]) == 1


def test_p13_one_bulletin_names_the_recipients_that_it_lacks() -> None:
    answer = pb.OutboxResponse(entries=[pb.OutboxEntry(precedence=PRECEDENCE)], damaged=[DAMAGED])
    assert calls.sent("3f9a1c22").read(answer).damaged == (DAMAGED,)


def test_p13_a_search_collects_what_its_pages_lack() -> None:
    pages = [pb.SearchResponse(matches=[pb.SearchMatch()], damaged=[DAMAGED])] * 2
    damaged: set[str] = set()
    assert len([one for page in pages for one in calls.matches_of(page, damaged)]) == 2
    assert damaged == {DAMAGED}
