"""``enrol`` and ``renew``: obtain a user's certificate for a key that the user makes and keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.client import Profile


@click.command(
    epilog=examples("intelshare enrol c.roux.enrol", "intelshare enrol c.roux.enrol --out profiles/c.roux")
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The profile folder. Default: the folder that commands use by default.",
)
@click.option(
    "--certificate",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Certificate (PEM) that another authority issued to you; requires --key.",
)
@click.option(
    "--key", type=click.Path(dir_okay=False, path_type=Path), help="The certificate's key (PEM, mode 0600)."
)
@printing
def enrol(out: Out, file: Path, folder: Path | None, certificate: Path | None, key: Path | None) -> None:
    """Make a key, and get your certificate for it with the enrolment file that an operator gave you.

    The key stays in the profile folder. FILE works once. A profile that is already yours gets the certificate
    and the address of FILE; what was sent by it stays known.
    """
    import os

    from intelshare.client import Credentials, usual_profile
    from intelshare.client.enrolment import enrol as enrol_now
    from intelshare.client.enrolment import read_enrolment
    from intelshare.private_files import read_trusted

    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate and --key must be given together.", click.get_current_context())
    enrolment, given = read_enrolment(file), None
    if certificate is not None and key is not None:
        given = Credentials(read_trusted(certificate), enrolment.authority, read_trusted(key, secret=True))
    profile = enrol_now(enrolment, folder or usual_profile(os.environ), given, out.note)
    _show(profile, out)
    out.note(f"{file} has been used and can be deleted")


@click.command(epilog=examples("intelshare renew"))
@click.option("--as", "--profile", "profile", metavar="FOLDER", help="Profile folder, as for other commands.")
@printing
def renew(out: Out, profile: str | None) -> None:
    """Renew your certificate now, with a new key. The previous certificate becomes invalid at once.

    Every command does this automatically in the last third of the certificate's life.
    """
    import os

    from intelshare.client import find_profile
    from intelshare.client.renewal import renew as renew_now

    found = find_profile(profile, os.environ, Path.cwd())
    renew_now(found)
    _show(found, out)


def _show(profile: Profile, out: Out) -> None:
    from intelshare.cli.shared.tables import short_time
    from intelshare.client.renewal import validity_of

    until = short_time(validity_of(profile).end)
    out.document(
        "profile",
        {"member": profile.member, "user": profile.user, "profile": str(profile.folder), "until": until},
    )
    out.line(f"{profile.user} of {profile.member}, certificate until {until}")
    out.line(f"profile {profile.folder}")
