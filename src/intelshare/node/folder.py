"""The data folder of one node: where everything lies, who may read it, and what is written there by hand.

node.toml   vault/   intelshare.db   files/   lock   sidecar   reserve   run.json   sockets/
treaties/   overlays/   tls/   users/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths below one data folder."""

    root: Path

    @property
    def settings(self) -> Path:
        """Written by ``intelshare init``, edited by people."""
        return self.root / "node.toml"

    @property
    def vault(self) -> Path:
        """The keys, under a passphrase; alone in a 0700 folder."""
        return self.root / "vault" / "keys"

    @property
    def database(self) -> Path:
        """The embedded store."""
        return self.root / "intelshare.db"

    @property
    def lock(self) -> Path:
        """Held by the running node; a file that is left over blocks nobody."""
        return self.root / "lock"

    @property
    def sidecar(self) -> Path:
        """The memory outside the database (promises.md 1.1)."""
        return self.root / "sidecar"

    @property
    def running(self) -> Path:
        """Ports and process of the running node; absent when none runs."""
        return self.root / "run.json"

    @property
    def sockets(self) -> Path:
        """Of the running node, behind its ports; made anew at every start."""
        return self.root / "sockets"

    @property
    def files(self) -> Path:
        """Pieces of attachments, one file each."""
        return self.root / "files"

    @property
    def treaties(self) -> Path:
        """Treaty files, ``*.toml``."""
        return self.root / "treaties"

    @property
    def overlays(self) -> Path:
        """The own member's overlay files, ``*.toml``."""
        return self.root / "overlays"

    @property
    def tls(self) -> Path:
        """The node's certificate and the authorities', in clear; their keys are in the vault."""
        return self.root / "tls"

    @property
    def node_certificate(self) -> Path:
        """That of the node, as it was last renewed."""
        return self.tls / "node-leaf.pem"

    @property
    def users(self) -> Path:
        """Certificates and keys of users that were made on this machine."""
        return self.root / "users"
