"""New policy files for the data folder: computes what would change there, and makes the change."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from intelshare.broker.treaty.policy_files import Became
from intelshare.builtin import OWN_FOLDERS
from intelshare.errors import ConfigError, Place
from intelshare.node.folder import Folder
from intelshare.node.policies import (
    finish_law,
    law_texts,
    texts_as_they_lie,
    while_it_lies_still,
    write_files,
)
from intelshare.node.settings import Settings


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file of the folder that would be added, changed or removed."""

    path: Path
    became: Became
    data: bytes
    """The file's new content; empty if it is removed."""

    @property
    def name(self) -> str:
        """Return a name such as ``treaties/paris.toml``."""
        return f"{self.path.parent.name}/{self.path.name}"


@dataclass(frozen=True, slots=True)
class NewLaw:
    """The law that is in a folder, and the law that is wanted."""

    folder: Folder
    held: Mapping[Path, bytes]
    changes: tuple[FileChange, ...]
    left: tuple[str, ...]
    """The files of the folder that are not among the wanted ones and stay."""

    @property
    def wanted(self) -> dict[Path, bytes]:
        """Return the files of the folder as they would be."""
        after = dict(self.held)
        for change in self.changes:
            if change.became is Became.GONE:
                del after[change.path]
            else:
                after[change.path] = change.data
        # Sorted in the order in which a node reads them.
        order = (*OWN_FOLDERS, "treaties", "overlays")
        return {
            path: after[path]
            for path in sorted(after, key=lambda path: (order.index(path.parent.name), path))
        }


def new_law(
    folder: Folder,
    settings: Settings,
    treaties: Mapping[Path, str],
    overlay: str | None,
    own: Mapping[Path, str],
    *,
    prune: bool,
) -> NewLaw:
    """Return what these treaties, this member's overlay, and these ladders, groups and words would change.

    A treaty replaces the file that contains its id. ``prune``: files that are not among them are removed.
    Raises PolicyFileError for a folder that does not load, ConfigError ID_CONFLICT.
    """
    held = law_texts(folder)
    by_id = {_id(data): path for path, data in held.items() if path.parent == folder.treaties}
    wanted: dict[Path, bytes] = {}
    for path, text in treaties.items():
        data = text.encode()
        wanted[_place(folder, path, _id(data), by_id, held)] = data
    wanted |= {folder.root / path.parent.name / path.name: text.encode() for path, text in own.items()}
    if overlay is not None:
        wanted[folder.overlays / f"{settings.member.lower()}.toml"] = overlay.encode()
    changes = [
        FileChange(path, Became.CHANGED if path in held else Became.NEW, data)
        for path, data in wanted.items()
        if held.get(path) != data
    ]
    others = [path for path in held if path not in wanted]
    changes += [FileChange(path, Became.GONE, b"") for path in others if prune]
    left = () if prune else tuple(f"{path.parent.name}/{path.name}" for path in others)
    return NewLaw(folder, held, tuple(changes), left)


def write_law(law: NewLaw) -> None:
    """Make the change while no node reads: all of it or nothing. Raises ConfigError LAW_CHANGED,
    StoreError.
    """
    with while_it_lies_still(law.folder, change=True):
        finish_law(law.folder)
        if texts_as_they_lie(law.folder) != law.held:
            raise ConfigError(
                "LAW_CHANGED",
                "the files of the folder have changed since their effect was shown",
                place=Place(str(law.folder.root)),
                hint="review the effect again",
            )
        gone = [change.path for change in law.changes if change.became is Became.GONE]
        written = {change.path: change.data for change in law.changes if change.path not in gone}
        write_files(law.folder, written, gone)


def _id(data: bytes) -> str:
    """Return the id in a treaty's file; empty for any other content, which is reported when the folder is
    read.
    """
    try:
        return str(tomllib.loads(data.decode()).get("id", ""))
    except (ValueError, RecursionError):
        return ""


def _place(
    folder: Folder, path: Path, treaty: str, by_id: Mapping[str, Path], held: Mapping[Path, bytes]
) -> Path:
    if treaty in by_id:
        return by_id[treaty]
    for name in (path.name, f"{treaty}.toml"):
        if folder.treaties / name not in held:
            return folder.treaties / name
    raise ConfigError(
        "ID_CONFLICT",
        f"{treaty}.toml in the folder contains another treaty",
        place=Place(str(path)),
        hint="rename one of the two files",
    )
