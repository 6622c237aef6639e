"""Finds one replica of a node by its name: each says in the data folder where it is, and to whoever asks it
which one it is.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from intelshare.client import Profile
from intelshare.errors import ConfigError, IntelshareError, Place

if TYPE_CHECKING:
    from intelshare.node.running import Running


def reported(root: Path, name: str) -> Running | None:
    """Return what a replica says of itself in the data folder; without a name, the node or the replica that
    leads. None: it says nothing, or a replica has said nothing lately.
    """
    from intelshare.instant import Instant
    from intelshare.node.folder import Folder
    from intelshare.node.running import read_replica, read_running

    if not name:
        return read_running(Folder(root))
    return read_replica(Folder(root), name, Instant(time.time_ns() // 1000))


def at_replica(profile: Profile, name: str) -> Profile:
    """Return the profile so that it asks this replica and no other one.

    Of a profile that names addresses each is asked which replica it is. Raises ConfigError NODE_UNREACHABLE.
    """
    if not profile.address:
        return replace(profile, address=_shown(profile.folder / profile.node_folder, name))
    met = []
    for address in profile.address.split(","):
        alone = replace(profile, address=address.strip())
        with suppress(IntelshareError):
            found = _name_of(alone)
            if found == name:
                return alone
            met.append(f"{found or 'a node without replicas'} at {alone.address}")
    raise ConfigError(
        "NODE_UNREACHABLE",
        f"no address of this profile is that of replica {name}; {'; '.join(met) or 'nobody answers'}",
        place=Place(profile.address),
        hint="`intelshare node replicas --folder FOLDER` shows which run; is its own address, not that of a "
        "balancer, in profile.toml?",
    )


def _name_of(profile: Profile) -> str:
    from intelshare.client import Client

    with Client(profile) as client:
        return client.status().replica


def _shown(root: Path, name: str) -> str:
    """Return where a replica is, by what it says of itself in the data folder."""
    found = reported(root.resolve(), name)
    if found is None:
        shown = os.path.normpath(root)  # a profile names the folder as ../..
        raise ConfigError(
            "NODE_UNREACHABLE",
            f"no replica {name} has reported recently that it runs",
            place=Place(shown),
            hint=f"`intelshare node replicas --folder {quote(shown)}` shows those that do",
        )
    return found.reached_at()
