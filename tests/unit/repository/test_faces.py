"""Outsiders import the face of a package: its ``__init__``, and the modules that are public by this table."""

import ast
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

import intelshare

ROOT: Final = Path(intelshare.__file__).parent

FACES: Final[Mapping[str, str]] = {
    "api": "",
    "audit": "decided exhibit log node_records notes path portable proofs records report tiles tree work",
    "broker": "exchange kernel lifecycle line queries transparency treaty",
    "bulletin": "",
    "cli": "app policy shared",
    "client": "enrolment renewal spool",
    "conformance": "",
    "console": "run",
    "crypto": "aead changed_byte codec draw pae pieces records rest stretch suites x509",
    "delivery": "pair retry",
    "demo": "",
    "engine": "actions courier dialling events following steps turn values",
    "envelope": "bundle",
    "gateway": "config poll run",
    "interop": "",
    "labels": "",
    "metrics": "",
    "node": "backup backup_format certificates clock establish events folder move new_law offline "
    "open_folder owner policies replicas reserve restore run running runtime settings settings_file sidecar "
    "whole_folder",
    "policy": "vectors",
    "policy_tools": "",
    "services": "dispatch",
    "sim": "",
    "statement": "",
    "store": "backup beside copying damage engines examine folder memory postgres server sidecar",
    "toml": "",
    "trust": "courier hello",
    "vault": "",
    "verifier": "",
    "wire": "v1",
}
"""By package: modules and rooms that others may name. Where there are many, whoever needs one of them pays
for the import of that one alone."""


def foreign_imports() -> Iterator[tuple[str, str, str]]:
    """(module, package, what of it is named) of every import of another package's inside."""
    for path in sorted(ROOT.rglob("*.py")):
        module = path.relative_to(ROOT).with_suffix("").as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = []
            if isinstance(node, ast.ImportFrom) and node.module:
                named = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
            elif isinstance(node, ast.Import):
                named = [one.name for one in node.names]
            for name in named:
                parts = name.split(".")
                if parts[0] == "intelshare" and len(parts) > 2 and _is_inside(module, *parts[1:3]):
                    yield module, parts[1], parts[2]


def _is_inside(module: str, package: str, name: str) -> bool:
    """Whether this names a module of another package, and not what the package exports under that name."""
    face = import_module(f"intelshare.{package}")
    return package != module.split("/", maxsplit=1)[0] and isinstance(getattr(face, name, face), ModuleType)


def test_every_package_has_a_row():
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    assert set(FACES) == packages - {"data"}


def test_outsiders_import_faces():
    inside = [
        (module, f"intelshare.{package}.{name}")
        for module, package, name in foreign_imports()
        if name not in FACES[package].split()
    ]
    assert inside == [], (
        "import from the package, which exports the name, or make the module public in the table"
    )


def test_the_table_has_no_face_that_nobody_uses():
    used = {(package, name) for _, package, name in foreign_imports()}
    rows = {(package, name) for package, names in FACES.items() for name in names.split()}
    assert rows <= used
