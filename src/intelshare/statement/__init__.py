"""Statements: what one member states to another, signed together, each provable alone."""

from intelshare.crypto.records import Kind
from intelshare.statement.batch import LEAF_HEADS, SignedMany, VerifiedMany, leaf_ids, sign_many, verify_many
from intelshare.statement.batch_receipts import Answer, ReceiptRow, encode_receipts, read_receipts
from intelshare.statement.kinds import KINDS, KindRow
from intelshare.statement.leaf import NONCE_LENGTH, Leaf, Statement, leaf_id, leaf_message, parse_statement
from intelshare.statement.sign import SignedBatch, batch_message, sign_batch
from intelshare.statement.tree import MAX_LEAVES
from intelshare.statement.verify import (
    ReceivedBatch,
    Revocation,
    TrustLookup,
    Verified,
    VerifiedRoots,
    is_revoked,
    prove,
    read_batch,
    verify,
    verify_evidence,
)

__all__ = [
    "KINDS",
    "LEAF_HEADS",
    "MAX_LEAVES",
    "NONCE_LENGTH",
    "Answer",
    "Kind",
    "KindRow",
    "Leaf",
    "ReceiptRow",
    "ReceivedBatch",
    "Revocation",
    "SignedBatch",
    "SignedMany",
    "Statement",
    "TrustLookup",
    "Verified",
    "VerifiedMany",
    "VerifiedRoots",
    "batch_message",
    "encode_receipts",
    "is_revoked",
    "leaf_id",
    "leaf_ids",
    "leaf_message",
    "parse_statement",
    "prove",
    "read_batch",
    "read_receipts",
    "sign_batch",
    "sign_many",
    "verify",
    "verify_evidence",
    "verify_many",
]
