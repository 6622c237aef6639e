"""``intelshare demo``."""

from __future__ import annotations

from pathlib import Path

import click

from intelshare.cli.shared.help import examples

PAUSE = 1.5
"""The seconds after each scene in which it can be read."""

WATCHED = 8.0
"""Seconds before the first scene and after each, in which somebody can look at the console."""

SCENARIOS = ("climate", "five", "paris", "jcpoa")
RECORDS = SCENARIOS[2:]
"""The replays, for which no node is started."""


@click.command(
    epilog=examples(
        "intelshare demo",
        "intelshare demo --console",
        "intelshare demo five --keep play",
    )
)
@click.argument("scenario", type=click.Choice(SCENARIOS), default=SCENARIOS[0])
@click.option("--no-pause", is_flag=True, help="Do not wait between scenes.")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the members' data folders in the new folder DIR, to continue with.",
)
@click.option(
    "--console",
    is_flag=True,
    help="Show it in a browser too: prints an address, plays slowly, stays open until Ctrl-C.",
)
def demo(scenario: str, no_pause: bool, keep: Path | None, console: bool) -> int:
    """Show what sovereign nodes do for each other, on this machine, in scenes that are checked.

    \b
    climate  FRA, USA, KEN: a release, a withdrawal, a cut link, a recall, a forged log
    five     FRA, USA, KEN, NOR and NATO: an organisation's node is not its members
    paris    the Paris Agreement on its public dates, by the engine alone
    jcpoa    the Iran nuclear deal and snapback, the same way

    Real processes, sockets, certificates and stores, on loopback, in a temporary folder that is removed at
    the end. Ends with 1 if a scene differs from what it expects.
    """
    if scenario in RECORDS and (console or keep is not None):
        what = "show in a console" if console else "keep"
        raise click.UsageError(f"{scenario} starts no node, so there is nothing to {what}")
    from intelshare.demo import climate, five, play, record

    made = {"climate": climate, "five": five}
    chosen = made[scenario]() if scenario in made else record(scenario)
    pause = 0 if no_pause else WATCHED if console else PAUSE
    return play(chosen, keep=keep, pause=pause, shown=console)
