"""Replaces the member's certificate authorities while traffic goes on (decision 55).

The successor issues from the first moment, and the key of the former is gone. What that one had issued counts
until it has ended, so the directory and the user port name both so long; and the former vouches for its
successor by a bridge that the node shows, so that whoever was away in between still knows the node.
"""

from __future__ import annotations

from typing import Final

from intelshare.audit.node_records import CertificateChange, CertificateChanged
from intelshare.broker.lifecycle.certificates import note_certificates
from intelshare.crypto.x509 import (
    BACKDATE,
    CertifiedKey,
    digest_of,
    issue_bridge,
    make_authority,
    serial_of,
    subject_of,
    validity,
)
from intelshare.errors import DeliveryError
from intelshare.ids import UserUri
from intelshare.instant import DAY, SECOND, Instant
from intelshare.node.leaf import DUE
from intelshare.node.runtime import Runtime
from intelshare.vault import (
    FORMER_NODE_AUTHORITY,
    FORMER_USER_AUTHORITY,
    NODE_AUTHORITY,
    NODE_BRIDGE,
    USER_AUTHORITY,
)

OVERLAP: Final = 14 * DAY
"""So long a former authority is believed at least."""

SUCCEEDED_BEFORE: Final = 365 * DAY
"""So long before its end an authority is succeeded by itself."""

_PAIRS: Final = ((NODE_AUTHORITY, FORMER_NODE_AUTHORITY), (USER_AUTHORITY, FORMER_USER_AUTHORITY))


async def succeed_authorities(runtime: Runtime, by: UserUri) -> None:
    """Make a successor of both authorities, which issues from now on. The caller publishes the directory.

    Raises DeliveryError ISSUED_ELSEWHERE, ID_CONFLICT (a former one is still believed), VaultError,
    StoreError.
    """
    certificates, vault, now = runtime.certificates, runtime.vault, runtime.now()
    if certificates.node_elsewhere and certificates.users_elsewhere:
        raise DeliveryError(
            "ISSUED_ELSEWHERE",
            "certificates of this node and of its users come from other authorities",
            hint="put their successors into the files of node.toml: both count while both stand there",
        )
    if overlap_ends(runtime):
        raise DeliveryError(
            "ID_CONFLICT",
            "the authority before this one is still believed",
            hint="`intelshare pki rotate-ca --finish` ends that; `pki show` says when it ends by itself",
        )
    former = {name: vault.certified(name) for name, _ in _PAIRS}
    # A second later than anything that a former one has issued: by that the certificates are told apart.
    begins = Instant(now + SECOND)
    made = {
        name: make_authority(f"{runtime.node.member} {word}", begins, runtime.random)
        for name, word in ((NODE_AUTHORITY, "nodes"), (USER_AUTHORITY, "users"))
    }
    bridge = issue_bridge(former[NODE_AUTHORITY], made[NODE_AUTHORITY].certificate, now, runtime.random)
    # In one write: the keys of the former ones go as their successors come.
    vault.put(
        certified={
            **made,
            **{kept: CertifiedKey(former[name].certificate, b"") for name, kept in _PAIRS},
            NODE_BRIDGE: CertifiedKey(bridge, b""),
        }
    )
    certificates.follow(now)
    await _log(runtime, CertificateChange.AUTHORITY_MADE, [one.certificate for one in made.values()], by)


async def end_former_authorities(runtime: Runtime, by: UserUri = DUE) -> None:
    """Trust only the present authorities. Raises DeliveryError NOT_FOUND, VaultError, StoreError."""
    former = [der for _, name in _PAIRS if (der := runtime.vault.certificate(name))]
    if not former:
        raise DeliveryError(
            "NOT_FOUND", "no former authority is believed", hint="`intelshare pki show` lists them"
        )
    runtime.vault.put(drop=[name for _, name in _PAIRS])
    runtime.certificates.follow(runtime.now())
    await _log(runtime, CertificateChange.AUTHORITY_ENDED, former, by)


async def follow_authorities(runtime: Runtime) -> None:
    """End the former authorities when that is due, and make successors in good time; never by a clock that is
    not confirmed: either destroys keys. Raises VaultError, StoreError.
    """
    if not runtime.clock.read().confirmed:
        return
    now, until = runtime.now(), overlap_ends(runtime)
    if until:
        if now >= until:
            await end_former_authorities(runtime)
        return
    certificates = runtime.certificates
    ends = min(validity(runtime.vault.certified(name).certificate).end for name, _ in _PAIRS)
    if now >= ends - SUCCEEDED_BEFORE and not (certificates.node_elsewhere and certificates.users_elsewhere):
        await succeed_authorities(runtime, DUE)


def overlap_ends(runtime: Runtime) -> Instant:
    """Return the time at which the former authority is no longer trusted, because all it issued has ended.

    0 if there is no former one.
    """
    if not runtime.vault.certificate(FORMER_NODE_AUTHORITY):
        return Instant(0)
    settings = runtime.settings
    begun = validity(runtime.vault.certified(NODE_AUTHORITY).certificate).start + BACKDATE
    return Instant(begun + max(OVERLAP, settings.node_lifetime, settings.user_lifetime))


async def _log(runtime: Runtime, change: CertificateChange, ders: list[bytes], by: UserUri) -> None:
    now = runtime.now()
    changes = [
        CertificateChanged(
            digest_of(der),
            change,
            subject_of(der),
            serial_of(der),
            now if change is CertificateChange.AUTHORITY_ENDED else validity(der).end,
            "",
            by,
        )
        for der in ders
    ]
    await runtime.step(note_certificates, (), changes)
