"""``enrol`` and ``renew``: a user's certificate, of a key that the user makes and keeps."""

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
    help="The profile folder. Default: the one that commands take by themselves.",
)
@printing
def enrol(out: Out, file: Path, folder: Path | None) -> None:
    """Make a key, and have your certificate of it, with the enrolment that an operator gave you.

    The key stays in the profile folder. FILE serves once; of a profile that is yours already it replaces the
    certificate, and everything else stays.
    """
    import os

    from intelshare.client import usual_profile
    from intelshare.client.enrolment import enrol as enrol_now
    from intelshare.client.enrolment import read_enrolment

    profile = enrol_now(read_enrolment(file), folder or usual_profile(os.environ))
    _show(profile, out)
    out.note(f"{file} has served: remove it")


@click.command(epilog=examples("intelshare renew"))
@click.option("--as", "--profile", "profile", metavar="FOLDER", help="Profile folder, as commands take it.")
@printing
def renew(out: Out, profile: str | None) -> None:
    """Renew your certificate now, with a new key. The one of before ends at once.

    Any command does it by itself in the last third of the certificate's life.
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
