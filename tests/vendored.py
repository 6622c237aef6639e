"""``make console-vendor``: the JavaScript of others that the console serves, with its table, from npm.

Each file is taken as its package ships it, with two changes: an import of a package becomes one of the file
that lies beside it (an import map would be an inline script, which the page forbids), and the line that names
a source map goes, for none is served. ``VENDORED.toml`` has version, licence, origin and SHA-256 of each;
``tests/unit/console/test_vendored.py`` holds that nothing else lies there and that no byte was changed.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "src" / "intelshare" / "console" / "static" / "vendor"
TABLE = FOLDER / "VENDORED.toml"


@dataclass(frozen=True)
class Source:
    """A package, its licence, and which of its files become which of ours."""

    package: str
    version: str
    licence: str
    files: dict[str, str]
    licence_file: str = "LICENSE"


SOURCES = (
    Source("d3-array", "3.2.5", "ISC", {"dist/d3-array.min.mjs": "d3-array.js"}),
    Source("d3-geo", "3.1.2", "ISC", {"dist/d3-geo.min.mjs": "d3-geo.js"}),
    Source(
        "topojson-client",
        "3.1.0",
        "ISC",
        {f"src/{name}.js": f"topojson-{name}.js" for name in ("feature", "reverse", "transform", "identity")},
    ),
    Source("world-atlas", "2.0.2", "ISC", {"countries-110m.json": "countries-110m.json"}),
    Source(
        "preact", "11.2.0", "MIT", {"dist/preact.mjs": "preact.js", "hooks/dist/hooks.mjs": "preact-hooks.js"}
    ),
    Source("htm", "3.1.1", "Apache-2.0", {"dist/htm.module.js": "htm.js"}),
)

_IMPORTS = {
    '"d3-array"': '"./d3-array.js"',
    '"preact"': '"./preact.js"',
    **{f'"./{name}.js"': f'"./topojson-{name}.js"' for name in ("reverse", "transform", "identity")},
}
_MAP = re.compile(r"\n?//# sourceMappingURL=\S+\s*$")


def rewritten(text: str) -> str:
    """A module that imports what lies beside it."""
    for old, new in _IMPORTS.items():
        text = re.sub(rf"(\bfrom\s*){re.escape(old)}", rf"\g<1>{new}", text)
    return _MAP.sub("\n", text)


def digest(data: bytes) -> str:
    """As the table writes it."""
    return hashlib.sha256(data).hexdigest()


def table() -> list[dict[str, str]]:
    """The rows of ``VENDORED.toml``."""
    rows: list[dict[str, str]] = tomllib.loads(TABLE.read_text("utf-8"))["file"]
    return rows


def main() -> None:
    """Fetch, rewrite and list everything."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = ["# Written by `make console-vendor` (tests/vendored.py); a test holds every byte."]
    for source in SOURCES:
        with tempfile.TemporaryDirectory() as made:
            name = f"{source.package}@{source.version}"
            packed = subprocess.run(
                ["npm", "pack", "--silent", name], cwd=made, check=True, capture_output=True, text=True
            )
            with tarfile.open(Path(made) / packed.stdout.strip()) as archive:
                for origin, target in {
                    **source.files,
                    source.licence_file: f"{source.package}.LICENSE",
                }.items():
                    member = archive.extractfile(f"package/{origin}")
                    assert member is not None, origin
                    data = member.read()
                    if target.endswith(".js"):
                        data = rewritten(data.decode("utf-8")).encode("utf-8")
                    (FOLDER / target).write_bytes(data)
                    lines += [
                        "",
                        "[[file]]",
                        f'name = "{target}"',
                        f'package = "{source.package}"',
                        f'version = "{source.version}"',
                        f'licence = "{source.licence}"',
                        f'from = "{origin}"',
                        f'sha256 = "{digest(data)}"',
                    ]
    TABLE.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
