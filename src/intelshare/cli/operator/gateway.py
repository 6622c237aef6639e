"""``gateway``: runs the process that hands bulletins to tools, and makes the tools' tokens."""

from __future__ import annotations

import secrets
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.beside import NodeRegistry, read_policy
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import keep_fresh, printing, talking
from intelshare.cli.shared.output import Out
from intelshare.errors import ConfigError, Place

if TYPE_CHECKING:
    from intelshare.client import Client


@click.group(cls=CommandGroup)
def gateway() -> None:
    """Hand received bulletins to tools such as OpenCTI, as a user with the role gateway."""


@gateway.command(epilog=examples("intelshare gateway token"))
@printing
def token(out: Out) -> None:
    """Make a token for a consumer: the token goes into the tool, its digest into the gateway's file."""
    made = secrets.token_urlsafe(32)
    digest = sha256(made.encode()).hexdigest()
    out.document("token", {"token": made, "token_sha256": digest})
    out.line(f"token         {made}")
    out.line(f"token_sha256  {digest}")


@gateway.command(epilog=examples("intelshare gateway run --config gateway.toml"))
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The gateway's file: its address and its consumers.",
)
@printing
@talking
def run(client: Client, out: Out, path: Path) -> None:
    """Serve TAXII 2.1 to the consumers in the gateway's file until Ctrl-C.

    The node decides what a consumer may have, and logs it before handing it over. Requires the extra gateway.
    """
    from intelshare.gateway.config import parse_settings

    settings = parse_settings(read_policy(path), str(path), path.parent)
    try:
        from intelshare.gateway import run as process
    except ModuleNotFoundError as missing:
        raise ConfigError(
            "EXTRA_MISSING",
            f"{missing.name} is not installed",
            place=Place("gateway run"),
            hint="pip install 'intelshare[gateway]'",
        ) from None
    process.run(
        settings,
        client,
        lambda: NodeRegistry(client).whole(),
        lambda: keep_fresh(client.profile) and client.reconnect(),
        lambda url: _listening(out, url),
    )


def _listening(out: Out, url: str) -> None:
    out.event("gateway", {"url": url, "discovery": f"{url}/taxii2/"})
    out.line(f"TAXII 2.1 at {url}/taxii2/")
