"""Creates a data folder: what ``intelshare init`` writes, and what a node needs to start.

Root keys are not in it: they belong in a separate vault, which then leaves the machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from intelshare.broker.kernel.tables import (
    CERTIFICATE,
    TABLES,
    TRUST,
    USER,
    CertificateRow,
    TrustRow,
    UserRow,
)
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Trust, TrustType
from intelshare.crypto.suites import SUITES, Random, Suites
from intelshare.errors import TrustError
from intelshare.instant import Instant
from intelshare.node.folder import Folder
from intelshare.node.replicas import location
from intelshare.node.restore import mark_restored
from intelshare.node.settings import Settings
from intelshare.node.settings_file import read_settings, write_settings
from intelshare.ports import Plan, Put
from intelshare.private_files import make_private_folder, write_private
from intelshare.store.engines import open_at
from intelshare.trust import (
    Founded,
    MemberTrust,
    RootProposal,
    accept_root,
    read_directory,
    read_member_file,
    restore,
    write_member_file,
    write_proposal,
)
from intelshare.vault import (
    NODE_AUTHORITY,
    NODE_LEAF,
    STANDARD,
    USER_AUTHORITY,
    Stretching,
    create_vault,
    open_vault,
)


def make_folder(
    folder: Folder,
    settings: Settings,
    founded: Founded,
    passphrase: bytes,
    *,
    suites: Suites,
    random: Random,
    cost: Stretching = STANDARD,
) -> None:
    """Write the folders, the vault and node.toml. Raises VaultError ID_CONFLICT if there is already a
    vault.
    """
    make_private_folder(folder.root)
    for path in (folder.treaties, folder.overlays, folder.users):
        make_private_folder(path)
    create_vault(
        folder.vault,
        passphrase,
        keys=founded.keys,
        certified={
            NODE_AUTHORITY: founded.node_authority,
            USER_AUTHORITY: founded.user_authority,
            NODE_LEAF: founded.node_leaf,
        },
        storage_key=founded.storage_key,
        suites=suites,
        random=random,
        cost=cost,
    )
    write_private(folder.settings, write_settings(settings).encode())


def first_rows(
    settings: Settings,
    roots: Sequence[Trust],
    directory: Trust | None,
    users: Iterable[UserRow],
    certificates: Iterable[CertificateRow] = (),
) -> Plan[None]:
    """Return the rows of a new store: this member's documents, the first users (at least one operator), and
    their certificates. Without a directory it is the store of a member that is founded again.
    """
    return Plan(
        (
            *_documents(settings, roots, directory),
            *(Put(USER, row) for row in users),
            *(Put(CERTIFICATE, row) for row in certificates),
        ),
        None,
    )


def wait_for_root(folder: Folder, held: MemberTrust, directory: Trust, proposal: RootProposal) -> None:
    """Write what ``finish_again`` reads: the directory that counts under the next root, and that root for its
    holders. The first start then is one after a loss of memory.
    """
    make_private_folder(folder.tls)
    published = replace(held, directory_signed=directory)
    write_private(folder.own_member, write_member_file(published).encode())
    mark_restored(folder.root)
    write_private(folder.root_to_sign, write_proposal(proposal).encode())


async def finish_again(folder: Folder, passphrase: bytes, signed: Trust, now: Instant) -> None:
    """Put the root in force that names the directory key of this folder, once its holders have signed it.

    Killed in between, it can be repeated. Raises TrustError (trust/rules.py), VaultError, StoreError.
    """
    settings = read_settings(folder.settings)
    vault = open_vault(folder.vault, passphrase, suites=SUITES, random=os.urandom, allow_development=True)
    own = read_member_file(folder.own_member.read_bytes(), folder.own_member.name)
    accept_root(restore(own.roots, None, SUITES), signed, SUITES, now)
    roots = (*own.roots, signed)
    # A root that names another directory key than this vault's is refused here.
    held = restore(roots, own.directory, SUITES)
    if not held.supported:
        raise TrustError(
            "TRUST_THRESHOLD",
            f"root {held.root.version} does not name the directory key of this folder",
            hint=f"let the holders sign {folder.root_to_sign}",
        )
    store = open_at(location(folder, settings, None), TABLES, vault.storage_key())
    try:
        await store.perform(lambda _: Plan(_documents(settings, roots, own.directory), None))
    finally:
        store.close()
    write_private(folder.own_member, write_member_file(held).encode())
    folder.root_to_sign.unlink()


def _documents(settings: Settings, roots: Sequence[Trust], directory: Trust | None) -> tuple[Put, ...]:
    rows = [
        TrustRow(settings.member, TrustType.ROOT, version, encode(Trust, root))
        for version, root in enumerate(roots, 1)
    ]
    if directory is not None:
        version = read_directory(directory, SUITES).version
        rows.append(TrustRow(settings.member, TrustType.DIRECTORY, version, encode(Trust, directory)))
    return tuple(Put(TRUST, row) for row in rows)
