"""Completion without network: from the node's folder on this machine, and what commands have shown here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from intelshare.errors import IntelshareError, StoreError

if TYPE_CHECKING:
    from intelshare.client import Profile
    from intelshare.labels import Level, Registry

SEEN_FILE = "seen"
"""The file in the profile folder with the ids that lists have shown, newest last, and nothing else about
them.
"""

KNOWN_FILE = "known"
"""In the profile folder: members, treaties and users that commands have shown, and nothing else of them."""

MEMBER, TREATY, USER = "member", "treaty", "user"

MAX_SEEN = 500

_ID = 32


def members(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Members that are known here, by code; of a list separated by commas the last one.

    Where none of them begins so: any state or organisation.
    """
    registry = _registry(context)
    before, comma, last = incomplete.rpartition(",")
    names = {**registry.states, **{code: group.name for code, group in registry.groups.items()}}
    fitting = [code for code in _known(context, MEMBER) if code.startswith(last.upper()) and code in names]
    chosen = fitting or [code for code in names if registry.is_member(code) and code.startswith(last.upper())]
    return [CompletionItem(before + comma + code, help=names[code]) for code in sorted(chosen)]


def users(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Users for whom a profile or an enrolment was made in the folder, and those that a list has shown."""
    folder = _folder(context)
    made = [path.name.removesuffix(".enrol") for path in _listed(folder, "users", "*")]
    names = dict.fromkeys([*made, *_known(context, USER)])
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def codes(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Codes of errors and reasons."""
    from intelshare.cli.shared.codes import catalogue

    return [
        CompletionItem(name, help=code.means)
        for name, code in catalogue().items()
        if name.startswith(incomplete.upper())
    ]


def clearances(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Levels of your member's ladder, and R0 to R4."""
    found = [(level.name, level.reference.name) for level in _levels(context)]
    found += [(f"R{n}", "") for n in range(5)]
    return [CompletionItem(name, help=worth) for name, worth in found if name.startswith(incomplete.upper())]


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

    try:
        return registry_of(_folder(context))
    except (IntelshareError, OSError):
        return builtin_registry()


def _folder(context: click.Context) -> Path | None:
    """The node's folder, if the command line names one, or the profile's node is on this machine."""
    folder = context.params.get("folder") or os.environ.get("INTELSHARE_FOLDER")
    names = {param.name for param in context.command.params}
    if folder is None and "profile" in names:
        profile = _profile(context)
        folder = profile.folder / profile.node_folder if profile and profile.node_folder else None
    return Path(folder) if isinstance(folder, str | Path) else None


def _listed(folder: Path | None, name: str, pattern: str) -> list[Path]:
    """Files of a folder of the node; none if it cannot be read."""
    try:
        return sorted((folder / name).glob(pattern)) if folder is not None else []
    except OSError:
        return []


def _words(context: click.Context, kind: str, incomplete: str) -> list[CompletionItem]:
    from intelshare.labels import WordKind

    words = _registry(context).words.of(WordKind[kind])
    return [
        CompletionItem(name, help=word.means) for name, word in words.items() if name.startswith(incomplete)
    ]


def documents(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Documents that commands print as JSON."""
    from intelshare.cli.shared.documents import about, document_names

    return [CompletionItem(one, help=about(one)) for one in document_names() if one.startswith(incomplete)]


def labels(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Levels of your member's ladder as they begin a label, lowest first."""
    from intelshare.labels import Label, format_banner

    profile = _profile(context)
    if profile is None:
        return []
    registry = _registry(context)
    found = [
        (format_banner(Label(profile.member, level.name), registry), level.reference.name)
        for level in _levels(context)
    ]
    return [CompletionItem(text, help=worth) for text, worth in found if text.startswith(incomplete.upper())]


def _levels(context: click.Context) -> Sequence[Level]:
    """Of the ladder of the profile's member, lowest first."""
    from intelshare.instant import Instant

    profile, folder = _profile(context), _folder(context)
    member = profile.member if profile is not None else _member_of(folder)
    try:
        return _registry(context).ladder(member).at(Instant(time.time_ns() // 1000)).levels
    except (IntelshareError, KeyError):
        return ()


def _member_of(folder: Path | None) -> str:
    """Whose node a folder is; empty if that cannot be read."""
    import tomllib

    try:
        return str(tomllib.loads(((folder or Path()) / "node.toml").read_text("utf-8")).get("member", ""))
    except (OSError, ValueError):
        return ""


def treaties(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The node's treaties; where none is known here, those that ship."""
    found = [path.stem for path in _listed(_folder(context), "treaties", "*.toml")]
    own = dict.fromkeys(name for name in found if not name.endswith("_test"))
    known = [name for name in own or _known(context, TREATY) if name.startswith(incomplete)]
    return [CompletionItem(name) for name in sorted(known)] or shipped_treaties(context, _, incomplete)


def shipped_treaties(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The treaties that ship; where none begins so, files."""
    from intelshare.builtin import treaty_packs

    found = [CompletionItem(name, help="ships with intelshare") for name in treaty_packs()]
    fitting = [item for item in found if str(item.value).startswith(incomplete)]
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


def _known(context: click.Context, kind: str) -> list[str]:
    profile = _profile(context)
    return [] if profile is None else known(profile, kind)


def known(profile: Profile, kind: str) -> list[str]:
    """Names of a kind that commands have shown, oldest first; none if the file cannot be read."""
    try:
        lines = (profile.folder / KNOWN_FILE).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [name for line in lines if (name := line.removeprefix(f"{kind} ")) != line]


def know(profile: Profile, kind: str, names: Iterable[str]) -> None:
    """Remember names for completion, if they are new. That it cannot be written stops nobody."""
    from intelshare.private_files import write_private

    new = [name for name in dict.fromkeys(names) if name and name not in set(known(profile, kind))]
    if not new:
        return
    try:
        path = profile.folder / KNOWN_FILE
        before = path.read_text("utf-8").splitlines() if path.exists() else []
        lines = [*before, *(f"{kind} {name}" for name in new)][-MAX_SEEN:]
        write_private(path, ("\n".join(lines) + "\n").encode())
    except (OSError, StoreError, UnicodeDecodeError):
        return


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
