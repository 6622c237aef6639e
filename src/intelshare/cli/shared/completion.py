"""Completion without the network: the registry's members, treaties that ship, ids that were sent or
listed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from intelshare.errors import IntelshareError, StoreError

if TYPE_CHECKING:
    from intelshare.client import Profile
    from intelshare.labels import Registry

SEEN_FILE = "seen"
"""The file in the profile folder with the ids that lists have shown, newest last, and nothing else about
them.
"""

MAX_SEEN = 500

_ID = 32


def members(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the code of a state or organisation; in a comma-separated list, the last one."""
    registry = _registry(context)
    before, comma, last = incomplete.rpartition(",")
    names = {**registry.states, **{code: group.name for code, group in registry.groups.items()}}
    return [
        CompletionItem(before + comma + code, help=name)
        for code, name in sorted(names.items())
        if registry.is_member(code) and code.startswith(last.upper())
    ]


def categories(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a category, with its meaning."""
    return _words(context, "CATEGORY", incomplete)


def flag_words(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a flag, with its meaning."""
    return _words(context, "FLAG", incomplete)


def _registry(context: click.Context) -> Registry:
    """Return the registry of what ships, plus the definitions in the folder that the command line names or of
    the profile's node on this machine, if they can be read.
    """
    from intelshare.builtin import builtin_registry
    from intelshare.cli.shared.beside import registry_of

    folder = context.params.get("folder")
    if folder is None and "profile" in {param.name for param in context.command.params}:
        profile = _profile(context)
        folder = profile.folder / profile.node_folder if profile and profile.node_folder else None
    try:
        return registry_of(Path(folder) if isinstance(folder, str | Path) else None)
    except (IntelshareError, OSError):
        return builtin_registry()


def _words(context: click.Context, kind: str, incomplete: str) -> list[CompletionItem]:
    from intelshare.labels import WordKind

    words = _registry(context).words.of(WordKind[kind])
    return [
        CompletionItem(name, help=word.means) for name, word in words.items() if name.startswith(incomplete)
    ]


def treaties(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a file, or a treaty that ships."""
    from intelshare.builtin import treaty_packs

    packs = [CompletionItem(name, help="ships with intelshare") for name in treaty_packs()]
    fitting = [item for item in packs if str(item.value).startswith(incomplete)]
    return fitting or [CompletionItem(incomplete, type="file")]


def bulletins(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the id of a bulletin that was sent from here or shown in a list here."""
    profile = _profile(context)
    if profile is None:
        return []
    from intelshare.client.spool import spooled
    from intelshare.instant import Instant

    now = Instant(time.time_ns() // 1000)
    sent = [one.bulletin for one in spooled(profile.spool, now) if one.bulletin]
    found = dict.fromkeys([*reversed(seen(profile)), *sent])
    return [CompletionItem(one[:8]) for one in found if one.startswith(incomplete.lower())]


def seen(profile: Profile) -> list[str]:
    """Return the ids that lists have shown, oldest first, or none if the file cannot be read."""
    try:
        lines = (profile.folder / SEEN_FILE).read_text("ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
    return [line for line in lines if len(line) == _ID]


def see(profile: Profile, ids: list[str]) -> None:
    """Remember new ids for completion. A failure to write them is ignored."""
    from intelshare.private_files import write_private

    known = seen(profile)
    new = [one for one in ids if one not in set(known)]
    if not new:
        return
    try:
        lines = [*known, *reversed(new)][-MAX_SEEN:]
        write_private(profile.folder / SEEN_FILE, ("\n".join(lines) + "\n").encode())
    except (OSError, StoreError):
        return


def _profile(context: click.Context) -> Profile | None:
    from intelshare.client import find_profile

    try:
        return find_profile(context.params.get("profile"), os.environ, Path.cwd())
    except IntelshareError:
        return None
