"""Who may call what: one row for every RPC of both ports. No row, no call; a test walks the descriptors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from intelshare.errors import TrustError

PEER: Final = "peer"
"""A node of a member, on the peer port."""

ANALYST: Final = "analyst"
OFFICER: Final = "releasing-officer"
OPERATOR: Final = "operator"
AUDITOR: Final = "auditor"

ROLES: Final = frozenset((ANALYST, OFFICER, OPERATOR, AUDITOR))
"""What the register may say of a user."""

_WRITERS: Final = frozenset((ANALYST, OFFICER))
OVERSEERS: Final = frozenset((OPERATOR, AUDITOR))
"""Who sees how much there is; whoever reads bulletins sees only what it may read (attacks.md row 51)."""

_ACTORS: Final = frozenset((OFFICER, OPERATOR))

MAY_CALL: Final[Mapping[str, frozenset[str]]] = {
    "/intelshare.v1.Peer/Link": frozenset((PEER,)),
    "/intelshare.v1.Bulletins/Submit": _WRITERS,
    "/intelshare.v1.Bulletins/SubmitMany": _WRITERS,
    "/intelshare.v1.Bulletins/DryRun": _WRITERS,
    "/intelshare.v1.Bulletins/Inbox": _WRITERS,
    "/intelshare.v1.Bulletins/Read": _WRITERS,
    "/intelshare.v1.Bulletins/Outbox": _WRITERS,
    "/intelshare.v1.Bulletins/Approve": frozenset((OFFICER,)),
    "/intelshare.v1.Bulletins/Why": _WRITERS,
    "/intelshare.v1.Bulletins/Recall": _WRITERS,
    "/intelshare.v1.Bulletins/Receipts": _WRITERS,
    "/intelshare.v1.Bulletins/WhoAmI": ROLES,
    "/intelshare.v1.Bulletins/Watch": _WRITERS,
    "/intelshare.v1.Bulletins/Search": _WRITERS,
    "/intelshare.v1.Consents/Request": _WRITERS,
    "/intelshare.v1.Consents/Answer": frozenset((OFFICER,)),
    "/intelshare.v1.Consents/List": _WRITERS,
    "/intelshare.v1.Treaties/ListTreaties": ROLES,
    "/intelshare.v1.Treaties/ListActs": ROLES,
    "/intelshare.v1.Treaties/PreviewAct": _ACTORS,
    "/intelshare.v1.Treaties/Act": _ACTORS,
    "/intelshare.v1.Treaties/ResumeActs": frozenset((OPERATOR,)),
    "/intelshare.v1.Treaties/FindBackfill": frozenset((OFFICER,)),
    "/intelshare.v1.Treaties/Backfill": frozenset((OFFICER,)),
    "/intelshare.v1.Tasks/Requests": _WRITERS,
    "/intelshare.v1.Tasks/Obligations": _WRITERS,
    "/intelshare.v1.Tasks/Meet": _WRITERS,
    "/intelshare.v1.Operations/Status": ROLES,
    "/intelshare.v1.Operations/AddUser": frozenset((OPERATOR,)),
    "/intelshare.v1.Operations/ListUsers": OVERSEERS,
    "/intelshare.v1.Operations/RevokeUser": frozenset((OPERATOR,)),
    "/intelshare.v1.Operations/ExportMember": frozenset((OPERATOR,)),
    "/intelshare.v1.Operations/ImportMember": frozenset((OPERATOR,)),
    "/intelshare.v1.Operations/ListMembers": ROLES,
    "/intelshare.v1.Operations/VerifyAudit": OVERSEERS,
    "/intelshare.v1.Audit/Head": OVERSEERS,
    "/intelshare.v1.Audit/Prove": OVERSEERS,
    "/intelshare.v1.Audit/ListEvidence": OVERSEERS,
    "/intelshare.v1.Audit/ExportEvidence": OVERSEERS,
    "/intelshare.v1.Audit/SettleEvidence": frozenset((OPERATOR,)),
    "/intelshare.v1.Audit/Report": OVERSEERS,
    "/intelshare.v1.Audit/ExportRelease": _WRITERS,
    "/grpc.health.v1.Health/Check": ROLES | {PEER},
}


def check_may_call(method: str, who: str) -> None:
    """Raises TrustError NOT_AUTHORISED unless the table lets ``who`` (a role, or PEER) call this method."""
    if who not in MAY_CALL.get(method, ()):
        raise TrustError(
            "NOT_AUTHORISED",
            f"{'a' if who == PEER else 'the role'} {who} may not call {method.rpartition('/')[2]}",
            hint="`intelshare whoami` shows your role; an operator changes it with `intelshare user add`",
        )
