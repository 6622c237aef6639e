"""Ladders, groups and words that stand beside policy files: what the files are read with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intelshare.labels import Registry


def registry_for(path: Path) -> Registry:
    """The registry that a policy file is read with: what ships, and what stands beside it.

    Raises PolicyFileError.
    """
    from intelshare.cli.policy.files import read_policy

    return with_own(own_files([path]), read_policy)


def own_files(paths: Iterable[Path]) -> list[Path]:
    """The files of ladders/, groups/ and words/ beside these policy files, each once."""
    from intelshare.builtin import OWN_FOLDERS

    roots = dict.fromkeys(_root(path) for path in paths)
    return [file for root in roots for name in OWN_FOLDERS for file in sorted((root / name).glob("*.toml"))]


def with_own(own: Iterable[Path], read: Callable[[Path], str]) -> Registry:
    """What ships, with what these files add. Raises PolicyFileError."""
    from intelshare.builtin import extended_registry

    return extended_registry({str(path): read(path) for path in own})


def _root(path: Path) -> Path:
    """The folder in which treaties/ and overlays/ stand, for a file of either or of neither."""
    folder = path.parent
    return folder.parent if folder.name in ("treaties", "overlays") else folder
