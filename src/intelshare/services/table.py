"""Every method that users may call, with its row, by service. No row, no call; a test walks the
descriptors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from intelshare.services.audit import AUDIT
from intelshare.services.bulletins import BULLETINS
from intelshare.services.certificates import CERTIFICATES
from intelshare.services.consents import CONSENTS
from intelshare.services.courier import COURIER
from intelshare.services.files import FILES
from intelshare.services.gateways import GATEWAYS
from intelshare.services.keys import KEYS
from intelshare.services.members import MEMBERS
from intelshare.services.operations import OPERATIONS
from intelshare.services.rpc import QueryCall, Rpc
from intelshare.services.tasks import TASKS
from intelshare.services.treaties import TREATIES

SERVICES: Final[Mapping[str, Mapping[str, Rpc]]] = {
    service: {row.method: row for row in rows}
    for service, rows in (
        ("Bulletins", BULLETINS),
        ("Gateways", GATEWAYS),
        ("Files", FILES),
        ("Courier", COURIER),
        ("Consents", CONSENTS),
        ("Treaties", TREATIES),
        ("Tasks", TASKS),
        ("Operations", OPERATIONS + MEMBERS + KEYS + CERTIFICATES),
        ("Audit", AUDIT),
    )
}
"""The rows by service and method of user.proto."""

_LEADER: Final = frozenset(("Cosign", "SettleEvidence"))
"""Methods of the services below that change what links or the vault rest on."""

BESIDE: Final = frozenset(
    row
    for service, rows in SERVICES.items()
    for row in rows.values()
    if isinstance(row.run, QueryCall)
    or row.method in ("Status", "Metrics", "Drain", "ListTreaties")
    or (service in ("Bulletins", "Gateways", "Consents", "Tasks", "Audit") and row.method not in _LEADER)
)
"""The rows of the methods that every replica serves; the others are for the one that leads (decision 67)."""
