"""Statements: what one member says to another, signed together, each provable alone."""

from intelshare.crypto.records import Kind
from intelshare.statement.kinds import KINDS, KindRow
from intelshare.statement.leaf import NONCE_LENGTH, Leaf, Statement, leaf_id, parse_statement
from intelshare.statement.sign import SignedBatch, batch_message, sign_batch
from intelshare.statement.tree import MAX_LEAVES
from intelshare.statement.verify import (
    MAX_AHEAD,
    ReceivedBatch,
    Revocation,
    TrustLookup,
    Verified,
    VerifiedRoots,
    prove,
    read_batch,
    verify,
    verify_evidence,
)

__all__ = [
    "KINDS",
    "MAX_AHEAD",
    "MAX_LEAVES",
    "NONCE_LENGTH",
    "Kind",
    "KindRow",
    "Leaf",
    "ReceivedBatch",
    "Revocation",
    "SignedBatch",
    "Statement",
    "TrustLookup",
    "Verified",
    "VerifiedRoots",
    "batch_message",
    "leaf_id",
    "parse_statement",
    "prove",
    "read_batch",
    "sign_batch",
    "verify",
    "verify_evidence",
]
