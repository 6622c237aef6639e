"""The one exception tree. Every error says what was wrong, where, and what to do next.

A denial by policy is never an exception: it is a ``Decision`` with reasons. The codes are a closed,
stable vocabulary (docs/codes in ``intelshare errors``); they are what tests and machines hold on to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PASSING: Final = frozenset(("DISK_FULL", "RESOURCES_SHORT"))
"""Codes of what the machine lacks for now: nothing changed, and the same is tried again by itself."""


@dataclass(frozen=True)
class Place:
    """Where an error is: a file, an argument or a record; line and column count from 1."""

    source: str
    line: int | None = None
    column: int | None = None
    field: str | None = None
    excerpt: str | None = None
    """The line of the source that is wrong, for a caret under ``column``."""
    width: int = 1
    """How many characters the caret underlines."""


class IntelshareError(Exception):
    """Base of all errors that a user can meet.

    ``code`` is a stable word in CAPITALS; ``message`` says what was wrong; ``place`` where;
    ``hint`` what to do next.
    """

    def __init__(
        self, code: str, message: str, *, place: Place | None = None, hint: str | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.place = place
        self.hint = hint


class LabelError(IntelshareError):
    """A label text that cannot be read or may not be written (docs/policy-guide.md)."""


class PolicyFileError(IntelshareError):
    """A treaty, overlay or registry file that cannot be used."""


class CryptoError(IntelshareError):
    """A signature, key or ciphertext that does not hold."""


class TrustError(IntelshareError):
    """A root, directory, certificate or hello that does not hold."""


class EnvelopeError(IntelshareError):
    """A statement, grant or body that does not hold."""


class DeliveryError(IntelshareError):
    """A submission, hand-over or stream that cannot go on as asked."""


class StoreError(IntelshareError):
    """The store cannot be opened, read or written."""


class VaultError(IntelshareError):
    """The vault cannot be opened or lacks a key."""


class ConfigError(IntelshareError):
    """A configuration, command line or environment that cannot be used."""
