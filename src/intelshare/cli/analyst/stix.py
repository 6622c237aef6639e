"""``stix``: write a bulletin as a STIX 2.1 bundle, and make a draft for ``send --batch`` of a STIX file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.beside import NodeRegistry, own_option, read_policy, registry_of
from intelshare.cli.shared.completion import bulletins, categories, members
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import originator, printing, talking
from intelshare.cli.shared.output import Out
from intelshare.errors import ConfigError, DeliveryError, Place
from intelshare.instant import Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from intelshare.client import Client
    from intelshare.interop import Imported, MarkingTable, Shared
    from intelshare.labels import Registry
    from intelshare.wire.v1 import user_pb2 as pb


def draft_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every command that makes a draft from a foreign file; they are passed to
    ``write_draft``.
    """
    for option in reversed(
        (
            click.argument("file", type=click.Path(dir_okay=False, path_type=Path)),
            click.option(
                "--category", required=True, shell_complete=categories, help="Subject category of the draft."
            ),
            click.option(
                "--to",
                multiple=True,
                metavar="CODES",
                shell_complete=members,
                help="Recipients of the draft; repeatable, or separated by commas. Default: none; add them "
                "to the draft.",
            ),
            click.option(
                "--table",
                type=click.Path(dir_okay=False, path_type=Path),
                help="The table of markings. Default: markings.toml in FOLDER, then in your profile.",
            ),
            own_option,
            click.option(
                "--out",
                "target",
                type=click.Path(file_okay=False, path_type=Path),
                required=True,
                help="Folder to write.",
            ),
        )
    ):
        function = option(function)
    return function


@click.group(cls=CommandGroup)
def stix() -> None:
    """Write bulletins as STIX 2.1, and make drafts from the files of other systems."""


@stix.command(epilog=examples("intelshare stix export 3f9a1c22 --out bulletin.stix.json"))
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@originator()
@click.option(
    "--out",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, which must not exist yet. Default: standard output.",
)
@printing
@talking
def export(client: Client, out: Out, bulletin: str, originator: str, target: Path | None) -> None:
    """Write the bulletin whose id begins with ID as a STIX 2.1 bundle with its markings.

    Your node logs that you read it. Portions that may only be shown to you (DISPLAY ONLY) are left out.
    """
    opened = client.read(bulletin, originator=originator)
    put_out(bundle_of(opened, opened.portions, NodeRegistry(client), out), target, out)


@stix.command(
    name="import",
    epilog=examples("intelshare stix import report.stix.json --category cyber --to USA --out draft"),
)
@draft_options
@printing
def import_(
    file: Path,
    category: str,
    to: tuple[str, ...],
    table: Path | None,
    folder: Path | None,
    target: Path,
    out: Out,
) -> None:
    """Make a draft from a STIX 2.1 FILE, for you to check and to send with `send --batch`.

    Its markings become labels: labels and TLP are taken as they are, other markings by the table. Nothing is
    lowered; a marking that is not understood is refused by name. Nothing is sent, and nothing is fetched.
    """
    from intelshare.interop import read_stix

    registry = registry_of(folder)
    known = marking_table(table, folder, registry)
    imported = read_stix(text_of(file), known, registry, _now(), source=str(file))
    write_draft(imported, file, category, to, target, registry, out)


def write_draft(
    imported: Imported,
    file: Path,
    category: str,
    to: tuple[str, ...],
    target: Path,
    registry: Registry,
    out: Out,
) -> None:
    """Write a draft into a folder and say how to send it. Raises ConfigError TOO_LARGE, UNSAFE_NAME."""
    from intelshare.cli.shared.files import write_new
    from intelshare.interop import DRAFT, draft_files

    codes = [code.strip().upper() for text in to for code in text.split(",") if code.strip()]
    contents = draft_files(
        imported, str(target.resolve()), category=category, to=codes, registry=registry, source=str(file)
    )
    paths = write_new(target, contents)
    out.document("files", {"files": [str(path) for path in paths]})
    for path in paths:
        out.line(str(path))
    missing = "" if codes else 'name recipients in "to"; then '
    out.note(f"{missing}send it: intelshare send --batch {target / DRAFT}")


def bundle_of(
    opened: pb.ReadResponse, portions: Sequence[pb.ReadPortion], words: NodeRegistry, out: Out
) -> str:
    """Return the bundle as ASCII JSON text. Raises DeliveryError POLICY_DENIED if no portion may be kept."""
    from intelshare.interop import write_bundle_of, write_report

    def made(shared: Shared, registry: Registry) -> str:
        return json.dumps(write_bundle_of(write_report(shared, registry)), indent=2) + "\n"

    return in_form(opened, portions, words, out, made)


def in_form(
    opened: pb.ReadResponse,
    portions: Sequence[pb.ReadPortion],
    words: NodeRegistry,
    out: Out,
    write: Callable[[Shared, Registry], str],
) -> str:
    """Return the portions that may be kept, in the form that ``write`` gives; a note says what was left out.

    Raises DeliveryError POLICY_DENIED if no portion may be kept.
    """
    from intelshare.client import shared_of

    def made(registry: Registry) -> str:
        shared = shared_of(opened, registry, portions)
        if shared is None:
            raise DeliveryError(
                "POLICY_DENIED",
                "it may only be shown, not kept (DISPLAY ONLY)",
                place=Place(opened.bulletin.hex()),
                hint="read it on the screen; nothing was written",
            )
        return write(shared, registry)

    text = words.reading(made)
    left = [one for one in portions if one.portion.kind == _ATTACHMENT or _DISPLAY_ONLY in one.obligations]
    if left:
        out.note(f"portions left out, as attachments or for display only: {len(left)}")
    return text


def put_out(text: str, target: Path | None, out: Out) -> None:
    """Write the text to a new file, or to standard output. Raises ConfigError UNSAFE_NAME."""
    if target is None:
        sys.stdout.write(text)
        return
    from intelshare.cli.shared.files import write_new_file

    path = write_new_file(target, text.encode())
    out.document("files", {"files": [str(path)]})
    out.line(str(path))


def marking_table(given: Path | None, folder: Path | None, registry: Registry) -> MarkingTable:
    """Return the operator's table of markings: of the file named, the folder or the profile, in this order;
    or an empty one.

    Raises PolicyFileError.
    """
    import os

    from intelshare.client import choose_profile
    from intelshare.interop import FILE, MarkingTable, parse_marking_table

    chosen = None if given or folder else choose_profile(None, os.environ, Path.cwd())
    usual = folder or (chosen[0] if chosen is not None else None)
    path = given or (usual / FILE if usual is not None and (usual / FILE).exists() else None)
    return MarkingTable() if path is None else parse_marking_table(read_policy(path), str(path), registry)


_ATTACHMENT, _DISPLAY_ONLY = 5, "display-only"


def text_of(path: Path) -> str:
    """Return the text of a file of at most 1 MiB in UTF-8. Raises ConfigError NOT_FOUND, TOO_LARGE,
    INPUT_INVALID.
    """
    from intelshare.cli.shared.files import opened_regular
    from intelshare.labels import MAX_STIX_BYTES

    with opened_regular(path) as (file, size):
        if size > MAX_STIX_BYTES:
            raise ConfigError(
                "TOO_LARGE",
                f"a STIX file may have at most {MAX_STIX_BYTES} bytes",
                place=Place(str(path)),
                hint="split it into several files",
            )
        content = file.read(MAX_STIX_BYTES)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(
            "INPUT_INVALID", "a STIX file must be UTF-8, and this one is not", place=Place(str(path))
        ) from None


def _now() -> Instant:
    return Instant(time.time_ns() // 1000)
