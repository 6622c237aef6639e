"""Ladders, groups and words that stand beside policy files or belong to a node; other files are read with
them.
"""

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
    """Add ``--folder``: the command gets ``folder``, for ``registry_of``."""
    return click.option(
        "--folder",
        type=click.Path(file_okay=False, exists=True, path_type=Path),
        help="Folder with ladders/, groups/ and words/ of your own, such as a data folder. Default: only "
        "those that ship.",
    )(function)


def registry_of(folder: Path | None) -> Registry:
    """Return the registry of what ships, plus the folder's definitions if one is named. Raises
    PolicyFileError.
    """
    from intelshare.builtin import builtin_registry

    return builtin_registry() if folder is None else registry_for(folder / "any.toml")


def registry_for(path: Path) -> Registry:
    """Return the registry for reading a policy file: what ships, and the definitions beside the file.

    Raises PolicyFileError.
    """
    return with_own(own_files([path]), read_policy)


class NodeRegistry:
    """Reads labels and words as the client's node does.

    What ships is enough for nearly all, and then nobody is asked; otherwise the node is asked once for its
    ladders, groups and words.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._registry: Registry | None = None

    def whole(self) -> Registry:
        """Return the registry of what ships, plus the node's definitions. Raises what ``Client`` raises."""
        from intelshare.builtin import extended_registry

        if self._registry is None:
            self._registry = extended_registry(self._client.own_files())
        return self._registry

    def reading(self, read: Callable[[Registry], T]) -> T:
        """Return what ``read`` gives with what ships or, if that raises LabelError, with the node's
        definitions added.

        Raises what ``read`` raises; the hint says so if the node does not answer.
        """
        from intelshare.builtin import builtin_registry

        try:
            return read(builtin_registry())
        except LabelError as error:
            try:
                whole = self.whole()
            except IntelshareError as silent:
                asked = (
                    f"your node, which may define more ladders and groups, could not be asked: {silent.code}"
                )
                hint = f"{error.hint}; {asked}" if error.hint else asked
                raise LabelError(error.code, error.message, place=error.place, hint=hint) from None
            if not whole.own:
                raise
        return read(whole)


def own_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files of ladders/, groups/ and words/ beside these policy files, each once."""
    from intelshare.builtin import OWN_FOLDERS

    roots = dict.fromkeys(_root(path) for path in paths)
    return [file for root in roots for name in OWN_FOLDERS for file in sorted((root / name).glob("*.toml"))]


def with_own(own: Iterable[Path], read: Callable[[Path], str]) -> Registry:
    """Return the registry of what ships, plus the definitions in these files. Raises PolicyFileError."""
    from intelshare.builtin import extended_registry

    return extended_registry({str(path): read(path) for path in own})


def read_policy(path: Path) -> str:
    """Return the text of a policy file.

    Raises PolicyFileError TOO_LARGE, FILE_SYNTAX (not UTF-8), REFERENCE_CYCLE (circular links), NOT_FOUND
    (also if it is not a regular file: a pipe would never end).
    """
    try:
        return decoded(read_file(path), str(path))
    except OSError as error:
        message = f"it cannot be read: {error.strerror}"
        raise PolicyFileError("NOT_FOUND", message, place=Place(str(path))) from None


def _root(path: Path) -> Path:
    """Return the folder that contains treaties/ and overlays/, for a file in or beside them."""
    folder = path.parent
    return folder.parent if folder.name in ("treaties", "overlays") else folder
