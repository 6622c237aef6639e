"""The settings of a node: who it is, where it listens, whom it dials.

``settings_file`` reads and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.crypto.pieces import MAX_FILE
from intelshare.crypto.x509 import NODE_LIFETIME, USER_LIFETIME
from intelshare.engine import Budget, ConnectionLimits, Rate, SpaceLimits
from intelshare.ids import MemberCode, NodeUri
from intelshare.instant import DAY, HOUR
from intelshare.store.server import Server
from intelshare.trust import LONGEST_LEAF, USUAL, Periods
from intelshare.vault import TokenPlace

RETENTION: Final = 72 * HOUR

MIB: Final = 1 << 20

ALL_FILES: Final = 50 << 30

MOST_DAYS: Final = LONGEST_LEAF // DAY
"""The most days of a certificate."""

DEVELOPMENT_SPACE: Final = SpaceLimits(16 * MIB, MIB, 4 * MIB)
"""The space limits of a node on trial beside others: little of the disk."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's decisions. Everything else is in signed documents or the store."""

    member: MemberCode
    node: NodeUri
    suite: int = 1
    """The suite of the signing and sealing keys that this node makes."""
    floor: int = 1
    """The lowest suite that the member accepts from others. It is in the signed directory."""
    host: str = "127.0.0.1"
    """The address on which both ports listen."""
    peer_port: int = 0
    """0: the port of the last start if it is free, otherwise any free port."""
    user_port: int = 0
    metrics_host: str = ""
    """The loopback address at which metrics are served; empty: not served."""
    metrics_port: int = 0
    advertise: str = ""
    """The name or address that peers dial; empty: ``host``. It is in the signed directory."""
    allow_loopback_peers: bool = False
    """For one machine only: the demo and ``init --dev``."""
    dial: bool = True
    """True if this node dials peers at all."""
    largest_file: int = MAX_FILE
    """The bytes of the largest attachment that is sent or fetched; 0: none."""
    all_files: int = ALL_FILES
    """The most bytes of all attachments together."""
    peer_files: int = ALL_FILES // 4
    """The most bytes of the attachments of one peer together."""
    user_lifetime: int = USER_LIFETIME
    """The validity of a user's certificate, in microseconds."""
    node_lifetime: int = NODE_LIFETIME
    """The validity of this node's certificate; it is renewed at half of it."""
    user_authority: str = ""
    """The file of the authorities that issue to users instead of the vault's: below the folder, or
    ``secrets:`` and a name.
    """
    node_authority: str = ""
    """The file of the authority that issues, or will issue, this node's certificate; peers are told
    about it.
    """
    node_certificate: str = ""
    """The files of this node's certificate from that authority, and of its key: both or neither."""
    node_key: str = ""
    signing_period: int = USUAL.signing
    """The microseconds after which a new signing key is made."""
    sealing_period: int = USUAL.sealing
    dial_member: Mapping[MemberCode, bool] = field(default_factory=dict)
    """Exceptions by member."""
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    """The limits of connections at each port."""
    budgets: Mapping[Budget, Rate] = field(default_factory=dict)
    """The budgets of each peer at this node, where they differ from the default."""
    space: SpaceLimits = field(default_factory=SpaceLimits)
    """The disk space that is left free, and held in reserve."""
    store: Server | None = None
    """The PostgreSQL that holds the rows, if they are not in a file of the folder."""
    token: TokenPlace | None = None
    """The token in which new signing keys are made, if there is one."""
    retention: int = RETENTION
    """The microseconds for which content is kept after its delivery; 0: for ever."""
    queues: QueueBounds = field(default_factory=QueueBounds)
    """The bounds on what may wait for one recipient, and in total."""

    @property
    def key_periods(self) -> Periods:
        """Return how often keys are replaced by schedule."""
        return Periods(self.signing_period, self.sealing_period)

    def dials(self, member: MemberCode) -> bool:
        """Return true if this node dials that member's nodes."""
        return self.dial_member.get(member, self.dial)


def light(settings: Settings) -> Settings:
    """The same for a small machine behind a poor line: it dials and is not dialled, and keeps little.

    Everything else is that of any node: it takes part in all that members do.
    """
    return replace(
        settings,
        connections=ConnectionLimits(connections=64, unknown=16, of_address=32, of_one=16),
        queues=QueueBounds(rows=2_000, size=64 * MIB, all_rows=10_000, all_size=256 * MIB),
        largest_file=16 * MIB,
        all_files=256 * MIB,
        peer_files=usual_share(16 * MIB, 256 * MIB),
        space=SpaceLimits(64 * MIB, 4 * MIB, 16 * MIB),
        retention=24 * HOUR,
    )


def usual_share(largest: int, total: int) -> int:
    """Return the bytes for one peer if node.toml does not state them: a quarter of the total, but room for
    one file at least.
    """
    return min(max(total // 4, largest + MIB), total)
