"""The claims of a grant as its sender keeps them: nobody keeps the key of the recipient's ciphertext.

The bulletin's row has the manifest, and the logged decision has what was granted under which article; the
rest is sealed beside the signed release. Together they reproduce the claims byte for byte; the release's
digest confirms it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final

from intelshare.audit.records import DecisionKept
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


@dataclass(frozen=True, slots=True)
class Said:
    """The claims of a release."""

    claims: bytes
    granted: Sequence[Granted]
    secrets: bytes
    """H(secrets)."""
    decided: tuple[Incarnation, int] | None
    """Incarnation and index of the decision's log entry; None: it is in another node's log."""


def keep_claims(tx: Transaction, row: PairRow, cleared: Cleared, leaf: LeafId) -> bytes:
    """Return the sealed bytes to store with the release of this leaf."""
    secrets = sha256(b"".join([portion.secret for portion in cleared.portions]))
    if not (cleared.supersedes or cleared.reply or cleared.consents):  # nearly always
        numbers = _numbers(row.decided_in, row.decided_at, secrets, 0)
        return tx.seal(STATEMENT.name, leaf, 0, _begun(cleared.banner) + numbers)
    return _sealed(tx, row, cleared, secrets, leaf)


def _sealed(tx: Transaction, row: PairRow, said: Cleared | Claims, secrets: bytes, leaf: LeafId) -> bytes:
    kept = ClaimsKept(
        said.banner, said.supersedes, said.reply, row.decided_in, row.decided_at, Digest(secrets),
        said.consents,
    )  # fmt: skip
    return tx.seal(STATEMENT.name, leaf, 0, encode(ClaimsKept, kept))


def keep_again(tx: Transaction, said: StatementRow, claims: Claims, secrets: Digest) -> bytes:
    """Return the sealed bytes to store with a release that has come back with these claims; nothing if the
    pair's decision is another one by now, or is not in the log. Raises StoreError RECORD_CORRUPT.
    """
    row = tx.get(PAIR, said.md, said.peer)
    entry = entry_at(tx.view, row.decided_in, row.decided_at) if row is not None else None
    if row is None or entry is None or entry.leaf != claims.decision:
        return b""
    return _sealed(tx, row, claims, secrets, said.leaf)


@lru_cache(64)
def _begun(banner: str) -> bytes:
    """Encode claims that name nothing, up to the position of the decision: many share a banner."""
    nothing = ClaimsKept(banner, (), (), Incarnation(0), 0, Digest(bytes(32)), ())
    return encode(ClaimsKept, nothing)[: -_NUMBERS.size]


def read_claims(node: Node, view: View, row: StatementRow) -> Said:
    """Return the claims of a release of this node. Raises StoreError RECORD_CORRUPT."""
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
    if grant_digest(claims, kept.secrets) != decode(Release, row.data).grant_digest:
        raise _damaged()
    return Said(claims, granted, kept.secrets, (kept.decided_in, kept.decided_at))


def decided_at(node: Node, row: StatementRow) -> tuple[Incarnation, int] | None:
    """Return incarnation and index of the log entry with the decision on which a release of this node rests;
    None if the release came back without what was kept beside it. Raises CryptoError OPEN_FAILED.
    """
    if not row.sealed_claims:
        return None
    kept = decode(ClaimsKept, open_secret(node, STATEMENT.name, row.leaf, 0, row.sealed_claims))
    return Incarnation(kept.decided_in), kept.decided_at


def _damaged() -> StoreError:
    return StoreError("RECORD_CORRUPT", "the stored claims of a release differ from what was signed")
