"""Audit: the Merkle log of a node, what its entries say, and proofs that others can check."""

from intelshare.audit.log import LogHead, append, entry_hash, root
from intelshare.audit.records import RECORDS, EntryType, Sealed

__all__ = ["RECORDS", "EntryType", "LogHead", "Sealed", "append", "entry_hash", "root"]
