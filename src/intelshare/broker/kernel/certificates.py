"""The certificates that this node's authorities have issued, as ``pki show`` lists them.

A row grants nothing: for users the register names the certificate that counts, for nodes the directory names
those that do not.
"""

from __future__ import annotations

from typing import Final

from intelshare.broker.kernel.tables import CERTIFICATE, CertificateRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.crypto.x509 import digest_of, serial_of, validity

MOST: Final = 64
"""Rows of one holder that are kept; the first to end give way."""


def certificate_row(certificate: bytes, holder: str) -> CertificateRow:
    """Return the row of a certificate (DER) that was issued to the holder."""
    valid = validity(certificate)
    return CertificateRow(digest_of(certificate), holder, serial_of(certificate), valid.start, valid.end)


def keep_certificate(tx: Transaction, row: CertificateRow) -> None:
    """Store the row of a new certificate, and delete those of the same holder that have ended, by a clock
    that is confirmed.
    """
    known = sorted(tx.view.find(CERTIFICATE, "holder", row.holder), key=lambda one: one.end)
    ended = sum(one.end <= tx.now for one in known) if tx.node.confirmed else 0
    for old in known[: max(ended, len(known) - MOST + 1)]:
        tx.delete(CERTIFICATE, old.certificate)
    tx.put(CERTIFICATE, row)
