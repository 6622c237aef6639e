"""Members with whom this node does not deal, because its operators decided so, or have not confirmed them.

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
    UNCONFIRMED = 3
    """The disk forgot, and perhaps that the member was left out: it waits for an operator's word."""

    @property
    def code(self) -> str:
        """The error code that users of this node are shown."""
        return f"MEMBER_{self.name}"


def left_out(member: MemberCode, how: Exclusion) -> TrustError:
    """Return the error for users of this node: its code is that of the exclusion."""
    if how is Exclusion.UNCONFIRMED:
        return TrustError(
            how.code,
            f"this node lost memory, and no operator has confirmed yet that it still deals with {member}",
            hint="`intelshare node confirm-access` shows who waits, and lets them in",
        )
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
