"""``courier``: bundles that carry across an air gap what a link would carry."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from intelshare.cli.shared.codes import Exit, exit_of
from intelshare.cli.shared.completion import members
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import on_folder, printing
from intelshare.cli.shared.output import Out, Progress, print_error
from intelshare.errors import DeliveryError, IntelshareError, Place

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder
    from intelshare.wire.v1 import user_pb2 as pb

_MIB = 20


@click.group(cls=CommandGroup)
def courier() -> None:
    """Export and import bundles: files that carry to a member, sealed to it alone, what a link would
    carry.
    """


@courier.command(epilog=examples("intelshare courier export USA --out to-usa.bundle --folder fra"))
@click.argument("member", metavar="MEMBER", shell_complete=members)
@click.option(
    "-o",
    "--out",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Write to this new file, which only you can read.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1024),
    default=64,
    show_default=True,
    help="Approximate limit in MiB; the next bundle contains the rest.",
)
@printing
@on_folder
def export(node: NodeFolder, out: Out, member: str, target: Path, limit: int) -> None:
    """Write what waits for MEMBER into a bundle: the most urgent first, including receipts and recalls.

    The content counts as sent: it has its numbers, and is decided as of now. If the file is lost, the next
    bundle contains the same again, under the same numbers. The node must be running.
    """
    from intelshare.cli.shared.files import write_new_file
    from intelshare.cli.shared.plain import plain

    found: list[pb.CourierBundle] = []

    def fill(file: BinaryIO) -> None:
        with node.running() as client, Progress(out, "MiB") as progress, _named():
            found.append(
                client.export_bundle(
                    member.upper(), file.write, limit=limit << _MIB, told=lambda at: progress.at(at >> _MIB)
                )
            )

    write_new_file(target, fill)
    (bundle,) = found
    out.document("courier-bundle", {"file": str(target), **plain(bundle)})
    out.line(f"{target}  {bundle.size} bytes for {bundle.member}, sha256 {bundle.sha256.hex()}")
    out.line(
        f"  {bundle.releases} releases, {bundle.others} other statements, "
        f"{bundle.acknowledgements} acknowledgements, {bundle.requests} requests"
    )
    if bundle.more:
        out.note("the limit was reached: export again for the rest")
    elif bundle.queued:
        out.note(f"{bundle.queued} bulletins wait" + (f" ({bundle.code})" if bundle.code else ""))
    if bundle.files or bundle.files_left:
        out.line(f"  {bundle.files} attachments")
    if bundle.files_left:
        out.note(
            f"{bundle.files_left} attachments are not in it to their end: import the next bundle of "
            f"{bundle.member}, then export again"
        )
    _note_files(out, bundle.files_wanted, bundle.member)


@courier.command("import", epilog=examples("intelshare courier import from-fra.bundle --folder usa"))
@click.argument("file", type=click.Path(path_type=Path))
@printing
@on_folder
def import_(node: NodeFolder, out: Out, file: Path) -> int:
    """Import the bundle FILE from a member. Importing a file twice has no further effect.

    Each statement is checked as if it had come over a link. Answers, including receipts, go with the next
    `intelshare courier export` to that member. The node must be running.
    """
    from intelshare.cli.shared.files import opened_regular
    from intelshare.cli.shared.output import reading_waits
    from intelshare.cli.shared.plain import plain
    from intelshare.instant import Instant, show

    with (
        opened_regular(file) as (opened, size),
        Progress(out, "MiB") as progress,
        node.running() as client,
        _named(file),
    ):
        taken = client.import_bundle(opened, told=lambda at: progress.at(at >> _MIB, size >> _MIB))
    out.document("courier-taken", {"file": str(file), **plain(taken)})
    out.line(f"{file}  from {taken.member}, written {show(Instant(taken.signed_at))}")
    out.line(
        f"  {taken.accepted} new bulletins, {taken.statements} statements, "
        f"{taken.acknowledgements} acknowledgements"
    )
    if taken.files:
        out.line(f"  {taken.files} attachments")
    if taken.reading_waits:
        out.note(reading_waits(taken.member, taken.reading_waits))
    for one in taken.rejected:
        out.note(f"{one.count} rejected here: {one.code}")
    for one in taken.rejected_there:
        out.note(f"{one.count} of yours rejected by {taken.member}: {one.code}")
    _note_files(out, taken.files_wanted, taken.member)
    if not taken.code:
        return Exit.DONE
    error = DeliveryError(
        taken.code,
        "the bundle is incomplete: everything before that point was imported",
        place=Place(str(file)),
        hint="import a complete copy, or the next bundle",
    )
    # With --json the document above has the code, and is the only one.
    print_error(error, as_json=False)
    return exit_of(taken.code)


@contextlib.contextmanager
def _named(file: Path | None = None) -> Iterator[None]:
    """Complete what the node says of a bundle: with its file, for who imports several one after the other,
    and with what an operator of this node can do. The code's usual hint is for the member that is left out.
    """
    try:
        yield
    except IntelshareError as error:
        if file is not None:
            error.place = error.place or Place(str(file))
        if error.code == "PEER_REVOKED":
            error.hint = "`intelshare member list` shows it; `intelshare member resume` ends a suspension"
        raise


def _note_files(out: Out, wanted: int, member: str) -> None:
    if wanted:
        out.note(f"{wanted} attachments of {member} are not whole here: the next bundle to it asks for them")
