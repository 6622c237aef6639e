"""Storage of the 32 bytes that open a portion: kept sealed, read, overwritten."""

from __future__ import annotations

from typing import Final

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import SECRET, PortionRow, SecretRow
from intelshare.broker.kernel.transaction import Transaction, open_secret
from intelshare.errors import DeliveryError, RecordError
from intelshare.ids import ManifestDigest
from intelshare.ports import View, changed

SEALED: Final = 72
"""Bytes of a sealed secret: they keep their place when they are overwritten."""


def put_secret(tx: Transaction, md: ManifestDigest, slot: int, secret: bytes) -> None:
    """Keep the 32 bytes that open a portion."""
    tx.put(SECRET, SecretRow(md, slot, tx.seal(SECRET.name, md, slot, secret)))


def destroy_secret(tx: Transaction, md: ManifestDigest, slot: int) -> None:
    """Overwrite the secret with zeros, also a damaged one. It is gone once the store is shredded."""
    try:
        row = tx.get(SECRET, md, slot)
    except RecordError:
        row = SecretRow(md, slot, bytes(SEALED))
    if row is not None:
        tx.put(SECRET, changed(row, sealed=bytes(len(row.sealed))))


def read_secret(node: Node, view: View, portion: PortionRow) -> bytes:
    """Return the 32 bytes that open a portion. Raises DeliveryError NOT_FOUND once they are destroyed."""
    return open_portion_secret(node, view.get(SECRET, portion.md, portion.slot))


def open_portion_secret(node: Node, row: SecretRow | None) -> bytes:
    """Open a secret row that was read before. Raises what ``read_secret`` raises."""
    if row is None or not any(row.sealed):
        raise DeliveryError("NOT_FOUND", "the keys of this portion were destroyed")
    return open_secret(node, SECRET.name, row.md, row.slot, row.sealed)
