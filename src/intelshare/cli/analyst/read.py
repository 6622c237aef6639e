"""``inbox`` and ``read``: received bulletins, shown between two banners or written safely to files."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, BinaryIO

import click

from intelshare.cli.shared.beside import NodeRegistry
from intelshare.cli.shared.completion import MEMBER, bulletins, categories, know, members, see
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import originator, printing, talking
from intelshare.cli.shared.output import Out, Progress
from intelshare.errors import ConfigError, DeliveryError, Place
from intelshare.instant import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb

_TEXTS = frozenset((1, 2))
_KINDS = {1: "text", 2: "title", 3: "file", 4: "STIX", 5: "attachment"}
_SUFFIXES = {1: ".txt", 2: ".txt", 3: ".bin", 4: ".stix.json", 5: ".bin"}
_ATTACHMENT = 5
_KEPT = "display-only"


@click.command(
    epilog=examples(
        "intelshare inbox --unread",
        "intelshare inbox --from USA --category cyber --since 2026-01-01",
        "intelshare inbox --follow",
    )
)
@click.option("--unread", is_flag=True, help="List only bulletins that you have not opened.")
@click.option(
    "--from",
    "sender",
    default="",
    metavar="CODE",
    shell_complete=members,
    help="List only bulletins from this originator.",
)
@click.option(
    "--category", default="", shell_complete=categories, help="List only bulletins with this category."
)
@click.option("--since", metavar="TIME", help="List only bulletins received at or after this date or time.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Show at most N entries."
)
@click.option("--follow", is_flag=True, help="Keep showing what arrives, until Ctrl-C.")
@printing
@talking
def inbox(
    client: Client,
    out: Out,
    unread: bool,
    sender: str,
    category: str,
    since: str | None,
    limit: int,
    follow: bool,
) -> None:
    """List the received bulletins that your clearance and need to know allow, newest first."""
    from intelshare.cli.shared.follow import cursor_now
    from intelshare.cli.shared.follow import follow as go_on
    from intelshare.cli.shared.output import note_damaged, note_waiting
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import inbox_table
    from intelshare.cli.shared.times import moment

    cursor = cursor_now(client) if follow else ""
    found = client.inbox(
        unread=unread,
        sender=sender.upper(),
        category=category,
        since=0 if since is None else moment(since, "--since"),
        limit=limit,
    )
    (out.event if follow else out.document)("inbox", plain(found))
    see(client.profile, [entry.bulletin.hex() for entry in found.entries])
    know(client.profile, MEMBER, [entry.originator for entry in found.entries])
    if found.entries:
        out.table(inbox_table(found.entries))
    elif not found.waiting:
        out.note("nothing here")
    note_waiting(out, found.waiting)
    if found.requests_overdue:
        out.note(f"overdue requests for information: {found.requests_overdue}; see `intelshare rfi list`")
    if found.obligations_overdue:
        out.note(f"overdue obligations: {found.obligations_overdue}; see `intelshare obligations list`")
    note_damaged(out, found.damaged)
    for hole in found.holes:
        numbers = str(hole.first) if hole.first == hole.last else f"{hole.first} to {hole.last}"
        out.note(f"missing from {hole.originator}: number {numbers}; it is being asked for")
    if follow:
        asked = sender.upper()
        go_on(client, out, cursor, lambda e: e.what == "received" and (not asked or e.member == asked))


@click.command(
    epilog=examples("intelshare read 3f9a1c22", "intelshare read 3f9a1c22 --portion 1 --out received")
)
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@originator()
@click.option("--portion", "number", type=click.IntRange(1), help="Show only this portion, counted from 1.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "raw", "stix"]),
    default="text",
    show_default=True,
    help="raw: the bytes of one portion, for a pipe or file; stix: a STIX 2.1 bundle.",
)
@click.option(
    "--out", "folder", metavar="DIR", help="Write each portion to a file in DIR; never overwrite a file."
)
@click.option(
    "--binding",
    "bindings",
    multiple=True,
    type=click.Choice(["xml", "json"]),
    help="With --out: also write a STANAG 4778 binding (label and hash) beside each file, in this form; "
    "repeatable.",
)
@printing
@talking
def read(
    client: Client,
    out: Out,
    bulletin: str,
    originator: str,
    number: int | None,
    form: str,
    folder: str | None,
    bindings: tuple[str, ...],
) -> None:
    """Open the bulletin whose id begins with ID, received or sent. Your node logs that you read it."""
    from pathlib import Path

    from intelshare.cli.shared.plain import plain

    if bindings and folder is None:
        raise click.UsageError("--binding writes beside files: name a folder with --out")
    opened = client.read(bulletin, originator=originator)
    chosen = list(enumerate(opened.portions, 1))
    if number is not None:
        chosen = [pair for pair in chosen if pair[0] == number]
        if not chosen:
            message = f"the bulletin has {len(opened.portions)} portions that you may read"
            raise ConfigError(
                "NOT_FOUND", message, place=Place("--portion"), hint="portions are counted from 1"
            )
    if folder is not None:
        _write(client, opened, Path(folder), chosen, bindings, out)
    elif form == "raw":
        _raw(chosen)
    elif form == "stix":
        from intelshare.cli.analyst.stix import bundle_of

        sys.stdout.write(bundle_of(opened, [one for _, one in chosen], NodeRegistry(client), out))
    elif form == "json" or out.json:
        content = plain(opened)
        content["portions"] = [_json(n, portion) for n, portion in chosen]
        Out(json=True).document("bulletin", content)
    else:
        _show(opened, chosen, NodeRegistry(client), out)


def _show(
    opened: pb.ReadResponse, chosen: list[tuple[int, pb.ReadPortion]], words: NodeRegistry, out: Out
) -> None:
    from intelshare.cli.shared.tables import around, precedence, short_time

    banner = _wrapped(opened.banner)
    out.block(banner)
    until = "" if opened.valid_until in (0, NEVER) else f"  valid until {short_time(opened.valid_until)}"
    received = bool(opened.received_at)
    whose = f"from {opened.originator}, number {opened.sequence}" if received else f"of {opened.originator}"
    came = f"  received {short_time(opened.received_at)}" if received else ""
    out.line(
        f"{opened.bulletin.hex()}  {whose}  {precedence(opened.precedence)}  "
        f"created {short_time(opened.created_at)}{came}{until}"
    )
    for line in around(opened):
        out.line(line)
    for number, shown in chosen:
        portion = shown.portion
        about = [portion.category, portion.grade, *portion.flags, shown.basis]
        out.line()
        kind = _KINDS.get(portion.kind, "unknown")
        out.line("  ".join((f"[{number}] {shown.mark}", kind, *(word for word in about if word))))
        for line in _duties(shown.obligations, words):
            out.line(f"    {line}")
        text = text_of_portion(shown)
        if portion.kind in _TEXTS:
            out.block(text)
        else:
            out.line(f"{text}: {_where(shown, received=received)}")
    out.line()
    out.block(banner)


def text_of_portion(shown: pb.ReadPortion) -> str:
    """The text of a portion, or what it is where it is none."""
    if shown.portion.kind in _TEXTS:
        return shown.portion.content.decode("utf-8", "backslashreplace")
    size = shown.file_size if shown.portion.kind == _ATTACHMENT else len(shown.portion.content)
    return f"{shown.portion.media}, {size} bytes"


def _where(shown: pb.ReadPortion, *, received: bool) -> str:
    if shown.portion.kind != _ATTACHMENT or shown.file_here:
        return "write it with --out DIR"
    if not received:
        return "no longer here"
    return "the disk has lost a part, which is being fetched again" if shown.file_lost else "on its way"


def _duties(obligations: Sequence[str], words: NodeRegistry) -> list[str]:
    from intelshare.builtin import builtin_registry
    from intelshare.cli.shared.obligations import seen_to
    from intelshare.labels import WordKind

    registry = builtin_registry()
    if any(registry.words.find(WordKind.OBLIGATION, name) is None for name in obligations):
        registry = words.whole()
    return seen_to(obligations, registry)


def _wrapped(banner: str) -> str:
    """Wrap a banner and never cut it: a truncated marking is a wrong marking."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else max(len(banner), 1)
    return "\n".join(textwrap.wrap(banner, max(columns, 20), break_long_words=False, break_on_hyphens=False))


