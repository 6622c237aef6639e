"""A node's data folder for an operator's command: a running node is asked, a stopped node's folder is
opened.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intelshare.errors import ConfigError, IntelshareError, Place, StoreError
from intelshare.private_files import secrets_folder

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from intelshare.client import Client

DEVELOPMENT_FILE = "passphrase"
"""The file that ``init --dev`` writes into the data folder; whoever can read it controls the node anyway."""

_HERE = frozenset(("NODE_UNREACHABLE", "TLS_REFUSED", "NOT_FOUND", "UNSAFE_FILE", "NOT_AUTHORISED"))
_BY_THE_NODE = frozenset(("NOT_AUTHORISED", "ACCESS_WAITS", "PEER_IDENTITY_MISMATCH"))
"""The codes by which a node refuses an operator's certificate that is missing, expired, no longer valid, or
not confirmed since the node lost memory.
"""

_ASKED = "waiting for the node"


class Passphrase:
    """The source of the passphrase: descriptor, file, mounted secret, the folder (development), or a
    prompt.
    """

    def __init__(
        self,
        file: Path | None,
        descriptor: int | None,
        folder: Path | None = None,
        *,
        mounted: bool = True,
    ) -> None:
        """``mounted``: also look where a platform mounts secrets."""
        self._secrets = secrets_folder() if mounted else None
        self._file = file
        self._descriptor = descriptor
        self._folder = folder
        self._known = b""

    @classmethod
    def of_file(cls, file: Path | None) -> Passphrase:
        """Return a passphrase that comes from a file or a prompt, and from nowhere else."""
        return cls(file, None, mounted=False)

    def of(self, folder: Path | None) -> Passphrase:
        """Return the same for the vault in this folder."""
        return Passphrase(self._file, self._descriptor, folder)

    @property
    def given(self) -> bool:
        """Return true if the command line or the environment names the source."""
        return self._file is not None or self._descriptor is not None or self._secrets is not None

    @property
    def unasked(self) -> bool:
        """Return true if it can be had without asking anybody."""
        return self.given or (self._folder is not None and (self._folder / DEVELOPMENT_FILE).exists())

    def __call__(self, *, new: bool = False) -> bytes:
        """Return the passphrase, which is read, or asked for, once.

        Raises VaultError KEYSTORE_PERMISSIONS, KEYSTORE_PASSWORD, ConfigError UNSAFE_FILE.
        """
        if not self._known or new:
            self._known = self._read(new=new)
        return self._known

    def _read(self, *, new: bool) -> bytes:
        import sys

        from intelshare.vault import (
            passphrase_from_descriptor,
            passphrase_from_file,
            passphrase_from_prompt,
            passphrase_from_secrets,
        )

        if self._descriptor is not None:
            return passphrase_from_descriptor(self._descriptor)
        if self._file is not None:
            return passphrase_from_file(self._file)
        if self._secrets is not None:
            return passphrase_from_secrets(self._secrets)
        if not new and self._folder is not None and (self._folder / DEVELOPMENT_FILE).exists():
            return passphrase_from_file(self._folder / DEVELOPMENT_FILE)
        if not sys.stdin.isatty():
            raise ConfigError(
                "KEYSTORE_PASSWORD",
                "the passphrase is needed, but standard input is not a terminal",
                hint="give it with --passphrase-file FILE or --passphrase-fd N",
            )
        return passphrase_from_prompt(new=new)


def _not_let_in(error: IntelshareError, *, operator: bool) -> bool:
    """Return true if no node answers, or if the node refuses the operator's certificate and no other profile
    was named.
    """
    if not operator:
        return error.code == "NODE_UNREACHABLE"
    return error.code in (_HERE if isinstance(error, ConfigError) else _BY_THE_NODE)


def _raise_for_waiting(folder: Path) -> None:
    """Raise ConfigError NODE_UNREACHABLE if a replica has said in the folder what keeps it from its turn."""
    from intelshare.instant import Instant
    from intelshare.node.replicas import waiting

    for one in waiting(folder, Instant(time.time_ns() // 1000)):
        if one.waits is not None:
            one.reached_at()


class NodeFolder:
    """The node of a data folder, running or not; without a folder, the running node of a profile."""

    def __init__(
        self, folder: Path | None, passphrase: Passphrase, profile: str | None = None, replica: str = ""
    ) -> None:
        self._folder = folder
        self.passphrase = passphrase.of(folder)
        self._profile = profile
        self.replica = replica
        """The replica that is asked; empty: any."""

    def at(self, replica: str) -> NodeFolder:
        """Return the same, so that a running node is asked at this replica and nowhere else."""
        return NodeFolder(self._folder, self.passphrase, self._profile, replica)

    @property
    def names_profile(self) -> bool:
        """Return true if the command line names a profile: its user asks, and nobody else."""
        return self._profile is not None

    @property
    def folder(self) -> Path:
        """Return the data folder. Raises click.UsageError if none was named."""
        import click

        if self._folder is None:
            raise click.UsageError("Missing option '--folder'.", click.get_current_context())
        return self._folder

    @property
    def is_development(self) -> bool:
        """Return true if ``init --dev`` made the folder: its vault does not protect the keys. Raises
        NOT_FOUND, VaultError.
        """
        from intelshare.node.folder import Folder
        from intelshare.vault import is_development

        return is_development(Folder(self.folder).vault)

    @property
    def waits_for_root(self) -> bool:
        """Return true if the folder is of a member that is founded again, whose next root is not in force
        yet.
        """
        from intelshare.node.folder import Folder

        return self._folder is not None and Folder(self._folder).root_to_sign.exists()

    def operate(self, method: str, request: Message) -> Any:
        """Make one call of the Operations service: to the running node, or on the folder of a node that is
        not running.

        A caller with the folder and the passphrase needs no certificate in either case. Raises what either
        raises.
        """
        if self._folder is None or (self._folder / "run.json").exists():
            try:
                return self.ask(method, request)
            except IntelshareError as error:
                # A node that was killed may have left run.json behind: the lock decides.
                if self._folder is None or not _not_let_in(error, operator=not self.names_profile):
                    raise
        # Imported only now: to ask a running node, none is loaded here.
        from intelshare.node.offline import operate_offline

        try:
            return operate_offline(self.folder, self.passphrase, method, request)
        except StoreError as error:
            if error.code != "DATA_LOCKED":
                raise
            try:
                return self._ask_as_owner(method, request)
            except IntelshareError as unheard:
                if unheard.code != "NODE_UNREACHABLE":
                    raise
                # Not a node that answers: one that starts, or another command.
                raise error from None

    def ask_running(self, method: str, request: Message) -> Any:
        """Make one call of the running node's Operations service, as its operator or as the folder's owner.

        Raises what ``Client`` raises.
        """
        try:
            return self._ask_running(method, request)
        except IntelshareError as error:
            if error.code == "NODE_UNREACHABLE" and self._folder is not None:
                _raise_for_waiting(self._folder)
            raise

    def _ask_running(self, method: str, request: Message) -> Any:
        try:
            return self.ask(method, request)
        except IntelshareError as error:
            if not self._for_the_owner(error):
                raise
            return self._ask_as_owner(method, request)

    def _for_the_owner(self, error: IntelshareError) -> bool:
        """Return true if a node runs that does not let the operator in, and the folder was named."""
        if self._folder is None or error.code == "NODE_UNREACHABLE":
            return False
        return _not_let_in(error, operator=not self.names_profile)

    def _ask_as_owner(self, method: str, request: Message) -> Any:
        from intelshare.cli.shared.output import waiting
        from intelshare.cli.shared.owner import owner_client

        with owner_client(self.folder, self.passphrase, self.replica) as client, waiting(_ASKED):
            return client.operate(method, request)

    @contextlib.contextmanager
    def running(self) -> Iterator[Client]:
        """Yield a client of the running node as its operator, by a profile, or as the owner of the folder.

        Raises what ``Client`` raises, and NODE_UNREACHABLE if the node is not running.
        """
        from intelshare.cli.shared.owner import owner_client

        with contextlib.ExitStack() as opened:
            try:
                client = opened.enter_context(self._as_operator())
                # Asked before a call that streams begins: it could not be made again as somebody else.
                client.whoami()
            except IntelshareError as error:
                if not self._for_the_owner(error):
                    raise
                client = opened.enter_context(owner_client(self.folder, self.passphrase, self.replica))
            yield client

    def ask(self, method: str, request: Message) -> Any:
        """Make one call of the running node's Operations service, as its operator.

        Raises what ``Client`` raises.
        """
        from intelshare.cli.shared.output import waiting

        with self._as_operator() as client, waiting(_ASKED):
            return client.operate(method, request)

    def _as_operator(self) -> Client:
        """Return a client of the running node by the operator's profile, or the one that was named.

        Raises what ``Client`` raises, and NOT_AUTHORISED if there is none.
        """
        from intelshare.cli.shared.options import client_of
        from intelshare.client import read_profile

        profile = self._operator()
        if self._folder is not None and not profile.exists():
            raise ConfigError(
                "NOT_AUTHORISED",
                "the node is running, but no operator's profile was given for asking it",
                place=Place(str(profile)),
                hint="give --as FOLDER with an operator's profile, or stop the node",
            )
        found = read_profile(profile)
        if self.replica:
            from intelshare.cli.shared.options import keep_fresh
            from intelshare.cli.shared.replica import at_replica

            keep_fresh(found)  # by whichever leads: this one may not
            found = at_replica(found, self.replica)
        return client_of(found)

    def _operator(self) -> Path:
        """Return the folder of the profile that asks: one that was named, or the folder's operator's."""
        import os

        from intelshare.client import choose_profile

        if self._folder is None and (chosen := choose_profile(self._profile, os.environ, Path.cwd())):
            return chosen[0]
        return Path(self._profile) if self._profile else self.folder / "users" / "operator"
