"""Place: where a list, a search or a watch goes on, as its user is given it: sealed.

A place is a position among rows of which this user may see only some: in clear it would tell how many there
are and when they came (attacks.md row 51). Sealed anew each time, two places do not even tell whether
anything lies between them.
"""

from __future__ import annotations

from intelshare.broker.kernel.node import Node
from intelshare.crypto.rest import open_at_rest, seal_at_rest
from intelshare.errors import CryptoError, DeliveryError
from intelshare.ids import UserUri
from intelshare.ports import Random

OVERHEAD = 24 + 16
"""Bytes that sealing adds."""


def seal_cursor(node: Node, user: UserUri, of: str, place: bytes, random: Random) -> bytes:
    """For this user, and for one purpose (``of``)."""
    return seal_at_rest(
        node.storage_key, random(24), place, table=f"place of {of}", row=user.encode(), slot=0
    )


def open_cursor(node: Node, user: UserUri, of: str, sealed: bytes) -> bytes:
    """Raises DeliveryError CURSOR_UNKNOWN: it is of another node or user, or was changed."""
    try:
        return open_at_rest(node.storage_key, sealed, table=f"place of {of}", row=user.encode(), slot=0)
    except CryptoError:
        raise DeliveryError(
            "CURSOR_UNKNOWN",
            "this place is of another node or of another user",
            hint="begin anew without it",
        ) from None
