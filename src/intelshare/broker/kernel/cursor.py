"""Cursors: the places at which lists, searches and watches go on, sealed before users get them.

A place is a position among rows of which this user may see only some: in clear it would reveal how many there
are and when they came (attacks.md row 51). Each is sealed with fresh randomness, so that comparing two
cursors does not even reveal whether anything lies between them.
"""

from __future__ import annotations

from intelshare.broker.kernel.node import Node
from intelshare.crypto.rest import open_at_rest, seal_at_rest
from intelshare.errors import CryptoError, DeliveryError
from intelshare.ids import UserUri
from intelshare.ports import Random

OVERHEAD = 24 + 16
"""The bytes that sealing adds."""


def seal_cursor(node: Node, user: UserUri, of: str, place: bytes, random: Random) -> bytes:
    """Seal a place for this user and one purpose (``of``)."""
    return seal_at_rest(
        node.storage_key, random(24), place, table=f"place of {of}", row=user.encode(), slot=0
    )


def open_cursor(node: Node, user: UserUri, of: str, sealed: bytes) -> bytes:
    """Return the place in a cursor.

    Raises DeliveryError CURSOR_UNKNOWN if it is another node's or user's, or was changed.
    """
    try:
        return open_at_rest(node.storage_key, sealed, table=f"place of {of}", row=user.encode(), slot=0)
    except CryptoError:
        raise DeliveryError(
            "CURSOR_UNKNOWN",
            "this cursor belongs to another node or another user",
            hint="start again without it",
        ) from None
