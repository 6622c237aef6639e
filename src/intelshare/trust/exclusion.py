"""Members with whom this node deals no more, because its own operators said so.

A suspended member is met again as if there had been no link for a while. A removed one is a stranger: the law
does not know it either, and only a deliberate import brings it back. What either has said stays provable, so
that its documents stay.
"""

from __future__ import annotations

from enum import IntEnum

from intelshare.errors import TrustError
from intelshare.ids import MemberCode


class Exclusion(IntEnum):
    """How far a member is left out."""

    SUSPENDED = 1
    REMOVED = 2

    @property
    def code(self) -> str:
        """The code that own users are shown."""
        return f"MEMBER_{self.name}"


def left_out(member: MemberCode, how: Exclusion) -> TrustError:
    """MEMBER_SUSPENDED or MEMBER_REMOVED, for own users."""
    if how is Exclusion.SUSPENDED:
        return TrustError(
            "MEMBER_SUSPENDED",
            f"operators of this node have suspended {member}",
            hint=f"what waits goes on after `intelshare member resume {member}`",
        )
    return TrustError(
        "MEMBER_REMOVED",
        f"operators of this node have removed {member}",
        hint="`intelshare member import FILE --again` admits it once more",
    )
