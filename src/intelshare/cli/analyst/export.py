"""``export``: writes a file for others: who released what to whom, under which article, and the outcome."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.completion import bulletins, members
from intelshare.cli.shared.files import write_file
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import originator, printing, talking
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.client import Client


@click.command(
    epilog=examples(
        "intelshare export 3f9a1c22 --to USA --out release.json",
        "intelshare export 3f9a1c22 --to USA --content --out release.json --binding xml",
    )
)
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@originator()
@click.option(
    "--to",
    "recipient",
    default="",
    metavar="MEMBER",
    shell_complete=members,
    help="The member whose release it is, if there are several.",
)
@click.option(
    "--content",
    is_flag=True,
    help="Include the text of the granted portions. For a recipient this counts as reading them.",
)
@click.option(
    "--slot",
    "slots",
    type=click.IntRange(0, 255),
    multiple=True,
    help="Include only this portion; repeatable.",
)
@click.option("--out", "target", type=click.Path(dir_okay=False, path_type=Path), help="File; else stdout.")
@click.option(
    "--binding",
    "bindings",
    multiple=True,
    type=click.Choice(["xml", "json"]),
    help="With --out: also write a STANAG 4778 binding (banner and hash) in this form; repeatable.",
)
@printing
@talking
def export(
    client: Client,
    bulletin: str,
    originator: str,
    recipient: str,
    content: bool,
    slots: tuple[int, ...],
    target: Path | None,
    bindings: tuple[str, ...],
    out: Out,
) -> int:
    """Write the release of the bulletin whose id begins with ID, with all that was signed about it.

    The sender and the recipient can export it, even after the recipient has destroyed it. Anybody can check
    the file with `intelshare verify`. The file names no other recipient and nothing that was withheld;
    without --content it shows no text. Analysts export what they may read or have read; auditors and
    operators export any release of their node, without content.
    """
    if bindings and target is None:
        raise click.UsageError("--binding writes beside a file: name the file with --out")
    text = client.export_release(
        bulletin, recipient.upper(), content=content or bool(slots), slots=slots, originator=originator
    )
    if target is None:
        sys.stdout.write(text)
        return Exit.DONE
    companions = _companions(client, text, target, bindings)
    write_file(target, text)
    for path, binding in companions.items():
        write_file(path, binding)
    out.document("files", {"files": [str(path) for path in (target, *companions)]})
    for path in (target, *companions):
        out.note(f"written to {path}")
    return Exit.DONE


def _companions(client: Client, text: str, target: Path, bindings: tuple[str, ...]) -> dict[Path, bytes]:
    """Return files that bind ``text`` to the banner of all that was granted, shown in it or not. Raises
    LabelError.
    """
    from base64 import b64decode
    from hashlib import sha384

    from intelshare.audit.portable import RELEASE_SCHEMA, ReleaseFile, read
    from intelshare.cli.shared.beside import NodeRegistry
    from intelshare.cli.shared.bindings import SUFFIXES, binding_of
    from intelshare.crypto.codec import decode
    from intelshare.crypto.records import Claims, Manifest
    from intelshare.labels import parse_label

    if not bindings:
        return {}
    content = text.encode()
    sealed = read(ReleaseFile, RELEASE_SCHEMA, content, target.name).claims
    claims = decode(Claims, b64decode(sealed or ""))
    created = decode(Manifest, claims.manifest).created
    registry = NodeRegistry(client).whole()
    label = parse_label(claims.banner, registry, created)
    digest = sha384(content).digest()
    return {
        target.with_name(target.name + SUFFIXES[form]): binding_of(
            target.name, label, "application/json", digest, form, registry, created
        )
        for form in dict.fromkeys(bindings)
    }
