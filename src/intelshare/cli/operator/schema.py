"""``schema``: the published form of what commands print with ``--json``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from intelshare.cli.shared.completion import documents
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table
from intelshare.errors import ConfigError


@click.command(
    epilog=examples("intelshare schema", "intelshare schema outbox", "intelshare schema --out schemas")
)
@click.argument("name", required=False, shell_complete=documents)
@click.option(
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the schemas of all documents into this folder.",
)
@printing
def schema(name: str | None, folder: Path | None, out: Out) -> None:
    """Print the JSON Schema of the document NAME; without a name, list the documents.

    Every document says its schema itself, as "schema": "intelshare/outbox/1". docs/json.md has the rules.
    """
    from intelshare.cli.shared.documents import about, document_names, schema_of
    from intelshare.cli.shared.files import write_new

    names = document_names()
    if folder is not None:
        contents = {
            f"{one}.schema.json": (json.dumps(schema_of(one), indent=1) + "\n").encode() for one in names
        }
        paths = write_new(folder, contents)
        out.document("files", {"files": [str(path) for path in paths]})
        out.note(f"{len(paths)} schemas written to {folder}")
        return
    if name is None:
        out.document("schemas", {"schemas": {one: about(one) for one in names}})
        out.table(Table(("document", "what it is"), [(one, about(one)) for one in names]))
        return
    short = name.removeprefix("intelshare/").removesuffix("/1")
    if short not in names:
        raise ConfigError("NOT_FOUND", f"there is no document {name}", hint="`intelshare schema` lists them")
    click.echo(json.dumps(schema_of(short), indent=1))
