"""``trust``: who may speak for a member, and what rests on a key."""

from __future__ import annotations

import click

from intelshare.cli.operator.key_life import impact
from intelshare.cli.shared.help import Group


@click.group(cls=Group)
def trust() -> None:
    """Succeed your member's root; show what rests on a key."""


trust.add_command(impact)
