"""Asks for confirmation before an act that cannot be undone."""

from __future__ import annotations

import click


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation of an irreversible act, and never guess. Raises ConfigError USAGE if nobody can
    answer.
    """
    import sys

    from intelshare.errors import ConfigError

    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            "USAGE",
            "confirmation is needed, but standard input is not a terminal",
            hint="pass --yes if you are sure",
        )
    click.confirm(question, abort=True, err=True)
