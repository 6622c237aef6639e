"""Ask before what cannot be undone."""

from __future__ import annotations

import click


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone; never guess. Raises ConfigError USAGE where nobody can answer."""
    import sys

    from intelshare.errors import ConfigError

    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("USAGE", "this asks, and there is nobody to ask", hint="--yes if you are sure")
    click.confirm(question, abort=True, err=True)
