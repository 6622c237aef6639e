"""``draft``: a file of bulletins for ``send --batch``, begun, checked and edited before it is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.analyst.compose import PRECEDENCES
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.completion import categories, labels, members
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import printing, talking
from intelshare.cli.shared.output import Out, Table
from intelshare.errors import ConfigError, IntelshareError, Place

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb


@click.group(cls=CommandGroup)
def draft() -> None:
    """Begin, check and edit a draft: a file with one bulletin a line, which `send --batch` sends."""


@draft.command(
    epilog=examples(
        'intelshare draft new kit.jsonl --to USA --category cyber --label "//FRA SECRET//REL TO FRA, USA"'
    )
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--to", multiple=True, required=True, metavar="CODES", shell_complete=members, help="Recipients; repeat."
)
@click.option("--category", required=True, shell_complete=categories, help="Subject category.")
@click.option("--label", required=True, shell_complete=labels, help="Label of the text, and of the title.")
@click.option("--text", default="", help="The text. Default: a line for you to replace.")
@click.option("--title", help="A title; it is a portion too.")
@click.option(
    "--precedence",
    type=click.Choice(PRECEDENCES, case_sensitive=False),
    default=PRECEDENCES[0],
    show_default=True,
    help="Priority when messages have to queue.",
)
@printing
def new(
    file: Path,
    to: tuple[str, ...],
    category: str,
    label: str,
    text: str,
    title: str | None,
    precedence: str,
    out: Out,
) -> None:
    """Write a draft of one bulletin into FILE, which must be new. Nothing is sent, and no node is asked."""
    from intelshare.cli.analyst.draft import recipients
    from intelshare.cli.shared.files import write_new_file

    line: dict[str, Any] = {
        "to": recipients(to),
        "category": category,
        "label": label,
        "text": text or "Replace this text.",
        "precedence": precedence.upper(),
    }
    if title is not None:
        line["title"] = title
    path = write_new_file(file, (json.dumps(line, ensure_ascii=False) + "\n").encode())
    out.document("files", {"files": [str(path)]})
    out.line(str(path))
    out.note(f"next: intelshare draft edit {path}, then intelshare send --batch {path}")


@draft.command(epilog=examples("intelshare draft check kit.jsonl"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@printing
@talking
def check(client: Client, out: Out, file: Path) -> int:
    """Show what would become of each line of FILE, without sending it. Exit 2 if a line cannot be sent.

    `intelshare why --file FILE --member M` says for each line why M would get what it would get.
    """
    return show_lines(tried_lines(client, file), file, out)


@draft.command(epilog=examples("intelshare draft edit kit.jsonl"))
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@printing
@talking
def edit(client: Client, out: Out, file: Path) -> int:
    """Open FILE in your editor (VISUAL, EDITOR), then show what would become of each line."""
    click.edit(filename=str(file))
    return show_lines(tried_lines(client, file), file, out)


Tried = tuple[int, "pb.SubmitResponse | IntelshareError", Sequence[str]]
"""A line, what would become of it, and to whom it is."""


def tried_lines(client: Client, file: Path) -> list[Tried]:
    """Every line of a draft, decided by the node and not sent. ConfigError for a file without lines."""
    import time

    from intelshare.cli.analyst.batch import read_lines
    from intelshare.cli.shared.beside import NodeRegistry
    from intelshare.instant import Instant

    found: list[Tried] = []
    for number, item in read_lines(str(file), Instant(time.time_ns() // 1000), NodeRegistry(client)):
        if isinstance(item, IntelshareError):
            found.append((number, item, ()))
            continue
        try:
            found.append((number, client.dry_run(item.request), item.request.to))
        except IntelshareError as error:
            if error.code in ("NODE_UNREACHABLE", "TLS_REFUSED", "NOT_AUTHORISED"):
                raise
            found.append((number, error, item.request.to))
    if not found:
        raise ConfigError("INPUT_INVALID", "there is no line", place=Place(str(file)))
    return found


def show_lines(tried: Sequence[Tried], file: Path, out: Out) -> int:
    """Print what would become of each line; the exit code."""
    from intelshare.cli.shared.output import error_lines
    from intelshare.cli.shared.plain import plain

    rows, documents = [], []
    for number, found, to in tried:
        wrong = found if isinstance(found, IntelshareError) else None
        answer = None if isinstance(found, IntelshareError) else found
        words = "" if answer is None else ", ".join(f"{pair.recipient} {pair.word}" for pair in answer.pairs)
        rows.append(
            (str(number), f"wrong: {wrong.code}" if wrong else words, answer.banner if answer else "")
        )
        documents.append(
            {
                "line": number,
                "to": list(to),
                "banner": answer.banner if answer else None,
                "pairs": [plain(pair) for pair in answer.pairs] if answer else [],
                "wrong": wrong and {"code": wrong.code, "message": wrong.message, "hint": wrong.hint},
            }
        )
    out.document("draft", {"file": str(file), "lines": documents})
    out.table(Table(("line", "would be", "banner"), rows))
    wrong_ones = [found for _, found, _ in tried if isinstance(found, IntelshareError)]
    for error in wrong_ones:
        for line in error_lines(error):
            out.note(line)
    if not wrong_ones:
        out.note(f"send it: intelshare send --batch {file}")
    return Exit.USAGE if wrong_ones else Exit.DONE
