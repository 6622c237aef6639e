"""Ladders, groups and words that stand beside policy files: what the files are read with."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intelshare.errors import Place, PolicyFileError
from intelshare.toml import MAX_FILE_BYTES

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


def read_policy(path: Path) -> str:
    """The text of a policy file.

    Raises PolicyFileError TOO_LARGE, FILE_SYNTAX (no UTF-8), REFERENCE_CYCLE (of links), NOT_FOUND (also for
    what is no ordinary file: a pipe would never end).
    """
    place = Place(str(path))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PolicyFileError("NOT_FOUND", "it is no ordinary file", place=place)
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        if error.errno == errno.ELOOP:
            message = "it is a link that leads back to itself"
            raise PolicyFileError("REFERENCE_CYCLE", message, place=place) from None
        raise PolicyFileError("NOT_FOUND", f"it cannot be read: {error.strerror}", place=place) from None
    if len(content) > MAX_FILE_BYTES:
        raise PolicyFileError("TOO_LARGE", f"a file has at most {MAX_FILE_BYTES} bytes", place=place)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PolicyFileError("FILE_SYNTAX", "this is no UTF-8", place=Place(str(path), line)) from None


def _root(path: Path) -> Path:
    """The folder in which treaties/ and overlays/ stand, for a file of either or of neither."""
    folder = path.parent
    return folder.parent if folder.name in ("treaties", "overlays") else folder
