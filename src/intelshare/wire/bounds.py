"""Bounds of the user's calls that both ends keep."""

from __future__ import annotations

from typing import Final

MAX_LISTED: Final = 1000
"""The most entries of one inbox or outbox that a node lists at once."""
