"""The pages of the documentation site, gathered from where they stand in the repository.

``make site`` writes them to ``build/pages``, and zensical makes ``build/site`` of them. A link to a file that
is not a page of the site becomes plain text, for the site stands alone.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]

BESIDE: Final = {"README.md": "index.md"} | {
    name: name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
}
"""Pages that stand at the top of the repository, and their names on the site."""

API: Final = """# Python client

The library of values is imported from `intelshare.api`; see [the guide](client.md). Below it stands
`intelshare.client`, which speaks the messages of the wire.

::: intelshare.api.asynchronous.Client

::: intelshare.api.sync.SyncClient

::: intelshare.api.values

::: intelshare.client.asynchronous.AsyncClient

::: intelshare.client.connection.Client

::: intelshare.client.profile
"""

LINK: Final = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")


def sources() -> Mapping[PurePosixPath, Path]:
    """Of each page its path on the site, and the file that it is made of."""
    docs = ROOT / "docs"
    pages = {PurePosixPath(path.relative_to(docs).as_posix()): path for path in sorted(docs.rglob("*.md"))}
    return pages | {PurePosixPath(there): ROOT / here for here, there in BESIDE.items()}


def rewritten(page: PurePosixPath, source: Path, pages: Mapping[Path, PurePosixPath]) -> str:
    """The text of a page with its links as they are on the site."""

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found["text"], found["target"], found["anchor"] or ""
        if not target or "://" in target or target.startswith("mailto:"):
            return found[0]
        there = pages.get((source.parent / target).resolve())
        if there is None and (source.parent / target).is_dir():
            there = pages.get((source.parent / target / "README.md").resolve())
        return f"[{text}]({_relative(there, page)}{anchor})" if there is not None else text

    prose = re.split(r"(^```.*?^```)", source.read_text("utf-8"), flags=re.M | re.S)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in prose)


def _relative(target: PurePosixPath, page: PurePosixPath) -> str:
    up = "../" * (len(page.parts) - 1)
    return f"{up}{target}"


def gather(into: Path) -> None:
    """Write every page and picture of the site below a folder, which is emptied first."""
    shutil.rmtree(into, ignore_errors=True)
    found = sources()
    by_source = {source.resolve(): page for page, source in found.items()}
    for page, source in found.items():
        target = into / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(rewritten(page, source, by_source), "utf-8")
    (into / "api.md").write_text(API, "utf-8")
    for picture in (ROOT / "docs").rglob("*.png"):
        target = into / picture.relative_to(ROOT / "docs")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, target)


def in_navigation() -> Iterator[str]:
    """Every page that zensical.toml names."""

    def pages(entry: Any) -> Iterator[str]:
        match entry:
            case str():
                yield entry
            case dict():
                yield from pages(list(entry.values()))
            case list():
                for one in entry:
                    yield from pages(one)

    yield from pages(tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"])


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
