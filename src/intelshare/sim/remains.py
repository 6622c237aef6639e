"""I8: a destroyed bulletin cannot be opened with anything on the disk: all keys are tried.

The oracle knows the secret of every portion and the grants that carried it. Nothing that opens with a key of
the machine may be that secret, and no column of any row may contain it, or the grant, in clear.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import BULLETIN, INBOX, SECRET, TABLES, InboxRow, SecretRow
from intelshare.broker.kernel.transaction import open_secret
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.ids import ManifestDigest
from intelshare.ports import EVERY_ROW, View
from intelshare.sim.disk import Disk
from intelshare.sim.rulings import Content


def opens(node: Node, disk: Disk, md: ManifestDigest, content: Content) -> bool:
    """Return True if a key on the disk, or still in its files, opens a portion of this bulletin."""
    elsewhere = (row for row in (*disk.remains, *disk.left) if row.md == md)
    rows = [*disk.view.find(SECRET, "key", md), *elsewhere]
    return any(secret in content.secrets.values() for secret in _keys(node, rows))


def destroyed(view: View) -> Iterator[InboxRow]:
    """Yield the received bulletins that this disk says are gone; a bulletin that the member wrote itself
    stays.
    """
    for row in view.find(INBOX, "key", limit=EVERY_ROW):
        if row.gone == Gone.DESTROYED and view.get(BULLETIN, row.md) is None:
            yield row


def in_clear(disk: Disk) -> bytes:
    """Return all columns of all rows in which a key, a grant or a text can be, one after the other."""
    return b"\0".join(_columns(disk.view))


def _keys(node: Node, rows: Iterable[SecretRow]) -> Iterator[bytes]:
    for row in rows:
        if any(row.sealed):
            yield open_secret(node, SECRET.name, row.md, row.slot, row.sealed)


def _columns(view: View) -> Iterator[bytes]:
    for table in TABLES:
        for row in view.find(table, "key", limit=EVERY_ROW):
            yield from [value for value in row if isinstance(value, bytes) and len(value) >= 32]
