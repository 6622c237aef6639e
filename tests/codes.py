"""``make codes``: each code that docs/format.md names, the vectors that state it, the tests that name it.

Vectors of a code are cases with that ``error`` (or, of decisions, that reason); one without any needs what a
node holds, and then a test names it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import format_page as page
from intelshare.audit.records import EntryType
from intelshare.cli.shared.codes import catalogue

TESTS = Path(__file__).parent
VECTORS = TESTS / "vectors"


def codes() -> list[str]:
    """What the page names, in order of the alphabet."""
    told = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)*\b", page.PAGE))
    return sorted((told & set(catalogue())) - {entry.name for entry in EntryType})


def stated() -> dict[str, Counter[str]]:
    """Of each code: how many cases of which file state it."""
    found: dict[str, Counter[str]] = {}
    for path in sorted([*VECTORS.glob("*.json"), VECTORS / "files" / "refused.json"]):
        for code in _errors(json.loads(path.read_text("utf-8"))):
            found.setdefault(code, Counter())[path.name] += 1
    return found


def _errors(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _errors(item)
    elif isinstance(node, dict):
        if isinstance(node.get("error"), str):
            yield node["error"]
        if isinstance(node.get("expect"), dict):
            yield from node["expect"].get("reasons", ())
        if isinstance(node.get("contradiction"), dict):
            yield node["contradiction"]["code"]
        for item in node.values():
            yield from _errors(item)


def named() -> dict[str, list[str]]:
    """Of each code: the test files that name it."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text("utf-8")
        for code in set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)*\b", text)):
            found.setdefault(code, []).append(path.stem)
    return found


def main() -> None:
    """Print the table."""
    vectors, tests = stated(), named()
    print("| code | vectors | tests |\n|---|---|---|")
    for code in codes():
        of = ", ".join(f"{name} {count}" for name, count in sorted(vectors.get(code, {}).items()))
        by = tests.get(code, [])
        more = f" and {len(by) - 3} more" if len(by) > 3 else ""
        print(f"| {code} | {of or '-'} | {', '.join(by[:3])}{more} |")


if __name__ == "__main__":
    main()
