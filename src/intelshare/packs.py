"""What ships inside the package: the one place that reads its own data files."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from intelshare.labels import Registry, parse_registry


@cache
def builtin_registry() -> Registry:
    """The registry of the real states, groups and ladders (``labels/data/*.toml``). Read once."""
    folder = files("intelshare.labels").joinpath("data")
    return parse_registry(
        {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml")}
    )
