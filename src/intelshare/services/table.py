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
from intelshare.services.rpc import Rpc
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
