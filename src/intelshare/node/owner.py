"""How the owner of a data folder speaks to the node that runs in it, when no certificate helps any more.

A socket in the data folder, which nobody else can reach, and a certificate that whoever has the passphrase
issues for minutes, with the user authority's key in the vault. Nothing of it can have ended before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from intelshare.crypto.suites import SUITES, Random
from intelshare.crypto.x509 import issue_user
from intelshare.instant import MINUTE, Instant
from intelshare.node.folder import Folder
from intelshare.node.settings import read_settings
from intelshare.services import FOLDER_OWNER
from intelshare.trust import domain_of, user_uri
from intelshare.vault import USER_AUTHORITY, open_vault

OWNER_SOCKET: Final = "owner"
"""In the folder of the sockets."""

OWNER_KEY: Final = "intelshare-owner-bin"
"""Metadata of each call: the certificate, DER."""

OWNER_LIFETIME: Final = 5 * MINUTE


def owner_certificate(root: Path, passphrase: Callable[[], bytes], now: Instant, random: Random) -> bytes:
    """DER of a certificate for this moment. Raises ConfigError, VaultError as a start does."""
    folder = Folder(root)
    settings = read_settings(folder.settings)
    vault = open_vault(folder.vault, passphrase(), suites=SUITES, random=random, allow_development=True)
    uri = user_uri(domain_of(settings.node), FOLDER_OWNER)
    made = issue_user(vault.certified(USER_AUTHORITY), uri, now, random, lifetime=OWNER_LIFETIME)
    return made.certificate
