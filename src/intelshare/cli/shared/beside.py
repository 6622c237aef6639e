"""Ladders, groups and words that stand beside policy files: what the files are read with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from intelshare.labels import Registry


def own_option(function: Any) -> Any:
    """``--folder``: the command gets ``folder``, for ``registry_of``."""
    return click.option(
        "--folder",
        type=click.Path(file_okay=False, exists=True, path_type=Path),
        help="Where own ladders/, groups/ and words/ stand, as in a data folder; else only what ships.",
    )(function)


def registry_of(folder: Path | None) -> Registry:
    """What ships, with what stands in the folder, if one is named. Raises PolicyFileError."""
    from intelshare.builtin import builtin_registry

    return builtin_registry() if folder is None else registry_for(folder / "any.toml")


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
