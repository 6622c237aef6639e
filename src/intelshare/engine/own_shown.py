"""The directories of its own member that a peer is shown on its link, and the wait for the next one.

A peer may have forgotten what its member has published, or be a copy of the folder that published it.
"""

from __future__ import annotations

from collections.abc import Sequence

from intelshare.crypto.records import Trust
from intelshare.ids import MemberCode
from intelshare.instant import EPOCH, Instant
from intelshare.trust import HelloPayload, TrustView


class OwnShown:
    """The part of one link that shows the peer its own member's directories."""

    def __init__(self, member: MemberCode, learning: int) -> None:
        """``learning``: how long releases wait for the next directory of a member that was shown its own."""
        self._member = member
        self._learning = learning
        self._outdated: tuple[int, Instant] | None = None
        """The version of the directory of its own member that the peer had to be shown, and until when a
        newer one is waited for, on the steady clock.
        """

    def known(self, trust: TrustView) -> Sequence[Trust]:
        """Return the directories that are held of the peer's own member, the oldest first."""
        held = trust.members.get(self._member)
        return held.directories if held is not None else ()

    def newer(self, trust: TrustView, hello: HelloPayload, now: Instant) -> Sequence[Trust]:
        """Return the directories of the peer's own member if its hello names an older one than is held. It
        has forgotten the newer one, or a copy of its folder signed that, with keys that only the copy has.

        ``now`` on the steady clock.
        """
        version = self._version(trust)
        told = [row.directory for row in hello.documents if row.member == self._member]
        if not told or told[0] >= version:
            return ()
        self._outdated = version, Instant(now + self._learning)
        return self.known(trust)

    def waits_until(self, trust: TrustView, now: Instant) -> Instant | None:
        """Return until when releases wait for the next directory of a member that was shown its own, on the
        steady clock; None if they do not. One that is refused too often for its key is refused for good.
        """
        version, until = self._outdated or (0, EPOCH)
        return until if now < until and version == self._version(trust) else None

    def _version(self, trust: TrustView) -> int:
        held = trust.members.get(self._member)
        return held.directory.version if held is not None and held.directory is not None else 0
