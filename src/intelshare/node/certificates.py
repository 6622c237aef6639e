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
from intelshare.instant import Instant
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
        name = self._settings.node_certificate
        try:
            certificate, key = from_pem(self._read(name)), self._read(self._settings.node_key, secret=True)
            leaf = inspect(certificate)
            check_issued(certificate, self._node_authorities(), now)
        except TrustError as error:
            raise _unusable(name, error.message) from None
        if leaf.uri != self._settings.node or not leaf.dns:
            raise _unusable(name, f"it must name {self._settings.node} as its one URI, and a DNS name")
        if not fits(certificate, key):
            raise _unusable(name, f"{self._settings.node_key} is not its key")
        return CertifiedKey(certificate, key)

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
        others = self._node_authorities()
        return others if self.node_elsewhere else (*own, *others)

    def _user_authorities(self) -> tuple[bytes, ...]:
        if not self.users_elsewhere:
            former = self._vault.certificate(FORMER_USER_AUTHORITY)
            return (self._vault.certified(USER_AUTHORITY).certificate, *((former,) if former else ()))
        return self._authorities(self._settings.user_authority)

    def _node_authorities(self) -> tuple[bytes, ...]:
        name = self._settings.node_authority
        found = self._authorities(name)
        if not all(is_authority(one) for one in found):
            raise _unusable(name, "peers accept only self-signed authorities with P-256 or P-384")
        return found

    def _authorities(self, name: str) -> tuple[bytes, ...]:
        try:
            return all_from_pem(self._read(name))
        except TrustError as error:
            raise _unusable(name, error.message) from None

    def _read(self, name: str, *, secret: bool = False) -> bytes:
        try:
            if not name.startswith(_MOUNTED):
                return read_trusted(self._folder.root / name, secret=secret)
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
        hint='docs/operations.md, "Another authority", describes the requirements',
    )
