"""The data folder of one node: where each file is, who may read it, and which files people edit.

node.toml vault/ intelshare.db files/ lock sidecar reserve run.json drained/ user-port/ sockets/ treaties/
overlays/ tls/ users/
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
        """The keys, under a passphrase, alone in a folder with mode 0700."""
        return self.root / "vault" / "keys"

    @property
    def database(self) -> Path:
        """The embedded store."""
        return self.root / "intelshare.db"

    @property
    def sidecar(self) -> Path:
        """The memory outside the database (docs/promises.md, "Memories")."""
        return self.root / "sidecar"

    @property
    def running(self) -> Path:
        """The ports and the process of the running node; absent when none runs."""
        return self.root / "run.json"

    def drained(self, replica: str) -> Path:
        """There while the node, or this replica of it, is drained."""
        return self.root / "drained" / (replica or "-")

    def user_port(self, replica: str) -> Path:
        """The port for users that the node, or this replica of it, had at its last start."""
        return self.root / "user-port" / (replica or "-")

    def sockets(self, replica: str = "") -> Path:
        """The sockets behind the ports of the running node, or of one replica; made again at every start."""
        return self.root / (f"sockets-{replica}" if replica else "sockets")

    @property
    def files(self) -> Path:
        """The pieces of attachments, one file each."""
        return self.root / "files"

    @property
    def treaties(self) -> Path:
        """Treaty files, ``*.toml``."""
        return self.root / "treaties"

    @property
    def overlays(self) -> Path:
        """This member's overlay files, ``*.toml``."""
        return self.root / "overlays"

    @property
    def tls(self) -> Path:
        """The certificates of the node and the authorities, in the clear; their keys are in the vault."""
        return self.root / "tls"

    @property
    def node_certificate(self) -> Path:
        """The node's certificate, as it was last renewed."""
        return self.tls / "node-leaf.pem"

    @property
    def own_member(self) -> Path:
        """A copy of what this member publishes about itself, in case the database loses it."""
        return self.tls / "own.member"

    @property
    def root_to_sign(self) -> Path:
        """The next root of a member that is founded again: there until its holders have signed it."""
        return self.root / "root.json"

    @property
    def users(self) -> Path:
        """The certificates and keys of users that were made on this machine."""
        return self.root / "users"
