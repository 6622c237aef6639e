"""Ask before what cannot be undone."""

from __future__ import annotations

import click


def confirm(question: str, *, yes: bool, otherwise: str = "nothing was done", hint: str = "") -> None:
    """Ask before what cannot be undone; never guess.

    ``otherwise``: how things stand after a "no"; ``hint``: what follows then. Raises ConfigError USAGE where
    nobody can answer, NOT_CONFIRMED for a "no".
    """
    import sys

    from intelshare.errors import ConfigError

    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            "USAGE",
            f"confirmation is needed, but standard input is not a terminal; {otherwise}",
            hint="pass --yes if you are sure",
        )
    if not click.confirm(question, err=True):
        raise ConfigError("NOT_CONFIRMED", otherwise, hint=hint or None)
