"""Releases that are handed over, answered and exported, for tests of their proofs."""

from __future__ import annotations

from typing import Any

from builders import NOW, actor, draft, text
from intelshare.audit.portable import write
from intelshare.broker.queries.export import ExportQuery, export_release
from intelshare.instant import HOUR, Instant
from intelshare.trust import documents_of
from line_world import TO_USA, arrive, codes, hand_over, send
from log_world import Logs

SHOWN = "Phishing kit against grid operators."
HIDDEN = "The source is BLUE HERON."


def deliver(members: Any, to: str = "USA") -> None:
    for outbound in hand_over(members["FRA"], to):
        bring(members, arrive(members[to], members["FRA"], outbound.frame), to)


def bring(members: Any, taken: Any, by: str) -> None:
    for one in taken.effects.outbound:
        if one.peer == "FRA":
            assert not any(codes(arrive(members["FRA"], members[by], one.frame)))


def sent(members: Any, key: str = "key") -> str:
    """The id of a bulletin of one portion that USA gets, and one that it does not."""
    portions = [text(TO_USA, SHOWN), text("//FRA SECRET//REL TO FRA", HIDDEN)]
    return str(send(members["FRA"], draft(*portions, to=["USA"]), key=key).bulletin.hex())


def exported(members: Any, of: str, bulletin: str, *, user: str = "a", **changes: Any) -> bytes:
    logs = Logs(members)
    logs.now = Instant(NOW + HOUR)
    logs.show("FRA", "USA")
    logs.show("USA", "FRA")
    logs.say(of)
    member = members[of]
    documents = {code: documents_of(held) for code, held in member.node.trust.members.items()}
    wanted = ExportQuery(bulletin, **changes)
    return write(
        export_release(member.node, member.store, actor(of, user), wanted, documents, Instant(NOW + HOUR))
    ).encode()
