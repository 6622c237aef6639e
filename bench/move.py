"""What `node move` costs for each row, there and back, and whether its memory grows with them.

python -m bench.move [--rows 100000] [--json]

Folders with a quarter of the rows and with all of them. For each way: seconds, processor time of the command
for a row (the server's is not in it), and the most memory that it had.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench.once import run
from e2e.nodes import PROGRAM, ok
from intelshare.broker.kernel.tables import LOG, PORTION, SECRET, TABLES, LogRow, PortionRow, SecretRow
from intelshare.crypto.suites import SUITES
from intelshare.ids import Digest, Incarnation, ManifestDigest
from intelshare.ports import Plan, Put
from intelshare.store.sqlite import open_store
from intelshare.vault import open_vault
from postgres_server import new_cluster
from processes import clean_environment

GROUP = 500
"""Bulletins that are written at once: each has a portion, a secret and an entry of the log."""

BODY = 400


async def filled(folder: Path, rows: int) -> None:
    """Write so many rows into a new member's file."""
    phrase = (folder / "passphrase").read_bytes().strip()
    vault = open_vault(
        folder / "vault" / "keys", phrase, suites=SUITES, random=os.urandom, allow_development=True
    )
    store = open_store(folder / "intelshare.db", TABLES, vault.storage_key())
    for first in range(0, rows // 3, GROUP):
        writes: list[Put] = []
        for number in range(first, min(first + GROUP, rows // 3)):
            md = ManifestDigest(hashlib.sha256(number.to_bytes(8, "big")).digest())
            body = os.urandom(BODY)
            digest = Digest(hashlib.sha256(body).digest())
            writes += [
                Put(PORTION, PortionRow(md, 0, 0, body, digest)),
                Put(SECRET, SecretRow(md, 0, os.urandom(72))),
                Put(LOG, LogRow(Incarnation(1), number, os.urandom(41), os.urandom(200))),
            ]
        await store.perform(lambda _, writes=tuple(writes): Plan(writes, None))  # type: ignore[misc]
    store.close()


def moved(folder: Path, *to: str) -> dict[str, float]:
    """Move it by the command; what that took."""
    began = time.monotonic()
    words = [*PROGRAM, "node", "move", "--folder", str(folder), "--to", *to, "--json"]
    out = os.open(os.devnull, os.O_WRONLY)
    pid = os.posix_spawn(words[0], words, clean_environment(), file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)])
    os.close(out)
    _, status, usage = os.wait4(pid, 0)
    assert status == 0
    return {
        "seconds": time.monotonic() - began,
        "processor": usage.ru_utime + usage.ru_stime,
        "MiB": usage.ru_maxrss / 1024,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    cluster, found = new_cluster("-c shared_buffers=256MB"), {}
    for rows in (options.rows // 4, options.rows):
        with tempfile.TemporaryDirectory() as home:
            folder = Path(home) / "fra"
            ok("init", "FRA", folder, "--dev")
            asyncio.run(filled(folder, rows))
            found[str(rows)] = {
                "there": moved(folder, cluster.url, "--schema", f"of_{rows}"),
                "back": moved(folder, "sqlite"),
            }
    return found


def show(found: dict[str, Any]) -> None:
    """A table."""
    print(f"{'rows':>9} {'way':<6}{'seconds':>9}{'µs a row':>10}{'MiB':>7}")
    for rows, ways in found.items():
        for way, one in ways.items():
            cost = one["processor"] / int(rows) * 1e6
            print(f"{rows:>9} {way:<6}{one['seconds']:>9.1f}{cost:>10.1f}{one['MiB']:>7.0f}")


if __name__ == "__main__":
    sys.exit(run(__doc__, measure, show, {"--rows": 100_000}))
