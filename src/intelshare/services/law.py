"""The law by which the node decides, as messages: which files since when, and whose text differs."""

from __future__ import annotations

from collections.abc import Sequence

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import LawRow
from intelshare.instant import Instant
from intelshare.policy import Treaty
from intelshare.policy_tools import mismatches
from intelshare.wire.v1 import user_pb2 as pb


def policy_state(node: Node, held: tuple[LawRow | None, Sequence[LawRow]], now: Instant) -> pb.PolicyState:
    """Return the law in force as a message. ``held``: the row for all files together, and one for each."""
    whole, files = held
    return pb.PolicyState(
        since=whole.since if whole is not None else 0,
        digest=whole.digest if whole is not None else b"",
        files=[
            pb.LawFile(file=row.file, about=row.about, digest=row.digest, since=row.since) for row in files
        ],
        mismatches=[one for treaty in node.world.treaties for one in mismatch_messages(node, treaty, now)],
    )


def mismatch_messages(node: Node, treaty: Treaty, now: Instant) -> list[pb.TextMismatch]:
    """Return the parties known here that adopted another text of the treaty, including this member."""
    return [
        pb.TextMismatch(treaty=one.treaty, member=one.member, text=one.text, adopted=one.adopted)
        for one in mismatches(node.world, treaty, now)
    ]
