"""``pki``: the certificates of a member, and the authorities that issue them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import on_folder, printing
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder

_FILE = click.Path(dir_okay=False, path_type=Path)

_MAX_REQUEST = 64 * 1024


@click.group(cls=CommandGroup)
def pki() -> None:
    """Show, renew, issue and revoke certificates; give the member new authorities."""


@pki.command(epilog=examples("intelshare pki show --folder fra", "intelshare pki show --all --folder fra"))
@click.option("--all", "everything", is_flag=True, help="Show superseded, revoked and ended ones too.")
@printing
@on_folder
def show(node: NodeFolder, out: Out, everything: bool) -> None:
    """List the authorities, your node's certificate and those of users: validity, and which count.

    "next": it counts once its user comes in with it. "bridge": the former authority vouches for the present
    one, for peers and users that were away while they changed.
    """
    from intelshare.cli.shared.operator_tables import certificate_table
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("ListCertificates", pb.ListCertificatesRequest(all=everything))
    out.document("certificates", plain(found))
    out.table(certificate_table(found.certificates, _now()))


@pki.command(epilog=examples("intelshare pki renew --folder fra"))
@printing
@on_folder
def renew(node: NodeFolder, out: Out) -> None:
    """Renew the node's certificate now. The node renews it automatically at half of its life.

    With --folder and the passphrase, this works even if the certificates have expired. A certificate that
    another authority issues is read again from its file.
    """
    from intelshare.cli.shared.tables import short_time
    from intelshare.wire.v1 import user_pb2 as pb

    until = short_time(node.operate("RenewNode", pb.RenewNodeRequest()).expires)
    out.document("node-certificate", {"until": until})
    out.line(f"node certificate until {until}")


@pki.command(
    epilog=examples(
        "intelshare pki issue balancer --folder fra",
        "intelshare pki issue standby --request standby.csr --folder fra",
    )
)
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option("--request", type=_FILE, help="PKCS #10 request (PEM) of a key that is held elsewhere.")
@printing
@on_folder
def issue(node: NodeFolder, out: Out, target: Path, request: Path | None) -> None:
    """Issue a certificate of your node for another process of it, into the new folder TARGET.

    The key is made here, beside the certificate, unless --request names one that is held elsewhere. Nothing
    renews it: issue the next one before it ends.
    """
    import os

    from intelshare.cli.shared.files import read_given, write_new
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_time
    from intelshare.crypto.x509 import request_from_pem, request_key
    from intelshare.wire.v1 import user_pb2 as pb

    if request is None:
        made = request_key(os.urandom)
        asked, key = made.request, {"key.pem": made.key}
    else:
        asked, key = request_from_pem(read_given(request, _MAX_REQUEST)), {}
    given = node.operate("IssueCertificate", pb.IssueCertificateRequest(request=asked))
    write_new(target, {"cert.pem": given.chain_pem, **key})
    entry = given.certificate
    out.document("certificate", {**plain(entry), "folder": str(target)})
    out.line(f"{target}: certificate {entry.serial} of {entry.holder} until {short_time(entry.valid_until)}")


@pki.command(
    epilog=examples(
        "intelshare pki revoke 31b2c9d0 --reason 'the balancer was taken down' --folder fra",
        "intelshare pki revoke --user b.noir --reason 'the laptop was stolen' --folder fra",
    )
)
@click.argument("serial", required=False, default="")
@click.option("--user", default="", metavar="NAME", help="Revoke the certificate of this user that counts.")
@click.option("--reason", required=True, help="Why; the log keeps it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def revoke(node: NodeFolder, out: Out, serial: str, user: str, reason: str, yes: bool) -> None:
    """Make the certificate whose serial number begins with SERIAL, or a user's, count no more.

    A user stays in the register and needs `user renew`; a node's certificate is named in the next directory,
    and no peer takes it any more.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.operator_tables import certificate_table
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    if bool(serial) is bool(user):
        raise click.UsageError("Give SERIAL or --user.")
    request = pb.RevokeCertificateRequest(serial=serial.lower(), user=user, reason=reason, dry_run=True)
    found = node.operate("RevokeCertificate", request).certificate
    confirm(f"Nobody comes in with certificate {found.serial} of {found.holder} any more. Go on?", yes=yes)
    request.dry_run = False
    request.serial, request.user = found.serial, ""
    done = node.operate("RevokeCertificate", request)
    out.document("certificate-revoked", plain(done))
    out.table(certificate_table([done.certificate], _now()))
    if found.use in ("user", "ticket"):
        out.note("a new way in: intelshare user renew NAME")


@pki.command(
    "rotate-ca",
    epilog=examples(
        "intelshare pki rotate-ca --folder fra --yes", "intelshare pki rotate-ca --finish --folder fra --yes"
    ),
)
@click.option("--finish", is_flag=True, help="Stop believing the former authorities now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def rotate_ca(node: NodeFolder, out: Out, finish: bool, yes: bool) -> None:
    """Give the member new authorities for nodes and users. Traffic goes on, and users renew by themselves.

    The new ones issue from now on. Peers and users believe both until everything has ended that the former
    ones issued, at least two weeks, or until --finish.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.operator_tables import certificate_table
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    request = pb.RotateAuthoritiesRequest(finish=finish, dry_run=True)
    left = node.operate("RotateAuthorities", request).users_left
    if finish:
        if left:
            out.note(f"users whose certificate ends with it, and who need `user renew`: {', '.join(left)}")
        confirm("Certificates of the former authorities will no longer be accepted. Go on?", yes=yes)
    else:
        confirm("New authorities will issue the certificates of this node and its users. Go on?", yes=yes)
    request.dry_run = False
    done = node.operate("RotateAuthorities", request)
    out.document("authorities", plain(done))
    out.table(certificate_table(done.certificates, _now()))
    if not finish:
        out.note("the former ones end by themselves, or now: intelshare pki rotate-ca --finish")


def _now() -> int:
    import time

    return time.time_ns() // 1000
