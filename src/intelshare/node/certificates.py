"""The certificates that this node uses and trusts: its vault's, or those of another authority (node.toml).

Files of another authority are read again every minute, so that its tools can renew them. While something is
wrong with them, the previous certificates stay in use, and health shows the fault.
"""

from __future__ import annotations

from typing import Final

from intelshare.crypto.x509 import (
    CertifiedKey,
    all_from_pem,
    check_issued,
    fits,
    from_pem,
    inspect,
    is_authority,
    is_issued_by,
    validity,
)
from intelshare.errors import ConfigError, IntelshareError, Place, TrustError
from intelshare.instant import Instant, show
from intelshare.node.folder import Folder
from intelshare.node.settings import Settings
from intelshare.private_files import read_secret, read_trusted, secrets_folder
from intelshare.vault import (
    FORMER_NODE_AUTHORITY,
    FORMER_USER_AUTHORITY,
    NODE_AUTHORITY,
    NODE_BRIDGE,
    NODE_LEAF,
    USER_AUTHORITY,
    FileVault,
)

_MOUNTED: Final = "secrets:"


class Certificates:
    """The certificates of one node."""

    def __init__(self, folder: Folder, settings: Settings, vault: FileVault, now: Instant) -> None:
        """Read them for the first time. Raises what ``follow`` raises."""
        self._folder = folder
        self._settings = settings
        self._vault = vault
        self.leaf: CertifiedKey = self._leaf(now)
        """The node's certificate and key."""
        self.chain: tuple[bytes, ...] = self._chain(now)
        """DER of it and of what is shown with it: the bridge to its authority from the one before."""
        self.user_authorities: tuple[bytes, ...] = self._user_authorities()
        """The authorities, in DER, whose certificates are accepted on the user port."""

    def follow(self, now: Instant) -> None:
        """Read the current certificates from the vault and the files.

        Raises VaultError, ConfigError UNSAFE_FILE, NOT_FOUND, CERTIFICATE_UNUSABLE; then the previous ones
        stay in use.
        """
        try:
            authorities = self._user_authorities()
            if authorities != self.user_authorities:
                self.user_authorities = authorities
        finally:
            # A fault in one of the two does not prevent reading the other.
            self.leaf = self._leaf(now)
            self.chain = self._chain(now)

    @property
    def users_elsewhere(self) -> bool:
        """Return true if another authority issues the users' certificates."""
        return bool(self._settings.user_authority)

    @property
    def node_elsewhere(self) -> bool:
        """Return true if another authority has issued this node's certificate."""
        return bool(self._settings.node_certificate)

    def _leaf(self, now: Instant) -> CertifiedKey:
        if not self.node_elsewhere:
            return self._vault.certified(NODE_LEAF)
        return leaf_elsewhere(self._folder, self._settings, now)

    def _chain(self, now: Instant) -> tuple[bytes, ...]:
        leaf, bridge = self.leaf.certificate, self._vault.certificate(NODE_BRIDGE)
        # Whoever knows the leaf's authority needs no bridge to it, and one that has ended leads nowhere.
        if not bridge or self.node_elsewhere or not validity(bridge).holds(now):
            return (leaf,)
        return (leaf, bridge) if is_issued_by(leaf, self._own_authority) else (leaf,)

    @property
    def _own_authority(self) -> bytes:
        return self._vault.certified(NODE_AUTHORITY).certificate

    def node_authorities(self) -> tuple[bytes, ...]:
        """Return the authorities, in DER, that peers are told about: the vault's, until the node has a
        certificate of another one.

        Raises what ``follow`` raises.
        """
        former = self._vault.certificate(FORMER_NODE_AUTHORITY)
        own = (self._own_authority, *((former,) if former else ()))
        if not self._settings.node_authority:
            return own
        others = _node_authorities(self._folder, self._settings)
        return others if self.node_elsewhere else (*own, *others)

    def _user_authorities(self) -> tuple[bytes, ...]:
        if not self.users_elsewhere:
            former = self._vault.certificate(FORMER_USER_AUTHORITY)
            return (self._vault.certified(USER_AUTHORITY).certificate, *((former,) if former else ()))
        return authorities_elsewhere(self._folder, self._settings)


def leaf_elsewhere(folder: Folder, settings: Settings, now: Instant) -> CertifiedKey:
    """Return the node's certificate of another authority, with its key, from the files that node.toml names.

    Raises ConfigError UNSAFE_FILE, NOT_FOUND, CERTIFICATE_UNUSABLE with the file.
    """
    name = settings.node_certificate
    try:
        certificate = from_pem(_content(folder, name))
        key = _content(folder, settings.node_key, secret=True)
        leaf, valid = inspect(certificate), validity(certificate)
        if not valid.holds(now):
            raise _unusable(name, f"it is valid from {show(valid.start)} to {show(valid.end)}")
        check_issued(certificate, _node_authorities(folder, settings), now)
    except TrustError as error:
        raise _unusable(name, error.message) from None
    if leaf.uri != settings.node or not leaf.dns:
        raise _unusable(name, f"it must name {settings.node} as its one URI, and a DNS name")
    if not fits(certificate, key):
        raise _unusable(name, f"{settings.node_key} is not its key")
    return CertifiedKey(certificate, key)


def authorities_elsewhere(folder: Folder, settings: Settings) -> tuple[bytes, ...]:
    """Return the other authorities of users that node.toml names, in DER. Raises as ``leaf_elsewhere``."""
    return _authorities(folder, settings.user_authority)


def _node_authorities(folder: Folder, settings: Settings) -> tuple[bytes, ...]:
    name = settings.node_authority
    found = _authorities(folder, name)
    if not all(is_authority(one) for one in found):
        raise _unusable(name, "peers accept only self-signed authorities with P-256 or P-384")
    return found


def _authorities(folder: Folder, name: str) -> tuple[bytes, ...]:
    try:
        return all_from_pem(_content(folder, name))
    except TrustError as error:
        raise _unusable(name, error.message) from None


def _content(folder: Folder, name: str, *, secret: bool = False) -> bytes:
    try:
        if not name.startswith(_MOUNTED):
            return read_trusted(folder.root / name, secret=secret)
        mounted = secrets_folder()
        if mounted is None:
            raise ConfigError("NOT_FOUND", "no secrets are mounted", place=Place(name), hint=_DOOR)
        return read_secret(mounted, name.removeprefix(_MOUNTED))
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigError("NOT_FOUND", message, place=Place(name), hint=_SETTINGS) from None


_SETTINGS: Final = "[certificates] in node.toml names it: below the data folder, or secrets:NAME"
_DOOR: Final = "INTELSHARE_SECRETS names their folder"


def _unusable(name: str, why: str) -> IntelshareError:
    return ConfigError(
        "CERTIFICATE_UNUSABLE",
        f"the certificate of another authority cannot be used: {why}",
        place=Place(name),
        hint='have that authority issue it again, into this file; docs/operations.md, "Another authority", '
        "describes the requirements",
    )
