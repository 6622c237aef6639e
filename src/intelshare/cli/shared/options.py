"""The options that many commands share, each declared once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from intelshare.cli.shared.output import Out, give_hint
from intelshare.errors import IntelshareError

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder, Passphrase
    from intelshare.client import Client, Profile

F = TypeVar("F", bound=Callable[..., Any])


_folder = partial(
    click.option, "--folder", envvar="INTELSHARE_FOLDER", type=click.Path(file_okay=False, path_type=Path)
)
folder_option = _folder(required=True, help="Data folder of the node. Default: INTELSHARE_FOLDER.")


def originator(name: str = "originator", *, of: str = "the bulletin") -> Callable[[F], F]:
    """Add ``--from CODE``, the originator. A bulletin is identified by (originator, id)."""
    from intelshare.cli.shared.completion import members

    return click.option(
        "--from",
        name,
        default="",
        metavar="CODE",
        shell_complete=members,
        callback=_upper,
        help=f"Originator of {of}, if two members have one with this id.",
    )


def _upper(_: click.Context, __: click.Parameter, value: str) -> str:
    return value.upper()


def hinting(function: F) -> F:
    """Complete the commands that the hint of a raised error names, while the folder is known."""

    @wraps(function)
    def command(*args: Any, **given: Any) -> Any:
        try:
            return function(*args, **given)
        except IntelshareError as error:
            give_hint(error)
            raise

    return command  # type: ignore[return-value]


def printing(function: F) -> F:
    """Add ``--json`` and ``--quiet``; the command gets ``out``."""

    @click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print one JSON document, and nothing else, on standard output.",
    )
    @click.option("-q", "--quiet", is_flag=True, help="Print no notes on standard error.")
    @click.pass_context
    @wraps(function)
    def command(context: click.Context, /, *args: Any, as_json: bool, quiet: bool, **given: Any) -> Any:
        out = Out(json=as_json, quiet=quiet)
        # Set so that an error is printed the same way (app.run).
        context.find_root().obj.update(json=as_json, quiet=quiet)
        return hinting(function)(*args, out=out, **given)

    return command  # type: ignore[return-value]


def talking(function: F) -> F:
    """Add ``--as FOLDER``; the command gets ``client``, connected on first use and closed at the end."""

    @click.option(
        "--as",
        "--profile",
        "profile",
        metavar="FOLDER",
        help="Profile folder, which names the node and the user. Default: INTELSHARE_PROFILE, "
        ".intelshare.toml, XDG.",
    )
    @wraps(function)
    def command(*args: Any, profile: str | None, **given: Any) -> Any:
        with connect(profile) as client:
            return function(*args, client=client, **given)

    return command  # type: ignore[return-value]


def connect(profile: str | None) -> Client:
    """Return the client of the profile in effect. Raises ConfigError."""
    import os
    import sys

    from intelshare.client import find_profile, passed_over

    if not profile and (planted := passed_over(os.environ, Path.cwd())) is not None:
        sys.stderr.write(f"note: {planted} is ignored: others own its folder or can write to it\n")
    return client_of(find_profile(profile, os.environ, Path.cwd()))


def client_of(profile: Profile) -> Client:
    """Return the client of a profile; a certificate in the last third of its life is renewed first."""
    keep_fresh(profile)
    # Imported only now: a wrong profile is reported without waiting for grpc.
    from intelshare.client import Client

    return Client(profile)


def keep_fresh(profile: Profile) -> bool:
    """Renew a profile's certificate if it is in the last third of its life. Return true if it was renewed."""
    import sys
    import time

    from intelshare.client.renewal import renew_if_due
    from intelshare.instant import Instant

    now = Instant(time.time_ns() // 1000)
    return renew_if_due(profile, now, lambda text: sys.stderr.write(f"note: {text}\n"))


def on_folder(function: F) -> F:
    """Add ``--folder``, ``--as`` and the passphrase's source; the command gets ``node`` (NodeFolder)."""

    @_folder(help="Data folder of the node; not needed with a profile. Default: INTELSHARE_FOLDER.")
    @click.option(
        "--as",
        "--profile",
        "profile",
        metavar="FOLDER",
        help="Operator's or auditor's profile, if the node is running. Default with --folder: the operator's "
        "there.",
    )
    @passphrase
    @wraps(function)
    def command(
        *args: Any, folder: Path | None, profile: str | None, passphrase: Passphrase, **given: Any
    ) -> Any:
        from intelshare.cli.shared.node_folder import NodeFolder

        return function(*args, node=NodeFolder(folder, passphrase, profile), **given)

    return command  # type: ignore[return-value]


def on_replica(function: F) -> F:
    """Add what ``on_folder`` adds, and ``--replica NAME``: the running node is asked there and nowhere
    else.
    """

    @click.option(
        "--replica",
        default="",
        metavar="NAME",
        help="Ask this replica of the node. Default: the one that leads, or of a profile's addresses any.",
    )
    @on_folder
    @wraps(function)
    def command(*args: Any, node: NodeFolder, replica: str, **given: Any) -> Any:
        return function(*args, node=node.at(replica) if replica else node, **given)

    return command  # type: ignore[return-value]


def passphrase(function: F) -> F:
    """Add ``--passphrase-file`` and ``--passphrase-fd``, by default a prompt; the command gets
    ``passphrase()``.
    """

    @click.option(
        "--passphrase-file",
        envvar="INTELSHARE_PASSPHRASE_FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File (mode 0600) whose first line is the vault's passphrase.",
    )
    @click.option("--passphrase-fd", type=int, help="Open file descriptor from which to read the passphrase.")
    @wraps(function)
    def command(*args: Any, passphrase_file: Path | None, passphrase_fd: int | None, **given: Any) -> Any:
        from intelshare.cli.shared.node_folder import Passphrase

        return function(*args, passphrase=Passphrase(passphrase_file, passphrase_fd), **given)

    return command  # type: ignore[return-value]
