"""Data files inside the package: the one place that reads them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from intelshare.errors import Place, PolicyFileError
from intelshare.labels import Registry, parse_registry


@cache
def builtin_registry() -> Registry:
    """Return the registry of the real states, groups and ladders (``labels/data/*.toml``).

    It is read once.
    """
    return parse_registry(_texts("labels", "data"))


OWN_FOLDERS = ("ladders", "groups", "words")
"""Folders beside treaties/ with files as in ``labels/data``: they may add to what ships, not change it."""


MAX_OWN = 2 << 20
"""The most characters of all such files together: a node sends its users all of them in one answer."""


def extended_registry(texts: Mapping[str, str]) -> Registry:
    """Return the built-in registry with what these files add; the built-in one itself if there are none.

    Raises PolicyFileError: TOO_LARGE (over 2 Mi characters), LADDER_CONFLICT among others
    (``parse_registry``).
    """
    if sum(map(len, texts.values())) > MAX_OWN:
        message = f"your ladders, groups and words together have more than {MAX_OWN} characters"
        raise PolicyFileError(
            "TOO_LARGE", message, place=Place(max(texts, key=lambda name: len(texts[name])))
        )
    return parse_registry(texts, builtin_registry()) if texts else builtin_registry()


def demo_treaties() -> dict[str, str]:
    """Return the demo's treaty files, name to text, for ``parse_treaty``."""
    return _texts("demo", "scenario", "treaties")


def treaty_packs() -> dict[str, Path]:
    """Return the treaties that ship, id to file, ordered by id.

    The test of ``nato.toml`` is ``nato_test.toml`` beside it. A wheel holds the folder inside the package; a
    checkout has it at the top of the repository.
    """
    package = Path(__file__).parent
    folder = next(
        (place for place in (package / "treaties", package.parents[1] / "treaties") if place.is_dir()), None
    )
    found = () if folder is None else sorted(folder.glob("*.toml"))
    return {path.stem: path for path in found if not path.stem.endswith("_test")}


def _texts(*folder: str) -> dict[str, str]:
    entries = files("intelshare").joinpath(*folder).iterdir()
    # Tests lie beside the treaties, and are not treaties.
    return {
        entry.name: entry.read_text("utf-8")
        for entry in entries
        if entry.name.endswith(".toml") and not entry.name.endswith("_test.toml")
    }
