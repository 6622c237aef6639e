"""Creates a data folder: what ``intelshare init`` writes, and what a node needs to start.

Root keys are not in it: they belong in a separate vault, which then leaves the machine.
"""

from __future__ import annotations

from collections.abc import Iterable

from intelshare.broker.kernel.tables import CERTIFICATE, TRUST, USER, CertificateRow, TrustRow, UserRow
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Trust, TrustType
from intelshare.crypto.suites import Random, Suites
from intelshare.node.folder import Folder
from intelshare.node.settings import Settings, write_settings
from intelshare.ports import Plan, Put
from intelshare.private_files import make_private_folder, write_private
from intelshare.trust import Founded
from intelshare.vault import NODE_AUTHORITY, NODE_LEAF, STANDARD, USER_AUTHORITY, Stretching, create_vault


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
    founded: Founded,
    users: Iterable[UserRow],
    certificates: Iterable[CertificateRow] = (),
) -> Plan[None]:
    """Return the rows of a new store: this member's documents, the first users (at least one operator), and
    their certificates.
    """
    documents = ((TrustType.ROOT, founded.root), (TrustType.DIRECTORY, founded.directory))
    return Plan(
        (
            *(
                Put(TRUST, TrustRow(settings.member, kind, 1, encode(Trust, trust)))
                for kind, trust in documents
            ),
            *(Put(USER, row) for row in users),
            *(Put(CERTIFICATE, row) for row in certificates),
        ),
        None,
    )
