"""Policy: the files by which a member decides were read; what it releases from now on stands on these."""

from __future__ import annotations

from intelshare.audit.records import EntryType, PolicyRead
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node, with_files
from intelshare.broker.kernel.transaction import Transaction
from intelshare.ids import Digest
from intelshare.instant import Instant
from intelshare.policy import World
from intelshare.ports import Plan, Random, View


def take_files(
    node: Node, view: View, files: World, digest: Digest, count: int, now: Instant, random: Random
) -> Plan[Effects]:
    """Decide by these files from the next step on. The log says which they were; acts count as before."""
    tx = Transaction(node, view, now, random)
    tx.log(EntryType.POLICY, PolicyRead(digest, count))
    tx.node = with_files(node, files)
    return tx.plan(tx.effects())
