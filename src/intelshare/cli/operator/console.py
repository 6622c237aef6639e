"""``console``: the node in a browser on this machine."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path

import click

from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import client_of, keep_fresh, printing
from intelshare.cli.shared.output import Out
from intelshare.errors import ConfigError, Place

HOST = "127.0.0.1"


@click.command(
    epilog=examples(
        "intelshare console",
        "intelshare console --as fra/users/m.durand --also fra/users/operator",
    )
)
@click.option(
    "--also",
    multiple=True,
    metavar="FOLDER",
    help="Also show what this profile of the same member may see, such as an auditor's beside an analyst's.",
)
@click.option("--host", default=HOST, show_default=True, help="Loopback address; no other is accepted.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on. Default: any that is free."
)
@click.option(
    "--open/--no-browser", "opening", default=False, help="Open the address in your browser. Default: no."
)
@printing
@click.option(
    "--as",
    "--profile",
    "profile",
    metavar="FOLDER",
    help="Profile folder: which node, as whom (else INTELSHARE_PROFILE, .intelshare.toml, XDG).",
)
def console(
    out: Out, also: tuple[str, ...], host: str, port: int, opening: bool, profile: str | None
) -> None:
    """Show your node in a browser on this machine, with your rights, until Ctrl-C. It changes nothing.

    Prints an address that opens the console once; Enter prints another. Needs the extra console.
    """
    from intelshare.client import find_profile, read_profile

    profiles = [find_profile(profile, os.environ, Path.cwd()), *(read_profile(Path(one)) for one in also)]
    members = {one.member for one in profiles}
    if len(members) > 1:
        raise ConfigError(
            "INPUT_INVALID",
            f"profiles of several members: {', '.join(sorted(members))}",
            place=Place("--also"),
            hint="one console shows one member; start another one for the other",
        )
    try:
        from intelshare.console import run as process
    except ModuleNotFoundError as missing:
        raise ConfigError(
            "EXTRA_MISSING",
            f"{missing.name} is not installed",
            place=Place("console"),
            hint="pip install 'intelshare[console]'",
        ) from None
    process.run(
        profiles,
        host=host,
        port=port,
        connect=client_of,
        refresh=keep_fresh,
        listening=lambda url: _listening(out, url, opening),
    )


def _listening(out: Out, url: str, opening: bool) -> None:
    out.event("console", {"url": url})
    out.line(f"console at {url}")
    sys.stdout.flush()
    out.note("it opens once, within ten minutes; Enter prints another address, Ctrl-C ends the console")
    if opening:
        webbrowser.open(url)
