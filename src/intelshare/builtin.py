"""What ships inside the package: the one place that reads its own data files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from intelshare.errors import Place, PolicyFileError
from intelshare.labels import Registry, parse_registry


@cache
def builtin_registry() -> Registry:
    """The registry of the real states, groups and ladders (``labels/data/*.toml``). Read once."""
    return parse_registry(_texts("labels", "data"))


OWN_FOLDERS = ("ladders", "groups", "words")
"""Beside treaties/: files in the format of ``labels/data``; they add to what ships and change nothing."""


MAX_OWN = 2 << 20
"""Characters of all own files together: a node tells its users all of them in one answer."""


def extended_registry(texts: Mapping[str, str]) -> Registry:
    """What ships, with what these files add; the shipped one itself if there are none.

    Raises PolicyFileError: TOO_LARGE (over 2 Mi characters), LADDER_CONFLICT among others
    (``parse_registry``).
    """
    if sum(map(len, texts.values())) > MAX_OWN:
        message = f"own ladders, groups and words have together more than {MAX_OWN} characters"
        raise PolicyFileError(
            "TOO_LARGE", message, place=Place(max(texts, key=lambda name: len(texts[name])))
        )
    return parse_registry(texts, builtin_registry()) if texts else builtin_registry()


def demo_treaties() -> dict[str, str]:
    """The demo's treaty files, name to text, for ``parse_treaty``."""
    return _texts("demo", "scenario", "treaties")


def treaty_packs() -> dict[str, Path]:
    """The treaties that ship, id to file, by id; the test of ``nato.toml`` is ``nato_test.toml`` beside it.

    A wheel holds the folder inside the package; a checkout has it at the top of the repository.
    """
    package = Path(__file__).parent
    folder = next(
        (place for place in (package / "treaties", package.parents[1] / "treaties") if place.is_dir()), None
    )
    found = () if folder is None else sorted(folder.glob("*.toml"))
    return {path.stem: path for path in found if not path.stem.endswith("_test")}


def _texts(*folder: str) -> dict[str, str]:
    entries = files("intelshare").joinpath(*folder).iterdir()
    # Tests stand beside the treaties and are none.
    return {
        entry.name: entry.read_text("utf-8")
        for entry in entries
        if entry.name.endswith(".toml") and not entry.name.endswith("_test.toml")
    }
