"""The claims of a grant as its sender keeps them: nobody keeps the key of the recipient's ciphertext.

The bulletin's row has the manifest, and the logged decision has what was granted under which article; the
rest is sealed beside the signed release. Together they reproduce the claims byte for byte; the release's
digest confirms it. Of a release that came back from its recipient the claims are kept whole.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Annotated, Final

from intelshare.audit.records import DecisionKept
from intelshare.broker.kernel.damage import unless_damaged
from intelshare.broker.kernel.log import entry_at, opened_at
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import BULLETIN, PAIR, STATEMENT, PairRow, StatementRow
from intelshare.broker.kernel.transaction import Transaction, open_secret
from intelshare.crypto.codec import U63, Bytes32, Count, Text, decode, encode, record
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import (
    Claims,
    Evidence,
    Granted,
    IncarnationId,
    Md32,
    Release,
    Reply,
)
from intelshare.envelope import Cleared, grant_digest
from intelshare.errors import StoreError
from intelshare.ids import Digest, Incarnation, LeafId
from intelshare.ports import View


@record
class ClaimsKept:
    """The claims of a grant that are stored nowhere else, and the position of the decision in the log."""

    banner: Text
    supersedes: Annotated[tuple[Md32, ...], Count(0, 1)]
    reply: Annotated[tuple[Reply, ...], Count(0, 1)]
    decided_in: IncarnationId
    decided_at: U63
    secrets: Bytes32
    """H(secrets)."""
    consents: Annotated[tuple[Evidence, ...], Count()]


_NUMBERS: Final = struct.Struct(">QQ32sH")
_numbers: Final = _NUMBERS.pack
"""The end of ``ClaimsKept``: the position of the decision, H(secrets), no consents."""

_RETURNED: Final = struct.Struct(">QQ32s")
"""Before the claims of a release that came back: the position of the decision, 0 and 0 if it is not in this
log, and H(secrets)."""


@dataclass(frozen=True, slots=True)
class Said:
    """The claims of a release."""

    claims: bytes
    granted: Sequence[Granted]
    secrets: bytes
    """H(secrets)."""
    decided: tuple[Incarnation, int] | None
    """Incarnation and index of the decision's log entry; None: it is in another log, or was forgotten."""


def keep_claims(tx: Transaction, row: PairRow, cleared: Cleared, leaf: LeafId) -> bytes:
    """Return the sealed bytes to store with the release of this leaf."""
    secrets = sha256(b"".join([portion.secret for portion in cleared.portions]))
    if not (cleared.supersedes or cleared.reply or cleared.consents):  # nearly always
        numbers = _numbers(row.decided_in, row.decided_at, secrets, 0)
        return tx.seal(STATEMENT.name, leaf, 0, _begun(cleared.banner) + numbers)
    kept = ClaimsKept(
        cleared.banner, cleared.supersedes, cleared.reply, row.decided_in, row.decided_at, Digest(secrets),
        cleared.consents,
    )  # fmt: skip
    return tx.seal(STATEMENT.name, leaf, 0, encode(ClaimsKept, kept))


def keep_returned(tx: Transaction, said: StatementRow, claims: bytes, secrets: Digest) -> bytes:
    """Return the sealed bytes to store with a release that its recipient has handed back: its claims whole,
    since this node may have forgotten the decision on which they rest, or have made another one since.
    """
    row = unless_damaged(tx, partial(tx.get, PAIR, said.md, said.peer))
    entry = entry_at(tx.view, row.decided_in, row.decided_at) if row is not None else None
    known = row is not None and entry is not None and entry.leaf == decode(Claims, claims).decision
    place = (row.decided_in, row.decided_at) if row is not None and known else (0, 0)
    return tx.seal(STATEMENT.name, said.leaf, 0, _RETURNED.pack(*place, secrets) + claims)


@lru_cache(64)
def _begun(banner: str) -> bytes:
    """Encode claims that name nothing, up to the position of the decision: many share a banner."""
    nothing = ClaimsKept(banner, (), (), Incarnation(0), 0, Digest(bytes(32)), ())
    return encode(ClaimsKept, nothing)[: -_NUMBERS.size]


def read_claims(node: Node, view: View, row: StatementRow) -> Said:
    """Return the claims of a release of this node. Raises StoreError RECORD_CORRUPT."""
    said = _returned(node, row) if came_back(row) else _said(node, view, row)
    if grant_digest(said.claims, Digest(said.secrets)) != decode(Release, row.data).grant_digest:
        raise _damaged()
    return said


def came_back(row: StatementRow) -> bool:
    """Return True if a release is here because its recipient has handed it back: nobody can open it again."""
    return not row.grant


def _said(node: Node, view: View, row: StatementRow) -> Said:
    kept = decode(ClaimsKept, open_secret(node, STATEMENT.name, row.leaf, 0, row.sealed_claims))
    entry = opened_at(node, view, kept.decided_in, kept.decided_at)
    bulletin = view.get(BULLETIN, row.md)
    if entry is None or bulletin is None:
        raise _damaged()
    decided = {one.slot: one.decision.value for one in decode(DecisionKept, entry.record).portions}
    if not decided.keys() >= set(row.slots):
        raise _damaged()
    granted = tuple([Granted(slot, decided[slot].citations, decided[slot].obligations) for slot in row.slots])
    claims = encode(
        Claims,
        Claims(
            bulletin.manifest, row.peer, granted, kept.banner, kept.supersedes, kept.reply, entry.leaf,
            kept.consents,
        ),
    )  # fmt: skip
    return Said(claims, granted, kept.secrets, (kept.decided_in, kept.decided_at))


def _returned(node: Node, row: StatementRow) -> Said:
    kept = open_secret(node, STATEMENT.name, row.leaf, 0, row.sealed_claims)
    incarnation, place, secrets = _RETURNED.unpack_from(kept)
    claims = kept[_RETURNED.size :]
    decided = (Incarnation(incarnation), place) if incarnation else None
    return Said(claims, decode(Claims, claims).granted, secrets, decided)


def decided_at(node: Node, row: StatementRow) -> tuple[Incarnation, int] | None:
    """Return incarnation and index of the log entry with the decision on which a release of this node rests;
    None if this log does not have it. Raises CryptoError OPEN_FAILED.
    """
    if came_back(row):
        return _returned(node, row).decided
    kept = decode(ClaimsKept, open_secret(node, STATEMENT.name, row.leaf, 0, row.sealed_claims))
    return Incarnation(kept.decided_in), kept.decided_at


def _damaged() -> StoreError:
    return StoreError("RECORD_CORRUPT", "the stored claims of a release differ from what was signed")
