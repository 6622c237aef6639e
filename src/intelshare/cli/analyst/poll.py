"""``poll``: fetches what is new from TAXII servers and MISP feeds, as drafts in a folder."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.analyst.stix import marking_table
from intelshare.cli.shared.beside import own_option, read_policy, registry_of
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out
from intelshare.errors import ConfigError, IntelshareError, Place
from intelshare.instant import Instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intelshare.gateway.poll import Polled, PollSource
    from intelshare.labels import Registry

_STATE = ".polled.json"


@click.command(epilog=examples("intelshare poll --sources sources.toml --out drafts"))
@click.option(
    "--sources",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file that lists the servers and feeds.",
)
@click.option(
    "--out",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of drafts.",
)
@click.option(
    "--table",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The table of markings. Default: markings.toml in FOLDER, then in your profile.",
)
@own_option
@printing
def poll(path: Path, target: Path, table: Path | None, folder: Path | None, out: Out) -> int:
    """Fetch new entries once from the sources in a file, and write a draft for each page or event.

    Nothing is sent: check each draft, name its recipients, and send it with `send --batch`. Refused entries
    are named and not fetched again. Exits with 5 if anything was refused.
    """
    from intelshare.gateway.poll import parse_sources
    from intelshare.gateway.poll import poll as fetch

    registry = registry_of(folder)
    known = marking_table(table, folder, registry)
    now = Instant(time.time_ns() // 1000)
    refused = False
    for source in parse_sources(read_policy(path), str(path), path.parent):
        place = target / source.name
        for polled in fetch(source, _state(place), known, registry, now):
            refused |= not _keep(source, polled, place, registry, out)
    return Exit.PARTLY if refused else Exit.DONE


def _keep(source: PollSource, polled: Polled, place: Path, registry: Registry, out: Out) -> bool:
    """Write a draft, or say why there is none, then remember the entry as done. Return true if a draft was
    written.
    """
    from intelshare.cli.shared.files import write_new
    from intelshare.interop import draft_files

    folder, error = place / polled.name, polled.error
    if polled.draft is not None:
        try:
            whole = str(folder.resolve())
            contents = draft_files(
                polled.draft, whole, category=source.category, to=(), registry=registry, source=polled.name
            )
            write_new(folder, contents)
        except IntelshareError as caught:
            error = caught
    if error is None:
        out.event("poll-draft", {"source": source.name, "folder": str(folder)})
        out.line(str(folder))
    else:
        refusal = {"code": error.code, "message": error.message, "hint": error.hint}
        out.event("poll-refused", {"source": source.name, "name": polled.name, "refused": refusal})
        out.note(f"{source.name} {polled.name}: {error.code}: {error.message}")
    _remember(place, polled.state)
    return error is None


def _state(place: Path) -> Mapping[str, Any]:
    """Return where the last run stopped. Raises ConfigError FILE_SYNTAX."""
    try:
        found = json.loads((place / _STATE).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise ConfigError(
            "FILE_SYNTAX",
            "this file does not say where the last run stopped",
            place=Place(str(place / _STATE)),
            hint="remove it, and everything is fetched again; use an empty folder",
        )
    return found


def _remember(place: Path, state: Mapping[str, Any]) -> None:
    from intelshare.cli.shared.files import write_file

    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = place / _STATE
    file.touch(mode=0o600)
    write_file(file, json.dumps(state))
