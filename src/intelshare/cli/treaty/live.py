"""Treaties as your node holds them, files and acts together, for commands that otherwise read files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.law import act_of, every_act
from intelshare.cli.shared.options import connect
from intelshare.cli.treaty.files import read_treaties
from intelshare.errors import ConfigError, Place

if TYPE_CHECKING:
    from intelshare.labels import Registry
    from intelshare.policy import Treaty

live_option = click.option(
    "--as",
    "--profile",
    "profile",
    metavar="FOLDER",
    help="Ask the node of this profile, which combines files and acts. PATHS are then ids.",
)


def treaties_of(paths: tuple[Path, ...], profile: str | None) -> tuple[list[Treaty], Registry]:
    """Return the treaties of the paths, or with a profile those of its node (all if no id is given), and the
    registry with which they were read.

    Raises PolicyFileError, ConfigError NOT_FOUND, and what ``Client`` raises.
    """
    return read_treaties(paths) if profile is None else _live(tuple(str(path) for path in paths), profile)


def _live(ids: tuple[str, ...], profile: str) -> tuple[list[Treaty], Registry]:
    from intelshare.cli.shared.beside import NodeRegistry
    from intelshare.policy import parse_treaty, with_acts
    from intelshare.wire.v1 import user_pb2 as pb

    with connect(profile) as client:
        held = client.treat("ListTreaties", pb.ListTreatiesRequest(files=True)).treaties
        acts = every_act(client)
        registry = NodeRegistry(client).whole()
    known = {one.id: one for one in held}
    missing = [name for name in ids if name not in known]
    if missing:
        raise ConfigError(
            "NOT_FOUND",
            f"the node holds no treaty {missing[0]!r}",
            place=Place(missing[0]),
            hint="it holds " + (", ".join(known) or "none"),
        )
    chosen = [known[name] for name in ids or known]
    for one in chosen:
        if not one.file:
            raise ConfigError(
                "POLICY_UNAVAILABLE",
                f"the node applies a text of {one.id} other than the one in its folder",
                hint="it reads changed files within seconds; `intelshare status` shows if it cannot",
            )
    files = [parse_treaty(one.file, one.name, registry) for one in chosen]
    return list(with_acts(files, [act_of(act) for act in acts if act.state == "counts"])), registry
