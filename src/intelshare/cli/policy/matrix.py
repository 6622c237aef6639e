"""``policy matrix``: shows up to which level each member may send to each other member."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from intelshare.cli.policy.effects import check_words, world_of
from intelshare.cli.shared.completion import categories, members
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table
from intelshare.cli.shared.paths import paths_argument
from intelshare.cli.shared.times import moment
from intelshare.errors import ConfigError, Place

if TYPE_CHECKING:
    from intelshare.labels import Level
    from intelshare.policy import World

WIDEST: Final = 12
"""The most columns of a grid; more recipients are listed instead, with those treated alike on one line."""

_SHOWN: Final = 12
"""The most members that one cell of the list names."""


@click.command(
    epilog=examples(
        "intelshare policy matrix treaties/ --category cyber --as-of 2026-01-01",
        "intelshare policy matrix treaties/ --category cyber --from FRA --to KEN --to USA",
    )
)
@paths_argument
@click.option("--category", required=True, shell_complete=categories, help="Category of the information.")
@click.option("--as-of", metavar="TIME", help="Decide as of this date or time. Default: now.")
@click.option(
    "--member",
    "only",
    multiple=True,
    metavar="MEMBER",
    shell_complete=members,
    help="Show only these members. Default: all parties.",
)
@click.option(
    "--from",
    "senders",
    multiple=True,
    metavar="MEMBER",
    shell_complete=members,
    help="Show only these senders.",
)
@click.option(
    "--to",
    "recipients",
    multiple=True,
    metavar="MEMBER",
    shell_complete=members,
    help="Show only these recipients.",
)
@click.option(
    "--list",
    "listed",
    is_flag=True,
    help="List who may send what to whom, with members treated alike on one line.",
)
@printing
def matrix(
    paths: tuple[Path, ...],
    category: str,
    as_of: str | None,
    only: tuple[str, ...],
    senders: tuple[str, ...],
    recipients: tuple[str, ...],
    listed: bool,
    out: Out,
) -> None:
    """Show the highest level that each sender may send to each recipient.

    The labels used name both members in REL TO; the treaties and overlays of PATHS decide. More than 12
    recipients are listed instead: members treated alike share a line, and recipients that get nothing are
    left out.
    """
    from intelshare.instant import show
    from intelshare.policy_tools import matrix as build

    world, when = world_of(paths), moment(as_of, "--as-of")
    parties = sorted({party.member for treaty in world.treaties for party in treaty.parties})
    rows = _chosen(senders or only or parties, "--from" if senders else "--member", world)
    columns = _chosen(recipients or only or parties, "--to" if recipients else "--member", world)
    check_words(world, category)
    cells = build(world, when, category, rows, columns)
    out.document(
        "policy-matrix",
        {
            "as_of": show(when),
            "category": category,
            "cells": [
                {
                    "from": sender,
                    "to": recipient,
                    "level": None if level is None else level.name,
                    "reference": None if level is None else level.reference.name,
                }
                for (sender, recipient), level in cells.items()
            ],
        },
    )
    if out.json:
        return
    nothing = "" if listed or len(columns) > WIDEST else " (- nothing)"
    out.line(f"{category} as of {show(when)}: the highest level that goes through{nothing}")
    if not nothing:
        _list(cells, out)
        return
    grid = [
        [sender, *(_cell(sender, recipient, cells.get((sender, recipient))) for recipient in columns)]
        for sender in rows
    ]
    out.table(Table(("from \\ to", *columns), grid))


def _list(cells: dict[tuple[str, str], Level | None], out: Out) -> None:
    from intelshare.policy_tools import grouped

    groups = grouped(cells)
    rows = [
        (
            _some(group.senders),
            "each other" if group.each_other else _some(group.recipients),
            group.reference.name,
        )
        for group in groups
    ]
    if rows:
        out.table(Table(("from", "to", "up to"), rows))
    none = sum(level is None for level in cells.values())
    if none:
        out.line(
            f"nothing may be sent between the other {none} of {len(cells)} pairs; --from and --to select "
            f"pairs"
        )


def _chosen(codes: Sequence[str], option: str, world: World) -> list[str]:
    found = sorted({code.upper() for code in codes})
    unknown = [code for code in found if code not in world.members]
    if unknown:
        raise ConfigError("UNKNOWN_MEMBER", f'"{unknown[0]}" is not a member', place=Place(option))
    return found


def _some(codes: Sequence[str]) -> str:
    more = f" and {len(codes) - _SHOWN} more" if len(codes) > _SHOWN else ""
    return " ".join(codes[:_SHOWN]) + more


def _cell(sender: str, recipient: str, level: object) -> str:
    name: str = getattr(level, "name", "-")
    return "" if sender == recipient else name
