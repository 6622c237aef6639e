"""What the simulator runs is what a node runs: no step reaches for a clock, a socket or chance on its own."""

import ast
from pathlib import Path

import pytest

import intelshare

ROOT = Path(intelshare.__file__).parent
PURE = sorted(path for room in ("broker", "delivery", "engine") for path in (ROOT / room).rglob("*.py"))
FORBIDDEN = {"asyncio", "time", "random", "os", "socket", "threading", "secrets"}


@pytest.mark.parametrize("path", PURE, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_steps_import_no_clock_no_chance_and_no_io(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert not imported & FORBIDDEN
