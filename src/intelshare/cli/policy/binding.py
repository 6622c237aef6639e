"""``label bind`` and ``label check``: write and check STANAG 4778 bindings beside files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import click

from intelshare.cli.shared.beside import own_option, registry_of
from intelshare.cli.shared.bindings import SUFFIXES, binding_of
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.completion import labels
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table
from intelshare.cli.shared.times import moment
from intelshare.errors import LabelError, Place

if TYPE_CHECKING:
    from intelshare.labels import Bound

FORMS: Final = ("xml", "json")
_CHUNK: Final = 1 << 20
_BOUND, _CHANGED, _MISSING, _UNHASHED, _ELSEWHERE = "as bound", "changed", "missing", "no hash", "elsewhere"


@click.command(
    epilog=examples(
        'intelshare label bind report.txt --label "//FRA S//REL TO FRA, USA"',
        "intelshare label bind answer.txt --label TLP:GREEN --form json",
    )
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--label", "text", required=True, metavar="TEXT", shell_complete=labels, help="Label of the files."
)
@click.option(
    "--form",
    "forms",
    multiple=True,
    type=click.Choice(FORMS),
    help="Form of the binding; repeatable for both. Default: xml.",
)
@click.option("--at", "at", metavar="TIME", help="When the label was given. Default: now.")
@click.option("--media", default="", metavar="TYPE", help="Media type of the files.")
@own_option
@printing
def bind(
    files: tuple[Path, ...],
    text: str,
    forms: tuple[str, ...],
    at: str | None,
    media: str,
    folder: Path | None,
    out: Out,
) -> None:
    """Write a STANAG 4778 binding beside each of FILES: its label and a hash, in FILE.bdo or FILE.bdoj.

    The hash is of the content: keep the binding only where the file may be kept. Existing files are never
    overwritten.
    """
    from intelshare.cli.policy.label import read_label
    from intelshare.cli.shared.files import write_new

    registry, when = registry_of(folder), moment(at)
    label = read_label(text, "--label", when, registry, writing=True)
    written: list[Path] = []
    for file in files:
        digest = digest_of(file)
        made = {
            file.name + SUFFIXES[form]: binding_of(file.name, label, media, digest, form, registry, when)
            for form in dict.fromkeys(forms or ("xml",))
        }
        written += write_new(file.parent, made, remedy="move this one away first")
    out.document("files", {"files": [str(path) for path in written]})
    for path in written:
        out.line(str(path))


@click.command(epilog=examples("intelshare label check report.txt.bdo"))
@click.argument("bindings", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--at", "at", metavar="TIME", help="Interpret the labels as of this date or time. Default: now."
)
@own_option
@printing
def check(bindings: tuple[Path, ...], at: str | None, folder: Path | None, out: Out) -> int:
    """Check that the files beside BINDINGS are those that were bound, and show their labels.

    Anybody who can change a file can change its binding too: this detects mistakes, not forgery. A file that
    is stored elsewhere is not checked. Exits with 7 if a file has changed, is missing, or has no hash.
    """
    from intelshare.labels import format_banner, read_binding, show_banner

    registry, when = registry_of(folder), moment(at)
    rows = [
        (str(path), bound, _state(path.parent, bound))
        for path in bindings
        for bound in read_binding(_text(path), registry, when, source=str(path))
    ]
    out.document(
        "bindings",
        {
            "objects": [
                {
                    "binding": path,
                    "uri": bound.uri,
                    "state": state,
                    "label": format_banner(bound.label, registry),
                }
                for path, bound, state in rows
            ]
        },
    )
    shown = [(unquote(bound.uri), state, show_banner(bound.label, registry)) for _, bound, state in rows]
    out.table(Table(("file", "state", "label"), shown))
    return Exit.DONE if all(state == _BOUND for *_, state in rows) else Exit.NOT_VERIFIED


def digest_of(file: Path) -> bytes:
    """Return the SHA-384 of a file's content. Raises ConfigError NOT_FOUND."""
    from hashlib import sha384

    found = sha384()
    try:
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                found.update(chunk)
    except OSError as error:
        from intelshare.cli.shared.files import unreadable

        raise unreadable(file, error) from None
    return found.digest()


def _state(folder: Path, bound: Bound) -> str:
    """Return the state of a data object if its file is beside the binding; references to other places are not
    followed.
    """
    name = unquote(bound.uri)
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name or ":" in name:
        return _ELSEWHERE
    if not (folder / name).is_file():
        return _MISSING
    if bound.digest is None:
        return _UNHASHED
    return _BOUND if digest_of(folder / name) == bound.digest else _CHANGED


def _text(path: Path) -> str:
    from intelshare.cli.policy.label import file_text

    if path.suffix not in (".bdo", ".bdoj") and not path.exists():
        raise LabelError("INPUT_INVALID", "this is not a binding", place=Place(str(path)))
    return file_text(str(path))
