"""Lets the owner of a data folder talk to the node that runs in it when no other certificate is valid.

They use a socket in the data folder, which nobody else can reach, and a certificate that is valid for
minutes, issued by whoever has the passphrase with the user authority's key in the vault. Neither can have
expired.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from intelshare.crypto.suites import SUITES, Random
from intelshare.crypto.x509 import BACKDATE, issue_user
from intelshare.instant import MINUTE, Instant
from intelshare.node.folder import Folder
from intelshare.node.settings_file import read_settings
from intelshare.services import FOLDER_OWNER
from intelshare.trust import domain_of, user_uri
from intelshare.vault import USER_AUTHORITY, open_vault

OWNER_SOCKET: Final = "owner"
"""The socket's name in the folder of the sockets."""

OWNER_KEY: Final = "intelshare-owner-bin"
"""The metadata key of each call for the certificate in DER."""

_LIFETIME: Final = 5 * MINUTE

LONGEST_OWNER: Final = _LIFETIME + BACKDATE
"""The longest validity of such a certificate, in microseconds."""


def owner_certificate(root: Path, passphrase: Callable[[], bytes], now: Instant, random: Random) -> bytes:
    """Return a certificate in DER for this moment. Raises ConfigError, VaultError as a start does."""
    folder = Folder(root)
    settings = read_settings(folder.settings)
    vault = open_vault(folder.vault, passphrase(), suites=SUITES, random=random, allow_development=True)
    uri = user_uri(domain_of(settings.node), FOLDER_OWNER)
    made = issue_user(vault.certified(USER_AUTHORITY), uri, now, random, lifetime=_LIFETIME)
    return made.certificate
