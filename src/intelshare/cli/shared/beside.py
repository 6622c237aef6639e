"""Ladders, groups and words that stand beside policy files, or that a node has: what is read with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from intelshare.errors import IntelshareError, LabelError, Place, PolicyFileError
from intelshare.toml import decoded, read_file

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.labels import Registry

T = TypeVar("T")


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


class NodeRegistry:
    """Labels and words as the node of a client reads them.

    Nearly all are read by what ships, and nobody is asked; where that does not do the node's own ladders,
    groups and words are asked for, once.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._registry: Registry | None = None

    def whole(self) -> Registry:
        """What ships, with what the node adds. Raises what ``Client`` raises."""
        from intelshare.builtin import extended_registry

        if self._registry is None:
            self._registry = extended_registry(self._client.own_files())
        return self._registry

    def reading(self, read: Callable[[Registry], T]) -> T:
        """What ``read`` gives by what ships, or where that raises LabelError, by what the node adds too.

        Raises what ``read`` raises; a node that does not answer is named in the hint.
        """
        from intelshare.builtin import builtin_registry

        try:
            return read(builtin_registry())
        except LabelError as error:
            try:
                whole = self.whole()
            except IntelshareError as silent:
                asked = f"your node, which may have own ladders and groups, could not be asked: {silent.code}"
                hint = f"{error.hint}; {asked}" if error.hint else asked
                raise LabelError(error.code, error.message, place=error.place, hint=hint) from None
            if not whole.own:
                raise
        return read(whole)


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
    try:
        return decoded(read_file(path), str(path))
    except OSError as error:
        message = f"it cannot be read: {error.strerror}"
        raise PolicyFileError("NOT_FOUND", message, place=Place(str(path))) from None


def _root(path: Path) -> Path:
    """The folder in which treaties/ and overlays/ stand, for a file of either or of neither."""
    folder = path.parent
    return folder.parent if folder.name in ("treaties", "overlays") else folder
