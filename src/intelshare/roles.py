"""What a user of a member may be. The row of each call (``services``) says which roles may make it."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A user's one role, as the register has it."""

    ANALYST = "analyst"
    RELEASING_OFFICER = "releasing-officer"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    GATEWAY = "gateway"
    """No person: a program that hands bulletins to tools of this member (docs/gateways.md)."""
