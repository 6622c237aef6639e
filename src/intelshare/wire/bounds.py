"""Bounds of the user's calls that both ends keep."""

from __future__ import annotations

from typing import Final

MAX_LISTED: Final = 1000
"""The most entries of one inbox or outbox that a node lists at once."""

MAX_DRAFTS: Final = 64
"""The most drafts of one message of SubmitMany, and of the transaction in which the node stores them."""

MAX_DRAFT_BYTES: Final = 1 << 20
"""The most bytes of these drafts on the wire, if there is more than one."""
