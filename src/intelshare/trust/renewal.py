"""The next directory and the next root of a member; pure, signed by the signers given.

Every change of a directory is a new version: a mere renewal, keys, endpoints, ratifications, revocations.
Keys stay listed after they end or are revoked, because statements signed before are still judged by them;
only sealing keys that are destroyed are dropped.

Versions of directories advance with the clock (decision 88): a node that was put back to an earlier state,
whether it knows that or not, signs no second content for a version that it has forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, Trust
from intelshare.crypto.suites import Signer
from intelshare.ids import KeyId
from intelshare.instant import SECOND, Instant
from intelshare.trust.documents import (
    DIRECTORY_LIFETIME,
    DirectoryDocument,
    DirectoryNode,
    Ratified,
    Revocation,
    RootDocument,
    sign_directory,
    sign_root,
)


def renew_directory(
    directory: DirectoryDocument,
    signer: Signer,
    at: Instant,
    *,
    add_keys: Iterable[KeyRecord] = (),
    drop_keys: Collection[KeyId] = (),
    nodes: Iterable[DirectoryNode] | None = None,
    authorities: Iterable[bytes] | None = None,
    ratified: Iterable[Ratified] | None = None,
    suites: Iterable[int] | None = None,
    floor: int | None = None,
    revoke: Iterable[Revocation] = (),
    since: Instant | None = None,
) -> Trust:
    """Return the next version, valid for seven days from ``at``, with these changes (None: as before).

    ``since``: up to when this node remembers, if it knows that it has forgotten what came later.

    ``signer`` is a directory key of the root. The result must be durable before it is sent; this node accepts
    it into its ``TrustView`` like any other document.
    """
    following = replace(
        directory,
        version=_next_version(directory, at, since),
        issued=at,
        expires=Instant(at + DIRECTORY_LIFETIME),
        keys=(*(key for key in directory.keys if key_id(key) not in drop_keys), *add_keys),
        nodes=directory.nodes if nodes is None else tuple(nodes),
        authorities=directory.authorities if authorities is None else tuple(authorities),
        ratified=directory.ratified if ratified is None else tuple(ratified),
        suites=directory.suites if suites is None else tuple(suites),
        floor=directory.floor if floor is None else floor,
        revocations=(
            *(row for row in directory.revocations if row.subject not in drop_keys),
            *revoke,
        ),
    )
    return sign_directory(following, signer)


def _next_version(held: DirectoryDocument, at: Instant, since: Instant | None) -> int:
    """Return the version held and the microseconds that have passed since its issue, or since what is
    remembered. By a clock that went back none have: the microseconds of its present second then tell apart
    two that follow the same one, and a whole second more puts one after a loss above one before it.
    """
    lost = since is not None
    passed = at - min(held.issued, held.issued if since is None else since)
    return held.version + max(passed, lost * SECOND + 1 + at % SECOND)


def renew_root(
    root: RootDocument,
    signers: Iterable[Signer],
    *,
    keys: Iterable[KeyRecord] | None = None,
    threshold: int | None = None,
    directory: Iterable[KeyRecord] | None = None,
) -> Trust:
    """Return the next root. ``signers`` must hold a threshold of the present keys and of the new ones.

    After a root that replaces the directory key, the directory must be signed again at once: the old one
    counts as expired from then on.
    """
    following = replace(
        root,
        version=root.version + 1,
        keys=root.keys if keys is None else tuple(keys),
        threshold=root.threshold if threshold is None else threshold,
        directory=root.directory if directory is None else tuple(directory),
    )
    return sign_root(following, signers)
