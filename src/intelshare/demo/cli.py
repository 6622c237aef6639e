"""``intelshare demo``."""

from __future__ import annotations

from pathlib import Path

import click

from intelshare.cli.helping import examples

PAUSE = 1.5
"""Seconds after each scene in which it can be read."""


@click.command(epilog=examples("intelshare demo", "intelshare demo --no-pause --keep play"))
@click.option("--no-pause", is_flag=True, help="Do not wait between scenes.")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the members' data folders in the new folder DIR, to be played on with.",
)
def demo(no_pause: bool, keep: Path | None) -> int:
    """Three members on this machine: a bulletin, its readers, and a node that is killed.

    Real processes, sockets, certificates and stores, on loopback, in a temporary folder that is removed at
    the end. Ends with 1 if a scene differs from what it expects.
    """
    from intelshare.demo import climate, play

    return play(climate(), keep=keep, pause=0 if no_pause else PAUSE)
