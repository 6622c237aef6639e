"""Help and a failing command start fast: a list of what they must not load, not a time."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    *("grpc", "google.protobuf", "rich", "cryptography", "nacl", "apsw", "tomlkit"),
    *("msgspec", "asyncio", "intelshare.node", "intelshare.store", "intelshare.broker"),
    *("intelshare.vault", "intelshare.crypto", "intelshare.trust", "intelshare.wire"),
)

PROBE = """
import sys
from intelshare.cli import run
code = run(sys.argv[1:])
loaded = [name for name in {heavy!r} if name in sys.modules]
assert not loaded, loaded
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["send", "--help"], 0),
        (["inbox", "--help"], 0),
        (["outbox", "--help"], 0),
        (["init", "--help"], 0),
        (["node", "--help"], 0),
        (["node", "run", "--help"], 0),
        (["user", "add", "--help"], 0),
        (["member", "import", "--help"], 0),
        (["audit", "verify", "--help"], 0),
        (["sim", "--help"], 0),
        (["version"], 0),
        (["--version"], 0),
        (["errors", "NOFORN"], 0),
        (["errors", "NO_SUCH_CODE"], 8),
        (["label", "parse", "//FRA SECRTE"], 2),
        (["no-such-command"], 2),
        (["read"], 2),
        (["inbox", "--as", "/nowhere"], 8),
    ],
)
def test_nothing_heavy_is_loaded_by(words: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(heavy=HEAVY), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr


TALKING = (
    *("send", "inbox", "read", "outbox", "recall", "receipts", "export", "watch", "search", "why", "rfi"),
    *("obligations", "consent", "treaty", "node", "user", "member", "vault", "pki", "trust", "audit"),
    *("status", "whoami", "renew", "doctor"),
)

HEAVY_BESIDE_A_CALL = (
    *("rich", "cryptography", "nacl", "apsw", "msgspec", "jsonschema", "intelshare.node", "intelshare.store"),
    *("intelshare.broker", "intelshare.vault", "intelshare.crypto", "intelshare.trust", "intelshare.labels"),
    *("intelshare.policy", "intelshare.envelope", "intelshare.audit", "intelshare.statement"),
)

LOADED = """
import sys
from importlib import import_module
from intelshare.cli.shared.commands import COMMANDS
import intelshare.client.connection, intelshare.client.asynchronous
for name in {names!r}:
    import_module(COMMANDS[name].target.partition(":")[0])
    loaded = [heavy for heavy in {heavy!r} if heavy in sys.modules]
    assert not loaded, (name, loaded)
"""


def test_a_command_that_asks_a_node_loads_nothing_of_what_only_a_node_needs() -> None:
    probe = LOADED.format(names=TALKING, heavy=HEAVY_BESIDE_A_CALL)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_health_check_loads_no_node() -> None:
    heavy = ("grpc", "google.protobuf", "rich", "intelshare.broker", "intelshare.node.runtime")
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(heavy=heavy), "node", "health", "--folder", "/nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6, done.stderr
