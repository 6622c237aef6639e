"""``policy words``: lists the categories, flags and obligations that may be used, with their meanings."""

from __future__ import annotations

from pathlib import Path

import click

from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table

KINDS = ("category", "flag", "obligation")


@click.command(epilog=examples("intelshare policy words", "intelshare policy words obligation"))
@click.argument("kind", metavar="[category|flag|obligation]", type=click.Choice(KINDS), required=False)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=Path(),
    help="The folder that contains words/. Default: the current folder.",
)
@printing
def words(kind: str | None, folder: Path, out: Out) -> None:
    """List the words that may be used in policies, portions and the register, with their meaning.

    It marks obligations that the node fulfils itself; every other obligation is for people.
    """
    from intelshare.cli.shared.beside import registry_for
    from intelshare.instant import NEVER
    from intelshare.labels import BEGINNING, WordKind, when

    registry = registry_for(folder / "words.toml")
    rows = []
    document = []
    for each in WordKind:
        if kind not in (None, each.value):
            continue
        for word in sorted(registry.words.of(each).values(), key=lambda word: word.name):
            by = (word.enforced and "node") or ("people" if each is WordKind.OBLIGATION else "")
            rows.append((each.value, word.name, by, word.means))
            document.append(
                {
                    "kind": each.value,
                    "name": word.name,
                    "means": word.means,
                    "enforced": word.enforced,
                    "from": None if word.during.start == BEGINNING else when(word.during.start),
                    "until": None if word.during.until == NEVER else when(word.during.until),
                }
            )
    if out.json:
        out.document("words", {"words": document})
        return
    out.table(Table(("kind", "word", "seen to by", "means"), rows))
