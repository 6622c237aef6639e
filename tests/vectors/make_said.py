"""What is said in statements.json: records of all eight kinds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from statement_world import DEU, FRA, INCARNATION, LATER, NOW, USA, World, h, id_of, leaf

from intelshare.crypto.records import (
    Act,
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
from intelshare.crypto.records import Cancelled as Range
from intelshare.envelope import stream_start
from intelshare.ids import Incarnation, LeafId
from intelshare.instant import DAY, NEVER, Instant
from intelshare.statement import Leaf


def releases(world: World) -> list[Leaf]:
    """Numbers 1 and 2 of one stream."""
    origin = world.fra.founded.node.uri
    first = Release(
        origin,
        INCARNATION,
        USA,
        1,
        stream_start(origin, INCARNATION, USA),
        Precedence.IMMEDIATE,
        LATER,
        h("kem"),
        h("grant 1"),
        h("sealed 1"),
    )
    one = leaf(Kind.RELEASE, first, "release 1")
    second = replace(
        first,
        sequence=2,
        prev=id_of(one),
        precedence=Precedence.ROUTINE,
        deliver_by=NEVER,
        grant_digest=h("grant 2"),
        sealed=h("sealed 2"),
    )
    return [one, leaf(Kind.RELEASE, second, "release 2")]


def receipts() -> list[Leaf]:
    said = {
        ReceiptStatus.ACCEPTED: (),
        ReceiptStatus.REFUSED: ("POLICY_DENIED", "CATEGORY_NOT_COVERED"),
        ReceiptStatus.READ: (),
        ReceiptStatus.DESTROYED: ("RECALLED",),
    }
    return [
        leaf(Kind.RECEIPT, Receipt(USA, h("a release"), status, codes, NOW), f"receipt {status}")
        for status, codes in said.items()
    ]


def heads(world: World) -> list[Leaf]:
    origin = world.fra.founded.node.uri
    empty = StreamHead(USA, INCARNATION, Incarnation(0), 0, stream_start(origin, INCARNATION, USA), ())
    grown = replace(
        empty, previous=Incarnation(7), last=12, head=h("release 12"), cancelled=(Range(3, 3), Range(7, 9))
    )
    return [leaf(Kind.STREAM_HEAD, said, f"head {said.last}") for said in (empty, grown)]


def consents() -> list[Leaf]:
    """As the sender of the bulletin asks, as the originator grants, and as it refuses or takes back."""
    asked = Consent(USA, h("md of FRA"), (0, 3, 15), DEU, LATER)
    granted = Consent(USA, h("md of USA"), (3, 15), DEU, Instant(NOW + 7 * DAY), (LeafId(h("the question")),))
    refused = replace(granted, slots=(), until=Instant(0))
    said = {"request": asked, "grant": granted, "refusal": refused}
    return [leaf(Kind.CONSENT, record, f"consent {name}") for name, record in said.items()]


def acts() -> list[Leaf]:
    """A chain of all six acts."""
    some = Reservation(("cyber", "hybrid"), "R3", (DEU, USA), Instant(0), NEVER)
    every = Reservation((), "", (), NOW, LATER)
    said = [
        (Act.RATIFY, ()),
        (Act.RESERVE, (some,)),
        (Act.RESERVE, (every,)),
        (Act.REINSTATE, (every,)),
        (Act.SUSPEND, ()),
        (Act.REINSTATE, ()),
        (Act.GIVE_NOTICE, ()),
        (Act.WITHDRAW, ()),
    ]
    made: list[Leaf] = []
    for n, (act, reservation) in enumerate(said, 1):
        before = id_of(made[-1]) if made else bytes(32)
        record = TreatyAct(FRA, n, before, "gsa-fra-usa", h("treaty text"), act, LATER, reservation)
        made.append(leaf(Kind.TREATY_ACT, record, f"act {n}"))
    return made


def checkpoints(world: World, log: dict[str, Any]) -> list[Leaf]:
    size = len(log["hashes"])
    alone = Checkpoint(world.fra.founded.node.uri, INCARNATION, size, bytes.fromhex(log["roots"][-1]), ())
    other = Cosigned(world.usa.founded.node.uri, Incarnation(9), 41, h("root of USA"))
    both = replace(alone, cosigned=(other, replace(other, incarnation=Incarnation(10), size=2**40)))
    return [leaf(Kind.CHECKPOINT, said, f"checkpoint {len(said.cosigned)}") for said in (alone, both)]


def everything(world: World, log: dict[str, Any]) -> list[Leaf]:
    """Statements of all eight kinds, in order of their kinds."""
    fra = world.fra.founded
    return [
        *releases(world),
        *receipts(),
        leaf(Kind.RECALL, Recall(USA, h("md of FRA"), "wrong village"), "recall"),
        *heads(world),
        *consents(),
        *acts(),
        leaf(Kind.TRUST, fra.root, "root"),
        leaf(Kind.TRUST, fra.directory, "directory"),
        *checkpoints(world, log),
    ]
