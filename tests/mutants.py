"""Weakened copies of the judge: each refusal switched off in turn, all forged files given to each copy.

``make mutants`` prints the survivors: refusals that no forged file needs. A copy is caught if it believes a
forged file, or refuses one for another reason.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from forgeries import ask, forgeries
from intelshare import verifier
from intelshare.errors import IntelshareError
from judge_world import Forgery

PACKAGE = "intelshare.verifier"
FOLDER = Path(verifier.__file__).parent


class _Weakened(MetaPathFinder, Loader):
    """Loads one module of the judge from another source."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == self.name else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, f"<{self.name}>", "exec"), module.__dict__)  # noqa: S102 - our own source


def refusals() -> Iterator[tuple[str, int, str]]:
    """Module, line and weakened source of every ``if ...: raise`` of the judge."""
    for path in sorted(FOLDER.glob("*.py")):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.If) and isinstance(node.body[0], ast.Raise):
                tree = ast.parse(text)
                (same,) = [
                    one
                    for one in ast.walk(tree)
                    if isinstance(one, ast.If)
                    and (one.lineno, one.col_offset) == (node.lineno, node.col_offset)
                ]
                same.test = ast.copy_location(ast.Constant(False), same.test)
                yield path.stem, node.lineno, ast.unparse(tree)


def said(judge: Any, one: Forgery) -> str:
    """The code with which a copy refuses a file; what else it does, if it does not."""
    try:
        ask(judge, one)
    except IntelshareError as error:
        return error.code
    except Exception as error:
        return type(error).__name__
    return "believed"


def is_caught(module: str, source: str, files: Sequence[Forgery]) -> bool:
    """Whether a forged file tells this copy from the judge."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(PACKAGE)}
    finder = _Weakened(f"{PACKAGE}.{module}", source)
    sys.meta_path.insert(0, finder)
    try:
        judge = importlib.import_module(PACKAGE)
        return any(said(judge, one) != one.code for one in files)
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
            del sys.modules[name]
        sys.modules.update(kept)


def main() -> int:
    """Print the survivors and count them."""
    files = forgeries()
    survivors, count = [], 0
    for module, line, source in refusals():
        count += 1
        if not is_caught(module, source, files):
            survivors.append((module, line))
    for module, line in survivors:
        refusal = (FOLDER / f"{module}.py").read_text("utf-8").splitlines()[line - 1].strip()
        print(f"survives: {module}.py:{line}: {refusal}")
    print(f"{count} refusals switched off, {len(survivors)} survive {len(files)} forged files")
    return len(survivors)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
