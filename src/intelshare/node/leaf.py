"""Renews the certificate with which this node answers and calls, and writes it into the folder."""

from __future__ import annotations

from typing import Final

from intelshare.audit.node_records import CertificateChange, CertificateChanged
from intelshare.broker.kernel.certificates import certificate_row
from intelshare.broker.lifecycle.certificates import note_certificates
from intelshare.crypto.x509 import is_issued_by, issue_node, sign_node, to_pem, validity
from intelshare.errors import DeliveryError
from intelshare.ids import UserUri
from intelshare.node.events import Event
from intelshare.node.runtime import Runtime
from intelshare.private_files import make_private_folder, write_private
from intelshare.trust import write_member_file
from intelshare.vault import NODE_AUTHORITY, NODE_LEAF, USER_AUTHORITY

DUE: Final = UserUri("")
"""The author of changes that nobody ordered."""


async def renew_leaf(runtime: Runtime, *, at_once: bool = False, by: UserUri = DUE) -> None:
    """Renew the node's certificate in the second half of its life, under another authority, or now.

    Raises VaultError, StoreError.
    """
    if runtime.certificates.node_elsewhere:
        return
    now = runtime.now()
    leaf = runtime.vault.certified(NODE_LEAF).certificate
    authority, valid = runtime.vault.certified(NODE_AUTHORITY), validity(leaf)
    # One that a clock that was ahead has made counts for nobody, not even for the operator who is to believe
    # this one.
    is_due = now < valid.start or now >= valid.start + (valid.end - valid.start) // 2
    if not (at_once or is_due or not is_issued_by(leaf, authority.certificate)):
        return
    dns = _dns(runtime)
    if not dns:
        return
    lifetime = runtime.settings.node_lifetime
    issued = issue_node(authority, runtime.node.uri, dns, now, runtime.random, lifetime=lifetime)
    runtime.vault.put(certified={NODE_LEAF: issued})
    runtime.certificates.follow(now)
    show_certificates(runtime)
    await note_leaf(runtime, issued.certificate, by)
    runtime.log.info(Event.LEAF_RENEWED)


async def sign_leaf(runtime: Runtime, request: bytes, by: UserUri) -> bytes:
    """Issue a certificate (DER) of this node for a key that is held elsewhere.

    Raises DeliveryError ISSUED_ELSEWHERE, TrustError INPUT_INVALID, StoreError.
    """
    dns = _dns(runtime)
    if runtime.certificates.node_elsewhere or not dns:
        raise DeliveryError(
            "ISSUED_ELSEWHERE",
            "certificates of this node come from another authority",
            hint="ask that authority: node.toml names it in [certificates]",
        )
    made = sign_node(
        runtime.vault.certified(NODE_AUTHORITY),
        runtime.node.uri,
        dns,
        request,
        runtime.now(),
        runtime.random,
        lifetime=runtime.settings.node_lifetime,
    )
    await note_leaf(runtime, made, by)
    return made


async def note_leaf(runtime: Runtime, certificate: bytes, by: UserUri) -> None:
    """Record a new certificate of the node in the log and in the table of certificates."""
    row = certificate_row(certificate, runtime.node.uri)
    change = CertificateChanged(
        row.certificate, CertificateChange.ISSUED, row.holder, row.serial, row.end, "", by
    )
    await runtime.step(note_certificates, (row,), (change,))


def show_certificates(runtime: Runtime) -> None:
    """Write certificates in clear, for people and tools; of ours only ``doctor`` reads them. StoreError."""
    folder = runtime.folder.tls
    make_private_folder(folder)
    certificates = runtime.certificates
    for name, ders in (
        (NODE_AUTHORITY, certificates.node_authorities()),
        (USER_AUTHORITY, certificates.user_authorities),
        (NODE_LEAF, certificates.chain),
    ):
        write_private(folder / f"{name}.pem", to_pem(ders))
    show_member(runtime)


def show_member(runtime: Runtime) -> None:
    """Write what this member publishes of itself beside the database, which may lose it. StoreError."""
    held = runtime.node.trust.members[runtime.node.member]
    make_private_folder(runtime.folder.tls)
    write_private(runtime.folder.own_member, write_member_file(held).encode())


def _dns(runtime: Runtime) -> str:
    listed = runtime.node.trust.node(runtime.node.uri)
    return listed[1].dns if listed is not None else ""
