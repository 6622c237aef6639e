"""``policy groups``: lists the members of groups, each with a hash that two operators can compare."""

from __future__ import annotations

from pathlib import Path

import click

from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table
from intelshare.cli.shared.times import moment


@click.command(
    epilog=examples(
        "intelshare policy groups",
        "intelshare policy groups NATO PFP --at 2003-01-01",
        "intelshare policy groups --folder fra/",
    )
)
@click.argument("codes", metavar="[GROUP ...]", nargs=-1)
@click.option("--at", metavar="WHEN", help="List the members as of this date or time. Default: now.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=Path(),
    help="The folder that contains groups/, such as a node's data folder. Default: the current folder.",
)
@printing
def groups(codes: tuple[str, ...], at: str | None, folder: Path, out: Out) -> None:
    """List groups and organisations with their members over time and a hash of these.

    Two members with equal hashes expand a label in the same way. Groups are not part of a treaty's text:
    compare the hashes by telephone or mail before labels name a group that you have defined.
    """
    from intelshare.cli.shared.beside import registry_for
    from intelshare.errors import ConfigError, Place
    from intelshare.toml import guess

    registry, when = registry_for(folder / "groups.toml"), moment(at)
    for code in codes:
        if code not in registry.groups:
            message, hint = f"{code!r} is not a group or organisation", guess(code, registry.groups)
            raise ConfigError("INPUT_INVALID", message, place=Place("GROUP"), hint=hint or None)
    chosen = [group for code, group in sorted(registry.groups.items()) if not codes or code in codes]
    held = {group.code: sorted(registry.expand(group.code, when) - {group.code}) for group in chosen}
    document = [
        {
            "code": group.code,
            "name": group.name,
            "organisation": group.organisation,
            "members": held[group.code],
            "digest": group.digest,
            "source": group.source,
            "unverified": group.unverified,
        }
        for group in chosen
    ]
    if out.json:
        out.document("groups", {"groups": document})
        return
    rows = [
        (
            group.code,
            "organisation" if group.organisation else "group",
            str(len(held[group.code])),
            group.digest,
            group.name,
        )
        for group in chosen
    ]
    out.table(Table(("code", "kind", "states", "hash", "name"), rows))
    for group in chosen if codes else ():
        out.line(f"{group.code}: {' '.join(held[group.code]) or 'nobody at that time'}")
        out.line(f"  source: {group.source}")
        if group.unverified:
            out.line(f"  unverified: {group.unverified}")