def _json(number: int, shown: pb.ReadPortion) -> dict[str, object]:
    from intelshare.cli.shared.plain import plain

    about = plain(shown)
    text = shown.portion.content.decode("utf-8", "replace") if shown.portion.kind in _TEXTS else None
    return {"number": number, **about.pop("portion"), **about, "text": text}


def may_keep(number: int, shown: pb.ReadPortion) -> None:
    """Raise DeliveryError POLICY_DENIED for a portion that may only be shown."""
    if _KEPT in shown.obligations:
        raise DeliveryError(
            "POLICY_DENIED",
            f"portion {number} may only be shown, not kept (DISPLAY ONLY)",
            place=Place(shown.mark),
            hint="read it without --out and --format raw; nothing was written",
        )


def _raw(chosen: list[tuple[int, pb.ReadPortion]]) -> None:
    if len(chosen) != 1:
        raise ConfigError(
            "INPUT_INVALID", "raw output is the bytes of one portion", hint="choose it with --portion N"
        )
    if sys.stdout.isatty():
        raise ConfigError(
            "INPUT_INVALID",
            "raw bytes could command this terminal",
            place=Place("--format raw"),
            hint="send them to a file: > FILE",
        )
    may_keep(*chosen[0])
    if chosen[0][1].portion.kind == _ATTACHMENT:
        raise ConfigError(
            "INPUT_INVALID",
            "an attachment is verified only at its end, when a pipe would already have passed on the rest",
            place=Place("--format raw"),
            hint="write it to a folder: --out DIR",
        )
    sys.stdout.buffer.write(chosen[0][1].portion.content)


