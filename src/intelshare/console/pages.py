"""The files of the console: a fixed table, read at the start. No path of a request reaches the disk."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}

_MODULES: Final = (
    "app", "audit", "bulletins", "connection", "decisions", "flows", "map", "members", "merkle", "now",
    "parts", "show", "treaties", "withheld",
)  # fmt: skip
_VENDORED: Final = (
    "d3-array.js", "d3-geo.js", "topojson-feature.js", "topojson-identity.js", "topojson-reverse.js",
    "topojson-transform.js", "countries-110m.json", "preact.js", "preact-hooks.js", "htm.js",
)  # fmt: skip

SERVED: Final = {
    "/": "page.html",
    "/favicon.svg": "favicon.svg",
    "/console.css": "console.css",
    "/places.json": "places.json",
    **{f"/{name}.js": f"{name}.js" for name in _MODULES},
    **{f"/vendor/{name}": f"vendor/{name}" for name in _VENDORED},
}
"""Path of a request -> file in ``static/``."""


@dataclass(frozen=True, slots=True)
class Served:
    """One file with its media type."""

    media: str
    data: bytes


def read_pages() -> dict[str, Served]:
    """Return every file of the table."""
    folder = files("intelshare.console").joinpath("static")
    return {
        path: Served(_TYPES[name.rpartition(".")[2]], folder.joinpath(*name.split("/")).read_bytes())
        for path, name in SERVED.items()
    }
