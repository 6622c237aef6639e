"""The argument PATHS of commands that read policy files."""

from __future__ import annotations

from pathlib import Path

import click

paths_argument = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
