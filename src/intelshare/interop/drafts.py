"""Writes a draft as files: one line for ``send --batch``, and the contents that it names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from intelshare.errors import ConfigError, Place
from intelshare.interop.stix_in import Imported
from intelshare.labels import Registry, format_banner

DRAFT: Final = "draft.ndjson"
"""The file that ``send --batch`` reads."""

MAX_PARTS: Final = 64
MAX_BYTES: Final = 512 * 1024
"""The most bytes of one bulletin (``send``)."""


def draft_files(
    imported: Imported, folder: str, *, category: str, to: Sequence[str], registry: Registry, source: str
) -> dict[str, bytes]:
    """Return the files to write into ``folder``, by name. The line names its files by their full paths.

    Raises ConfigError TOO_LARGE for more than one bulletin can contain.
    """
    contents: dict[str, bytes] = {}
    parts: list[dict[str, str]] = []
    for suffix, group in ((".txt", imported.texts), (".stix.json", imported.objects)):
        for part in group:
            name = f"{len(parts) + 1}-{'text' if suffix == '.txt' else 'objects'}{suffix}"
            contents[name] = part.content.encode("utf-8", "replace")
            parts.append({"file": f"{folder}/{name}", "label": format_banner(part.label, registry)})
    line: dict[str, Any] = {"to": list(to), "category": category}
    size = sum(map(len, contents.values()))
    if imported.title is not None:
        line |= {
            "title": imported.title.content,
            "title_label": format_banner(imported.title.label, registry),
        }
        size += len(imported.title.content.encode("utf-8", "replace"))
    if len(parts) + (imported.title is not None) > MAX_PARTS or size > MAX_BYTES:
        raise ConfigError(
            "TOO_LARGE",
            f"a bulletin may have at most {MAX_PARTS} portions and {MAX_BYTES} bytes",
            place=Place(source),
            hint="split it into several files",
        )
    line |= parts[0]
    if parts[1:]:
        line["portions"] = parts[1:]
    return contents | {DRAFT: json.dumps(line, ensure_ascii=False).encode() + b"\n"}
