"""The roles of a member's users. The row of each call (``services``) names the roles that may make it."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A user's one role, as the register has it."""

    ANALYST = "analyst"
    RELEASING_OFFICER = "releasing-officer"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    GATEWAY = "gateway"
    """Not a person: a program that hands bulletins to tools of this member (docs/gateways.md)."""