def _write(
    client: Client,
    opened: pb.ReadResponse,
    folder: Path,
    chosen: list[tuple[int, pb.ReadPortion]],
    bindings: tuple[str, ...],
    out: Out,
) -> None:
    """Write all files or none.

    Raises ConfigError UNSAFE_NAME, DeliveryError POLICY_DENIED, FILE_INCOMPLETE, LabelError.
    """
    from hashlib import sha384

    from intelshare.cli.shared.files import Filler, write_new

    contents: dict[str, bytes | Filler] = {}
    words = NodeRegistry(client)
    for number, shown in chosen:
        may_keep(number, shown)
        name, hashed = f"{number}-{_name(number, shown)}", sha384()
        if shown.portion.kind == _ATTACHMENT:
            contents[name] = _filler(client, opened, number, shown, hashed.update, out)
        else:
            contents[name] = shown.portion.content
            hashed.update(shown.portion.content)
        # The binding is written after the file: its hash is known then.
        contents |= _companions(name, shown, bindings, opened.created_at, hashed.digest, words)
    paths = write_new(folder, contents)
    out.document("files", {"files": [str(path) for path in paths]})
    for path in paths:
        out.line(str(path))


def _filler(
    client: Client,
    opened: pb.ReadResponse,
    number: int,
    shown: pb.ReadPortion,
    seen: Callable[[bytes], object],
    out: Out,
) -> Callable[[BinaryIO], object]:
    """Return a function that writes an attachment as it comes from the node, and passes each piece to
    ``seen``.
    """

    def fill(file: BinaryIO) -> None:
        def write(piece: bytes) -> None:
            file.write(piece)
            seen(piece)

        with Progress(out, "MiB") as progress:
            client.download(
                opened.bulletin.hex(),
                number,
                write,
                originator=opened.originator,
                told=lambda at: progress.at(at >> 20, shown.file_size >> 20),
            )

    return fill


def _companions(
    name: str,
    shown: pb.ReadPortion,
    bindings: tuple[str, ...],
    created: int,
    digest: Callable[[], bytes],
    words: NodeRegistry,
) -> dict[str, Callable[[BinaryIO], object]]:
    """Return the bindings of one file. Their hash is of the content: it stays beside the file
    (docs/decisions).
    """
    from intelshare.cli.shared.bindings import SUFFIXES, binding_of
    from intelshare.instant import Instant
    from intelshare.labels import parse_label

    if not bindings:
        return {}
    registry = words.whole()
    label = parse_label(shown.portion.label, registry, Instant(created))

    def filler(form: str) -> Callable[[BinaryIO], object]:
        return lambda file: file.write(
            binding_of(name, label, shown.portion.media, digest(), form, registry, Instant(created))
        )

    return {name + SUFFIXES[form]: filler(form) for form in dict.fromkeys(bindings)}


def _name(number: int, shown: pb.ReadPortion) -> str:
    from intelshare.text import safe_name

    _, marker, name = shown.portion.media.partition("name=")
    if marker:
        return safe_name(name, source=f"portion {number}")
    return _KINDS.get(shown.portion.kind, "portion") + _SUFFIXES.get(shown.portion.kind, ".bin")
