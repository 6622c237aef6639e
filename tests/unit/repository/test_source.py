"""What the source must not contain: rows 59 and 76 of attacks.md."""

from __future__ import annotations

import ast
import collections
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src" / "intelshare"
FILES = sorted(path for path in SOURCE.rglob("*.py") if not path.match("wire/v1/*"))

SECRET = re.compile(r"(^|_)(passphrase|password|secret|token|mac|macs|tag|tags)$")

MODULES = {"dill", "jsonpickle", "marshal", "pickle", "plistlib", "shelve", "yaml", "xmlrpc"}
"""Readers that can be made to run what they read, and those that nobody needs."""

UNPACKERS = {"bz2", "gzip", "lzma", "tarfile", "zipfile", "zlib"}
"""What unpacks. Nothing of a peer's or a user's is unpacked by anything here."""

READS_OR_WRITES_XML = {
    "labels/elements.py: import xml.parsers",  # expat; refuses every declaration
    "interop/cap.py: import xml.sax.saxutils",  # writes
    "labels/stanag4778.py: import xml.sax.saxutils",  # writes
    "policy_tools/reports.py: import xml.etree.ElementTree",  # writes
}

CALLS = {"eval", "exec", "compile", "__import__", "extractall", "system", "popen", "unpack_archive"}


def trees(*words: str) -> Iterator[tuple[Path, ast.Module]]:
    """The modules; given words, only those in whose text one of them stands."""
    for path in FILES:
        text = path.read_text("utf-8")
        if not words or any(word in text for word in words):
            yield path.relative_to(SOURCE), ast.parse(text)


def _raw(node: ast.expr) -> str:
    """The last name of an expression."""
    if isinstance(node, ast.Call):
        return _raw(node.func)
    return str(getattr(node, "attr", getattr(node, "id", "")))


def _constant(node: ast.expr) -> bool:
    """Whether it is named as constants are."""
    return _raw(node).rpartition("_")[2].isupper()


def _name(node: ast.expr) -> str:
    """The same, in small letters."""
    return _raw(node).lower()


def comparisons(tree: ast.AST) -> list[int]:
    """Lines on which a secret is compared by ``==``, which ends at the first byte that differs."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(by, ast.Eq | ast.NotEq) for by in node.ops)
        and any(SECRET.search(_name(side)) for side in (node.left, *node.comparators))
        and not any(
            isinstance(side, ast.Constant) or _constant(side) for side in (node.left, *node.comparators)
        )
    ]


def dangers(tree: ast.AST) -> list[str]:
    """Imports and calls that must not be there."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            module = getattr(node, "module", None)
            for name in [module] if module else names:
                if name.split(".")[0] in MODULES or name.startswith("xml."):
                    found.append(f"import {name}")
        elif isinstance(node, ast.Call):
            bare = isinstance(node.func, ast.Name) or _raw(node.func) not in {"compile", "eval", "exec"}
            if _raw(node.func) in CALLS and bare:
                found.append(f"{node.lineno}: {_raw(node.func)}")
            if any(word.arg == "shell" for word in node.keywords):
                found.append(f"{node.lineno}: shell")
    return found


def unpacked(tree: ast.AST) -> set[str]:
    """Modules that unpack, as far as they are imported."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found & UNPACKERS


MAY_UNPACK: set[str] = set()
"""Files that unpack what this node itself has packed."""


def test_row_72_nothing_unpacks_what_comes_from_others() -> None:
    assert unpacked(ast.parse("import zipfile"))
    assert {str(path) for path, tree in trees(*UNPACKERS) if unpacked(tree)} == MAY_UNPACK


METHODS = ("findall", "finditer", "fullmatch", "match", "search", "split", "sub")


def expressions() -> list[tuple[str, str, str]]:
    """Every regular expression that the source writes as a text: where, the method used, the expression."""
    called: list[tuple[str, str, str]] = []
    compiled: list[tuple[str, str, str]] = []
    used: dict[str, set[str]] = {}
    for path, tree in trees():
        nodes = list(ast.walk(tree))
        named = {
            id(node.value): _name(target)
            for node in nodes
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        }
        for node in nodes:
            if isinstance(node, ast.Attribute) and node.attr in METHODS:
                used.setdefault(_name(node.value), set()).add(node.attr)
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            pattern = node.args[0]
            text = pattern.value if isinstance(pattern, ast.Constant) else None
            if _name(node.func.value) == "re" and isinstance(text, str):
                direct = node.func.attr in METHODS
                how = node.func.attr if direct else named.get(id(node), "")
                (called if direct else compiled).append((f"{path}:{node.lineno}", how, text))
    all_ways = {"fullmatch", "search"}  # none is seen: another module may use any
    return called + [
        (where, method, pattern)
        for where, name, pattern in compiled
        for method in sorted(used.get(name, all_ways))
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("if given == self.token: pass", [1]),
        ("assert record.mac != tag", [1]),
        ("ok = hmac.compare_digest(token, given)", []),
        ("first = token == 'none'", []),
    ],
)
def test_a_comparison_that_is_not_constant_time_is_found(text: str, lines: list[int]) -> None:
    assert comparisons(ast.parse(text)) == lines


def test_row_59_no_secret_is_compared_byte_by_byte() -> None:
    assert not [f"{path}:{line}" for path, tree in trees() for line in comparisons(tree)]


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from yaml import load", "import xml.etree.ElementTree", "eval(text)",
        "archive.extractall(folder)", "os.system(line)", "subprocess.run(line, shell=True)",
    ],
)  # fmt: skip
def test_what_runs_foreign_input_is_found(text: str) -> None:
    assert dangers(ast.parse(text))


def test_row_76_nothing_in_the_source_runs_foreign_input() -> None:
    assert {f"{path}: {what}" for path, tree in trees() for what in dangers(tree)} == READS_OR_WRITES_XML


LONG = 30_000
TEXTS = [part * (LONG // len(part)) for part in (
    "a", "A", "0", " ", "\t", "-", "_", "/", ".", ",", "(", '"', "\\", "\n", "é", "\x00",
    "a ", "a-", "a.", "A0", "0.", "a/", "a=", "//", "a,", '"a', "a\n", " \n", "0-", "0:",
)]  # fmt: skip
"""Long texts of one or two characters, on which an expression that backtracks takes for ever."""


def _slow(method: str, pattern: str, texts: list[str], limit: float) -> list[str]:
    """The beginnings of the texts for which this expression takes so many seconds and more."""
    compiled = re.compile(pattern)
    found = []
    for text in texts:
        for ending in ("", "\x01"):
            begun = time.process_time()
            done = getattr(compiled, method)(*(("",) if method == "sub" else ()), text + ending)
            if method == "finditer":
                collections.deque(done, maxlen=0)
            if time.process_time() - begun >= limit:
                found.append(text[:2])
    return found


def test_an_expression_that_backtracks_is_found() -> None:
    assert _slow("match", "(a|a)*b", ["a" * 22], 0.05)
    assert not _slow("match", "a*b", ["a" * 22], 0.05)


def test_row_76_each_expression_takes_long_texts_in_a_moment() -> None:
    found = expressions()
    assert len(found) > 50
    assert not [(where, slow) for where, how, text in found if (slow := _slow(how, text, TEXTS, 1.0))]
