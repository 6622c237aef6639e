"""Audit: the Merkle log of a node, what its entries say, and proofs that others can check."""

from intelshare.audit.log import LogHead, append, entry_hash, root
from intelshare.audit.proofs import check_consistency, check_inclusion, consistency_proof, inclusion_proof
from intelshare.audit.records import RECORDS, EntryType, SealedEntries

__all__ = [
    "RECORDS",
    "EntryType",
    "LogHead",
    "SealedEntries",
    "append",
    "check_consistency",
    "check_inclusion",
    "consistency_proof",
    "entry_hash",
    "inclusion_proof",
    "root",
]
