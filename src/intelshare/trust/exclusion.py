"""Members with whom this node no longer deals, because its operators decided so.

When a suspension ends, the member is met again as if there had been no link for a while. A removed member is
a stranger: policy no longer knows it either, and only a deliberate import brings it back. The documents of
both are kept, so that what they said stays provable.
"""

from __future__ import annotations

from enum import IntEnum

from intelshare.errors import TrustError
from intelshare.ids import MemberCode


class Exclusion(IntEnum):
    """The extent to which a member is left out."""

    SUSPENDED = 1
    REMOVED = 2

    @property
    def code(self) -> str:
        """The error code that users of this node are shown."""
        return f"MEMBER_{self.name}"


def left_out(member: MemberCode, how: Exclusion) -> TrustError:
    """Return MEMBER_SUSPENDED or MEMBER_REMOVED, for users of this node."""
    if how is Exclusion.SUSPENDED:
        return TrustError(
            "MEMBER_SUSPENDED",
            f"operators of this node have suspended {member}",
            hint=f"waiting traffic resumes after `intelshare member resume {member}`",
        )
    return TrustError(
        "MEMBER_REMOVED",
        f"operators of this node have removed {member}",
        hint="`intelshare member import FILE --again` readmits it",
    )
