"""One statement with a number out of its range, genuinely signed, stops itself and nothing beside it.

Findings S7 and S11; row 106 of the attacks.
"""

from __future__ import annotations

from typing import Any

import pytest

from builders import NOW, actor, seeded
from intelshare.broker.kernel.frame import Carried, Frame
from intelshare.broker.kernel.tables import INBOX, RECALLED, TABLES
from intelshare.broker.queries.lists import InboxQuery, inbox
from intelshare.broker.transparency.evidence import alarms
from intelshare.broker.treaty.act import acts
from intelshare.crypto.codec import encode
from intelshare.crypto.records import (
    Act,
    Cancelled,
    Checkpoint,
    Consent,
    Cosigned,
    Kind,
    Precedence,
    Recall,
    Receipt,
    ReceiptStatus,
    Release,
    Reservation,
    StreamHead,
    TreatyAct,
)
from intelshare.errors import EnvelopeError
from intelshare.instant import Instant, show
from intelshare.statement import Leaf, sign_batch
from intelshare.wire import read_message
from intelshare.wire.v1 import peer_pb2 as pb
from line_world import arrive, codes, met, rows

MARK = 7_777_777_777_777_777
BAD = (253_402_300_800_000_000, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
ZEROS = bytes(32)
USA, TREATY = "USA", "demo-climate"


def statements(fra: Any) -> dict[str, tuple[Kind, Any, bool]]:
    """Kind and record with one number marked, and whether that may be NEVER; by what is marked."""
    uri, log = fra.node.uri, fra.node.incarnation
    stream = (uri, log, USA)
    return {
        "receipt.decided_at": (Kind.RECEIPT, Receipt(USA, ZEROS, ReceiptStatus.READ, (), MARK), False),
        "head.last": (Kind.STREAM_HEAD, StreamHead(USA, log, 0, MARK, ZEROS, ()), False),
        "head.cancelled": (
            Kind.STREAM_HEAD, StreamHead(USA, log, 0, 1, ZEROS, (Cancelled(1, MARK),)), False,
        ),
        "consent.until": (Kind.CONSENT, Consent(USA, ZEROS, (1,), "KEN", MARK), True),
        "act.effective": (
            Kind.TREATY_ACT, TreatyAct("FRA", 1, ZEROS, TREATY, ZEROS, Act.GIVE_NOTICE, MARK, ()), False,
        ),
        "act.n": (
            Kind.TREATY_ACT, TreatyAct("FRA", MARK, ZEROS, TREATY, ZEROS, Act.SUSPEND, NOW, ()), False,
        ),
        "act.start": (
            Kind.TREATY_ACT,
            TreatyAct(
                "FRA", 1, ZEROS, TREATY, ZEROS, Act.RESERVE, NOW, (Reservation((), "", (), MARK, NOW),)
            ),
            False,
        ),
        "checkpoint.size": (Kind.CHECKPOINT, Checkpoint(uri, log, MARK, ZEROS, ()), False),
        "checkpoint.cosigned": (
            Kind.CHECKPOINT, Checkpoint(uri, log, 1, ZEROS, (Cosigned(uri, log, MARK, ZEROS),)), False,
        ),
        "release.sequence": (
            Kind.RELEASE, Release(*stream, MARK, ZEROS, Precedence.FLASH, NOW, ZEROS, ZEROS, ZEROS), False,
        ),
        "release.deliver_by": (
            Kind.RELEASE, Release(*stream, 1, ZEROS, Precedence.FLASH, MARK, ZEROS, ZEROS, ZEROS), True,
        ),
    }  # fmt: skip


NAMES = sorted(statements(met(("FRA", "USA"))["FRA"]))


@pytest.mark.parametrize("name", NAMES)
def test_a_number_out_of_range_stops_its_own_statement_alone(name: str) -> None:
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    kind, record, may_never = statements(fra)[name]
    marked = encode(type(record), record)
    assert marked.count(MARK.to_bytes(8, "big")) == 1
    for number in BAD:
        if (may_never and number == 2**64 - 1) or (number < 2**63 and not _is_time(name)):
            continue
        bad = marked.replace(MARK.to_bytes(8, "big"), number.to_bytes(8, "big"))
        seed = number.to_bytes(31, "big")
        good = [encode(Recall, Recall(USA, seed + bytes([place]), "")) for place in (1, 2)]
        frame = _frame(fra, [(Kind.RECALL, good[0]), (kind, bad), (Kind.RECALL, good[1])])
        taken = arrive(usa, fra, frame)
        first, middle, last = codes(taken)
        assert (first, last) == ("", "")
        if kind is Kind.RELEASE:
            assert middle in ("ENVELOPE_MALFORMED", "INCARNATION_UNKNOWN", "SEQUENCE_FORK", "")
            assert not rows(usa, INBOX)
        else:
            assert middle == "ENVELOPE_MALFORMED"
    assert rows(usa, RECALLED)
    _all_can_be_shown(usa)


def _is_time(name: str) -> bool:
    return name.rpartition(".")[2] in ("decided_at", "until", "effective", "start", "deliver_by")


def _frame(fra: Any, said: list[tuple[Kind, bytes]]) -> Frame:
    random = seeded(repr(said))
    signed = sign_batch([Leaf(kind, random(16), data) for kind, data in said], fra.node.signer, NOW, random)
    carried = tuple(Carried(one.kind, one.nonce, one.data, one.proof) for one in signed.statements)
    return Frame(signed.batch, b"", carried)


def _all_can_be_shown(usa: Any) -> None:
    for table in TABLES:
        for row in rows(usa, table):
            for value in row:
                if isinstance(value, int):
                    assert show(Instant(value))
    usa.store.ask_now(lambda view: acts(view, "FRA"))
    usa.ask(inbox, actor("USA", "a"), InboxQuery(limit=100), NOW)
    usa.store.ask_now(alarms)


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 253_402_300_800_000_000])
def test_a_time_or_number_of_the_wire_out_of_range_makes_its_message_unreadable(number: int) -> None:
    for message in (
        pb.LinkMessage(acks=pb.Acks(time=number, acks=[pb.Ack(digest=ZEROS)])),
        pb.LinkMessage(
            gaps=pb.GapRequest(
                origin="x", incarnation=1, missing=[pb.Range(first=1, last=max(number, 2**63))]
            )
        ),
        pb.LinkMessage(gaps=pb.GapRequest(acts=max(number, 2**63))),
    ):
        with pytest.raises(EnvelopeError, match="ENVELOPE_MALFORMED"):
            read_message(message.SerializeToString())
