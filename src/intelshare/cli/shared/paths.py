"""The argument PATHS of commands that read policy files."""

from __future__ import annotations

from pathlib import Path

import click

from intelshare.cli.shared.completion import shipped_treaties

paths_argument = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))

treaty_paths_argument = click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), shell_complete=shipped_treaties
)
"""The same where a treaty that ships may be named by its id."""
