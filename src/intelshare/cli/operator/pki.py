"""``pki``: the node's certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.help import Group, examples
from intelshare.cli.shared.options import on_folder, printing
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder


@click.group(cls=Group)
def pki() -> None:
    """Manage your node's certificates."""


@pki.command(epilog=examples("intelshare pki renew --folder fra"))
@printing
@on_folder
def renew(node: NodeFolder, out: Out) -> None:
    """Renew the node's certificate now. The node renews it automatically at half of its life.

    With --folder and the passphrase, this works even if the certificates have expired.
    """
    from intelshare.cli.shared.tables import short_time
    from intelshare.wire.v1 import user_pb2 as pb

    until = short_time(node.operate("RenewNode", pb.RenewNodeRequest()).expires)
    out.document("node-certificate", {"until": until})
    out.line(f"node certificate until {until}")
